"""R2: one idempotency key, one effect, whatever the client saw.

Clients append through a proxy that cuts connections at every place of the protocol, half-open ones included, and try
again with the same key, one to five times, some of them in parallel, some giving up early. Each attempt writes to a
new stream, as the retry of a client that lost the first answer would. At the end every key must have had one effect,
every answer must name it, and only the attempt that wrote may have been told "written".

Planted bugs: a store that forgets the key on a retry, and one that takes any earlier effect of a key for its own. Full
figure: `ROLLBOOK_CHAOS=full`, 10,000 cuts.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from eventstore import appender as appender_module
from eventstore import store as store_module
from eventstore.appender import Appender
from eventstore.envelope import ANY_VERSION, NO_STREAM, Appended, Claim, Stream, Write
from eventstore.errors import DuplicateAppend, EventStoreError, StoreUnavailable
from eventstore.store import EventStore
from eventstore.verify import verify_chain
from rollbook.embedded.postgres import Postgres
from tests.chaos.support.proxy import Cut, Proxy
from tests.chaos.support.report import FULL, Report, figure
from tests.support.sample import CODEC, Counted, keyring, write

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(0 if FULL else 300)]

CUTS = figure(300, 10_000)
PLANTED_CUTS_MAX = 300
CLIENTS = 12
STORES = 2
SILENCE_S = 0.15
AWAY_S = 0.3
#: An attempt that takes longer hangs: five lost connections, each half-open, and the server away in between.
ATTEMPT_S = 30.0
EVENTS_MAX = 10


class Cutter:
    """Cuts about every third append, all places alike often, until it has made `wanted` cuts."""

    def __init__(self, seed: int, wanted: int) -> None:
        self._random = random.Random(seed)
        self._places: list[Cut] = []
        self.left = wanted

    def __call__(self, query: str, _: bytes) -> Cut | None:
        appends = "log.append" in query or query.startswith("COMMIT")
        if not appends or not self.left or self._random.random() > 0.35:
            return None
        if not self._places:
            self._places = self._random.sample(list(Cut), len(Cut))
        self.left -= 1
        return self._places.pop()


class Journal:
    """What the clients sent and what they were told."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.answers: dict[int, list[Appended]] = {}
        #: Streams of the attempts that were told "written", by their last position.
        self.written: list[tuple[int, Stream, Appended]] = []
        self.broken: list[str] = []


class Client:
    """Sends one operation after the other, each until it has a definite answer, and some again after that."""

    def __init__(self, journal: Journal, stores: list[EventStore], workspace: UUID, seed: int) -> None:
        self._journal = journal
        self._stores = stores
        self._workspace = workspace
        self._random = random.Random(seed)
        self._shared = Stream(workspace, "shared", UUID(int=workspace.int ^ 1))

    async def operation(self, number: int) -> None:
        kind = self._random.choice((self._creation, self._creation, self._fact, self._key_only))
        self._journal.answers[number] = []
        definite = False
        for _ in range(5):
            at_once = self._random.choice((1, 1, 1, 2, 3))
            bulk = kind != self._fact and self._random.random() < 0.1
            results = await asyncio.gather(*(self._attempt(number, kind(number), bulk) for _ in range(at_once)))
            definite = definite or any(results)
            if definite and self._random.random() < 0.7:
                break
        self._journal.counts["operations" if definite else "operations given up unknown"] += 1
        if definite and self._random.random() < 0.2:
            await self._other_request(number, kind(number))

    def _creation(self, number: int) -> Write:
        stream = Stream(self._workspace, "note", uuid4())
        count = 1 + number % 3
        subject = stream.id if number % 2 else None
        return write(
            stream, *(Counted(number * EVENTS_MAX + n) for n in range(count)), expected=NO_STREAM, key=f"key {number}",
            request=b"request", subject=subject, new_subject=subject is not None,
            claims=(Claim(kind="email", value=str(number), holder=stream.id),),
        )  # fmt: skip

    def _fact(self, number: int) -> Write:
        return write(
            self._shared, Counted(number * EVENTS_MAX), expected=ANY_VERSION, key=f"key {number}", request=b"request"
        )

    def _key_only(self, number: int) -> Write:
        return write(Stream(self._workspace, "note", uuid4()), key=f"key {number}", request=b"request")

    async def _attempt(self, number: int, command: Write, bulk: bool) -> bool:
        """Whether the answer was definite."""
        counts = self._journal.counts
        counts["attempts"] += 1
        store = self._random.choice(self._stores)
        patience_s = self._random.uniform(0.001, 0.03) if self._random.random() < 0.15 else ATTEMPT_S
        try:
            async with asyncio.timeout(patience_s):
                appended = (await store.append_bulk([command]))[0] if bulk else await store.append(command)
        except DuplicateAppend as duplicate:
            if not duplicate.same_request:
                self._journal.broken.append(f"operation {number}: its own request was taken for another")
            self._journal.answers[number].append(duplicate.original)
            counts["replays answered"] += 1
            return True
        except StoreUnavailable as error:
            counts["unknown" if error.outcome_unknown else "refused"] += 1
            return False
        except TimeoutError:
            if patience_s == ATTEMPT_S:
                self._journal.broken.append(f"operation {number}: no answer within {ATTEMPT_S} s")
            counts["callers that went away"] += 1
            return False
        except EventStoreError as error:
            self._journal.broken.append(f"operation {number}: {error!r}")
            return False
        self._journal.answers[number].append(appended)
        self._journal.written.append((number, command.streams[0].stream, appended))
        return True

    async def _other_request(self, number: int, command: Write) -> None:
        other = msgspec.structs.replace(command, request_hash=b"other")
        try:
            await self._random.choice(self._stores).append(other)
        except DuplicateAppend as duplicate:
            if duplicate.same_request:
                self._journal.broken.append(f"operation {number}: another request was taken for its own")
            self._journal.answers[number].append(duplicate.original)
            self._journal.counts["other requests told apart"] += 1
        except StoreUnavailable:
            self._journal.counts["unknown"] += 1
        except EventStoreError as error:
            self._journal.broken.append(f"operation {number}: {error!r}")
        else:
            self._journal.broken.append(f"operation {number}: another request under its key was written")


async def broken_promises(store: EventStore, journal: Journal, workspace: UUID) -> list[str]:
    """Read past the proxy, when nothing is under way any more."""
    broken = list(journal.broken)
    places: dict[int, list[tuple[int, int, Stream]]] = {}
    stream_at: dict[int, Stream] = {}
    after = 0
    while (batch := await store.read_lane(0, after=after, limit=5_000)).last > after:
        after = batch.last
        for event in (one for one in batch.events if one.workspace_id == workspace):
            number, n = divmod(event.event.number, EVENTS_MAX)
            places.setdefault(number, []).append((event.position, n, event.stream))
            stream_at[event.position] = event.stream
    rows = await store.pool.fetch(
        "SELECT key, lane, last_position, event_count, recorded_at FROM log.idempotency WHERE workspace_id = $1",
        workspace,
    )
    kept = {
        int(row["key"].split()[1]): Appended(
            lane=row["lane"], last_position=row["last_position"], event_count=row["event_count"],
            recorded_at=row["recorded_at"],
        )
        for row in rows
    }  # fmt: skip
    for number, answers in journal.answers.items():
        found = places.get(number, [])
        if [n for _, n, _ in found] != list(range(len(found))) or len({stream for _, _, stream in found}) > 1:
            broken.append(f"operation {number} has had several effects, at {[position for position, _, _ in found]}")
        told = set(answers)
        if len(told) > 1:
            broken.append(f"operation {number} was answered in different ways: {told}")
        if told and told != {kept.get(number)}:
            broken.append(f"operation {number} was told {told}, its key says {kept.get(number)}")
        if found and (number not in kept or found[-1][0] != kept[number].last_position):
            broken.append(f"operation {number} is in the log without its key, or elsewhere")
    for number, stream, appended in journal.written:
        if appended.event_count and stream_at.get(appended.last_position) != stream:
            broken.append(f"operation {number}: an attempt was told that it wrote what another had written")
    held = await store.pool.fetchval("SELECT count(*) FROM log.claims WHERE workspace_id = $1", workspace)
    if held != sum(1 for found in places.values() if found[0][2].category == "note"):
        broken.append(f"{held} claims are held")
    report = await verify_chain(store.pool, 0)
    if report.first_bad_position is not None:
        broken.append(f"the chain breaks at {report.first_bad_position}: {report.reason}")
    return broken


@asynccontextmanager
async def opened(url: str, store_type: type[EventStore], count: int) -> AsyncIterator[list[EventStore]]:
    stores = [await store_type.open(url, codec=CODEC, keyring=keyring()) for _ in range(count)]
    try:
        yield stores
    finally:
        for store in stores:
            await store.close()


async def played(postgres: Postgres, store_type: type[EventStore], seed: int, cuts: int) -> tuple[list[str], Journal]:
    """Clients at work until the cuts are made; answers what was broken."""
    journal = Journal()
    cutter = Cutter(seed, cuts)
    pick = random.Random(seed)
    workspace = UUID(int=pick.getrandbits(128))
    numbers = iter(range(10**9))
    async with Proxy(postgres.url(), cutter, late_s=0.02) as proxy:
        async with opened(proxy.url, store_type, STORES) as stores:
            clients = [Client(journal, stores, workspace, pick.getrandbits(32)) for _ in range(CLIENTS)]

            async def work(client: Client) -> None:
                while cutter.left:
                    await client.operation(next(numbers))

            async def go_away() -> None:
                """Now and then nobody gets through, for longer than the stores have patience."""
                while True:
                    left = cutter.left
                    while cutter.left > left - 60:
                        await asyncio.sleep(0.01)
                    proxy.refusing = True
                    await asyncio.sleep(AWAY_S + 0.2)
                    proxy.refusing = False
                    journal.counts["times away"] += 1

            away = asyncio.create_task(go_away())
            await asyncio.gather(*map(work, clients))
            away.cancel()
            proxy.refusing = False
            await asyncio.gather(*(store.append(write(Stream(workspace, "end", uuid4()))) for store in stores))
        journal.counts["cuts"] = sum(proxy.cuts.values())
        if cuts >= 10 * len(Cut):
            assert min(proxy.cuts[cut] for cut in Cut) > cuts // (2 * len(Cut)), proxy.cuts
    async with opened(postgres.url(), EventStore, 1) as (reader,):
        return await broken_promises(reader, journal, workspace), journal


class ForgetfulStore(EventStore):
    """A planted bug: every attempt has a key of its own."""

    async def append(self, command: Write) -> Appended:
        key = command.idempotency_key
        return await super().append(msgspec.structs.replace(command, idempotency_key=key and f"{key} {uuid4()}"))


class TrustingAppender(Appender):
    """A planted bug: an earlier effect of the key is taken for the attempt's own when its connection was lost."""

    async def _is_own(self, *_: Any) -> bool:
        return True


class TrustingStore(EventStore):
    def _appender(self, lane: int) -> Appender:
        if lane not in self._appenders:
            self._appenders[lane] = TrustingAppender(lane, self.connect)
        return self._appenders[lane]


@pytest.fixture
def cluster(private_postgres: Callable[..., Postgres], monkeypatch: pytest.MonkeyPatch) -> Postgres:
    """Where stores have little patience."""
    monkeypatch.setattr(store_module, "STATEMENT_TIMEOUT_S", SILENCE_S)
    monkeypatch.setattr(store_module, "READ_TIMEOUT_S", SILENCE_S)
    monkeypatch.setattr(appender_module, "UNAVAILABLE_AFTER_S", AWAY_S)
    return private_postgres()


async def test_a_key_has_one_effect_however_its_connections_break(
    cluster: Postgres, chaos_report: Callable[[str], Report]
) -> None:
    report = chaos_report("R2")
    broken, journal = await played(cluster, EventStore, report.seed, CUTS)
    assert broken == [], f"seed {report.seed}"
    assert journal.counts["operations"] > CUTS / 10
    report.add({"cuts": journal.counts.pop("cuts"), "double effects": 0, **journal.counts})
    for planted in (ForgetfulStore, TrustingStore):
        report.add({f"{planted.__name__} caught within cuts": await cuts_until_caught(cluster, planted, report.seed)})
    report.finish()


async def cuts_until_caught(postgres: Postgres, store_type: type[EventStore], seed: int) -> int:
    for cuts in (20, 40, 80, PLANTED_CUTS_MAX):
        broken, _ = await played(postgres, store_type, seed + cuts, cuts)
        if broken:
            return cuts
    raise AssertionError(f"{store_type.__name__} was not noticed in {PLANTED_CUTS_MAX} cuts")
