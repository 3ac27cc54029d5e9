"""Takes activity out of its read model once its workspace keeps it no longer (`activity_retention_days`).

The log keeps it, and a timeline ends where the workspace wants it to end. Whole months go, because that is what totals
and partitions are made of: nothing goes before its time, and up to a month stays longer. First a cut is written, after
which no projector writes anything older; then what is older goes, a few thousand rows at a time, and partitions that
nobody has anything in any more are dropped. A round can be broken off anywhere; the next one goes on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

import asyncpg

from contacts.activity.projection import SQL as WRITES
from contacts.activity.projection import ActivityProjection
from eventstore.builds import quoted, use_schema
from eventstore.sql import load

if TYPE_CHECKING:
    from eventstore.connection import Connection

SQL: Final = load("contacts.activity", "retention.sql")
ROWS_MAX: Final = 5_000
"""Taken away in one transaction."""
LOCK_TIMEOUT: Final = "1s"
"""Dropping a partition waits for whoever reads the table, and everybody who comes after waits behind it."""

#: Days for which a workspace keeps activity; None where it keeps all.
RetentionOf = Callable[[UUID], Awaitable[int | None]]


async def prune(connection: Connection, retention_of: RetentionOf, now: datetime) -> int:
    """How many rows of the live build were taken away."""
    builds = [row["schema_name"] for row in await connection.fetch(SQL["builds"], ActivityProjection.version)]
    if not builds:
        return 0
    taken = 0
    for row in await connection.fetch(SQL["workspaces"]):
        days = await retention_of(row["workspace_id"])
        if days is None:
            continue
        before = _month_of(now - timedelta(days=days))
        if row["oldest"] < before.date():
            taken += await _take_away(connection, builds, row["workspace_id"], before)
    if taken:
        await _drop_empty(connection, builds, _month_of(now))
    return taken


async def _take_away(connection: Connection, builds: list[str], workspace_id: UUID, before: datetime) -> int:
    for build in builds:
        async with connection.transaction():
            await use_schema(connection, build)
            await connection.execute(SQL["cut"], workspace_id, before)
    taken = 0
    for build in builds:
        count = ROWS_MAX
        while count == ROWS_MAX:
            async with connection.transaction():
                await use_schema(connection, build)
                status = await connection.execute(SQL["take_away"], workspace_id, before, ROWS_MAX)
                count = int(status.split()[-1])
                if count < ROWS_MAX:
                    await connection.execute(SQL["forget_months"], workspace_id, before.date())
            taken += count if build == builds[0] else 0
    return taken


async def _drop_empty(connection: Connection, builds: list[str], before: datetime) -> None:
    for build in builds:
        async with connection.transaction():
            await use_schema(connection, build)
            rows = await connection.fetch(SQL["partitions"], f"activity_{before:%Y_%m}")
        for row in rows:
            try:
                await _drop_if_empty(connection, build, row["name"])
            except asyncpg.LockNotAvailableError:
                return  # somebody reads for long: the next round tries again


async def _drop_if_empty(connection: Connection, build: str, partition: str) -> None:
    name = f"{quoted(build)}.{quoted(partition)}"
    async with connection.transaction():
        await use_schema(connection, build)
        if await connection.fetchval(f"SELECT EXISTS (SELECT FROM {name})"):
            return
        await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        # Makers of partitions wait, and whoever wrote into this one meanwhile shows.
        await connection.execute(WRITES["lock_tables"])
        await connection.execute(f"LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE")
        if not await connection.fetchval(f"SELECT EXISTS (SELECT FROM {name})"):
            await connection.execute(f"DROP TABLE {name}")


def _month_of(instant: datetime) -> datetime:
    """Its beginning, in UTC."""
    day: date = instant.astimezone(UTC).date().replace(day=1)
    return datetime.combine(day, time(), UTC)
