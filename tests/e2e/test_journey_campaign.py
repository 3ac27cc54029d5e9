"""A campaign from its first message to its ratings: over JetStream in no order and with repeats, against a tally.

Deliveries, reads, clicks, bounces, complaints and objections are sent in shuffled, one in ten twice. In the end every
timeline and its counts, every status and every rating is what a tally of what was sent says, made without any code of
ours but the words of the kinds.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg

from contacts.activity.queries import ActivityQueries, Timeline
from contacts.addresses import AddressKeys
from contacts.consent.reading import Standings
from contacts.engagement.queries import EngagementQueries
from eventstore.progress import Progress
from rollbook.embedded.nats import Nats
from tests.integration.bridge.inbox_rig import NOON, InboxRig, open_rig, plain

MESSAGES: Final = 10_000
CONTACTS: Final = 150
REPEATS: Final = 0.1
WAIT_S: Final = 60.0
CAMPAIGNS: Final = ("Spring", "Summer", "Autumn")
STATUS_OF: Final = {
    "message.undelivered": "blacklisted", "message.spam_reported": "spam_report",
    "message.unsubscribed": "unsubscribed",
}  # fmt: skip

#: Id, kind, contact, minutes after noon.
Told = tuple[str, str, str, int]


def campaign(pick: random.Random) -> list[Told]:
    """What happened, in order: a person objects at most once, in one way."""
    happened: list[Told] = []
    gone: set[str] = set()
    minute = 0

    def tell(kind: str, contact: str, at: int) -> None:
        happened.append((f"a-{len(happened)}", kind, contact, at))

    while len(happened) < MESSAGES:
        minute += 1
        contact = f"c-{pick.randrange(CONTACTS)}"
        if contact in gone:
            continue
        tell("message.sent", contact, minute)
        ends = pick.random()
        if ends < 0.02:
            tell("message.undelivered", contact, minute + 1)
            gone.add(contact)
            continue
        tell("message.delivered", contact, minute + 1)
        for kind, chance in (("message.read", 0.5), ("message.clicked", 0.2)):
            if pick.random() < chance:
                tell(kind, contact, minute + pick.randrange(2, 500))
        if ends > 0.98:
            tell(pick.choice(("message.spam_reported", "message.unsubscribed")), contact, minute + 600)
            gone.add(contact)
    return happened


def rating(kinds: list[tuple[str, int]]) -> float | None:
    """The formula of the documentation, anew."""
    counts = Counter(kind for kind, _ in kinds)
    refused = max((minute for kind, minute in kinds if kind in STATUS_OF), default=None)
    welcomed = max((minute for kind, minute in kinds if kind in ("message.read", "message.clicked")), default=None)
    if refused is not None and (welcomed is None or refused >= welcomed):
        return 0.0
    read, clicked = counts["message.read"], counts["message.clicked"]
    messages = max(counts["message.sent"], counts["message.delivered"], read, clicked)
    if not messages:
        return None
    read = max(read, clicked)
    return int((3 * read + 2 * clicked) / messages * 10 + 0.5) / 10


async def test_a_campaign_comes_out_as_a_tally_of_what_was_sent_says(
    database: str, private_nats: Callable[..., Nats]
) -> None:
    pick = random.Random(20261122)
    nats = await asyncio.to_thread(private_nats)
    async with open_rig(database, nats.url) as rig:
        await rig.begin()
        names = [f"c-{n}" for n in range(CONTACTS)]
        people = await asyncio.gather(*(rig.create(external_id=c, email=f"{c}@campaign.example") for c in names))
        ids = dict(zip(names, people, strict=True))
        happened = campaign(pick)
        await rig.start()
        messages = [message(told, pick) for told in happened]
        messages += pick.sample(messages, int(len(messages) * REPEATS))
        pick.shuffle(messages)
        await rig.send(*messages)
        await rig.empty(timeout_s=WAIT_S)
        counts = rig.figures.counts
        assert counts == {"recorded": len(happened), "duplicate": len(messages) - len(happened)}
        await compare(rig, ids, happened)


def message(told: Told, pick: random.Random) -> Any:
    id_, kind, contact, minute = told
    data: dict[str, Any] = {"channel": "email", "message_name": CAMPAIGNS[minute % 3]}
    if kind == "message.undelivered":
        data["bounce"] = "hard"
    named = pick.choice(({"external_id": contact}, {"email": f"{contact.upper()}@Campaign.Example"}))
    time = (NOON - timedelta(days=20) + timedelta(minutes=minute)).isoformat()
    return plain(id_, kind, contact=named, data=data, time=time)


async def compare(rig: InboxRig, ids: dict[str, UUID], happened: list[Told]) -> None:
    """Every contact of the read models with the tally."""
    tally: dict[str, list[Told]] = defaultdict(list)
    for told in happened:
        tally[told[2]].append(told)
    progress = await Progress.open(rig.database)
    head = await rig.store.head(0)
    for read_model in ("activity", "engagement", "contact"):
        await progress.wait(read_model, 0, head, WAIT_S)
    await progress.close()
    readers = await asyncpg.create_pool(
        rig.database, min_size=1, max_size=2, server_settings={"role": "rollbook_reader", "jit": "off"}
    )
    try:
        shown = await EngagementQueries(readers).present(rig.workspace_id, list(ids.values()))
        queries = ActivityQueries(readers, b"sixteen bytes ok")
        standings = Standings(rig.store, rig.contacts.components, AddressKeys(rig.store.keyring.hmac))
        for name, contact_id in ids.items():
            told = tally[name]
            timeline = Timeline(workspace_id=rig.workspace_id, contact_id=contact_id, members=(contact_id,))
            page = await queries.page(timeline, limit=1_000)
            newest = sorted(told, key=lambda each: (each[3], each[0]), reverse=True)
            assert [activity.activity_id for activity in page.items] == [each[0] for each in newest]
            assert (page.total.count, page.total.exact) == (len(told), True)
            found = shown.get(contact_id)
            assert (found.email_rating if found else None) == rating([(kind, minute) for _, kind, _, minute in told])
            last = max((m for _, k, _, m in told if k in INTERACTIONS), default=None)
            assert (found.last_interaction_at if found else None) == at(last)
            objection = next((kind for _, kind, _, _ in told if kind in STATUS_OF), None)
            contact = await rig.contacts.load(rig.workspace_id, contact_id)
            standing = (await standings.with_standing(rig.workspace_id, contact)).standing
            status = standing.email.status if standing and standing.email else "active"
            assert status == ("active" if objection is None else STATUS_OF[objection])
    finally:
        await readers.close()


INTERACTIONS: Final = ("message.read", "message.clicked", "message.unsubscribed", "message.spam_reported")


def at(minute: int | None) -> datetime | None:
    return None if minute is None else NOON - timedelta(days=20) + timedelta(minutes=minute)
