"""Takes out of PostgreSQL's files what erasures leave behind there. Erasing itself is in the append.

A deleted row stays in its page, in indexes and in the WAL until something is written over it, and VACUUM alone writes
over nearly nothing. Destroyed data keys are such rows as well, so only after a sweep is nothing left to be found by
somebody who has the files and the master key. Backups made before keep what they have until they expire.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import msgspec

from eventstore import builds
from eventstore.sql import load

if TYPE_CHECKING:
    from eventstore.projection import Connection

SQL: Final = load("eventstore", "sweep.sql")
#: After the first checkpoint the old segments are no longer needed, after the next they are gone.
CHECKPOINTS: Final = 3


class Swept(msgspec.Struct, frozen=True):
    """What a sweep did."""

    #: Earlier builds of read models, which erasures do not reach.
    dropped: list[str]
    #: Tables rewritten.
    tables: list[str]
    #: False where the login may not: then old WAL goes when the server gets to write over it.
    wal: bool


async def sweep(connection: Connection, projections: Iterable[str]) -> Swept:
    """Drops earlier builds, rewrites tables that held readable data or keys (each is locked meanwhile), drops old WAL.

    Takes the login that owns the schemas. A standby or an archive has WAL of its own. Raises BuildBusy.
    """
    dropped = [build.schema_name for name in projections for build in await builds.drop_retired(connection, name)]
    await connection.execute(SQL["forget_statistics"])
    await connection.execute("ANALYZE")
    tables = [row["name"] for row in await connection.fetch(SQL["tables"])]
    for table in tables:
        await connection.execute(f"VACUUM (FULL) {table}")
    may = bool(await connection.fetchval(SQL["is_superuser"]))
    if may:
        await _drop_old_wal(connection)
    return Swept(dropped, tables, may)


async def _drop_old_wal(connection: Connection) -> None:
    await connection.execute(SQL["delete_old_wal"])
    try:
        await connection.execute(SQL["reload"])
        for _ in range(CHECKPOINTS):
            await connection.execute(SQL["next_wal"])
            await connection.execute("CHECKPOINT")
    finally:
        await connection.execute(SQL["reuse_old_wal"])
        await connection.execute(SQL["reload"])
