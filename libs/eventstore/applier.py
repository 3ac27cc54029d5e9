"""Writes rows, parked keys and checkpoint of one leased unit in one transaction. Reading is in `reading`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from eventstore import parked
from eventstore.checkpoint import Lease, advance
from eventstore.errors import ProjectionBroken
from eventstore.poison import Failure, is_poison, isolate
from eventstore.projection import Projection

if TYPE_CHECKING:
    from uuid import UUID

    from eventstore.connection import Connection
    from eventstore.envelope import RecordedEvent
    from eventstore.reading import Read, UnitReader

    Events = Sequence[RecordedEvent[Any]]

PARKED_KEYS_MAX: Final = 1_000
RETRY_BATCH: Final = 2_000


def is_sliceable(projection: Projection) -> bool:
    """Whether its rows depend on one stream each: then streams may be shared out, and version 1 means a new key."""
    return getattr(type(projection), "key", None) is Projection.key


class Applied(msgspec.Struct, frozen=True):
    """What one batch came to."""

    events: int
    failures: Sequence[Failure]


class Applier:
    """Owns one connection and one lease. Not for concurrent use; after an error that is raised, discard it."""

    def __init__(self, connection: Connection, projection: Projection, lease: Lease, position: int) -> None:
        self.connection = connection
        self.projection = projection
        self.lease = lease
        #: Last position whose effect is committed.
        self.position = position
        self.parked: set[UUID] = set()
        self.sliceable = is_sliceable(projection)

    async def load(self) -> None:
        """Learn what is parked; before the first batch."""
        self.parked = await parked.load_keys(self.connection, self.lease.unit)

    async def apply(self, read: Read, *, new_streams: bool = False) -> Applied:
        """Apply the stretch right after `position`; a bad event parks its key, whose later events are held back.

        `new_streams` promises that a stream that starts in this stretch has a key that no earlier event had.

        Raises:
            LeaseLost: nothing was written.
            ProjectionBroken: too many keys fail; nothing was written.
            PositionGap: the stretch is not the next one.
        """
        assert read.batch.after == self.position
        ready, held = self._split(read.batch.events)
        failures: list[Failure] = []
        if read.undecodable is not None and ready:
            failures = [Failure(self.projection.key(ready[0]), ready[0].position, read.undecodable)]
        try:
            await self._commit(read.batch.last, ready, held, failures, isolating=False, new_streams=new_streams)
        except Exception as error:
            if not is_poison(error):
                raise
            await self._commit(read.batch.last, ready, held, failures, isolating=True, new_streams=False)
        return Applied(len(ready), failures)

    async def _commit(
        self, last: int, ready: Events, held: Events, failures: list[Failure], *, isolating: bool, new_streams: bool
    ) -> None:
        lease = self.lease
        if not ready and not held:
            await advance(self.connection, lease, self.position, last)
        else:
            async with self.connection.transaction():
                await advance(self.connection, lease, self.position, last)
                if isolating:
                    failures.extend(await isolate(self.connection, self.projection, ready))
                elif not failures:
                    await self._write(ready, new_streams=new_streams)
                await self._park(ready, held, failures)
        self.position = last
        self.parked.update(failure.key for failure in failures)

    async def _write(self, events: Events, *, new_streams: bool) -> None:
        if not events:
            return
        if not new_streams:
            await self.projection.apply(self.connection, events, fresh=False)
            return
        new = {self.projection.key(event) for event in events if event.version == 1}
        fresh = [event for event in events if self.projection.key(event) in new]
        if fresh:
            await self.projection.apply(self.connection, fresh, fresh=True)
        if len(fresh) < len(events):
            known = [event for event in events if self.projection.key(event) not in new]
            await self.projection.apply(self.connection, known, fresh=False)

    def _split(self, events: Events) -> tuple[Events, Events]:
        if not self.parked:
            return events, ()
        key = self.projection.key
        held = [event for event in events if key(event) in self.parked]
        return [event for event in events if key(event) not in self.parked], held

    async def _park(self, ready: Events, held: Events, failures: Sequence[Failure]) -> None:
        unit, key = self.lease.unit, self.projection.key
        if failures:
            if len(self.parked) + len(failures) > PARKED_KEYS_MAX:
                raise ProjectionBroken(unit.name, len(self.parked) + len(failures), failures[0].error)
            await parked.park(self.connection, unit, failures)
            stopped = {failure.key: failure.position for failure in failures}
            held = [*held, *(e for e in ready if key(e) in stopped and e.position >= stopped[key(e)])]
        await parked.hold(self.connection, unit, ((key(event), event) for event in held))

    async def retry(self, reader: UnitReader) -> list[Failure]:
        """Replay the parked keys that were asked for, from where each stopped up to `position`; who failed again."""
        failures = []
        for key in await parked.wanted_retries(self.connection, self.lease.unit, self.parked):
            failure = await self._retry_key(reader, key)
            if failure is not None:
                failures.append(failure)
        return failures

    async def _retry_key(self, reader: UnitReader, key: UUID) -> Failure | None:
        unit = self.lease.unit
        while True:
            positions = await parked.held_positions(self.connection, unit, key, RETRY_BATCH)
            events, bad = await reader.read_positions(positions)
            failure = None
            if bad is not None:
                failure = Failure(key, bad.batch.last, bad.undecodable or "")
            async with self.connection.transaction():
                await advance(self.connection, self.lease, self.position, self.position)
                for stopped in await isolate(self.connection, self.projection, events):
                    failure = stopped
                done_to = failure.position - 1 if failure is not None else max(positions, default=self.position)
                await parked.settle(self.connection, unit, key, done_to, failure)
            if failure is not None:
                return failure
            if len(positions) < RETRY_BATCH:  # nobody else can have held more meanwhile
                self.parked.discard(key)
                return None
