"""`rollbook status`: the log's head and how far each read model is, with what stands in its way."""

from __future__ import annotations

import asyncio
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
from rollbook.context import console, data_dir_option, run, settings_of
from rollbook.embedded.process import ServerFailed

WATCH_INTERVAL_S: Final = 1.0
#: May read everything that is shown here, and no contact.
ROLE: Final = "rollbook_projector"
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
    heads = await connection.fetch(QUERIES["lane_heads"])
    states = await connection.fetch(QUERIES["projection_states"])
    parked = await connection.fetch(QUERIES["parked_keys"], None)
    parts: list[RenderableType] = [_heads(heads), states_table(states, {row["lane"]: row["position"] for row in heads})]
    if parked:
        parts.append(parked_table(parked))
    return Group(*parts)


def _heads(heads: list[asyncpg.Record]) -> Text:
    text = Text()
    for row in heads:
        written = f", last written {_ago(row['recorded_at'])}" if row["recorded_at"] else ""
        text.append(f"Log lane {row['lane']}: {row['position']:,} events{written}\n")
    return text


def states_table(states: list[asyncpg.Record], heads: dict[int, int]) -> Table:
    """One line per build and lane; `heads` are the positions of the log."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for column in ("Read model", "Build", "State", "Lane"):
        table.add_column(column)
    for column in ("Position", "Behind", "Lag", "Parked"):
        table.add_column(column, justify="right")
    table.add_column("")
    for row in states:
        behind = max(0, heads.get(row["lane"], 0) - (row["position"] or 0))
        table.add_row(
            row["name"],
            f"{row['build']} (v{row['code_version']})",
            Text(row["state"], style={"live": "green", "failed": "red"}.get(row["state"], "yellow")),
            str(row["lane"]),
            f"{row['position'] or 0:,}",
            f"{behind:,}",
            f"{row['lag_s']:.1f} s",
            Text(str(row["parked"]), style="red" if row["parked"] else ""),
            Text(_note(row), style="red" if row["trouble"] else "dim"),
        )
    return table


def _note(row: asyncpg.Record) -> str:
    if row["trouble"]:
        return str(row["trouble"])
    if row["state"] == "live" and not row["owners"]:
        return "no projector keeps it"
    return ""


def parked_table(parked: list[asyncpg.Record]) -> Table:
    table = Table(title="Parked keys", title_justify="left", box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for column in ("Read model", "Key", "At position", "Tries", "Since", "Why"):
        table.add_column(column)
    for row in parked:
        table.add_row(
            row["name"],
            str(row["key"]),
            f"{row['lane']}.{row['position']}",
            str(row["attempts"]),
            _ago(row["since"]),
            row["error"],
        )
    return table


def _ago(time: datetime) -> str:
    seconds = (datetime.now(UTC) - time).total_seconds()
    for length, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds > 2 * length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{max(seconds, 0):.0f} seconds ago"
