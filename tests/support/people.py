"""The write side of contacts and of their addresses on a real log, as one process has it, and people in few words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from uuid_utils.compat import uuid7

from contacts.addresses import AddressKeys, address_id
from contacts.consent import commands as c
from contacts.consent.commands import AboutContact, AddressCommand
from contacts.consent.double_opt_in import DoubleOptIn
from contacts.consent.handler import ConsentHandler
from contacts.consent.may_send import MaySend
from contacts.consent.reading import Standings
from contacts.consent.standing import Standing
from contacts.contact.commands import CreateContact, Details, EditContact
from contacts.contact.handler import ContactHandler, Outcome
from contacts.facts import Facts
from contacts.merge.commands import MergeContacts
from contacts.merge.handler import MergeHandler
from contacts.proof import Proof
from contacts.suppression import commands as s
from contacts.suppression.handler import SuppressionHandler
from contacts.values import Email, Phone
from contacts.workspace.commands import ChangeSettings
from contacts.workspace.directory import Workspaces
from contacts.workspace.events import WorkspaceSettingsChanged
from contacts.workspace.handler import WorkspaceHandler
from eventstore.cipher import Keyring
from eventstore.envelope import Metadata
from eventstore.store import EventStore

KEYRING: Final = Keyring.from_secret(b"a master secret of the tests, 32+ bytes")
METADATA: Final = Metadata(actor="key:tests", source="api")
FORM: Final = Proof(text="Yes, send me news", form_version="7")


@dataclass(frozen=True)
class Process:
    """What one process of the API has for contacts and their addresses."""

    store: EventStore
    dsn: str
    keys: AddressKeys
    facts: Facts
    contacts: ContactHandler
    merges: MergeHandler
    consents: ConsentHandler
    suppressions: SuppressionHandler
    standings: Standings
    may_send: MaySend

    @classmethod
    def on(cls, store: EventStore, dsn: str) -> Process:
        keys, facts = AddressKeys(store.keyring.hmac), Facts(store)
        contacts = ContactHandler(store, beside=DoubleOptIn(facts, keys))
        return cls(
            store=store,
            dsn=dsn,
            keys=keys,
            facts=facts,
            contacts=contacts,
            merges=MergeHandler(store, contacts.components),
            consents=ConsentHandler(store, contacts.components, facts, keys),
            suppressions=SuppressionHandler(store, facts),
            standings=Standings(store, contacts.components, keys),
            may_send=MaySend(store, contacts.components, keys),
        )


@dataclass(frozen=True)
class People:
    """A workspace, and what is done in it in few words."""

    process: Process
    workspace_id: UUID

    def address_id(self, email: str) -> UUID:
        """Of the streams about an e-mail address."""
        return address_id(self.workspace_id, self.process.keys.email_digest(Email(email)))

    async def create(self, email: str | None = None, phone: str | None = None, **fields: Any) -> UUID:
        details = Details(email=None if email is None else Email(email), phone=None if phone is None else Phone(phone))
        fields = {"source": "api", **fields}
        command = CreateContact(workspace_id=self.workspace_id, contact_id=uuid7(), details=details, **fields)
        return (await self.process.contacts.execute(command, metadata=METADATA)).contact_id

    async def edit(self, contact_id: UUID, *, double_opt_in: frozenset[str] = frozenset(), **details: Any) -> None:
        command = EditContact(
            workspace_id=self.workspace_id, contact_id=contact_id, details=Details(**details),
            double_opt_in=double_opt_in,
        )  # fmt: skip
        await self.process.contacts.execute(command, metadata=METADATA)

    async def merge(self, primary: UUID, *others: UUID) -> UUID:
        command = MergeContacts(workspace_id=self.workspace_id, merge_id=uuid7(), primary=primary, others=others)
        return (await self.process.merges.execute(command, metadata=METADATA)).merge.id

    async def limit(self, contacts: int | None) -> None:
        """The plan has room for so many; the workspace must exist."""
        handler = WorkspaceHandler(self.process.store, Workspaces(self.process.store))
        wanted = WorkspaceSettingsChanged(contact_limit=contacts)
        await handler.execute(ChangeSettings(workspace_id=self.workspace_id, wanted=wanted), metadata=METADATA)

    async def ask(
        self, contact_id: UUID, command: type, channel: str | None = "email", *, opens: bool = False,
        key: str | None = None, digest: bytes = b"", expected_version: int | None = None, **fields: Any,
    ) -> Outcome:  # fmt: skip
        if "proof" in fields:
            fields["proof_digest"] = repr(fields["proof"]).encode()[:16]

        def one(address: Any, channel: str) -> AddressCommand:
            place = {} if issubclass(command, s.BlacklistAddress | s.UnblacklistAddress) else {"channel": channel}
            made: AddressCommand = command(
                workspace_id=self.workspace_id, address=address, contact_id=contact_id, **place, **fields
            )  # fmt: skip
            return made

        asked = AboutContact(
            workspace_id=self.workspace_id, contact_id=contact_id, channel=channel, ask=one, opens=opens
        )  # fmt: skip
        return await self.process.consents.execute(
            asked, metadata=METADATA, idempotency_key=key, request_hash=digest, expected_version=expected_version
        )

    async def unsubscribe(self, contact_id: UUID, channel: str | None = "email", **fields: Any) -> Outcome:
        return await self.ask(contact_id, c.WithdrawConsent, channel, **fields)

    async def standing(self, contact_id: UUID, **bounds: Any) -> Standing:
        contact = await self.process.contacts.load(self.workspace_id, contact_id)
        return await self.process.standings.of(self.workspace_id, contact, **bounds)

    async def email_status(self, contact_id: UUID) -> str | None:
        email = (await self.standing(contact_id)).email
        return None if email is None else email.status

    async def may_send_to(self, *addresses: str, channel: str = "email", category: str | None = None) -> list[Any]:
        found = await self.process.may_send.to_addresses(self.workspace_id, channel, addresses, category=category)
        return list(found.reasons)

    async def may_send(self, *contacts: UUID, channel: str = "email", category: str | None = None) -> list[Any]:
        found = await self.process.may_send.to_contacts(self.workspace_id, channel, contacts, category=category)
        return list(found.reasons)
