"""Contacts, merges and activity on a log in real PostgreSQL, with the read models that say who is meant."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from contacts.activity.events import ActivityRecorded
from contacts.activity.handler import ActivityHandler, Report, Result
from contacts.activity.input import ActivityInput, ContactReferenceInput, record_activity
from contacts.activity.matching import CaughtUpLookUp, Matcher
from contacts.activity.queries import Activity, ActivityQueries, MatchQueries, Timeline
from contacts.catalog import CODEC, PROJECTIONS
from contacts.contact import commands as c
from contacts.contact import input as contact_input
from contacts.contact.handler import ContactHandler
from contacts.contact.input import NewContactInput
from contacts.merge.commands import MergeContacts, UnmergeContacts
from contacts.merge.handler import MergeHandler
from contacts.workspace.state import Workspace
from eventstore import builds
from eventstore.cipher import Keyring
from eventstore.envelope import Metadata, RecordedEvent, Stream
from eventstore.progress import Progress
from eventstore.projector import Projector
from eventstore.store import EventStore

KEYRING: Final = Keyring.from_secret(b"a master secret of the tests, 32+ bytes")
METADATA: Final = Metadata(actor="key:test", source="api", correlation_id="request-1")
NOW: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
WAIT_S: Final = 20.0


class Desk:
    """Handlers with a cache of their own, as each process has them, and the queries beside them."""

    def __init__(self, store: EventStore, readers: asyncpg.Pool, progress: Progress, workspace_id: UUID) -> None:
        self.store = store
        self.progress = progress
        self.workspace = Workspace(id=workspace_id, version=1)
        self.contacts = ContactHandler(store)
        self.merges = MergeHandler(store, self.contacts.components)
        look_up = CaughtUpLookUp(MatchQueries(readers), progress, WAIT_S)
        self.activity = ActivityHandler(store, self.contacts.components, Matcher(store, look_up))
        self.queries = ActivityQueries(readers, b"sixteen bytes ok")
        self._readers = readers

    def beside(self, workspace_id: UUID | None = None) -> Desk:
        """Another process; of another workspace where one is given."""
        return Desk(self.store, self._readers, self.progress, workspace_id or self.workspace.id)

    async def create(self, **fields: Any) -> UUID:
        new = NewContactInput(**(fields or {"email": f"{uuid7()}@example.com"}))
        command = contact_input.create_contact(new, self.workspace, contact_id=uuid7())
        return (await self.contacts.execute(command, metadata=METADATA)).contact_id

    async def do(self, command: type, contact_id: UUID, **fields: Any) -> None:
        wanted = command(workspace_id=self.workspace.id, contact_id=contact_id, **fields)
        await self.contacts.execute(wanted, metadata=METADATA)

    async def merge(self, primary: UUID, *others: UUID) -> UUID:
        command = MergeContacts(workspace_id=self.workspace.id, merge_id=uuid7(), primary=primary, others=others)
        return (await self.merges.execute(command, metadata=METADATA)).merge.id

    async def unmerge(self, merge_id: UUID, *contacts: UUID, mode: Any = "subtree") -> None:
        command = UnmergeContacts(workspace_id=self.workspace.id, merge_id=merge_id, contacts=contacts, mode=mode)
        await self.merges.execute(command, metadata=METADATA)

    async def upsert(self, by: c.UpsertKind, value: str) -> UUID:
        command = contact_input.upsert_contact(by, value, NewContactInput(), self.workspace, contact_id=uuid7())
        return (await self.contacts.execute(command, metadata=METADATA)).contact_id

    async def send(self, *sent: ActivityInput) -> Report:
        commands = [record_activity(each, self.workspace, now=NOW) for each in sent]
        return await self.activity.record(self.workspace.id, commands, metadata=METADATA)

    async def tell(self, id_: str, minute: int = 0, **contact: Any) -> Result:
        """One click, some minutes after noon."""
        return (await self.send(clicked(id_, minute, **contact))).results[0]

    async def recorded(self, contact_id: UUID) -> list[RecordedEvent[ActivityRecorded]]:
        """What the log has in this very contact's own activity stream."""
        return await self.store.read_stream(Stream(self.workspace.id, "activity", contact_id))

    async def timeline(self, contact_id: UUID, **wanted: Any) -> list[Activity]:
        """As the API shows it: of the profile that the contact is part of, when all is projected."""
        met = await self.contacts.components.meet(Stream(self.workspace.id, "contact", contact_id), fresh=True)
        await self.progress.wait("activity", 0, await self.store.head(0), WAIT_S)
        members = (met.state.id, *met.others)
        timeline = Timeline(workspace_id=self.workspace.id, contact_id=met.state.id, members=members, **wanted)
        return list((await self.queries.page(timeline, limit=1_000)).items)

    async def ids(self, contact_id: UUID) -> list[str]:
        return [activity.activity_id for activity in await self.timeline(contact_id)]


def clicked(id_: str, minute: int = 0, **contact: Any) -> ActivityInput:
    return ActivityInput(
        id=id_,
        source="mailer",
        type="message.clicked",
        time=NOW - timedelta(days=1) + timedelta(minutes=minute),
        contact=ContactReferenceInput(**contact),
        data={"channel": "email"},
    )


@pytest.fixture(scope="module")
async def store(module_database: str) -> AsyncIterator[EventStore]:
    opened = await EventStore.open(module_database, codec=CODEC, keyring=KEYRING, pool_size=4)
    yield opened
    await opened.close()


@pytest.fixture(scope="module")
async def shared_desk(module_database: str, store: EventStore) -> AsyncIterator[Desk]:
    projector = await asyncpg.connect(module_database, server_settings={"role": "rollbook_projector"})
    await builds.ensure_builds(projector, PROJECTIONS)
    await projector.close()
    readers = await asyncpg.create_pool(
        module_database, min_size=1, max_size=3, server_settings={"role": "rollbook_reader", "jit": "off"}
    )
    progress = await Progress.open(module_database)
    running = asyncio.create_task(Projector(store, module_database, PROJECTIONS).run())
    yield Desk(store, readers, progress, uuid4())
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await progress.close()
    await readers.close()


@pytest.fixture
def desk(shared_desk: Desk) -> Desk:
    """Of a workspace of this test's own in the database that the module shares."""
    return shared_desk.beside(uuid4())
