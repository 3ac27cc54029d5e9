"""`rollbook migrate`: brings the log's schema up to date, or prints the SQL that would."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from eventstore import migrate as migrations
from rollbook.context import console, data_dir_option, run, settings_of


@click.command()
@data_dir_option
@click.option("--sql", is_flag=True, help="Print the SQL instead, for a database administrator to read.")
def migrate(data_dir: Path | None, sql: bool) -> None:
    """Bring the log's schema up to date. `rollbook up` does it by itself."""
    if sql:
        migrations.offline_sql()
        return
    run(migrations.migrate_async(settings_of(data_dir, needed=["database_url"]).database_url))
    console.print(f"The log's schema is at revision {migrations.head_revision()}")
