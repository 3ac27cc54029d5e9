"""What one can ask of a contact. Their values are parsed (`contact/input.py`); ids come from outside."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from contacts.contact.events import ChannelIdentity, Location
from contacts.values import AttributeValue, Country, Email, ExternalId, Language, Phone, Tag, TimeZone

UpsertKind: TypeAlias = Literal["external_id", "messaging_id", "email", "phone"]


class _Command(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Shared shape of commands: which contact of which workspace."""

    workspace_id: UUID
    contact_id: UUID


class Details(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Profile fields wanted by a create or an edit: UNSET is not spoken of, None is to be empty."""

    external_id: ExternalId | None | UnsetType = UNSET
    messaging_id: ExternalId | None | UnsetType = UNSET
    first_name: str | None | UnsetType = UNSET
    last_name: str | None | UnsetType = UNSET
    email: Email | None | UnsetType = UNSET
    phone: Phone | None | UnsetType = UNSET
    country: Country | None | UnsetType = UNSET
    time_zone: TimeZone | None | UnsetType = UNSET
    language: Language | None | UnsetType = UNSET
    #: A merge-patch of the address: its own unset parts stay.
    address: AddressDetails | None | UnsetType = UNSET
    location: Location | None | UnsetType = UNSET
    avatar_url: str | None | UnsetType = UNSET
    assignee: str | None | UnsetType = UNSET
    campaign_opt_in: bool | None | UnsetType = UNSET
    #: A merge-patch by key; None clears one. The whole None clears all.
    attributes: dict[str, AttributeValue | None] | None | UnsetType = UNSET
    #: The whole set wanted.
    tags: tuple[Tag, ...] | UnsetType = UNSET
    #: The whole set wanted.
    lists: tuple[UUID, ...] | UnsetType = UNSET
    #: The whole set wanted.
    categories: tuple[str, ...] | UnsetType = UNSET


class AddressDetails(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Parts of an address wanted: UNSET is not spoken of, None is to be empty."""

    street: str | None | UnsetType = UNSET
    city: str | None | UnsetType = UNSET
    region: str | None | UnsetType = UNSET
    postcode: str | None | UnsetType = UNSET
    country: Country | None | UnsetType = UNSET


class CreateContact(_Command, frozen=True, kw_only=True):
    """A new contact with a new id.

    Refused: ContactAlreadyExists, IdentityMissing, ExternalIdRequired, ConsentNotAttested, ClaimTakenRefusal.
    """

    source: str
    details: Details = Details()
    channels: tuple[ChannelIdentity, ...] = ()
    consent_attested: bool = False
    #: The workspace's settings at this moment.
    external_id_required: bool = False
    #: Sources of contacts whose e-mail has to be confirmed first.
    double_opt_in: frozenset[str] = frozenset()


class EditContact(_Command, frozen=True, kw_only=True):
    """Any subset of the profile. Refused: ContactNotFound, ContactIsDeleted, IdentityMissing, ExternalIdRequired."""

    details: Details
    external_id_required: bool = False
    double_opt_in: frozenset[str] = frozenset()
    #: The key it was found by. A profile of several contacts may be found by one it does not show: that stays as it is.
    found_by: UpsertKind | None = None


class UpsertContact(_Command, frozen=True, kw_only=True):
    """Edit the contact known by the key, or create it. `contact_id` is used only if it is created."""

    by: UpsertKind
    #: Parsed: an external or messaging id, an e-mail as typed, a phone in E.164.
    value: str
    create: CreateContact
    #: Its `contact_id` is replaced by that of the contact found.
    edit: EditContact


class TagContact(_Command, frozen=True, kw_only=True):
    """Tags to add; those it has already are passed over."""

    tags: tuple[Tag, ...]


class UntagContact(_Command, frozen=True, kw_only=True):
    """Tags to take away; those it has not are passed over."""

    tags: tuple[Tag, ...]


class AddContactToLists(_Command, frozen=True, kw_only=True):
    """Lists to add; those it is on already are passed over. Whether they exist is for whoever asks to see to."""

    lists: tuple[UUID, ...]


class RemoveContactFromLists(_Command, frozen=True, kw_only=True):
    """Lists to take away; those it is not on are passed over."""

    lists: tuple[UUID, ...]


class ConnectChannel(_Command, frozen=True, kw_only=True):
    """A channel identity of the person; a new token of a known device replaces the old one."""

    channel: ChannelIdentity
    connected_at: datetime | None = None


class SeeChannel(_Command, frozen=True, kw_only=True):
    """The person showed up on a channel; recorded only if later than before, and not while blocked."""

    kind: str
    token: str
    seen_at: datetime
    application: str | None = None


class DisconnectChannel(_Command, frozen=True, kw_only=True):
    kind: str
    token: str
    application: str | None = None
    reason: str | None = None


class BlockContact(_Command, frozen=True, kw_only=True):
    reason: str | None = None


class UnblockContact(_Command, frozen=True, kw_only=True):
    reason: str | None = None


class DeleteContact(_Command, frozen=True, kw_only=True):
    """Hides the contact and releases its claims; a repeat changes nothing."""

    reason: str


class RestoreContact(_Command, frozen=True, kw_only=True):
    """Brings a deleted contact back as it was. Refused: ClaimTakenRefusal where its external id has a new holder."""

    reason: str | None = None


ContactCommand: TypeAlias = (
    CreateContact
    | EditContact
    | TagContact
    | UntagContact
    | AddContactToLists
    | RemoveContactFromLists
    | ConnectChannel
    | SeeChannel
    | DisconnectChannel
    | BlockContact
    | UnblockContact
    | DeleteContact
    | RestoreContact
)
