"""`rollbook sweep`: what an operator does after erasures. The doing is in `eventstore.sweep`."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import rich_click as click

from contacts.catalog import PROJECTIONS
from eventstore import sweep as files
from eventstore.errors import BuildBusy
from rollbook.context import console, data_dir_option, fail, run, settings_of


@click.command()
@data_dir_option
def sweep(data_dir: Path | None) -> None:
    """Take out of PostgreSQL's files what erasures leave there: old rows, old builds, old WAL.

    Tables are rewritten one by one, and queries of each wait meanwhile. Backups keep what they have.
    """
    run(_sweep(settings_of(data_dir, needed=["database_url"]).database_url))


async def _sweep(database_url: str) -> None:
    try:
        connection = await asyncpg.connect(database_url, timeout=10)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        fail(f"the database does not let us in: {error}")
    try:
        swept = await files.sweep(connection, [projection.name for projection in PROJECTIONS])
    except BuildBusy as busy:
        fail(str(busy))
    finally:
        await connection.close()
    console.print(f"Rewrote {len(swept.tables)} tables, dropped {len(swept.dropped)} earlier builds")
    if not swept.wal:
        console.print("Old WAL stays until the server writes over it: only a superuser can have it removed")
