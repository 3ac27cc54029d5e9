"""People nobody knows yet, made contacts by what they do where the workspace wants that (A1). Finds nobody itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from msgspec.structs import replace
from uuid_utils.compat import uuid7

from contacts import errors
from contacts.activity.commands import ContactReference
from contacts.activity.events import AddressedAs
from contacts.contact.input import ChannelInput, NewContactInput, create_contact, upsert_contact

if TYPE_CHECKING:
    from contacts.contact.handler import ContactHandler
    from contacts.workspace.state import Workspace
    from eventstore.cipher import Keyring
    from eventstore.envelope import Metadata

SOURCE: Final = "event"


class Strangers:
    """Safe to use concurrently, also by several processes: the same stranger becomes one contact."""

    def __init__(self, contacts: ContactHandler, keyring: Keyring) -> None:
        self._contacts = contacts
        self._keyring = keyring

    async def welcome(
        self, reference: ContactReference, workspace: Workspace, *, metadata: Metadata
    ) -> AddressedAs | None:
        """The first thing they are known by, with the id of the contact they are from now on.

        None for somebody of whom only an id is said, for ids are given out by us. Raises Refusal.
        """
        reading = next(reference.readings())
        if reading.by == "id":
            return None
        fields = _fields(reference)
        if reading.by == "channel":
            contact_id = await self._create(reading, fields, workspace, metadata)
        else:
            command = upsert_contact(
                reading.by, reading.value, NewContactInput(**fields), workspace, contact_id=uuid7(), source=SOURCE
            )
            contact_id = (await self._contacts.execute(command, metadata=metadata)).contact_id
        return replace(reading, contact_id=contact_id)

    async def _create(
        self, reading: AddressedAs, fields: dict[str, Any], workspace: Workspace, metadata: Metadata
    ) -> UUID:
        # Nothing claims a channel identity, so the id itself sees to it that it is one contact.
        text = f"{workspace.id.hex}/{reading.channel}/{reading.application or ''}/{reading.value}"
        contact_id = UUID(bytes=self._keyring.hmac("stranger", text)[:16], version=4)
        command = create_contact(NewContactInput(**fields), workspace, contact_id=contact_id, source=SOURCE)
        try:
            await self._contacts.execute(command, metadata=metadata)
        except errors.ContactAlreadyExists:
            return contact_id
        return contact_id


def _fields(reference: ContactReference) -> dict[str, Any]:
    """As somebody would send them who creates the contact."""
    fields: dict[str, Any] = {
        name: value
        for name in ("external_id", "messaging_id", "email", "phone")
        if (value := getattr(reference, name)) is not None
    }
    if reference.channel is not None:
        channel = reference.channel
        fields["channels"] = [ChannelInput(kind=channel.kind, token=channel.token, application=channel.application)]
    return fields
