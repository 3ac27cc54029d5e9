"""Keeps one leased unit at the head of its lane until the lease is lost. Which units run is up to `projector`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from eventstore import lease as leases
from eventstore import parked
from eventstore.applier import Applier
from eventstore.checkpoint import LEASE, Lease, Unit
from eventstore.connection import CONNECTION_ERRORS, Backoff, check_cancelled
from eventstore.errors import LeaseLost, PositionGap
from eventstore.poison import Failure, describe
from eventstore.reading import Read, UnitReader

if TYPE_CHECKING:
    from eventstore.announcer import Announcer
    from eventstore.connection import Connect, Connection
    from eventstore.projection import Projection
    from eventstore.signals import LaneSignal
    from eventstore.store import EventStore
    from eventstore.tail import LogTail

RETRY_EVERY_S: Final = 0.5
BATCH_FIRST: Final = 1_000
BATCH_MIN: Final = 100
# Long enough that a commit costs nothing beside it, short enough that a swap or a stop need not wait.
BATCH_TARGET_S: Final = 1.0
# When, of the time that a batch takes, the next one is read.
READ_AHEAD_AT: Final = 0.3
# A batch costs some milliseconds whatever it holds. From so many events on, a unit at the head rests for as long as the
# last batch took before it looks again: a busy log is followed in fewer, fuller batches, a quiet one at once.
BUSY_EVENTS: Final = 10
REST_MAX_S: Final = 0.2
# Nobody looks at once at a read model that stands back. Where something is written all the time, it takes a batch for
# several events instead of one for each, and leaves the machine to the others.
PAUSE_S: Final = 0.05


class ProjectorObserver(Protocol):
    """Where the projector's figures go. Called on the event loop: must return at once and never raise."""

    def applied(self, unit: Unit, events: int, seconds: float, position: int, recorded_at: datetime | None) -> None:
        """A batch is committed; `recorded_at` is the time of its last wanted event."""

    def parked(self, unit: Unit, failures: Sequence[Failure]) -> None:
        """Keys were parked, or stopped again when retried."""

    def troubled(self, unit: Unit | None, trouble: str) -> None:
        """The unit (None: the whole process) does not move, and why; all but a PositionGap is tried again."""


class Pace(msgspec.Struct, frozen=True):
    """How a projector goes about its work."""

    #: Most positions in one transaction.
    batch_max: int = 5_000
    #: How often it looks when no notification came.
    poll_s: float = 0.5
    #: How long a process that is gone or stopped keeps others out.
    lease: timedelta = LEASE


class BatchSize:
    """How many positions to read at a time: doubled while batches are quick, halved when they are slow."""

    def __init__(self, limit_max: int) -> None:
        self._max = limit_max
        self.limit = min(BATCH_FIRST, limit_max)

    def adapt(self, positions: int, seconds: float) -> None:
        if seconds > BATCH_TARGET_S:
            self.limit = min(self._max, max(BATCH_MIN, self.limit // 2))
        elif positions >= self.limit and seconds < BATCH_TARGET_S / 2:
            self.limit = min(self._max, 2 * self.limit)


class UnitRunner:
    """One unit of one process. Survives losses of the connection for as long as the lease does."""

    def __init__(
        self, store: EventStore, connect: Connect, projection: Projection, lease: Lease, signal: LaneSignal,
        tail: LogTail, announcer: Announcer, observer: ProjectorObserver, pace: Pace,
    ) -> None:  # fmt: skip
        self.lease = lease
        self._connect = connect
        self._projection = projection
        self._signal = signal
        self._announcer = announcer
        self._observer = observer
        self._reader = UnitReader(store, lease.unit, projection.types, tail)
        self._pace = pace
        self._size = BatchSize(pace.batch_max)
        self._backoff = Backoff()
        self._renewed_at = 0.0
        self._retried_at = 0.0
        self._taken_over = False
        #: What the last batch took.
        self._seconds = 0.0

    async def run(self) -> None:
        """Until the lease is lost or the task cancelled. A PositionGap is never waited out: the unit stands still."""
        while True:
            try:
                await self._run_connected()
            except LeaseLost:
                return
            except Exception as error:  # noqa: BLE001  # the batch was rolled back: nothing is lost by trying again
                check_cancelled()
                still_ours = await self._tell(error)
                while still_ours and isinstance(error, PositionGap):
                    await asyncio.sleep(self.lease.length.total_seconds() / 4)
                    still_ours = await self._tell(error)
                if not still_ours:
                    return
                await asyncio.sleep(self._backoff.next_s())

    async def _run_connected(self) -> None:
        connection = await self._connect()
        ahead: asyncio.Task[Read] | None = None
        try:
            applier = await self._take_over(connection)
            while True:
                await self._retry(applier)
                limit = self._size.limit
                read = await (ahead or self._reader.read(applier.position, limit))
                ahead = None
                if read.batch.last == applier.position:
                    await self._idle(connection, applier.position)
                    continue
                if read.batch.last - read.batch.after == limit:
                    # More is there for certain: read and decode it while PostgreSQL writes this.
                    ahead = asyncio.create_task(self._read_ahead(read.batch.last))
                seconds = await self._apply(applier, read)
                if ahead is None:
                    await self._rest(len(read.batch.events), seconds)
                    if self._signal.ends_at(applier.position):
                        await self._idle(connection, applier.position)
        finally:
            if ahead is not None:
                ahead.cancel()
                await asyncio.gather(ahead, return_exceptions=True)
            connection.terminate()

    async def _read_ahead(self, after: int) -> Read:
        # Not at once: a batch begins with the work of this process, and ends with that of PostgreSQL.
        await asyncio.sleep(self._seconds * READ_AHEAD_AT)
        return await self._reader.read(after, self._size.limit)

    async def _take_over(self, connection: Connection) -> Applier:
        position = await leases.renew(connection, self.lease)
        applier = Applier(connection, self._projection, self.lease, position)
        await applier.prepare()
        if not self._taken_over:
            await parked.ask_retry_of(connection, self.lease.unit)
            self._taken_over = True
        return applier

    async def _apply(self, applier: Applier, read: Read) -> float:
        """Answers how many seconds it took."""
        started = time.perf_counter()
        applied = await applier.apply(read)
        self._seconds = seconds = time.perf_counter() - started
        unit, batch = self.lease.unit, read.batch
        self._announcer.moved(unit, awaited=not self._projection.stands_back_s)
        self._renewed_at = time.monotonic()
        self._backoff.reset()
        self._size.adapt(batch.last - batch.after, seconds)
        recorded_at = batch.events[-1].recorded_at if batch.events else None
        self._observer.applied(unit, applied.events, seconds, batch.last, recorded_at)
        if applied.failures:
            self._observer.parked(unit, applied.failures)
        return seconds

    async def _rest(self, events: int, seconds: float) -> None:
        """After a batch at the head that held so many events and took so long."""
        pause_s = PAUSE_S if self._projection.stands_back_s else 0.0
        if events >= BUSY_EVENTS:
            pause_s = max(pause_s, min(seconds, REST_MAX_S))
        await asyncio.sleep(pause_s)

    async def _idle(self, connection: Connection, position: int) -> None:
        now = time.monotonic()
        if now - self._renewed_at > self.lease.length.total_seconds() / 4:
            await leases.renew(connection, self.lease, trouble="")
            self._renewed_at = now
            self._backoff.reset()
        await self._signal.wait(position, self._pace.poll_s)
        if self._projection.stands_back_s:
            await asyncio.sleep(self._projection.stands_back_s)

    async def _retry(self, applier: Applier) -> None:
        now = time.monotonic()
        if applier.parked and now - self._retried_at >= RETRY_EVERY_S:
            self._retried_at = now
            failures = await applier.retry(self._reader)
            if failures:
                self._observer.parked(self.lease.unit, failures)

    async def _tell(self, error: Exception) -> bool:
        """Say it where operators look, as far as that can be reached; False where the lease is gone."""
        trouble = describe(error)
        self._observer.troubled(self.lease.unit, trouble)
        try:
            connection = await self._connect()
            try:
                await leases.renew(connection, self.lease, trouble)
            finally:
                connection.terminate()
        except LeaseLost:
            return False
        except CONNECTION_ERRORS:
            pass  # the next attempt meets the same and says so again
        return True
