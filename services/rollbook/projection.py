"""`rollbook projection`: what an operator does with read models. The doing is in `eventstore.rebuild` and `parked`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from uuid import UUID

import rich_click as click
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from contacts.catalog import CODEC, PROJECTIONS
from contacts.contact.verification import Verification
from eventstore import parked
from eventstore.cipher import Keyring
from eventstore.errors import BuildBusy, NeverLevel, NoSuchBuild, VerificationFailed
from eventstore.projection import Projection
from eventstore.rebuild import Rebuild, RebuildProgress, Rebuilt
from eventstore.store import EventStore
from rollbook.context import console, data_dir_option, fail, run, settings_of
from rollbook.status import connect, read_models
from servicekit.settings import Settings

NAMES = [projection.name for projection in PROJECTIONS]
#: Read models that are compared with the log itself, beside the comparison of every build with the live one.
VERIFICATIONS = {"contact": Verification}


@click.group()
def projection() -> None:
    """Look at read models, rebuild them from the log, bring an earlier build back."""


@projection.command(name="list")
@data_dir_option
def list_(data_dir: Path | None) -> None:
    """List every build, how far it is, and the keys that are parked."""
    run(_list(settings_of(data_dir, needed=["database_url"]).database_url))


@projection.command()
@data_dir_option
@click.argument("name", type=click.Choice(NAMES))
def rebuild(data_dir: Path | None, name: str) -> None:
    """Build NAME anew from the log beside the live one, compare the two and swap; queries go on meanwhile.

    Stopped in between, it goes on where it was when called again.
    """
    run(_renew(settings_of(data_dir, needed=["database_url", "master_key"]), _projection(name), "rebuild"))


@projection.command()
@data_dir_option
@click.argument("name", type=click.Choice(NAMES))
def rollback(data_dir: Path | None, name: str) -> None:
    """Bring back the build of NAME that was live before, brought up to date."""
    run(_renew(settings_of(data_dir, needed=["database_url", "master_key"]), _projection(name), "rollback"))


@projection.command()
@data_dir_option
@click.argument("name", type=click.Choice(NAMES))
@click.argument("key", type=click.UUID, required=False)
def retry(data_dir: Path | None, name: str, key: UUID | None) -> None:
    """Try the parked KEY of NAME again, or all of them."""
    run(_retry(settings_of(data_dir, needed=["database_url"]).database_url, name, key))


def _projection(name: str) -> Projection:
    return next(each for each in PROJECTIONS if each.name == name)


async def _list(database_url: str) -> None:
    connection = await connect(database_url)
    try:
        console.print(*await read_models(connection), sep="\n")
    finally:
        await connection.close()


async def _renew(settings: Settings, projection: Projection, how: Literal["rebuild", "rollback"]) -> None:
    keyring = Keyring(settings.master_keys, current=max(settings.master_keys))
    store = await EventStore.open(settings.database_url, codec=CODEC, keyring=keyring, pool_size=4)
    columns = (
        TextColumn("{task.description:<8}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    try:
        with Progress(*columns, console=console) as progress:
            verify = VERIFICATIONS[projection.name](store) if projection.name in VERIFICATIONS else None
            work = Rebuild(store, settings.database_url, projection, on_progress=Bars(progress), verify=verify)
            rebuilt = await (work.run() if how == "rebuild" else work.rollback())
        _tell(rebuilt)
    except (BuildBusy, NoSuchBuild, VerificationFailed, NeverLevel) as refused:
        fail(str(refused))
    finally:
        await store.close()


class Bars:
    """A bar for each phase of a rebuild, in the order they come."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._phase = ""

    def __call__(self, told: RebuildProgress) -> None:
        if told.phase != self._phase:
            self._finish()
            self._phase = told.phase
            if told.phase != "done":
                self._task = self._progress.add_task(told.phase, total=told.total or None, rate="")
        if told.phase != "done":
            rate = f"{told.rate_per_s:,.0f}/s" if told.phase == "replay" else ""
            self._progress.update(self._task, completed=told.done, rate=rate)

    def _finish(self) -> None:
        if self._phase:
            task = self._progress.tasks[self._task]
            self._progress.update(self._task, total=task.total or 1, completed=task.total or 1)


def _tell(rebuilt: Rebuilt) -> None:
    seconds = sum(rebuilt.seconds.values())
    console.print(
        f"[green]{rebuilt.build.name} build {rebuilt.build.build} is live[/] at position {rebuilt.position:,} "
        f"({seconds:.1f} s; the swap held its projector up for {rebuilt.stalled_ms:.0f} ms, queries not at all)"
    )
    if rebuilt.parked:
        console.print(f"[red]{rebuilt.parked} keys are parked[/]: `rollbook projection list` shows them")


async def _retry(database_url: str, name: str, key: UUID | None) -> None:
    connection = await connect(database_url)
    try:
        answer = await parked.retry(connection, name, key)
    finally:
        await connection.close()
    console.print(f"{len(answer.healed)} keys follow the log again")
    for failure in answer.parked:
        console.print(
            f"[red]{failure.key} stopped at position {failure.position} again:[/] {failure.error}", markup=True
        )
    if answer.waiting:
        fail(f"{len(answer.waiting)} keys were not tried within 10 s: is a projector running?")
