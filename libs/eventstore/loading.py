"""Bulk load of a build stream by stream: the whole history of a key is folded once and written once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec

from eventstore.checkpoint import SQL, advance
from eventstore.envelope import RecordedEvent
from eventstore.errors import LoadIncomplete, PositionGap
from eventstore.poison import Failure, describe, is_poison
from eventstore.reading import unreadable

if TYPE_CHECKING:
    from asyncpg import Record

    from eventstore.applier import Applier
    from eventstore.connection import Connect, Connection
    from eventstore.projection import Projection
    from eventstore.store import EventStore

PAGE_EVENTS: Final = 5_000
# Wanted events per transaction: enough for COPY to be at its speed, few enough that two windows (one read ahead) fit in
# some hundred megabytes.
WINDOW_EVENTS: Final = 25_000
# Decoded at a time: in between, the window before is handed on to PostgreSQL, which must not run out of work.
DECODED_EVENTS: Final = 250

Cursor = tuple[UUID, str, int]
"""Stream id, category and version: the order of the unique index that the load follows."""
START: Final[Cursor] = (UUID(int=0), "", 0)


class Window(msgspec.Struct, frozen=True):
    """What one transaction of the load applies."""

    #: In order of position. All of these keys' events up to the load's head, but for the first key of a stream too long
    #: for one window.
    events: Sequence[RecordedEvent[Any]]
    bad: Sequence[Failure]
    #: Whether no row exists for any of the keys.
    fresh: bool
    #: Where to go on after it.
    cursor: Cursor


class StreamLoad:
    """The load of one lane up to the head it found at its start. Remembers in the database how far it is."""

    def __init__(self, store: EventStore, applier: Applier, projection: Projection) -> None:
        self._store = store
        self._applier = applier
        self._projection = projection
        self._unit = applier.lease.unit
        self._types = sorted(projection.types)
        self._head = 0

    async def run(self, connect: Connect, report: Callable[[int, int], None]) -> None:
        """Raises PositionGap or LoadIncomplete where the log is not what it should be."""
        if self._applier.position > 0:
            return  # loaded before an interruption
        total, done, cursor = await self._begin()
        report(done, total)
        reading = await connect()
        try:
            # The planner has no idea how well this order suits: without, it sorts the lane for each page.
            await reading.execute("SET enable_sort = off; SET enable_bitmapscan = off; SET enable_seqscan = off")
            windows = self._windows(reading, cursor)
            ahead = asyncio.ensure_future(anext(windows, None))
            try:
                while (window := await ahead) is not None:
                    ahead = asyncio.ensure_future(anext(windows, None))
                    done += len(window.events)
                    await self._apply(window, done)
                    report(done, total)
            finally:
                ahead.cancel()
                await asyncio.gather(ahead, return_exceptions=True)
        finally:
            reading.terminate()
        await self._end(done, total)

    async def _begin(self) -> tuple[int, int, Cursor]:
        """(events to load, events loaded already, where to go on)."""
        connection, unit = self._applier.connection, self._unit
        row = await connection.fetchrow(SQL["find_load"], unit.name, unit.build, unit.lane)
        if row is None:
            head = await self._store.head(unit.lane)
            row = await connection.fetchrow(SQL["begin_load"], unit.name, unit.build, unit.lane, head, self._types)
            assert row is not None
            if row["positions"] != head:
                await self._find_gap(head)
        self._head = row["head"]
        return row["total"], row["events"], (row["stream_id"], row["category"], row["version"])

    async def _find_gap(self, head: int) -> None:
        # Reading in this order cannot see a missing position: they are counted beforehand.
        connection, unit = self._applier.connection, self._unit
        found = await connection.fetchval(SQL["first_gap"], unit.lane, head)
        raise PositionGap(unit.lane, found, found + 1)

    async def _apply(self, window: Window, done: int) -> None:
        connection, unit = self._applier.connection, self._unit

        async def record() -> None:
            await connection.execute(SQL["move_load"], unit.name, unit.build, unit.lane, *window.cursor, done)

        await self._applier.load(window.events, window.bad, fresh=window.fresh, record=record)

    async def _end(self, done: int, total: int) -> None:
        if done != total:
            raise LoadIncomplete(self._unit.name, self._unit.lane, done, total)
        connection, unit = self._applier.connection, self._unit
        async with connection.transaction():
            await advance(connection, self._applier.lease, 0, self._head)
            await connection.execute(SQL["end_load"], unit.name, unit.build, unit.lane)
        self._applier.position = self._head

    async def _windows(self, connection: Connection, cursor: Cursor) -> AsyncIterator[Window]:
        rows: list[Record] = []
        #: The stream of which an earlier window took the beginning.
        cut = cursor[0]
        while True:
            last = (rows[-1]["stream_id"], rows[-1]["category"], rows[-1]["version"]) if rows else cursor
            page = await connection.fetch(
                SQL["read_by_stream"], self._unit.lane, *last, self._head, self._types, PAGE_EVENTS
            )
            rows.extend(page)
            ended = len(page) < PAGE_EVENTS
            if not ended and len(rows) < WINDOW_EVENTS:
                continue
            # Where one stream fills the window, that much of it is taken.
            whole = len(rows) if ended else _whole_streams(rows) or len(rows)
            begun = next((n for n, row in enumerate(rows[:whole]) if row["stream_id"] != cut), whole)
            for part, fresh in ((rows[:begun], False), (rows[begun:whole], True)):
                if part:
                    yield await self._window(part, fresh=fresh)
            if ended:
                return
            cut = rows[whole - 1]["stream_id"]
            cursor = (cut, rows[whole - 1]["category"], rows[whole - 1]["version"])
            del rows[:whole]

    async def _window(self, rows: Sequence[Record], *, fresh: bool) -> Window:
        bad: list[Failure] = []
        events: list[RecordedEvent[Any]] = []
        for first in range(0, len(rows), DECODED_EVENTS):
            events += self._decode(rows[first : first + DECODED_EVENTS], bad)
            await asyncio.sleep(0)
        last = events[-1]
        # Streams of several categories may share an id, and so a key.
        events.sort(key=attrgetter("position"))
        return Window(events, bad, fresh, (last.stream_id, last.category, last.version))

    def _decode(self, rows: Sequence[Record], bad: list[Failure]) -> list[RecordedEvent[Any]]:
        try:
            return self._store.decode(rows)
        except Exception as error:
            if not is_poison(error):
                raise
            return [self._decode_one(row, bad) for row in rows]

    def _decode_one(self, row: Record, bad: list[Failure]) -> RecordedEvent[Any]:
        try:
            return self._store.decode([row])[0]
        except Exception as error:
            if not is_poison(error):
                raise
            event = unreadable(row)
            bad.append(Failure(self._projection.key(event), event.position, describe(error)))
            return event


def _whole_streams(rows: Sequence[Record]) -> int:
    """How many rows there are before those of the last stream id, which may go on after them."""
    last = rows[-1]["stream_id"]
    count = len(rows)
    while count and rows[count - 1]["stream_id"] == last:
        count -= 1
    return count
