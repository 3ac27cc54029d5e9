"""Contacts and merges on a log in real PostgreSQL; several desks stand for several processes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final
from uuid import UUID, uuid4

import pytest
from uuid_utils.compat import uuid7

from contacts.catalog import CODEC
from contacts.contact import commands as c
from contacts.contact import input as contact_input
from contacts.contact.handler import ContactHandler
from contacts.contact.handler import Outcome as ContactOutcome
from contacts.contact.input import NewContactInput
from contacts.contact.state import Contact
from contacts.merge.commands import MergeContacts, UnmergeContacts
from contacts.merge.handler import MergeHandler, Outcome
from contacts.workspace.state import Workspace
from eventstore.cipher import Keyring
from eventstore.envelope import Metadata, Stream
from eventstore.store import EventStore

KEYRING: Final = Keyring.from_secret(b"a master secret of the tests, 32+ bytes")
METADATA: Final = Metadata(actor="key:test", source="api", correlation_id="request-1")


class Desk:
    """Handlers with a cache of their own, as each process has them."""

    def __init__(self, store: EventStore, workspace_id: UUID, find: Any = None) -> None:
        self.store = store
        self.workspace = Workspace(id=workspace_id, version=1)
        self.contacts = ContactHandler(store, find=find)
        self.merges = MergeHandler(store, self.contacts.components)

    def beside(self) -> Desk:
        """Another process."""
        return Desk(self.store, self.workspace.id)

    async def do(self, command: Any, key: str | None = None, digest: bytes = b"", **options: Any) -> ContactOutcome:
        return await self.contacts.execute(
            command, metadata=METADATA, idempotency_key=key, request_hash=digest, **options
        )

    async def create(self, **fields: Any) -> UUID:
        fields = fields or {"email": f"{uuid7()}@example.com"}
        new = NewContactInput(**fields)
        return (await self.do(contact_input.create_contact(new, self.workspace, contact_id=uuid7()))).contact_id

    async def edit(self, contact_id: UUID, key: str | None = None, **details: Any) -> ContactOutcome:
        return await self.of(c.EditContact, contact_id, key, details=c.Details(**details))

    async def of(self, command: type, contact_id: UUID, key: str | None = None, **fields: Any) -> ContactOutcome:
        return await self.do(command(workspace_id=self.workspace.id, contact_id=contact_id, **fields), key)

    async def upsert(self, by: c.UpsertKind, value: str, **fields: Any) -> ContactOutcome:
        body = NewContactInput(**fields)
        return await self.do(contact_input.upsert_contact(by, value, body, self.workspace, contact_id=uuid7()))

    async def merge(
        self, primary: UUID, *others: UUID, key: str | None = None, digest: bytes = b"", **choices: UUID
    ) -> Outcome:
        command = MergeContacts(
            workspace_id=self.workspace.id, merge_id=uuid7(), primary=primary, others=others, choices=choices
        )
        return await self.merges.execute(command, metadata=METADATA, idempotency_key=key, request_hash=digest)

    async def unmerge(
        self, merge_id: UUID, *contacts: UUID, mode: Any = "subtree", key: str | None = None, **assign: UUID
    ) -> Outcome:
        command = UnmergeContacts(
            workspace_id=self.workspace.id, merge_id=merge_id, contacts=contacts, mode=mode, assign=assign
        )
        return await self.merges.execute(command, metadata=METADATA, idempotency_key=key)

    async def shown(self, contact_id: UUID) -> Contact:
        """The profile, straight from the log."""
        return await self.contacts.load(self.workspace.id, contact_id)

    async def holder(self, kind: str, value: str) -> UUID | None:
        return await self.store.find_claim(self.workspace.id, kind, value)

    async def events(self, contact_id: UUID, category: str = "contact") -> list[str]:
        return [e.type for e in await self.store.read_stream(Stream(self.workspace.id, category, contact_id))]


@pytest.fixture
async def store(module_database: str) -> AsyncIterator[EventStore]:
    opened = await EventStore.open(module_database, codec=CODEC, keyring=KEYRING, pool_size=4)
    yield opened
    await opened.close()


@pytest.fixture
def desk(store: EventStore) -> Desk:
    """Of a workspace of this test's own in the database that the module shares."""
    return Desk(store, uuid4())
