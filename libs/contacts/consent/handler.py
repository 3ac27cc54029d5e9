"""What is asked about the addresses of a contact, on the log: which addresses are meant, and the contact as the answer.

Rules are in the deciders of suppression and consent, the append in `contacts/facts.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from contacts import errors
from contacts.addresses import Address, AddressKeys, Channel, address_id
from contacts.consent.commands import AboutContact, AddressCommand
from contacts.consent.reach import addresses_on, all_addresses
from contacts.contact.handler import Outcome
from contacts.contact.state import CATEGORY as CONTACT
from contacts.contact.state import Contact
from contacts.execution import Met, Request, recalled
from contacts.facts import Facts
from contacts.merge.component import Components, meet_at
from contacts.merge.view import view
from contacts.suppression.commands import UnblacklistAddress
from contacts.suppression.events import CATEGORY as SUPPRESSION
from contacts.suppression.state import BLACKLISTED, INSTALLATION
from eventstore.envelope import Appended, Metadata, Stream
from eventstore.errors import DuplicateAppend
from eventstore.store import EventStore
from eventstore.suppressions import find_suppressions


class ConsentHandler:
    """One per process; safe to use concurrently. Shares its contacts with the process's contact handler."""

    def __init__(self, store: EventStore, components: Components, facts: Facts, keys: AddressKeys) -> None:
        self._store = store
        self._components = components
        self._facts = facts
        self._keys = keys

    async def execute(
        self,
        asked: AboutContact,
        *,
        metadata: Metadata,
        idempotency_key: str | None = None,
        request_hash: bytes = b"",
        expected_version: int | None = None,
    ) -> Outcome:
        """Durable when it returns, for all addresses meant or for none. Answers the contact, which stays as it was.

        Objections are also taken from deleted contacts. A repeat with the same key and hash answers what the first time
        did, for ever.

        Raises:
            Refusal: as the command names, ContactNotFound, ContactIsErased, ContactIsDeleted, NoSuchAddress,
                SuppressedElsewhere, VersionMismatch, TooContended, IdempotencyKeyReused.
            StoreUnavailable, Overloaded: repeat with the same key.
        """
        request = Request(
            metadata=metadata,
            idempotency_key=idempotency_key,
            digest=request_hash,
            expected_version=expected_version,
        )
        try:
            return await self._execute(asked, request)
        except errors.Refusal:
            # What is refused now may have been done before: then the answer is the one it got then.
            replayed = await self._replay(asked.workspace_id, request)
            if replayed is None:
                raise
            return replayed

    async def _execute(self, asked: AboutContact, request: Request) -> Outcome:
        met = await self._components.meet(Stream(asked.workspace_id, CONTACT, asked.contact_id), fresh=True)
        contact = view(met.state, met.others)
        _check(asked, contact, request.expected_version)
        commands = self._commands(asked, contact, met)
        if not commands:
            raise errors.NoSuchAddress(asked.channel or "any channel")
        await self._refuse_elsewhere(commands)
        try:
            recorded = await self._facts.record(
                asked.workspace_id, commands, request, (contact.id, met.version)
            )  # fmt: skip
        except DuplicateAppend:
            replayed = await self._replay(asked.workspace_id, request)
            assert replayed is not None, "the log has just said that the key was used"
            return replayed
        return _outcome(contact, met.version, recorded.appended)

    def _commands(self, asked: AboutContact, contact: Contact, met: Met[Contact]) -> list[AddressCommand]:
        members = [contact] if asked.opens else [contact, met.state, *met.others.values()]
        pairs: dict[bytes, tuple[Address, Channel]] = {}
        for member in members:
            addresses: Sequence[Address]
            if asked.channel is None:
                addresses = all_addresses(member, self._keys)
            else:
                addresses = addresses_on(asked.channel, member, self._keys)
            for address in addresses:
                pairs[address.exact] = (address, asked.channel or address.family)
        return [asked.ask(address, channel) for address, channel in pairs.values()]

    async def _refuse_elsewhere(self, commands: Sequence[AddressCommand]) -> None:
        """Where there is nothing of this workspace's own to lift, but the address stays closed by another's entry."""
        for command in commands:
            if not isinstance(command, UnblacklistAddress):
                continue
            workspace_id, digest = command.workspace_id, command.address.widest
            own = await self._facts.load(SUPPRESSION, workspace_id, address_id(workspace_id, digest))
            if own.blacklisting is not None:
                continue
            found = await find_suppressions(self._store, workspace_id, INSTALLATION, [digest])
            if any(row.status == BLACKLISTED for row in found.rows):
                raise errors.SuppressedElsewhere

    async def _replay(self, workspace_id: UUID, request: Request) -> Outcome | None:
        if request.idempotency_key is None:
            return None
        found = await self._store.find_idempotent(workspace_id, request.idempotency_key)
        if found is None:
            return None
        appended, kept = found
        contact_id, version = recalled(kept, request)
        met = await meet_at(self._store, Stream(workspace_id, CONTACT, contact_id), appended.last_position)
        return _outcome(view(met.state, met.others), version, appended, replayed=True)


def _check(asked: AboutContact, contact: Contact, expected: int | None) -> None:
    if not contact.exists:
        raise errors.ContactNotFound(asked.contact_id)
    if contact.erased:
        raise errors.ContactIsErased(asked.contact_id)
    if contact.deleted and asked.opens:
        raise errors.ContactIsDeleted(asked.contact_id)
    if expected is not None and expected != contact.version:
        raise errors.VersionMismatch(expected, contact.version)


def _outcome(contact: Contact, version: int, appended: Appended, *, replayed: bool = False) -> Outcome:
    return Outcome(
        contact_id=contact.id, contact=contact, version=version, appended=appended, created=False, replayed=replayed
    )
