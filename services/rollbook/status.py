"""`rollbook status`: the log's head and how far each read model is, with what stands in its way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import asyncpg
import rich_click as click
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from eventstore import sql
from eventstore import status as states
from eventstore.status import BuildStatus
from rollbook.context import console, data_dir_option, run, settings_of
from rollbook.embedded.process import ServerFailed

WATCH_INTERVAL_S: Final = 1.0
#: May read everything that is shown here, and no contact.
ROLE: Final = "rollbook_projector"
STATE_COLOURS: Final = {"live": "green", "building": "yellow", "retired": "dim", "failed": "red"}
QUERIES: Final = sql.load("rollbook", "queries.sql")


@click.command()
@data_dir_option
@click.option("--watch", is_flag=True, help="Show it again every second until Ctrl-C.")
def status(data_dir: Path | None, watch: bool) -> None:
    """Show the log's head, and how far each read model is."""
    run(show(settings_of(data_dir, needed=["database_url"]).database_url, watch=watch))


async def show(database_url: str, *, watch: bool = False) -> None:
    connection = await connect(database_url)
    try:
        if not watch:
            console.print(await picture(connection))
            return
        with Live(console=console, auto_refresh=False) as live:
            while True:
                live.update(await picture(connection), refresh=True)
                await asyncio.sleep(WATCH_INTERVAL_S)
    finally:
        await connection.close()


async def connect(database_url: str) -> asyncpg.Connection:
    """Raises ServerFailed where there is no database, or no log in it."""
    try:
        return await asyncpg.connect(database_url, server_settings={"role": ROLE}, timeout=10)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise ServerFailed(f"the database does not let us in: {error}\n`rollbook doctor` looks closer") from None


async def picture(connection: asyncpg.Connection) -> RenderableType:
    """What `rollbook status` shows."""
    return Group(await _heads(connection), "", *await read_models(connection))


async def read_models(connection: asyncpg.Connection) -> list[RenderableType]:
    """A table of all builds, and one of the keys that are parked, if there are any."""
    builds = await states.status(connection)
    parked = [build for build in builds if build.parked]
    tables: list[RenderableType] = [_builds(builds)]
    if parked:
        tables += ["", _parked(parked)]
    return tables


async def _heads(connection: asyncpg.Connection) -> Text:
    lines = []
    for row in await connection.fetch(QUERIES["lane_heads"]):
        written = f", last written {_ago(row['recorded_at'])}" if row["recorded_at"] else ""
        lines.append(f"Log, lane {row['lane']}: {row['position']:,} events{written}")
    return Text("\n".join(lines))


def _builds(builds: Sequence[BuildStatus]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for column in ("Read model", "Build", "State"):
        table.add_column(column)
    for column in ("Behind", "Lag", "Parked"):
        table.add_column(column, justify="right")
    table.add_column("")
    for build in builds:
        troubles = sorted({unit.trouble for unit in build.units if unit.trouble})
        orphaned = build.state == "live" and any(unit.owner is None for unit in build.units)
        table.add_row(
            build.name,
            f"{build.build} (version {build.code_version})",
            Text(build.state, style=STATE_COLOURS.get(build.state, "")),
            f"{build.lag_events:,}" if build.state != "retired" else "",
            f"{build.lag_ms / 1000:.1f} s" if build.state != "retired" else "",
            Text(f"{build.parked_keys:,}", style="red" if build.parked else ""),
            Text("; ".join(troubles) or ("no projector keeps it now" if orphaned else ""), style="red"),
        )
    return table


def _parked(builds: Sequence[BuildStatus]) -> Table:
    table = Table(title="Parked", title_justify="left", box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for column in ("Read model", "Keys", "For example", "At position", "Tries", "Since", "Why"):
        table.add_column(column)
    for build in builds:
        for reason in build.parked:
            table.add_row(
                f"{build.name} build {build.build}",
                f"{reason.keys:,}",
                str(reason.example_key),
                str(reason.example_position),
                str(reason.attempts),
                _ago(reason.since),
                reason.error,
            )
    return table


def _ago(time: datetime) -> str:
    seconds = (datetime.now(UTC) - time).total_seconds()
    for length, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds > 2 * length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{max(seconds, 0):.0f} seconds ago"
