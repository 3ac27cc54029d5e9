"""`rollbook seed` and `up --demo`: people and their history, written to the log in the order of their times."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterable, Iterator
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
from contacts.catalog import CODEC
from contacts.contact.handler import ContactRules
from contacts.contact.state import CATEGORY, Contact
from contacts.workspace.commands import DefineAttribute
from contacts.workspace.directory import Workspaces
from contacts.workspace.handler import WorkspaceHandler
from eventstore.cipher import Keyring
from eventstore.envelope import Metadata, Stream, StreamWrite, Write
from eventstore.errors import DuplicateAppend
from eventstore.store import EventStore
from rollbook.context import console, data_dir_option, fail, run, settings_of
from rollbook.folder import DataFolder
from rollbook.history import ATTRIBUTES, Histories, Step
from servicekit.settings import parse_master_keys

DEMO_CONTACTS: Final = 5_000
DEMO_DAYS: Final = 90
DEMO_SEED: Final = 7
#: Lives are made and written in blocks of so many contacts, so that a million need no more memory.
BLOCK_CONTACTS: Final = 5_000
#: Events of one write to the log; the bulk path commits so many at once.
WRITE_EVENTS_MAX: Final = 1_000
ACTOR: Final = "system:seed"


@click.command()
@data_dir_option
@click.option(
    "--contacts", default=DEMO_CONTACTS, show_default=True, type=click.IntRange(1, 5_000_000), help="How many."
)
@click.option(
    "--days", default=DEMO_DAYS, show_default=True, type=click.IntRange(1, 3650), help="How far back they go."
)
@click.option("--seed", "number", default=DEMO_SEED, show_default=True, help="The same number makes the same people.")
@click.option("--workspace", type=click.UUID, help="Where to.  [dim]\\[default: the running stack's][/]")
def seed(data_dir: Path | None, contacts: int, days: int, number: int, workspace: UUID | None) -> None:
    """Fill a workspace with plausible contacts and their history, through the log.

    Run again after it was cut short, it goes on where it stopped.
    """
    settings = settings_of(data_dir, needed=["database_url", "master_key"])
    running = DataFolder(settings.data_dir).running()
    target = workspace or settings.bootstrap_workspace or (running.workspace if running else None)
    if target is None:
        fail("Which workspace? Give --workspace, or start a stack with `rollbook up`")
    plan = Plan(target, contacts, days, number)
    run(seed_contacts(settings.database_url, settings.master_key, plan, console))


class Plan(NamedTuple):
    """What is to be seeded. The same plan is seeded once, whatever interrupts it."""

    workspace_id: UUID
    contacts: int
    days: int
    seed: int

    @property
    def key(self) -> str:
        return f"seed-{self.seed}-{self.contacts}-{self.days}"

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
        with _progress(console) as progress:
            task = progress.add_task("contacts", total=plan.contacts, events=0)
            async for contacts, events in _write(store, plan):
                progress.advance(task, contacts)
                progress.update(task, events=progress.tasks[0].fields["events"] + events)
            spent = progress.tasks[0].elapsed or 0.0
            events = progress.tasks[0].fields["events"]
        console.print(
            f"[green]{plan.contacts:,} contacts[/] with {events:,} events over {plan.days} days, in {spent:.1f} s"
        )
    finally:
        await store.close()


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


async def _write(store: EventStore, plan: Plan) -> AsyncIterator[tuple[int, int]]:
    """Yields contacts and events written since the last time."""
    started = await _started_at(store, plan)
    start = started - timedelta(days=plan.days)
    histories = Histories(plan.workspace_id, plan.seed, start, plan.days, plan.series)
    for first in range(0, plan.contacts, BLOCK_CONTACTS):
        numbers = range(first, min(first + BLOCK_CONTACTS, plan.contacts))
        writes = [write for number in numbers for write in writes_of(histories.life(number))]
        writes.sort(key=lambda write: write.metadata.occurred_at or started)
        for n, part in enumerate(parts(writes)):
            new = sum(write.streams[0].expected_version == 0 for write in part)
            keyed = [msgspec.structs.replace(part[0], idempotency_key=f"{plan.key}-{first}-{n}"), *part[1:]]
            # A part that an interrupted run wrote already is passed over: it was one commit.
            with suppress(DuplicateAppend):
                await store.append_bulk(keyed)
            yield new, sum(len(write.streams[0].events) for write in part)
    await store.append(Write(workspace_id=plan.workspace_id, streams=(), idempotency_key=f"{plan.key}-done"))


async def _started_at(store: EventStore, plan: Plan) -> datetime:
    """When the plan was first begun: histories end there, also when it is gone on with later."""
    write = Write(workspace_id=plan.workspace_id, streams=(), idempotency_key=f"{plan.key}-begun")
    try:
        return (await store.append(write)).recorded_at
    except DuplicateAppend as begun:
        return begun.original.recorded_at


def writes_of(steps: Iterable[Step]) -> Iterator[Write]:
    """A life as writes to the log, with the versions and claims that the handler would have come to."""
    rules = ContactRules()
    contact: Contact | None = None
    for at, command, source in steps:
        contact = contact or rules.initial(command.contact_id)
        events = tuple(rules.decide(command, contact))
        if not events:
            continue
        after = contact
        for event in events:
            after = rules.evolve(after, event, at)
        yield Write(
            workspace_id=command.workspace_id,
            streams=(
                StreamWrite(
                    stream=Stream(command.workspace_id, CATEGORY, command.contact_id),
                    expected_version=contact.version,
                    events=events,
                    subject_id=command.contact_id,
                    new_subject=contact.version == 0,
                ),
            ),
            claims=tuple(rules.claims(contact, after)),
            metadata=Metadata(actor=ACTOR, source=source, occurred_at=at),
        )
        contact = after


def parts(writes: Iterable[Write]) -> Iterator[list[Write]]:
    """In order, each part small enough for one commit and with no stream twice."""
    part: list[Write] = []
    streams: set[UUID] = set()
    events = 0
    for write in writes:
        (stream_write,) = write.streams
        if events + len(stream_write.events) > WRITE_EVENTS_MAX or stream_write.stream.id in streams:
            yield part
            part, streams, events = [], set(), 0
        part.append(write)
        streams.add(stream_write.stream.id)
        events += len(stream_write.events)
    if part:
        yield part
