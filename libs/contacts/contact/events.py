"""What can happen to a contact, as facts in its stream, and the structs they are made of. No rules, no encoding.

Events only ever grow by fields with defaults. Every value was parsed (`contacts.values`) before it was recorded.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from contacts.values import AttributeValue, Country, Email, ExternalId, Language, Phone, Tag, TimeZone

#: How a contact comes out of a merge: with everything it had absorbed before, or without.
UnmergeMode: TypeAlias = Literal["subtree", "single"]
#: Why a person's data was erased. Codes and no words, because they stay readable when nothing else does.
ErasureReason: TypeAlias = Literal[
    "person_asked", "consent_withdrawn", "objection", "no_longer_needed", "unlawful", "legal_obligation", "retention"
]


class _Fact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Shared shape of events and their parts: immutable, defaults left out of the payload.

    They can hold no cycle, so `gc=False` is safe; it keeps hundreds of thousands of them out of the collector's sight.
    """


class Address(_Fact, frozen=True, kw_only=True):
    """A postal address; every part is optional."""

    street: str | None = None
    city: str | None = None
    region: str | None = None
    postcode: str | None = None
    country: Country | None = None


class Location(_Fact, frozen=True, kw_only=True):
    """Where the person was last known to be."""

    #: Degrees, -90 to 90.
    latitude: float
    #: Degrees, -180 to 180.
    longitude: float
    #: Who says so: `gps`, `ip`, `manual`, …
    source: str | None = None
    #: When it was observed; None where that is not known.
    at: datetime | None = None


class ChannelIdentity(_Fact, frozen=True, kw_only=True):
    """Where a person can be reached on one channel. `kind`, `application` and `token` together identify it."""

    #: `mobile_push`, `web_push`, `telegram`, `whatsapp`, `viber`, `messenger`, …
    kind: str
    #: The push token, or the person's id on that channel.
    token: str
    #: The application, bot or page it belongs to.
    application: str | None = None
    #: A device holds one token per application: a new token replaces the old one.
    device: str | None = None

    @property
    def key(self) -> tuple[str, str | None, str]:
        return (self.kind, self.application, self.token)


class ContactCreated(_Fact, frozen=True, kw_only=True):
    """The first event of every contact."""

    #: How it came about (`values.SOURCES`).
    source: str
    external_id: ExternalId | None = None
    messaging_id: ExternalId | None = None
    first_name: str | None = None
    last_name: str | None = None
    #: As typed; `emails.email_normal` and `emails.email_widest` give its keys.
    email: Email | None = None
    #: E.164, with `;ext=` where an extension was given.
    phone: Phone | None = None
    country: Country | None = None
    time_zone: TimeZone | None = None
    language: Language | None = None
    address: Address | None = None
    location: Location | None = None
    avatar_url: str | None = None
    assignee: str | None = None
    campaign_opt_in: bool | None = None
    tags: tuple[Tag, ...] = ()
    lists: tuple[UUID, ...] = ()
    categories: tuple[str, ...] = ()
    #: By key of the definition; dates and instants as ISO 8601 text.
    attributes: dict[str, AttributeValue] = {}
    channels: tuple[ChannelIdentity, ...] = ()
    #: The creating actor vouched for the person's consent; who and when stand in the metadata.
    consent_attested: bool = False


class ContactDetailsChanged(_Fact, frozen=True, kw_only=True):
    """Fields that got another value: UNSET is untouched, None is cleared. Holds nothing that stayed the same."""

    external_id: ExternalId | None | UnsetType = UNSET
    messaging_id: ExternalId | None | UnsetType = UNSET
    first_name: str | None | UnsetType = UNSET
    last_name: str | None | UnsetType = UNSET
    email: Email | None | UnsetType = UNSET
    phone: Phone | None | UnsetType = UNSET
    country: Country | None | UnsetType = UNSET
    time_zone: TimeZone | None | UnsetType = UNSET
    language: Language | None | UnsetType = UNSET
    #: The whole new address, not a patch of it.
    address: Address | None | UnsetType = UNSET
    location: Location | None | UnsetType = UNSET
    avatar_url: str | None | UnsetType = UNSET
    assignee: str | None | UnsetType = UNSET
    campaign_opt_in: bool | None | UnsetType = UNSET
    #: Only the keys that changed; None removes one.
    attributes: dict[str, AttributeValue | None] | UnsetType = UNSET
    #: Only in events of before `contact.listed` and `contact.unlisted`; the same for `lists_removed`.
    lists_added: tuple[UUID, ...] = ()
    lists_removed: tuple[UUID, ...] = ()
    categories_added: tuple[str, ...] = ()
    categories_removed: tuple[str, ...] = ()


class ContactTagged(_Fact, frozen=True, kw_only=True):
    """Tags the contact did not have before."""

    tags: tuple[Tag, ...]


class ContactUntagged(_Fact, frozen=True, kw_only=True):
    """Tags the contact had, spelt as it had them."""

    tags: tuple[Tag, ...]


class ContactListed(_Fact, frozen=True, kw_only=True):
    """Lists the contact was not on before. Sorted."""

    lists: tuple[UUID, ...]


class ContactUnlisted(_Fact, frozen=True, kw_only=True):
    """Lists the contact was on. Sorted."""

    lists: tuple[UUID, ...]


class ContactChannelConnected(_Fact, frozen=True, kw_only=True):
    """A channel identity new to this contact."""

    channel: ChannelIdentity
    #: When it connected; None means when this was recorded.
    connected_at: datetime | None = None


class ContactChannelSeen(_Fact, frozen=True, kw_only=True):
    """The person showed up on a connected channel, later than ever before."""

    kind: str
    token: str
    seen_at: datetime
    application: str | None = None


class ContactChannelDisconnected(_Fact, frozen=True, kw_only=True):
    """A channel identity that reaches the person no more."""

    kind: str
    token: str
    application: str | None = None
    #: `replaced` where the device got a new token.
    reason: str | None = None


class ContactBlocked(_Fact, frozen=True, kw_only=True):
    """Nothing inbound from the person counts from here on."""

    reason: str | None = None


class ContactUnblocked(_Fact, frozen=True, kw_only=True):
    reason: str | None = None


class ContactDeleted(_Fact, frozen=True, kw_only=True):
    """Hidden, not erased: its claims are released, everything else is kept."""

    reason: str


class Released(_Fact, frozen=True, kw_only=True):
    """A unique value that a contact gave up when it was restored, because another one had taken it meanwhile."""

    #: Whose own value it was: the restored contact's, or that of one it had absorbed.
    contact: UUID
    #: `external_id` or `messaging_id`.
    field: str
    holder: UUID


class ContactRestored(_Fact, frozen=True, kw_only=True):
    """As it was before its deletion; its claims are held again, but for those that it gave up."""

    reason: str | None = None
    #: What else this append says as `contact.details_changed` of each contact.
    released: tuple[Released, ...] = ()


class ContactMerged(_Fact, frozen=True, kw_only=True):
    """It stands for the others as well from here on. No fact of theirs moves: this is an edge that can be taken out."""

    merge_id: UUID
    #: In the order in which they fill what is empty.
    others: tuple[UUID, ...]
    #: Whose value is shown, by field; custom attributes as `attributes.<key>`.
    choices: dict[str, UUID] = {}


class ContactAbsorbed(_Fact, frozen=True, kw_only=True):
    """Another contact stands for it from here on; recorded anew where the one in between left alone."""

    merge_id: UUID
    into: UUID


class Reattached(_Fact, frozen=True, kw_only=True):
    """A contact that stayed when the one that had absorbed it left alone, and takes its place."""

    contact: UUID
    #: The merge that absorbed it, and takes it out again.
    merge_id: UUID
    instead_of: UUID


class Given(_Fact, frozen=True, kw_only=True):
    """What was done to a field or element after one version and up to this event is as if it had never been."""

    since: int
    #: Version that touched it last before; 0 where none did.
    touched: int = 0


class ContactUnmerged(_Fact, frozen=True, kw_only=True):
    """Others came out of it again; recorded on the profile they were shown in, too, if that is another one."""

    merge_id: UUID
    contacts: tuple[UUID, ...]
    mode: UnmergeMode = "subtree"
    reattached: tuple[Reattached, ...] = ()
    #: What was edited here and went with them, by its key in `Composition.touched`.
    given: dict[str, Given] = {}


class ContactReinstated(_Fact, frozen=True, kw_only=True):
    """It stands for itself again, exactly as it was."""

    merge_id: UUID
    #: The profile it was part of.
    out_of: UUID
    #: Alone means without what it had absorbed itself.
    mode: UnmergeMode = "subtree"


class ContactErased(_Fact, frozen=True, kw_only=True):
    """The last event of a contact: its data key is gone, and with it what every earlier event said.

    Stored readable, so it holds nothing personal.
    """

    #: The certificate is in the stream of this id.
    erasure_id: UUID
    reason: ErasureReason


ContactEvent: TypeAlias = (
    ContactCreated
    | ContactDetailsChanged
    | ContactTagged
    | ContactUntagged
    | ContactListed
    | ContactUnlisted
    | ContactChannelConnected
    | ContactChannelSeen
    | ContactChannelDisconnected
    | ContactBlocked
    | ContactUnblocked
    | ContactDeleted
    | ContactRestored
    | ContactMerged
    | ContactAbsorbed
    | ContactUnmerged
    | ContactReinstated
    | ContactErased
)
