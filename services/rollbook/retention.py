"""`rollbook retention`: how many deleted contacts are due to be erased, and erasing them now instead of in a while."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import rich_click as click
from rich.table import Table

from contacts.catalog import CODEC
from contacts.erasure.retention import Due, Retention, turn
from eventstore.cipher import Keyring
from eventstore.store import EventStore
from rollbook.context import console, data_dir_option, fail, run, settings_of
from rollbook.status import connect

if TYPE_CHECKING:
    from servicekit.settings import Settings


@click.command()
@data_dir_option
@click.option("--dry-run", is_flag=True, help="Only count, and erase nobody.")
def retention(data_dir: Path | None, dry_run: bool) -> None:
    """Erase deleted contacts whose workspace keeps them no longer (`deleted_retention_days`).

    The projector does the same by itself every `retention_interval_s`.
    """
    run(_retention(settings_of(data_dir, needed=["database_url", "master_key"]), dry_run=dry_run))


class _Told:
    def erased(self, _workspace_id: UUID) -> None:
        """The sum is told at the end."""

    def failed(self, workspace_id: UUID, error: Exception) -> None:
        console.print(f"One of workspace {workspace_id} could not be erased: {type(error).__name__}", style="red")


async def _retention(settings: Settings, *, dry_run: bool) -> None:
    keys = settings.master_keys
    connection = await connect(settings.database_url)
    store = await EventStore.open(
        settings.database_url, codec=CODEC, keyring=Keyring(keys, current=max(keys)), pool_size=2
    )
    try:
        work = Retention(store, _Told())
        now = datetime.now(UTC)
        console.print(_table(await work.due(connection, now)))
        if dry_run:
            return
        async with turn(connection) as ours:
            if not ours:
                fail("another process is erasing right now")
            swept = await work.sweep(connection, now)
        console.print(f"Erased {swept.erased:,}; {swept.failed:,} could not be erased")
    finally:
        await store.close()
        await connection.close()


def _table(due: list[Due]) -> Table | str:
    if not due:
        return "No deleted contact is due to be erased"
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column("Workspace")
    for column in ("Due", "Kept for", "Deleted since"):
        table.add_column(column, justify="right")
    for each in due:
        kept = f"{each.retention.days:,} days"
        table.add_row(str(each.workspace_id), f"{each.contacts:,}", kept, f"{each.oldest:%Y-%m-%d}")
    return table
