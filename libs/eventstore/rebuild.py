"""Builds a read model anew beside the live one, proves it and swaps it in; or brings an earlier one back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import asyncpg
import msgspec

from eventstore import builds, swap
from eventstore.builds import Build
from eventstore.connection import connector
from eventstore.errors import NoSuchBuild, VerificationFailed
from eventstore.replay import Replay

if TYPE_CHECKING:
    from eventstore.connection import Connection
    from eventstore.projection import Projection
    from eventstore.store import EventStore

INDEX_CONNECTIONS: Final = 2
# An inverted index takes as long as all others together, so it gets help. The others run beside it: helpers of theirs
# would be started again for each, and cost more than they bring.
INVERTED_INDEX_HELPERS: Final = 1
INDEX_MEMORY: Final = "256MB"


class RebuildProgress(msgspec.Struct, frozen=True):
    """Told after every step of a rebuild."""

    #: `replay`, `index`, `tail`, `verify`, `swap` or `done`.
    phase: str
    #: Events replayed, or indexes built; 0 of 0 where the phase has no steps.
    done: int
    total: int
    #: Of `done`, in this phase.
    rate_per_s: float

    @property
    def remaining_s(self) -> float | None:
        """At the rate so far; None before the first step."""
        return (self.total - self.done) / self.rate_per_s if self.rate_per_s else None


class Rebuilt(msgspec.Struct, frozen=True):
    """What a rebuild came to."""

    build: Build
    #: Positions it holds, over all lanes.
    position: int
    #: Keys that it could not apply to the end.
    parked: int
    #: Per phase.
    seconds: dict[str, float]
    #: How long the projector of the live build had to wait for the swap.
    stalled_ms: float


class Rebuild:
    """One rebuild of one projection, for one use.

    `run` may be cancelled at any time. Run by another object it goes on from the last window, because rows and
    checkpoint were committed together; a build by another version of the code is dropped and begun anew.
    """

    def __init__(
        self, store: EventStore, dsn: str, projection: Projection, *, role: str | None = "rollbook_projector",
        on_progress: Callable[[RebuildProgress], None] | None = None, verify: swap.Verify | None = None,
    ) -> None:  # fmt: skip
        self._store = store
        self._projection = projection
        self._on_progress = on_progress
        self._verify = verify
        self._connect = connector(
            dsn, role=role, application_name=f"rollbook rebuild {projection.name}", synchronous_commit="off", jit="off",
            maintenance_work_mem=INDEX_MEMORY, idle_in_transaction_session_timeout="120000",
        )  # fmt: skip
        self._seconds: dict[str, float] = {}
        self._phase = ""
        self._started = 0.0
        self._from = 0
        self._total = 0

    async def run(self) -> Rebuilt:
        """Build, verify and swap.

        Raises:
            BuildBusy: it is being rebuilt elsewhere.
            VerificationFailed: the live build stays.
            NeverLevel: the live build cannot be followed; the new one is kept to go on with.
        """
        async with self._locked() as connection:
            return await self._finish(connection, await builds.begin(connection, self._projection))

    async def rollback(self) -> Rebuilt:
        """Bring the newest retired build of this code's version up to date and swap it in.

        Raises:
            NoSuchBuild: there is none, or it is of another version: run the code that made it.
            BuildBusy, VerificationFailed, NeverLevel: as for `run`.
        """
        name, version = self._projection.name, self._projection.version
        async with self._locked() as connection:
            build = await builds.find(connection, name, "retired")
            if build is None or build.code_version != version:
                raise NoSuchBuild(name, f"no retired build of version {version}")
            async with connection.transaction():
                await builds.drop(connection, name, "building", "failed")
                build = await builds.set_state(connection, build, "building")
            return await self._finish(connection, build)

    async def _finish(self, connection: Connection, build: Build) -> Rebuilt:
        replay = Replay(connection, self._store, self._projection)
        await replay.take(build)
        if not build.loaded:
            self._enter("replay")
            await replay.load(self._connect, self._replayed)
            await self._index(build)
            await builds.set_loaded(connection, build)
        self._enter("tail")
        await replay.tail()
        self._enter("verify")
        problems = await swap.verify(self._connect, replay, build, self._verify)
        if problems:
            await builds.set_state(connection, build, "failed")
            raise VerificationFailed(build, problems)
        self._enter("swap")
        stalled_ms = await swap.swap(self._connect, replay, build)
        live = await builds.find(connection, build.name, "live")
        assert live is not None
        await self._forget_older(connection, live)
        self._enter("done")
        return Rebuilt(live, replay.position, replay.parked, self._seconds, stalled_ms)

    async def _index(self, build: Build) -> None:
        statements = builds.index_statements(self._projection.index_sql)
        self._enter("index", 0, len(statements))
        todo = statements[::-1]

        async def work() -> None:
            connection = await self._connect()
            try:
                await connection.execute(f"SET search_path TO {builds.quoted(build.schema_name)}, public")
                while todo:
                    statement = todo.pop()
                    helpers = INVERTED_INDEX_HELPERS if builds.is_inverted(statement) else 0
                    await connection.execute(f"SET max_parallel_maintenance_workers = {helpers}")
                    try:
                        await connection.execute(statement)
                    except asyncpg.UniqueViolationError as error:
                        # PostgreSQL names the parts of an index of a partitioned table, two at once alike.
                        if error.table_name != "pg_class":
                            raise
                        todo.append(statement)
                    self._report(self._total - len(todo))
            finally:
                connection.terminate()

        async with asyncio.TaskGroup() as group:
            for _ in range(INDEX_CONNECTIONS):
                group.create_task(work())

    async def _forget_older(self, connection: Connection, live: Build) -> None:
        """One way back is kept: the build that was live until now."""
        async with connection.transaction():
            retired = await builds.find(connection, live.name, "retired")
            await builds.drop(connection, live.name, "retired", "failed", but=retired.build if retired else 0)

    @asynccontextmanager
    async def _locked(self) -> AsyncIterator[Connection]:
        connection = await self._connect()
        try:
            await builds.lock(connection, self._projection.name)
            yield connection
        finally:
            connection.terminate()

    def _enter(self, phase: str, done: int = 0, total: int = 0) -> None:
        now = time.perf_counter()
        if self._phase:
            self._seconds[self._phase] = now - self._started
        self._phase, self._started, self._from, self._total = phase, now, done, total
        self._report(done)

    def _replayed(self, done: int, total: int) -> None:
        if not self._total:
            self._from, self._total = done, total
        self._report(done)

    def _report(self, done: int) -> None:
        if self._on_progress is not None:
            seconds = time.perf_counter() - self._started
            rate = (done - self._from) / seconds if seconds > 0 else 0.0
            self._on_progress(RebuildProgress(self._phase, done, self._total, rate))
