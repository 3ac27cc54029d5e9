"""`rollbook seed` and `up --demo`: people and their history, written to the log in the order of their times."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple
from uuid import UUID
from zlib import crc32

import msgspec
import rich_click as click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from contacts import errors
from contacts.addresses import AddressKeys
from contacts.catalog import CODEC
from contacts.consent.record import CATEGORIES as FACTS
from contacts.contact.state import CATEGORY as CONTACT
from contacts.lists.commands import CreateList
from contacts.lists.handler import ListHandler
from contacts.lists.refusals import ListAlreadyExists
from contacts.workspace.commands import DefineAttribute
from contacts.workspace.directory import Workspaces
from contacts.workspace.handler import WorkspaceHandler
from eventstore.cipher import Keyring
from eventstore.envelope import Metadata, Write
from eventstore.errors import DuplicateAppend, WrongExpectedVersion
from eventstore.store import EventStore
from rollbook.blocks import ACTOR, Block, Span, parts
from rollbook.context import console, data_dir_option, fail, run, settings_of
from rollbook.folder import DataFolder
from rollbook.history import ATTRIBUTES, LISTS, Histories, list_id
from servicekit.settings import parse_master_keys

DEMO_CONTACTS: Final = 5_000
DEMO_DAYS: Final = 90
DEMO_SEED: Final = 7
#: Lives are made and written in blocks of so many contacts, so that a million need no more memory.
BLOCK_CONTACTS: Final = 5_000


@click.command()
@data_dir_option
@click.option(
    "--contacts", default=DEMO_CONTACTS, show_default=True, type=click.IntRange(1, 5_000_000), help="How many."
)
@click.option(
    "--activities", default=0, show_default=True, type=click.IntRange(0, 100_000_000), help="What they do, in all."
)
@click.option(
    "--days", default=DEMO_DAYS, show_default=True, type=click.IntRange(1, 3650), help="How far back they go."
)
@click.option("--seed", "number", default=DEMO_SEED, show_default=True, help="The same number makes the same people.")
@click.option("--workspace", type=click.UUID, help="Where to.  [dim]\\[default: the running stack's][/]")
def seed(data_dir: Path | None, contacts: int, activities: int, days: int, number: int, workspace: UUID | None) -> None:
    """Fill a workspace with plausible contacts and their history, through the log.

    Run again after it was cut short, or interrupted with Ctrl-C, it goes on where it stopped.
    """
    settings = settings_of(data_dir, needed=["database_url", "master_key"])
    running = DataFolder(settings.data_dir).running()
    target = workspace or settings.bootstrap_workspace or (running.workspace if running else None)
    if target is None:
        fail("Which workspace? Give --workspace, or start a stack with `rollbook up`")
    plan = Plan(target, contacts, days, number, activities)
    run(seed_contacts(settings.database_url, settings.master_key, plan, console))


class Plan(NamedTuple):
    """What is to be seeded. The same plan is seeded once, whatever interrupts it."""

    workspace_id: UUID
    contacts: int
    days: int
    seed: int
    activities: int = 0

    @property
    def key(self) -> str:
        return f"seed-{self.seed}-{self.contacts}-{self.days}" + (f"-{self.activities}" if self.activities else "")

    def seed_of(self, first: int) -> int:
        """Of the block that begins with a contact: every block can be made without the others."""
        return self.seed if first == 0 else crc32(f"{self.seed}-{first}".encode()) << 8 | 1

    @property
    def series(self) -> str:
        """Four letters that begin this plan's external ids."""
        return base64.b32encode(crc32(self.key.encode()).to_bytes(4, "big")).decode()[:4]


async def seed_demo(database_url: str, master_key: str, workspace_id: UUID, console: Console) -> None:
    """The contacts of `up --demo`, unless they are there already."""
    await seed_contacts(database_url, master_key, Plan(workspace_id, DEMO_CONTACTS, DEMO_DAYS, DEMO_SEED), console)


async def seed_contacts(database_url: str, master_key: str, plan: Plan, console: Console) -> None:
    keys = parse_master_keys(master_key)
    store = await EventStore.open(
        database_url, codec=CODEC, keyring=Keyring(keys, current=max(keys)), role="rollbook_writer", pool_size=2
    )
    try:
        if await store.find_idempotent(plan.workspace_id, f"{plan.key}-done"):
            console.print(f"The {plan.contacts:,} contacts of seed {plan.seed} are there already.")
            return
        await _define_attributes(store, plan.workspace_id)
        await _make_lists(store, plan.workspace_id)
        with _progress(console) as progress:
            task = progress.add_task("contacts", total=plan.contacts, events=0)
            async for written in _write(store, plan):
                progress.advance(task, written.contacts)
                progress.update(task, events=progress.tasks[0].fields["events"] + written.events)
            spent = progress.tasks[0].elapsed or 0.0
            events = progress.tasks[0].fields["events"]
        console.print(
            f"[green]{plan.contacts:,} contacts[/] with {events:,} events over {plan.days} days, in {spent:.1f} s"
        )
    finally:
        await store.close()


class Written(NamedTuple):
    """Of a seeding, since the last time it was told."""

    contacts: int
    events: int


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        events = int(task.fields["events"])
        return Text(f"{events:,} events, {events / max(task.elapsed or 0.0, 0.1):,.0f}/s")


def _progress(console: Console) -> Progress:
    columns = (TextColumn("Seeding"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True)


async def _define_attributes(store: EventStore, workspace_id: UUID) -> None:
    handler = WorkspaceHandler(store, Workspaces(store))
    for key, name, type_, options in ATTRIBUTES:
        try:
            await handler.execute(
                DefineAttribute(workspace_id=workspace_id, key=key, name=name, type=type_, options=options),
                metadata=Metadata(actor=ACTOR, source="manual"),
            )
        except errors.AttributeAlreadyDefined:
            continue
        except errors.WorkspaceNotFound:
            fail(f"there is no workspace {workspace_id}")


async def _write(store: EventStore, plan: Plan) -> AsyncIterator[Written]:
    """Tells what was written since the last time, or had been written before."""
    started = await _started_at(store, plan)
    span = Span(plan.workspace_id, started - timedelta(days=plan.days), plan.days)
    keys = AddressKeys(store.keyring.hmac)
    for first in range(0, plan.contacts, BLOCK_CONTACTS):
        numbers = range(first, min(first + BLOCK_CONTACTS, plan.contacts))
        done = f"{plan.key}-{first}-done"
        if await store.find_idempotent(plan.workspace_id, done):
            yield Written(len(numbers), 0)
            continue
        seed = plan.seed_of(first)
        histories = Histories(plan.workspace_id, seed, span.start, plan.days, plan.series)
        activities = plan.activities * numbers.stop // plan.contacts - plan.activities * first // plan.contacts
        writes = Block(span, histories, str(seed), keys).writes(numbers, activities)
        for n, part in enumerate(parts(writes)):
            new = sum(write.streams[0].stream.category == CONTACT and write.streams[0].new_subject for write in part)
            await _append(store, part, f"{plan.key}-{first}-{n}")
            yield Written(new, sum(len(stream.events) for write in part for stream in write.streams))
        await store.append(Write(workspace_id=plan.workspace_id, streams=(), idempotency_key=done))
    await store.append(Write(workspace_id=plan.workspace_id, streams=(), idempotency_key=f"{plan.key}-done"))


async def _append(store: EventStore, part: Sequence[Write], key: str) -> None:
    """One commit. A part that an interrupted run wrote already is passed over."""
    while part:
        keyed = [msgspec.structs.replace(part[0], idempotency_key=key), *part[1:]]
        try:
            await store.append_bulk(keyed)
        except DuplicateAppend:
            return
        except WrongExpectedVersion as conflict:
            # Somebody of another block happens to have the same phone, of which something was said already.
            if conflict.stream.category not in FACTS:
                raise
            part = [write for write in part if all(s.stream.id != conflict.stream.id for s in write.streams)]
        else:
            return


async def _make_lists(store: EventStore, workspace_id: UUID) -> None:
    handler = ListHandler(store)
    for name in LISTS:
        command = CreateList(workspace_id=workspace_id, list_id=list_id(workspace_id, name), name=name)
        with suppress(ListAlreadyExists):
            await handler.execute(command, metadata=Metadata(actor=ACTOR, source="manual"))


async def _started_at(store: EventStore, plan: Plan) -> datetime:
    """When the plan was first begun: histories end there, also when it is gone on with later."""
    write = Write(workspace_id=plan.workspace_id, streams=(), idempotency_key=f"{plan.key}-begun")
    try:
        return (await store.append(write)).recorded_at
    except DuplicateAppend as begun:
        return begun.original.recorded_at
