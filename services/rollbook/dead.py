"""`rollbook bridge dead`: the inbound messages that could not be recorded: list them, send them again, drop them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import rich_click as click
from rich.table import Table
from rich.text import Text

from rollbook.context import console, data_dir_option, fail, run, settings_of
from rollbook.embedded.process import ServerFailed
from servicekit.dead_letters import DeadLetters, DeadLettersUnavailable, Letter, NoSuchLetter, NotWhole, dead_letters

LIST_MAX: Final = 100
APPLICATION: Final = "operator"
ERRORS_SHOWN: Final = 3

ids_argument = click.argument("ids", nargs=-1)
all_option = click.option("--all", "everything", is_flag=True, help="All of the workspace, or of everybody.")
workspace_option = click.option("--workspace", type=click.UUID, help="Only of this workspace.")


@click.group()
def bridge() -> None:
    """Look after the bridge to NATS."""


@bridge.group()
def dead() -> None:
    """Inbound messages that could not be recorded, each with its reason."""


@dead.command(name="list")
@data_dir_option
@workspace_option
@click.option("--limit", type=click.IntRange(1), default=LIST_MAX, show_default=True, help="So many at most.")
def list_(data_dir: Path | None, workspace: UUID | None, limit: int) -> None:
    """List them, oldest first."""

    async def show(letters: DeadLetters) -> None:
        found = await letters.list(workspace, limit=limit)
        console.print(_table(found) if found else "No dead letters.")

    _with_letters(data_dir, show)


@dead.command()
@data_dir_option
@workspace_option
@all_option
@ids_argument
def retry(data_dir: Path | None, workspace: UUID | None, everything: bool, ids: Sequence[str]) -> None:
    """Send them to the inbox again, as they came."""
    _of_each(data_dir, workspace, ids, everything, "sent again", lambda letters, letter: letters.retry(letter))


@dead.command()
@data_dir_option
@workspace_option
@all_option
@ids_argument
def drop(data_dir: Path | None, workspace: UUID | None, everything: bool, ids: Sequence[str]) -> None:
    """Drop them for good."""
    _of_each(data_dir, workspace, ids, everything, "dropped", lambda letters, letter: letters.drop(letter))


def _of_each(
    data_dir: Path | None, workspace: UUID | None, ids: Sequence[str], everything: bool, done: str,
    act: Callable[[DeadLetters, Letter], Coroutine[Any, Any, None]],
) -> None:  # fmt: skip
    if bool(ids) == everything:
        fail("Name the letters, or say --all.", code=2)

    async def work(letters: DeadLetters) -> None:
        count = 0
        if everything:
            # What is sent again may come back: only those that are there now.
            wanted = await letters.list(workspace, limit=1_000_000)
        else:
            wanted = [await letters.get(id_, workspace) for id_ in ids]
        for letter in wanted:
            try:
                await act(letters, letter)
                count += 1
            except NotWhole as error:
                console.print(f"[yellow]{letter.id}[/] cannot be sent again: {error}")
        console.print(f"{count} {done}.")

    _with_letters(data_dir, work)


def _with_letters(data_dir: Path | None, work: Callable[[DeadLetters], Coroutine[Any, Any, None]]) -> None:
    async def connected(nats_url: str) -> None:
        try:
            async with dead_letters(nats_url, application=APPLICATION) as letters:
                await work(letters)
        except NoSuchLetter as missing:
            raise ServerFailed(str(missing)) from None
        except DeadLettersUnavailable as error:
            raise ServerFailed(f"NATS does not answer: {error}") from None

    run(connected(settings_of(data_dir, needed=["nats_url"]).nats_url))


def _table(letters: Sequence[Letter]) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False)
    for title in ("id", "since", "workspace", "kind", "tries", "reason"):
        table.add_column(title, overflow="fold")
    for letter in letters:
        since = f"{letter.at:%Y-%m-%d %H:%M:%S}"
        workspace = str(letter.workspace_id or "")
        table.add_row(letter.id, since, workspace, Text(_plain(letter.kind)), str(letter.attempts), _reason(letter))
    return table


def _reason(letter: Letter) -> Text:
    """The code, and where something is wrong; values are not shown."""
    faults = [f"{fault.pointer} {fault.reason}" for fault in letter.reason.errors[:ERRORS_SHOWN]]
    return Text(_plain(f"{letter.reason.code}: {'; '.join(faults) or letter.reason.detail}"))


def _plain(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()
