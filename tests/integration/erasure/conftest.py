"""Contacts, merges, facts about addresses and erasures on a log in real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final
from uuid import UUID, uuid4

import pytest
from uuid_utils.compat import uuid7

from contacts.addresses import AddressKeys
from contacts.catalog import CODEC
from contacts.contact import commands as c
from contacts.contact import input as contact_input
from contacts.contact.handler import ContactHandler
from contacts.contact.handler import Outcome as ContactOutcome
from contacts.contact.input import NewContactInput
from contacts.emails import parse_email
from contacts.erasure.commands import EraseContact
from contacts.erasure.handler import ErasureHandler, Outcome
from contacts.execution import Request
from contacts.facts import Facts
from contacts.merge.commands import MergeContacts
from contacts.merge.handler import MergeHandler
from contacts.suppression.commands import BlacklistAddress
from contacts.workspace.state import Workspace
from eventstore.cipher import Keyring
from eventstore.envelope import Metadata, Stream, Unreadable
from eventstore.store import EventStore

KEYRING: Final = Keyring.from_secret(b"a master secret of the tests, 32+ bytes")
METADATA: Final = Metadata(actor="key:test", source="api", correlation_id="request-1")


class Desk:
    """Handlers with caches of their own, as each process has them."""

    def __init__(self, store: EventStore, workspace_id: UUID) -> None:
        self.store = store
        self.workspace = Workspace(id=workspace_id, version=1)
        self.keys, self.facts = AddressKeys(store.keyring.hmac), Facts(store)
        self.contacts = ContactHandler(store)
        self.merges = MergeHandler(store, self.contacts.components)
        self.erasures = ErasureHandler(store, self.contacts.components, self.facts, self.keys)

    def beside(self) -> Desk:
        """Another process."""
        return Desk(self.store, self.workspace.id)

    async def do(self, command: Any, key: str | None = None) -> ContactOutcome:
        return await self.contacts.execute(command, metadata=METADATA, idempotency_key=key)

    async def create(self, key: str | None = None, **fields: Any) -> UUID:
        new = NewContactInput(**(fields or {"email": f"{uuid7()}@example.com"}))
        return (await self.do(contact_input.create_contact(new, self.workspace, contact_id=uuid7()), key)).contact_id

    async def of(self, command: type, contact_id: UUID, key: str | None = None, **fields: Any) -> ContactOutcome:
        return await self.do(command(workspace_id=self.workspace.id, contact_id=contact_id, **fields), key)

    async def tag(self, contact_id: UUID, *tags: str, key: str | None = None) -> ContactOutcome:
        return await self.of(c.TagContact, contact_id, key, tags=tags)

    async def merge(self, primary: UUID, *others: UUID) -> UUID:
        command = MergeContacts(workspace_id=self.workspace.id, merge_id=uuid7(), primary=primary, others=others)
        return (await self.merges.execute(command, metadata=METADATA)).merge.id

    async def blacklist(self, email: str) -> None:
        address = self.keys.email(parse_email(email))
        command = BlacklistAddress(
            workspace_id=self.workspace.id, address=address, reason="secret words"
        )  # fmt: skip
        await self.facts.record(self.workspace.id, [command], Request(), (uuid7(), 1))

    async def erase(self, contact_id: UUID, key: str | None = None, **options: Any) -> Outcome:
        command = EraseContact(
            workspace_id=self.workspace.id, contact_id=contact_id, erasure_id=uuid7(), reason="person_asked"
        )
        return await self.erasures.execute(command, metadata=METADATA, idempotency_key=key, **options)

    async def readable(self, stream_id: UUID, category: str = "contact") -> list[str]:
        """Types of the events of a stream that can be read."""
        events = await self.store.read_stream(Stream(self.workspace.id, category, stream_id))
        return [event.type for event in events if not isinstance(event.event, Unreadable)]


@pytest.fixture
async def store(module_database: str) -> AsyncIterator[EventStore]:
    opened = await EventStore.open(module_database, codec=CODEC, keyring=KEYRING, pool_size=4)
    yield opened
    await opened.close()


@pytest.fixture
def desk(store: EventStore) -> Desk:
    """Of a workspace of this test's own in the database that the module shares."""
    return Desk(store, uuid4())
