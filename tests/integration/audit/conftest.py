"""The desk of the restore tests with what auditors ask, and everybody in a workspace that has a key with a name."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from contacts.audit.diff import Difference
from contacts.audit.entries import HistoryEntry
from contacts.audit.provenance import FieldProvenance
from contacts.audit.reading import Audits
from contacts.consent.commands import GrantConsent, WithdrawConsent
from contacts.consent.reading import Standings
from contacts.contact import commands as c
from contacts.contact.history import as_of
from contacts.contact.state import Contact
from contacts.emails import parse_email
from contacts.errors import ContactNotFound
from contacts.execution import Request
from contacts.lists.events import ListCreated, ListRenamed
from contacts.merge.commands import MergeContacts, UnmergeContacts
from contacts.proof import Proof
from contacts.suppression.commands import BlacklistAddress
from contacts.workspace.bootstrap import bootstrap
from contacts.workspace.commands import IssueKey
from contacts.workspace.directory import Workspaces
from contacts.workspace.handler import WorkspaceHandler
from eventstore.envelope import Metadata, Stream, StreamWrite, Write, new_id
from eventstore.store import EventStore
from tests.integration.erasure.conftest import store
from tests.integration.restore.conftest import Desk as RestoreDesk

__all__ = ["store"]
METADATA = Metadata(actor="key:crm", source="api", correlation_id="request-1")


class Desk(RestoreDesk):
    """One process, whose commands come by the key `crm`."""

    def __init__(self, store: EventStore, workspace_id: UUID) -> None:
        super().__init__(store, workspace_id)
        self.audits = Audits(store, self.keys, Workspaces(store))
        self.standings = Standings(store, self.contacts.components, self.keys)

    async def do(self, command: Any, key: str | None = None) -> Any:
        return await self.contacts.execute(command, metadata=METADATA, idempotency_key=key)

    async def create(self, key: str | None = None, **fields: Any) -> UUID:
        """With an external id where it would have nothing to be recognised by."""
        known = fields.keys() & {"email", "phone"}
        return await super().create(key, **({} if known else {"external_id": str(new_id())}), **fields)

    async def edit(self, contact_id: UUID, **details: Any) -> None:
        await self.of(c.EditContact, contact_id, details=c.Details(**details))

    async def merged(self, primary: UUID, *others: UUID, **choices: UUID) -> UUID:
        merge_id = new_id()
        command = MergeContacts(
            workspace_id=self.workspace.id, merge_id=merge_id, primary=primary, others=others, choices=choices
        )
        await self.merges.execute(command, metadata=METADATA)
        return merge_id

    async def unmerged(self, merge_id: UUID, *contacts: UUID, **options: Any) -> None:
        command = UnmergeContacts(workspace_id=self.workspace.id, merge_id=merge_id, contacts=contacts, **options)
        await self.merges.execute(command, metadata=METADATA)

    async def say(self, command: type, email: str, **fields: Any) -> None:
        asked = command(
            workspace_id=self.workspace.id, address=self.keys.email(parse_email(email)), reason="on the phone", **fields
        )
        await self.facts.record(self.workspace.id, [asked], Request(metadata=METADATA), (new_id(), 1))

    async def agree(self, email: str) -> None:
        proof = Proof(text=f"yes {new_id()}")
        await self.say(GrantConsent, email, channel="email", proof=proof, proof_digest=self.keys.proof_digest(proof))

    async def object(self, email: str) -> None:
        await self.say(WithdrawConsent, email, channel="email")

    async def list_black(self, email: str) -> None:
        await self.say(BlacklistAddress, email)

    async def list_called(self, name: str, later: str) -> UUID:
        """A list that was renamed."""
        stream = Stream(self.workspace.id, "list", new_id())
        part = StreamWrite(stream=stream, expected_version=0, events=(ListCreated(name=name), ListRenamed(name=later)))
        await self.store.append(Write(workspace_id=self.workspace.id, streams=(part,)))
        return stream.id

    async def head(self) -> int:
        return await self.store.head(self.store.lane_of(self.workspace.id))

    async def history(self, contact_id: UUID, position: int | None = None) -> list[HistoryEntry]:
        at = await self.head() if position is None else position
        return (await self.audits.history(self.workspace.id, contact_id, at))[0]

    async def provenance(self, contact_id: UUID) -> dict[str, FieldProvenance]:
        """By field, elements of sets as `tags:vip`."""
        fields, _ = await self.audits.provenance(self.workspace.id, contact_id, await self.head())
        return {f.field if f.element is None else f"{f.field}:{f.element}": f for f in fields}

    async def diff(self, contact_id: UUID, after: int, upto: int) -> Difference:
        return await self.audits.diff(self.workspace.id, contact_id, after=after, upto=upto)

    async def as_of(self, contact_id: UUID, position: int) -> Contact | None:
        """What a query as of a position shows."""
        try:
            contact = await as_of(self.store, self.workspace.id, contact_id, position=position)
        except ContactNotFound:
            return None
        return await self.standings.with_standing(self.workspace.id, contact, position=position)


@pytest.fixture
async def desk(store: EventStore) -> Desk:
    """Of a workspace of this test's own in the database that the module shares."""
    workspace_id = uuid4()
    handler = WorkspaceHandler(store, Workspaces(store))
    await bootstrap(store, handler, workspace_id=workspace_id)
    key = IssueKey(workspace_id=workspace_id, key_id="crm", name="CRM sync", digest=bytes(32), role="manager")
    await handler.execute(key, metadata=METADATA)
    return Desk(store, workspace_id)
