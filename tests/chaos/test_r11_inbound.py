"""R11: an inbound message is applied once or dead-lettered with a reason; never lost, and none blocks the others.

Several ingests share the inbox and die between commit and acknowledgement, NATS is killed, every tenth message is sent
again, times are in no order, and one of a hundred is poison. In the end every message that was stored in the inbox is
in the log once, is a repeat of one that is, or lies in ROLLBOOK_DEAD once: received = applied + duplicates + dead.

Planted bugs: acknowledging before the commit, no idempotency key, poison dropped without a word.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
import nats
import nats.errors
import nats.js.errors
import pytest

from contacts.activity.handler import ActivityHandler
from contacts_bridge.errors import BridgeError
from contacts_bridge.inbox import ingest
from contacts_bridge.inbox.ingest import Ingest
from contacts_bridge.inbox.message import Raw
from contacts_bridge.inbox.pull import Pull
from eventstore.envelope import new_id
from rollbook.embedded.nats import Nats
from tests.chaos.support.report import Report, figure
from tests.integration.bridge.inbox_rig import InboxRig, open_rig, plain
from tests.support.waiting import until

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(0)]

MESSAGES: Final = figure(5_000, 1_000_000)
#: Enough for a planted bug to show.
MESSAGES_WITH_BUG: Final = 600
CONTACTS: Final = 50
INGESTS: Final = 3
DEATHS: Final = 0.3
POISON: Final = 0.01
REPEATS: Final = 0.1
ACK_WAIT_S: Final = 1.0
NATS_KILLS: Final = figure(2, 20)
SETTLED_WITHIN_S: Final = 60.0
KINDS: Final = ("message.sent", "message.delivered", "message.read", "message.clicked", "order.placed", "web.viewed")
DATA: Final[dict[str, dict[str, Any]]] = {
    "message": {"channel": "email"}, "order": {"external_id": "o"}, "web": {"name": "prices"},
}  # fmt: skip

Sent = tuple[str, bytes, None]


class Died(BridgeError):
    """The process is gone."""


class Mortal(Ingest):
    """Dies between commit and acknowledgement, or in the middle of acknowledging, every now and then."""

    random = random.Random()
    deaths = 0

    async def _acknowledge(self, pull: Pull, replies: Sequence[bytes]) -> None:
        if self.random.random() >= DEATHS:
            await super()._acknowledge(pull, replies)
            return
        await super()._acknowledge(pull, replies[: self.random.randrange(len(replies))])
        Mortal.deaths += 1
        raise Died("between commit and acknowledgement")


class AcknowledgesFirst(Mortal):
    """Planted: what was given out is lost with whoever got it."""

    async def _settle(self, pull: Pull, stream: str, batch: Sequence[Raw]) -> None:
        await pull.acknowledge(raw.reply for raw in batch)
        if self.random.random() < DEATHS:
            raise Died("after acknowledging")
        await super()._settle(pull, stream, batch)


def story(count: int, pick: random.Random) -> tuple[list[Sent], set[str], int]:
    """Messages in no order, the ids that are to be recorded, and how many are poison."""
    messages: list[Sent] = []
    good: set[str] = set()
    poison = 0
    for n in range(count):
        kind = pick.choice(KINDS)
        data = DATA[kind.partition(".")[0]]
        contact = {"external_id": f"c-{pick.randrange(CONTACTS)}"}
        sent = plain(f"m-{n}", kind, contact=contact, data=data, minute=0)
        if pick.random() < POISON:
            poison += 1
            messages.append((kind, spoiled(sent[1], pick), None))
            continue
        good.add(f"m-{n}")
        messages += [sent] * (2 if pick.random() < REPEATS else 1)
    pick.shuffle(messages)
    return messages, good, poison


def spoiled(body: bytes, pick: random.Random) -> bytes:
    """Something that nobody can record, and no two alike."""
    mark = b'{"mark": "%016x", ' % pick.getrandbits(64)
    return pick.choice(
        (
            mark + body[1:],
            body[: pick.randrange(1, len(body) - 1)] + b"%016x" % pick.getrandbits(64),
            body.replace(b'"c-', b'"nobody-%016x' % pick.getrandbits(64)),
            body.replace(b'"time":"20', b'"time":"19'),
        )
    )


async def send(rig: InboxRig, messages: Sequence[Sent]) -> int:
    """Everything is stored, whatever it takes; answers how much was sent again, as by senders who get no answer."""
    again = 0
    for start in range(0, len(messages), 500):
        left = list(messages[start : start + 500])
        while left:
            try:
                async with rig.client() as client:
                    js = client.jetstream()
                    answers = await asyncio.gather(
                        *(js.publish(rig.subject(kind), body, timeout=3) for kind, body, _ in left),
                        return_exceptions=True,
                    )
            except (nats.errors.Error, OSError):
                answers = [OSError()] * len(left)
            left = [one for one, answer in zip(left, answers, strict=True) if isinstance(answer, BaseException)]
            if left:
                again += len(left)
                await asyncio.sleep(0.1)
    return again


async def faults_of(rig: InboxRig, good: set[str], poison: int) -> list[str]:
    """The oracle; empty when all is well."""
    recorded = await rig.recorded()
    letters = await rig.letters()
    names = Counter((letter.subject, letter.data) for letter in letters)
    faults = {
        "messages were lost": len(good - recorded.keys()),
        "messages were applied more than once": sum(count > 1 for count in recorded.values()),
        "applied messages were never sent": len(recorded.keys() - good),
        "poisoned messages are not in the dead letters": poison - len(names),
        "dead letters have no reason": sum(not letter.reason.code for letter in letters),
        "dead letters are no poison": sum(b'"m-' in letter.data and is_good(letter.data, good) for letter in letters),
    }
    return [f"{count} {what}" for what, count in faults.items() if count]


def is_good(body: bytes, good: set[str]) -> bool:
    try:
        decoded = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return False
    return "mark" not in decoded and decoded["time"] > "2000" and "nobody" not in str(decoded) and decoded["id"] in good


@pytest.fixture
def make_rig(create_database: Callable[..., str], private_nats: Callable[..., Nats]) -> Callable[[], Any]:
    @asynccontextmanager
    async def make() -> AsyncIterator[tuple[InboxRig, Nats]]:
        nats_ = await asyncio.to_thread(private_nats)
        async with open_rig(create_database(), nats_.url) as rig:
            await rig.begin()
            await asyncio.gather(*(rig.create(external_id=f"c-{n}") for n in range(CONTACTS)))
            await rig.define()
            yield rig, nats_

    return make


async def settled(rig: InboxRig) -> None:
    async def is_empty() -> bool:
        try:
            return await rig.pending() == 0
        except (nats.errors.Error, OSError):
            return False

    await until(is_empty, timeout_s=SETTLED_WITHIN_S, every_s=0.1, what="the inbox is empty")


async def test_every_message_is_applied_once_or_dead_with_a_reason(
    make_rig: Callable[[], Any], chaos_report: Callable[[str], Report], server_thread: Executor
) -> None:
    report = chaos_report("R11")
    pick = random.Random(report.seed)
    Mortal.random, Mortal.deaths = random.Random(report.seed), 0
    async with make_rig() as (rig, nats_):
        messages, good, poison = story(MESSAGES, pick)
        for _ in range(INGESTS):
            await rig.start(Mortal, ack_wait_s=ACK_WAIT_S, batch_max=200)
        share = -(-len(messages) // (NATS_KILLS + 1))
        again = 0
        for part in range(NATS_KILLS + 1):
            sending = asyncio.create_task(send(rig, messages[part * share : (part + 1) * share]))
            if part < NATS_KILLS:
                await asyncio.sleep(pick.random() * 0.2)
                nats_.kill()
                await asyncio.get_running_loop().run_in_executor(server_thread, nats_.start)
            again += await sending
        await settled(rig)
        assert await faults_of(rig, good, poison) == []
        # Counted by what was sent: repeats of senders who got no answer are repeats like all others.
        report.add(
            {
                "messages": len(messages),
                "applied": len(good),
                "repeats": len(messages) - len(good) - poison,
                "dead": poison,
                "sent again": again,
                "given out": sum(rig.figures.counts.values()),
                "deaths": Mortal.deaths,
                "NATS kills": NATS_KILLS,
            }
        )
    assert Mortal.deaths
    report.finish()


@pytest.mark.parametrize("bug", ["acknowledges first", "no key", "poison dropped"])
async def test_planted_bugs_are_found(make_rig: Callable[[], Any], monkeypatch: pytest.MonkeyPatch, bug: str) -> None:
    pick = random.Random(1)
    Mortal.random = random.Random(1)
    ingest_type: type[Ingest] = Mortal
    if bug == "acknowledges first":
        ingest_type = AcknowledgesFirst
    elif bug == "no key":
        monkeypatch.setattr(ActivityHandler, "_key", lambda *_: str(new_id()))
    else:

        async def drop(*_: Any) -> None:
            return

        monkeypatch.setattr(ingest, "_put_aside", drop)
    async with make_rig() as (rig, _):
        messages, good, poison = story(MESSAGES_WITH_BUG, pick)
        assert poison
        await rig.start(ingest_type, ack_wait_s=ACK_WAIT_S, batch_max=50)
        await send(rig, messages)
        await settled(rig)
        assert await faults_of(rig, good, poison) != []
