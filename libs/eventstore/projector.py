"""The projector of one process: leases its share of the live builds and runs them. Builds are made elsewhere."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from eventstore import lease as leases
from eventstore.announcer import Announcer
from eventstore.checkpoint import Lease, Unit
from eventstore.connection import CONNECTION_ERRORS, Backoff, check_cancelled, connector
from eventstore.garbage import rarely_collected
from eventstore.lease import Worker
from eventstore.listener import LOOK_EVERY_S, Listener
from eventstore.poison import describe
from eventstore.runner import Pace, ProjectorObserver, UnitRunner
from eventstore.signals import LogSignals
from eventstore.tail import LogTail

if TYPE_CHECKING:
    from eventstore.connection import Connection
    from eventstore.poison import Failure
    from eventstore.projection import Projection
    from eventstore.store import EventStore

#: Sent where builds changed their state, so that leases are looked at now instead of at the next tick.
CHANGED_CHANNEL: Final = "rollbook_projector"
TICK_S: Final = 1.0
STOP_TIMEOUT_S: Final = 1.0
DEFAULT_PACE: Final = Pace()


class NoObserver(ProjectorObserver):
    """Tells nobody."""

    def applied(self, unit: Unit, events: int, seconds: float, position: int, recorded_at: datetime | None) -> None:
        return

    def parked(self, unit: Unit, failures: Sequence[Failure]) -> None:
        return

    def troubled(self, unit: Unit | None, trouble: str) -> None:
        return


class Projector:
    """Keeps the live builds of `projections` up to date, together with any number of other processes.

    Every unit (build, lane, slice range) has one task and one connection. The store is used for reading only.
    """

    def __init__(
        self, store: EventStore, dsn: str, projections: Iterable[Projection], *,
        role: str | None = "rollbook_projector", observer: ProjectorObserver | None = None,
        pace: Pace = DEFAULT_PACE, name: str | None = None,
    ) -> None:  # fmt: skip
        self._store = store
        self._projections = {projection.name: projection.bound(store.keyring) for projection in projections}
        name = name or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
        versions = {projection.name: projection.version for projection in self._projections.values()}
        self.worker = Worker(name, versions, pace.lease)
        self._pace = pace
        self._observer = observer or NoObserver()
        self._connect = connector(dsn, role=role, application_name="rollbook projector", **_write_settings(pace.lease))
        listen = connector(dsn, role=role, application_name="rollbook projector listener")
        self._signals = LogSignals(listen)
        self._announcer = Announcer(connector(dsn, role=role, application_name="rollbook projector announcer"))
        self._tail = LogTail(store, [projection.types for projection in self._projections.values()])
        self._changed = asyncio.Event()
        self._changes = Listener(listen, {CHANGED_CHANNEL: lambda _: self._changed.set()}, self)
        #: By lease, not by unit: one that was robbed may still be at its end when this process leases the unit anew.
        self._running: dict[Lease, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Until cancelled; then gives its leases back. Outlives restarts of the database."""
        listening = [
            asyncio.create_task(work) for work in (self._signals.run(), self._changes.run(), self._announcer.run())
        ]
        try:
            with rarely_collected():
                await self._keep_sharing_out()
        finally:
            held = list(self._running)
            tasks = [*listening, *self._running.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._give_back(held)

    async def _keep_sharing_out(self) -> None:
        backoff = Backoff()
        while True:
            try:
                await self._share_out(backoff)
            except CONNECTION_ERRORS as error:
                check_cancelled()
                self._observer.troubled(None, describe(error))
                await asyncio.sleep(backoff.next_s())

    async def _share_out(self, backoff: Backoff) -> None:
        """Keep as many units as is fair among the living workers, for as long as the connection holds."""
        connection = await self._connect()
        try:
            while True:
                self._changed.clear()
                share = await leases.fair_share(connection, self.worker)
                await self._stop_units(connection, max(0, len(self._running) - share))
                for lease in await leases.lease_free(connection, self.worker, share - len(self._running)):
                    self._start(lease)
                backoff.reset()
                await self._tick()
        finally:
            connection.terminate()

    async def _tick(self) -> None:
        # Not `wait_for`: before Python 3.12 it loses a cancellation that comes together with the change.
        with suppress(TimeoutError):
            async with asyncio.timeout(TICK_S):
                await self._changed.wait()

    def _start(self, lease: Lease) -> None:
        unit = lease.unit
        runner = UnitRunner(
            self._store, self._connect, self._projections[unit.name], lease, self._signals.of_lane(unit.lane),
            self._tail, self._announcer, self._observer, self._pace,
        )  # fmt: skip
        task = asyncio.create_task(runner.run(), name=str(unit))
        self._running[lease] = task
        task.add_done_callback(lambda _: self._ended(lease))

    def _ended(self, lease: Lease) -> None:
        del self._running[lease]
        self._changed.set()

    async def _stop_units(self, connection: Connection, count: int) -> None:
        """Leave the newest leases to others."""
        for lease, task in list(self._running.items())[len(self._running) - count :]:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await leases.release(connection, [lease])

    async def _give_back(self, held: Sequence[Lease]) -> None:
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                connection = await self._connect()
                await leases.release(connection, held)
                await leases.leave(connection, self.worker)
                await connection.close()
        except CONNECTION_ERRORS:
            return  # the leases expire by themselves

    async def look(self, connection: Connection, *, anew: bool) -> None:
        await connection.execute("SELECT 1")
        self._changed.set()

    async def pause(self) -> None:
        await asyncio.sleep(LOOK_EVERY_S)


def _write_settings(lease: timedelta) -> dict[str, str]:
    lease_ms = str(round(lease.total_seconds() * 1000))
    return {
        # A stopped process must not hold rows and the checkpoint for longer than its lease.
        "idle_in_transaction_session_timeout": lease_ms,
        "lock_timeout": lease_ms,
        # Rows and checkpoint are lost together by a crash of the server, and applied again from the log, which is
        # flushed: see decisions/0006-read-models-do-not-wait-for-the-disk.md.
        "synchronous_commit": "off",
        "jit": "off",
    }
