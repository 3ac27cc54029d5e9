"""Fills a build that is not live: bulk load, then tailing. Making and swapping it are in `rebuild`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from eventstore.applier import Applier
from eventstore.envelope import LaneBatch
from eventstore.garbage import OF_A_LOAD, rarely_collected
from eventstore.lease import lease_build
from eventstore.loading import WINDOW_EVENTS, StreamLoad
from eventstore.reading import Read, UnitReader
from eventstore.store import POSITION_MAX

if TYPE_CHECKING:
    from eventstore.builds import Build
    from eventstore.connection import Connect, Connection
    from eventstore.envelope import RecordedEvent
    from eventstore.projection import Projection
    from eventstore.store import EventStore

# Nobody else leases a build that is not live; this only shows in the status.
LEASE: Final = timedelta(minutes=5)
READ_LIMIT: Final = 5_000


class Replay:
    """The sole writer of one build: one connection, all its units one after the other."""

    def __init__(self, connection: Connection, store: EventStore, projection: Projection) -> None:
        self.connection = connection
        self._store = store
        self.projection = projection.bound(store.keyring)
        self._units: list[tuple[Applier, UnitReader]] = []

    async def take(self, build: Build) -> None:
        """From here on whoever worked on this build before is fenced out."""
        leases = await lease_build(self.connection, build.name, build.build, "rebuild", LEASE)
        self._units = [
            (
                Applier(self.connection, self.projection, lease, lease.position),
                UnitReader(self._store, lease.unit, self.projection.types),
            )
            for lease in leases
        ]
        for applier, _ in self._units:
            await applier.prepare()

    @property
    def position(self) -> int:
        """Last positions applied, summed over the units."""
        return sum(applier.position for applier, _ in self._units)

    @property
    def parked(self) -> int:
        return sum(len(applier.parked) for applier, _ in self._units)

    async def load(self, connect: Connect, report: Callable[[int, int], None]) -> None:
        """Replay up to the present head into tables without secondary indexes; told (events done, of how many).

        Goes on with a load that was interrupted.
        """
        with rarely_collected(OF_A_LOAD):
            for applier, reader in self._units:
                if applier.sliceable:
                    await StreamLoad(self._store, applier, self.projection).run(connect, report)
                else:
                    await self._load_in_order(applier, reader, report)

    async def _load_in_order(self, applier: Applier, reader: UnitReader, report: Callable[[int, int], None]) -> None:
        """For keys that span streams: their events are only together in the order of the lane."""
        head = await self._store.head(reader.lane)
        ahead = asyncio.create_task(_window(reader, applier.position, head))
        try:
            while (read := await ahead).batch.last > applier.position:
                # Read and decode the next window while PostgreSQL takes this one.
                ahead = asyncio.create_task(_window(reader, read.batch.last, head))
                await applier.apply(read, fresh=applier.position == 0)
                report(applier.position, head)
        finally:
            ahead.cancel()
            await asyncio.gather(ahead, return_exceptions=True)

    async def tail(self, to: Mapping[int, int] | None = None, deadline: float = float("inf")) -> bool:
        """Apply what has come meanwhile, up to a position per lane or the head.

        False where there was more at the deadline (of `time.perf_counter`).
        """
        for applier, reader in self._units:
            end = POSITION_MAX if to is None else to.get(reader.lane, 0)
            while applier.position < end:
                read = await reader.read(applier.position, min(READ_LIMIT, end - applier.position))
                if read.batch.last == applier.position:
                    break
                if time.perf_counter() > deadline:
                    return False
                await applier.apply(read)
        return True

    def is_beyond(self, positions: Mapping[int, int]) -> bool:
        """Whether any unit has gone further than this in its lane."""
        return any(applier.position > positions.get(reader.lane, 0) for applier, reader in self._units)


async def _window(reader: UnitReader, after: int, head: int) -> Read:
    """Positions after `after` up to `head`, until enough wanted events are together; empty at the head."""
    events: list[RecordedEvent[Any]] = []
    last = after
    while last < head and len(events) < WINDOW_EVENTS:
        read = await reader.read(last, min(READ_LIMIT, head - last))
        if read.undecodable is not None:
            if last == after:
                return read
            break
        if read.batch.last == last:
            break
        last = read.batch.last
        events.extend(read.batch.events)
    return Read(LaneBatch(lane=reader.lane, after=after, last=last, events=events))
