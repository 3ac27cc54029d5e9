"""Who is in a segment is what brute force over the log says, at every position and at every instant between them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg
import pytest
from msgspec.structs import replace

from contacts.activity.projection import ActivityProjection
from contacts.catalog import CODEC
from contacts.engagement.projection import EngagementProjection
from contacts.history.projection import HistoryProjection
from contacts.lists.handler import ListHandler
from contacts.segment import membership, projection
from contacts.segment.explaining import Explainer
from contacts.segment.filters import Filters
from contacts.segment.handler import SegmentHandler
from contacts.segment.projection import SegmentProjection
from contacts.smartsearch.moment import Moment
from contacts.workspace.state import Workspace
from eventstore import builds
from eventstore.envelope import RecordedEvent
from eventstore.projection import Projection
from eventstore.store import EventStore
from tests.property.figures import SEED, figure
from tests.property.segment_histories import START, History, Members, turn_clock
from tests.support.people import KEYRING, Process
from tests.support.report import Report

HISTORIES: Final = figure(24, 3_000)
STEPS: Final = 40
#: From how many contacts on a workspace is filled bit by bit.
LARGE: Final = (0, 0, 3, 5_000)
BESIDE: Final = "rm_segment_beside"
TABLES: Final = ("segment", "segment_count", "definition", "scope", "membership", "watch", "filled_early")
#: Who entered and left, whether it was told apart or not.
CHANGES: Final = """
SELECT lane, at, position, segment_id, contact_id, entered, cause, event_id
FROM {schema}.change
WHERE workspace_id = $1
UNION ALL
SELECT lane, at, position, segment_id, contact_id, entered, cause, event_id
FROM {schema}.first_change
WHERE workspace_id = $1
ORDER BY at, position, segment_id, contact_id
"""
SOURCES: Final[tuple[Projection, ...]] = (HistoryProjection(CODEC), ActivityProjection(), EngagementProjection())

Events = Sequence[RecordedEvent[Any]]


class Mismatch(AssertionError):
    """The read model says otherwise than brute force."""


class Rig:
    """The read models that membership is made of, at the head of everything, and builds of segments beside them."""

    def __init__(self, database: str, store: EventStore, connection: asyncpg.Connection, readers: asyncpg.Pool) -> None:
        self.database = database
        self.readers = readers
        self.process = Process.on(store, database)
        self.connection = connection
        self.now = START
        self.large_from = LARGE[0]

    async def history(self, seed: int) -> tuple[History, Events]:
        """A history in a workspace of its own, with the read models that know contacts at its end."""
        history = History(self.process, seed, self.now)
        events = await history.run(STEPS)
        self.now = history.now + timedelta(days=30)
        await turn_clock(self.database, history)
        for source in SOURCES:
            projection = source.bound(KEYRING)
            wanted = [event for event in events if event.type in projection.types]
            await self.apply(projection, f"rm_{projection.name}", wanted)
        return history, events

    async def apply(self, projection: Projection, schema: str, events: Events) -> None:
        if events:
            async with self.connection.transaction():
                await builds.use_schema(self.connection, schema)
                await projection.apply(self.connection, events, fresh=False)

    async def pass_time(self, schema: str, position: int, until: datetime) -> None:
        done = False
        while not done:
            async with self.connection.transaction():
                await builds.use_schema(self.connection, schema)
                done = await SegmentProjection().pass_time(self.connection, 0, position, until)

    async def fill(self, schema: str, stretches: int) -> None:
        """So many stretches of what is being filled, or as many as there are."""
        more = True
        while more and stretches:
            async with self.connection.transaction():
                await builds.use_schema(self.connection, schema)
                more = await SegmentProjection().fill(self.connection, 0, 2)
            stretches -= 1

    async def project(self, schema: str, history: History, events: Events, chosen: random.Random, largest: int) -> None:
        """In batches of any size up to `largest`, with the clock ticking between them or not, up to the end.

        What is filled bit by bit is gone on with between them, or not.
        """
        projection = SegmentProjection(large_from=self.large_from)
        wanted = [event for event in events if event.type in projection.types]
        start = 0
        while start < len(wanted):
            end = start + chosen.randint(1, largest)
            await self.apply(projection, schema, wanted[start:end])
            if end < len(wanted) and chosen.random() < 0.5:
                last, following = wanted[end - 1], wanted[end]
                passed = (following.recorded_at - last.recorded_at) * chosen.choice((0, 0.5, 1))
                await self.pass_time(schema, last.position, last.recorded_at + passed)
            await self.fill(schema, chosen.choice((0, 0, 1, 2)))
            start = end
        await self.fill(schema, 1_000_000)
        await self.pass_time(schema, wanted[-1].position, history.checked[-1][1] + timedelta(days=5))

    async def content(self, schema: str, workspace_id: UUID) -> dict[str, list[Any]]:
        changes = await self.connection.fetch(CHANGES.format(schema=schema), workspace_id)
        return {"changes": [tuple(row) for row in changes]} | {
            table: [
                tuple(row)
                for row in await self.connection.fetch(
                    f"SELECT * FROM {schema}.{table} AS t WHERE workspace_id = $1 ORDER BY t::text", workspace_id
                )
            ]
            for table in TABLES
        }

    async def members(self, history: History) -> list[Members]:
        """Who was in what at each place that the history checked."""
        rows = await self.connection.fetch(
            "SELECT segment_id, contact_id, from_at, from_position, least(to_at, '9999-01-01Z') AS to_at, to_position"
            " FROM rm_segment.membership WHERE workspace_id = $1",
            history.people.workspace_id,
        )
        found = []
        for position, at, _ in history.checked:
            there: Members = {}
            for row in rows:
                if (row["from_at"], row["from_position"]) <= (at, position) < (row["to_at"], row["to_position"]):
                    there.setdefault(row["segment_id"], set()).add(row["contact_id"])
            found.append(there)
        return found


@pytest.fixture(scope="module")
async def rig(module_database: str) -> AsyncIterator[Rig]:
    store = await EventStore.open(module_database, codec=CODEC, keyring=KEYRING, pool_size=4)
    connection = await asyncpg.connect(
        module_database, server_settings={"role": "rollbook_projector", "jit": "off", "TimeZone": "UTC"}
    )
    await builds.ensure_builds(connection, [*SOURCES, SegmentProjection()])
    await connection.execute("UPDATE projector.checkpoints SET position = 1000000000 WHERE name <> 'segment'")
    async with connection.transaction():
        await connection.execute(f"CREATE SCHEMA {BESIDE}")
        await builds.use_schema(connection, BESIDE)
        await connection.execute(SegmentProjection.schema_sql)
        await connection.execute(SegmentProjection.index_sql)
    readers = await asyncpg.create_pool(
        module_database, min_size=1, max_size=1, server_settings={"role": "rollbook_reader"}
    )
    yield Rig(module_database, store, connection, readers)
    await readers.close()
    await connection.close()
    await store.close()


async def check(rig: Rig, seed: int) -> Counter[str]:
    """What was compared. Raises Mismatch with the trace."""
    history, events = await rig.history(seed)
    chosen = random.Random(seed)
    rig.large_from = chosen.choice(LARGE)
    await rig.project("rm_segment", history, events, chosen, largest=chosen.choice((1, 3, 1_000)))
    found = await rig.members(history)
    for (position, at, expected), members in zip(history.checked, found, strict=True):
        if members != expected:
            told = "\n".join(history.trace)
            raise Mismatch(f"seed {seed}: at {position}, {at}:\n{members}\ninstead of\n{expected}\n{told}")
    await check_changes(rig, history)
    explained = await check_explanations(rig, history, events)
    instants = {at for _, at, _ in history.checked}
    return Counter(
        {
            "histories": 1,
            "positions and instants": len(history.checked),
            "windows that passed": len(instants - {event.recorded_at for event in events}),
            "explanations": explained,
        }
    )


async def check_explanations(rig: Rig, history: History, events: Events) -> int:
    """Whoever an explanation says is in a segment is in it, and nobody else. How many were asked for."""
    process, workspace_id = rig.process, history.people.workspace_id
    handler = SegmentHandler(process.store)
    filters = Filters(handler, ListHandler(process.store))
    explainer = Explainer(rig.readers, process.store)
    # Of the last event, so that what the explanation reads is what the read models have.
    position, at, members = next(each for each in reversed(history.checked) if each[1] == events[-1].recorded_at)
    moment = Moment(now=at, time_zone="UTC", position=position)
    asked = 0
    for segment_id in history.segments:
        segment = await handler.get(workspace_id, segment_id)
        parsed = await filters.parse(segment.filter, Workspace(id=workspace_id, version=1))
        for contact_id in history.contacts if not segment.archived else ():
            found = await explainer.explain(workspace_id, contact_id, segment.filter, parsed, moment, position)
            if found.matches != (found.contact_id in members.get(segment_id, ())):
                raise Mismatch(f"seed {history.seed}: {contact_id} in {segment_id} is explained as {found}")
            asked += 1
    return asked


async def check_changes(rig: Rig, history: History) -> None:
    """What is published is what the memberships say; totals are what they add up to."""
    workspace_id = history.people.workspace_id
    changes = await rig.connection.fetch(CHANGES.format(schema="rm_segment"), workspace_id)
    memberships, found = [
        await rig.connection.fetch(f"SELECT * FROM rm_segment.{table} WHERE workspace_id = $1", workspace_id)
        for table in ("membership", "segment_count")
    ]
    expected = set()
    counts = dict.fromkeys((*history.segments, *history.lists), 0)
    for row in memberships:
        ended = row["to_position"] != 2**63 - 1
        counts[row["segment_id"]] += 0 if ended else 1
        if row["segment_id"] in history.segments:
            place = row["segment_id"], row["contact_id"]
            expected.add((*place, True, row["from_at"], row["from_position"], row["from_cause"], row["from_event"]))
            if ended:
                expected.add((*place, False, row["to_at"], row["to_position"], row["to_cause"], row["to_event"]))
    names = ("segment_id", "contact_id", "entered", "at", "position", "cause", "event_id")
    assert {tuple(row[name] for name in names) for row in changes} == expected
    assert {row["segment_id"]: row["members"] for row in found} == counts


async def test_members_are_those_of_brute_force_at_every_position_and_instant(
    rig: Rig, property_report: Callable[[str], Report]
) -> None:
    report = property_report("G2 segments")
    chosen = random.Random(SEED)
    counts: Counter[str] = Counter()
    for _ in range(HISTORIES):
        counts += await check(rig, chosen.getrandbits(32))
    assert counts["windows that passed"], "no time passed"
    report.add(dict(sorted(counts.items())))
    report.finish()


async def test_batches_and_ticks_make_no_difference(rig: Rig) -> None:
    chosen = random.Random(SEED)
    for number in range(max(3, HISTORIES // 10)):
        history, events = await rig.history(chosen.getrandbits(32))
        rig.large_from = LARGE[number % len(LARGE)]
        await rig.project("rm_segment", history, events, chosen, largest=1)
        await rig.project(BESIDE, history, events, chosen, largest=1_000)
        workspace_id = history.people.workspace_id
        assert await rig.content("rm_segment", workspace_id) == await rig.content(BESIDE, workspace_id)


# -- planted bugs -----------------------------------------------------------------------------------------------------


def _late(of: Any, until: datetime) -> Any:
    """A window is over a moment after it is."""
    return PASS_TIME(of, until - timedelta(microseconds=1))


def _without_clock(of: Any, _until: datetime) -> Any:
    """What time alone would change waits for the next event."""
    of._life.flips.clear()
    return iter(())


def _alone(of: Any, contact: Any) -> Any:
    """Of a merged profile only what was recorded for the contact that stands for it."""
    return ACTIVITIES(of, replace(contact, absorbed=()))


def _blind(of: Any, step: Any) -> Any:
    """Activity is looked at only where a field of the contact changed as well."""
    return AFFECTED(of, replace(step, kinds=frozenset()))


PASS_TIME: Final = membership._Living._pass_time
ACTIVITIES: Final = membership._Living._activities


async def _asked_late(*_: Any) -> dict[UUID, Any]:
    """Contacts that something happens to are asked when their turn comes, as what they are by then."""
    return {}


AFFECTED: Final = membership._Living._affected


@pytest.mark.parametrize(
    ("place", "name", "bug"),
    [
        (membership._Living, "_pass_time", _late),
        (membership._Living, "_pass_time", _without_clock),
        (membership._Living, "_activities", _alone),
        (membership._Living, "_affected", _blind),
        (projection, "ask_early", _asked_late),
    ],
    ids=["window boundary", "forgotten clock", "merged profile", "unread activity", "filled late"],
)
async def test_a_planted_bug_is_found(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, place: object, name: str, bug: Callable[..., Any]
) -> None:
    monkeypatch.setattr(place, name, bug)

    async def look() -> None:
        for seed in range(60):
            await check(rig, seed)

    # Where the compiled statement and the bug disagree, the same contact would enter and leave at once.
    with pytest.raises((Mismatch, asyncpg.UniqueViolationError)):
        await look()
