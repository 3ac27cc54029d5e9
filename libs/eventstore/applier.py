"""Writes rows, parked keys and checkpoint of one leased unit in one transaction. Reading is in `reading`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
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
    """Whether its rows depend on the streams of one id each: then these may be shared out, or loaded one by one."""
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

    async def prepare(self) -> None:
        """Learn what is parked; before the first batch."""
        self.parked = await parked.load_keys(self.connection, self.lease.unit)

    async def apply(self, read: Read, *, fresh: bool = False) -> Applied:
        """Apply the stretch right after `position`; a bad event parks its key, whose later events are held back.

        `fresh` promises that no row exists for any key of it.

        Raises:
            LeaseLost: nothing was written.
            ProjectionBroken: too many keys fail; nothing was written.
        """
        events = read.batch.events
        assert read.batch.after == self.position
        bad = []
        if read.undecodable is not None:
            bad = [Failure(self.projection.key(event), event.position, read.undecodable) for event in events]
        return await self._apply(read.batch.last, events, bad, fresh=fresh)

    async def load(
        self, events: Events, bad: Sequence[Failure], *, fresh: bool, record: Callable[[], Awaitable[None]]
    ) -> Applied:
        """Apply all events of some keys, in order of position, without moving the checkpoint.

        `bad` are those among them that could not be decoded. `record` runs in the transaction, to remember how far the
        load is. Raises as `apply`.
        """
        return await self._apply(self.position, events, bad, fresh=fresh, record=record)

    async def _apply(
        self, last: int, events: Events, bad: Sequence[Failure], *, fresh: bool,
        record: Callable[[], Awaitable[None]] | None = None,
    ) -> Applied:  # fmt: skip
        ready, held = self._split(events, bad)
        try:
            return await self._commit(last, ready, held, bad, record, fresh=fresh)
        except Exception as error:
            if not is_poison(error):
                raise
            return await self._commit(last, ready, held, bad, record, fresh=None)

    async def _commit(
        self, last: int, ready: Events, held: Events, bad: Sequence[Failure],
        record: Callable[[], Awaitable[None]] | None, *, fresh: bool | None,
    ) -> Applied:  # fmt: skip
        """One transaction; `fresh` None means looking for the bad event."""
        if not ready and not held and record is None:
            await advance(self.connection, self.lease, self.position, last)
            self.position = last
            return Applied(0, ())
        async with self.connection.transaction():
            await advance(self.connection, self.lease, self.position, last)
            failures = _earliest(bad)
            if fresh is None:
                failures = _earliest([*bad, *await isolate(self.connection, self.projection, ready)])
            elif ready:
                await self.projection.apply(self.connection, ready, fresh=fresh)
            await self._park(ready, held, failures)
            if record is not None:
                await record()
        self.position = last
        self.parked.update(failures)
        return Applied(len(ready), list(failures.values()))

    def _split(self, events: Events, bad: Sequence[Failure]) -> tuple[Events, Events]:
        """What may be applied, and what is held back because its key is parked or about to be."""
        if not self.parked and not bad:
            return events, ()
        stopped = {failure.key: failure.position for failure in bad} | dict.fromkeys(self.parked, 0)
        ready: list[RecordedEvent[Any]] = []
        held: list[RecordedEvent[Any]] = []
        for event in events:
            stop = stopped.get(self.projection.key(event))
            (ready if stop is None or event.position < stop else held).append(event)
        return ready, held

    async def _park(self, ready: Events, held: Events, failures: dict[UUID, Failure]) -> None:
        unit, key = self.lease.unit, self.projection.key
        if failures:
            count = len(self.parked) + len(failures)
            if count > PARKED_KEYS_MAX:
                raise ProjectionBroken(unit.name, count, next(iter(failures.values())).error)
            await parked.park(self.connection, unit, list(failures.values()))
            held = [*held, *(e for e in ready if (f := failures.get(key(e))) and e.position >= f.position)]
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


def _earliest(failures: Sequence[Failure]) -> dict[UUID, Failure]:
    """One per key: where it stops first."""
    return {failure.key: failure for failure in sorted(failures, key=lambda f: f.position, reverse=True)}
