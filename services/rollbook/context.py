"""Which database, NATS and keys a subcommand uses: the environment's, else those of the stack on the data folder."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Collection, Coroutine
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

import rich_click as click
import uvloop
from rich.console import Console

from rollbook.embedded.process import ServerFailed
from rollbook.folder import DataFolder
from servicekit import environment
from servicekit.run import EXIT_MISCONFIGURED
from servicekit.settings import Settings

T = TypeVar("T")

console: Final = Console(highlight=False)
problems: Final = Console(stderr=True, highlight=False)

data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="The stack's folder.  [dim]\\[default: $ROLLBOOK_DATA_DIR or .rollbook][/]",
)


def settings_of(data_dir: Path | None, *, needed: Collection[str] = ()) -> Settings:
    """The settings of a subcommand; ends the program with every problem listed when they are wrong or incomplete.

    What the environment leaves open and is `needed` comes from the stack that runs on the data folder.
    """
    variables = dict(os.environ)
    if data_dir is not None:
        variables["ROLLBOOK_DATA_DIR"] = str(data_dir)
    try:
        settings = environment.load(variables)
        if any(not getattr(settings, name) for name in needed):
            settings = environment.load({**_of_stack(DataFolder(settings.data_dir)), **_set(variables)}, needed=needed)
    except environment.InvalidSettings as invalid:
        fail(
            "The settings are not complete, and no stack runs on the data folder:"
            if needed
            else "The settings are not valid:",
            *(f"  {problem}" for problem in invalid.problems),
            code=EXIT_MISCONFIGURED,
        )
    return settings


def _set(variables: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if value.strip()}


def _of_stack(folder: DataFolder) -> dict[str, str]:
    running = folder.running()
    if running is None or not folder.is_locked():
        return {}
    found = {"ROLLBOOK_DATABASE_URL": running.database, "ROLLBOOK_NATS_URL": running.nats}
    if folder.has_master_key():
        found["ROLLBOOK_MASTER_KEY"] = folder.master_key(Settings())
    return found


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a subcommand's work on the event loop; what did not start ends the program with its reason."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            return runner.run(work)
        except ServerFailed as failed:
            fail(str(failed))


def fail(*lines: str, code: int = 1) -> NoReturn:
    """Say why on standard error, and end."""
    for line in lines:
        problems.print(line, markup=False, style="red" if line is lines[0] else None, soft_wrap=True)
    sys.exit(code)
