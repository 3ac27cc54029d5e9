"""Brings a build level with the live one, compares the two, and exchanges them. Filling it is in `replay`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

import asyncpg

from eventstore import builds
from eventstore.builds import CHANGED_CHANNEL, Build
from eventstore.checkpoint import SQL
from eventstore.errors import NeverLevel

if TYPE_CHECKING:
    from eventstore.connection import Connect, Connection
    from eventstore.replay import Replay

#: How long the live build's projector may be kept waiting; queries are never kept waiting.
STALL_MAX_S: Final = 0.1
ATTEMPTS: Final = 30
LOCK_TIMEOUT_MS: Final = 2_000
SAMPLE_ROWS: Final = 1_000

Verify = Callable[["Connection", str | None, str], Awaitable[list[str]]]
"""Given a snapshot with both equally far, the schema of the live build (None: there is none) and that of the new one.

Answers what is wrong with the new one, without personal data.
"""


async def verify(connect: Connect, replay: Replay, build: Build, more: Verify | None) -> list[str]:
    """What is wrong with the build, compared with the live one at the same position; takes as long as it takes."""
    live = await builds.find(replay.connection, build.name, "live")
    snapshot = await connect()
    try:
        transaction = snapshot.transaction(isolation="repeatable_read", readonly=True)
        try:
            async with _level(connect, replay, build.name, equal=True):
                await transaction.start()
                await snapshot.fetchval("SELECT 1")  # the snapshot is taken by the first statement
        except NeverLevel:
            # The live build stands still or runs away: there is nothing to compare with, and waiting cures neither.
            live = None
            await transaction.start()
        problems = await _differences(snapshot, live, build, replay)
        if more is not None:
            problems += await more(snapshot, live.schema_name if live else None, build.schema_name)
        await transaction.rollback()
        return problems
    finally:
        snapshot.terminate()


async def swap(connect: Connect, replay: Replay, build: Build) -> float:
    """Make the build live in one short transaction; how long the live build's projector had to wait, in ms.

    Raises NeverLevel.
    """
    for _ in range(ATTEMPTS):
        with suppress(asyncpg.LockNotAvailableError):
            async with _level(connect, replay, build.name, equal=False) as (connection, started):
                if await connection.fetchval(SQL["swap"], build.name, build.build):
                    await connection.execute("COMMIT")
                    stalled_ms = (time.perf_counter() - started) * 1000
                    await connection.execute("SELECT pg_notify($1, '')", CHANGED_CHANNEL)
                    await connection.execute(SQL["announce_build"], build.name, build.build)
                    return stalled_ms
    raise NeverLevel(build.name, ATTEMPTS)


@asynccontextmanager
async def _level(
    connect: Connect, replay: Replay, name: str, *, equal: bool
) -> AsyncIterator[tuple[Connection, float]]:
    """A transaction in which the live build stands still and the new one is not behind it; rolled back at the end.

    With `equal` it is not further either. Yields it with the time since when the live build stands still.
    """
    connection = await connect()
    try:
        for _ in range(ATTEMPTS):
            started = await _hold_level(connection, replay, name, equal=equal)
            if started is not None:
                yield connection, started
                return
            await asyncio.sleep(STALL_MAX_S)  # let the live build move on before it is stopped again
        raise NeverLevel(name, ATTEMPTS)
    finally:
        connection.terminate()


async def _hold_level(connection: Connection, replay: Replay, name: str, *, equal: bool) -> float | None:
    """One attempt: the time since when the live build stands still, or None with the transaction ended."""
    if not equal:
        await replay.tail()
    await connection.execute(f"BEGIN; SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}")
    with suppress(asyncpg.LockNotAvailableError):
        rows = await connection.fetch(SQL["lock_live"], name)
        started = time.perf_counter()
        furthest = {row["lane"]: row["position"] for row in rows}
        uneven = any(row["position"] != furthest[row["lane"]] for row in rows)
        apart = equal and bool(rows) and (uneven or replay.is_beyond(furthest))
        if apart and not any(row["kept"] for row in rows):
            raise NeverLevel(name, 1)  # nobody moves it
        if not apart and await replay.tail(furthest, deadline=started + STALL_MAX_S / 2):
            return started
    await connection.execute("ROLLBACK")
    return None


async def _differences(snapshot: Connection, live: Build | None, build: Build, replay: Replay) -> list[str]:
    """Against a live build of the same code; another version is expected to differ."""
    if live is None or live.code_version != build.code_version:
        return []
    parked_live: int = await snapshot.fetchval(SQL["count_parked"], live.name, live.build)
    if replay.parked > parked_live:
        return [f"{replay.parked} keys are parked, {parked_live} of the live build"]
    if parked_live:
        return []  # rows of a parked key are behind, and a rebuild may be what heals it
    problems = []
    uncompared = sorted(replay.projection.uncompared)
    for row in await snapshot.fetch(SQL["differences"], live.schema_name, build.schema_name, SAMPLE_ROWS, uncompared):
        if row["table_name"] in replay.projection.uncompared_tables:
            continue
        if row["old_rows"] != row["new_rows"]:
            problems.append(f"{row['table_name']}: {row['new_rows']} rows, live has {row['old_rows']}")
        if row["differing"]:
            problems.append(f"{row['table_name']}: {row['differing']} of {row['sampled']} sampled rows differ")
    return problems
