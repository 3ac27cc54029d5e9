"""A read model that counts how often each event was applied, so that skipped and doubled events show in its rows."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol
from uuid import UUID

import asyncpg

from eventstore import builds
from eventstore.connection import connector
from eventstore.envelope import RecordedEvent, Stream, Unreadable
from eventstore.projection import PoisonedEvent, Projection
from eventstore.store import EventStore
from tests.support.sample import Counted, Noted, stream_of, write

if TYPE_CHECKING:
    from eventstore.connection import Connection

SCHEMA: Final = """
CREATE TABLE seen (
    workspace_id uuid NOT NULL,
    position bigint NOT NULL,
    times integer NOT NULL,
    CONSTRAINT seen_pkey PRIMARY KEY (workspace_id, position)
);
CREATE TABLE tally (
    workspace_id uuid NOT NULL,
    stream_id uuid NOT NULL,
    events integer NOT NULL,
    total bigint NOT NULL,
    last_version integer NOT NULL,
    CONSTRAINT tally_pkey PRIMARY KEY (workspace_id, stream_id),
    CONSTRAINT tally_total_check CHECK (total >= 0)
);
"""
INDEXES: Final = """
-- Largest first.
CREATE INDEX tally_total ON tally (workspace_id, total DESC);
CREATE INDEX tally_last_version ON tally (last_version);
"""
INSERT_SEEN: Final = """
INSERT INTO seen AS s (workspace_id, position, times)
SELECT w, p, 1 FROM unnest($1::uuid[], $2::bigint[]) AS e (w, p)
ON CONFLICT (workspace_id, position) DO UPDATE SET times = s.times + 1
"""
INSERT_TALLY: Final = """
INSERT INTO tally AS t (workspace_id, stream_id, events, total, last_version)
SELECT w, s, e, n, v
FROM unnest($1::uuid[], $2::uuid[], $3::integer[], $4::bigint[], $5::integer[]) AS f (w, s, e, n, v)
ON CONFLICT (workspace_id, stream_id) DO UPDATE
SET events = t.events + excluded.events, total = t.total + excluded.total, last_version = excluded.last_version
"""


class Tally(Projection):
    """Sums `Counted` numbers per stream. A `Noted` text may be poison of several kinds, see `_refuse`."""

    types = frozenset({"test.counted", "test.noted"})
    schema_sql = SCHEMA
    index_sql = INDEXES

    def __init__(self, name: str = "tally", version: int = 1, *, cured: bool = False, pause_s: float = 0.0) -> None:
        self.name = name
        self.version = version
        self.cured = cured
        self.pause_s = pause_s
        #: How many events came with permission to copy.
        self.copied = 0

    async def apply(self, connection: Connection, events: Sequence[RecordedEvent[Any]], *, fresh: bool) -> None:
        streams: dict[UUID, list[Any]] = {}
        for event in events:
            self._refuse(event)
            row = streams.setdefault(event.stream_id, [event.workspace_id, event.stream_id, 0, 0, 0])
            row[2] += 1
            row[3] += _number(event)
            row[4] = event.version
        seen = [(event.workspace_id, event.position, 1) for event in events]
        if fresh:
            self.copied += len(events)
            await connection.copy_records_to_table("seen", records=seen)
            await connection.copy_records_to_table("tally", records=list(streams.values()))
        else:
            await connection.execute(INSERT_SEEN, *list(zip(*seen, strict=True))[:2])
            await connection.execute(INSERT_TALLY, *zip(*streams.values(), strict=True))
        if self.pause_s:
            await asyncio.sleep(self.pause_s)  # a slow projection: others find time to interfere

    def _refuse(self, event: RecordedEvent[Any]) -> None:
        if self.cured or not isinstance(event.event, Noted):
            return
        if event.event.text == "poison: named":
            raise PoisonedEvent(event.stream_id, event, "it is said to be poison")
        if event.event.text == "poison: raised":
            raise ValueError(f"the secret text is {event.event.text}")


def _number(event: RecordedEvent[Any]) -> int:
    if isinstance(event.event, Unreadable):
        return 0
    # A large negative number breaks the table's check: PostgreSQL finds this poison.
    return event.event.number if isinstance(event.event, Counted) else 0


async def fill(store: EventStore, workspace: UUID, streams: int, events_each: int = 1) -> list[Stream]:
    """Streams of `events_each` counted events, their appends mixed as concurrent commands would."""
    made = [stream_of(workspace) for _ in range(streams)]
    for version in range(events_each):
        await asyncio.gather(
            *(store.append(write(stream, Counted(n), expected=version)) for n, stream in enumerate(made))
        )
    return made


@asynccontextmanager
async def connected(database: str, role: str | None = "rollbook_projector") -> AsyncIterator[asyncpg.Connection]:
    connection = await connector(database, role=role, application_name="test")()
    try:
        yield connection
    finally:
        await connection.close()


async def make_builds(database: str, *projections: Projection) -> list[str]:
    async with connected(database) as connection:
        return await builds.ensure_builds(connection, projections)


class Runs(Protocol):
    """Works until it is cancelled."""

    def run(self) -> Coroutine[Any, Any, Any]: ...


@asynccontextmanager
async def running(*works: Runs) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(work.run()) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Rows:
    """What the read model holds, and what the log says it should."""

    def __init__(self, database: str, store: EventStore, schema: str = "rm_tally") -> None:
        self.database = database
        self.store = store
        self.schema = schema

    async def fetch(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        async with connected(self.database, role=None) as connection:
            await connection.execute(f"SET search_path TO {self.schema}, public")
            return await connection.fetch(sql, *arguments)

    async def checkpoint(self, name: str = "tally") -> int:
        rows = await self.fetch(
            "SELECT min(c.position) FROM projector.checkpoints c JOIN projector.projections p USING (name, build) "
            "WHERE p.state = 'live' AND name = $1",
            name,
        )
        return rows[0][0] or 0

    async def caught_up(self, name: str = "tally") -> bool:
        return await self.checkpoint(name) >= await self.store.head(0)

    async def tally(self) -> dict[UUID, tuple[int, int, int]]:
        rows = await self.fetch("SELECT stream_id, events, total, last_version FROM tally")
        return {row[0]: (row[1], row[2], row[3]) for row in rows}

    async def times(self) -> Counter[int]:
        """How many positions were applied how often."""
        return Counter(row[0] for row in await self.fetch("SELECT times FROM seen"))

    async def parked(self) -> list[asyncpg.Record]:
        return await self.fetch("SELECT key, position, error, attempts FROM projector.parked ORDER BY position")

    async def folded(self) -> dict[UUID, tuple[int, int, int]]:
        """The fold of the log, written apart from the projection."""
        found: dict[UUID, tuple[int, int, int]] = {}
        after = 0
        while (batch := await self.store.read_lane(0, after=after, limit=1_000)).last > after:
            after = batch.last
            for event in batch.events:
                events, total, _ = found.get(event.stream_id, (0, 0, 0))
                found[event.stream_id] = (events + 1, total + getattr(event.event, "number", 0), event.version)
        return found
