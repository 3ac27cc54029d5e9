"""The JSON that people read: contacts and pages of them, built from what the domain folded. No queries here."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from contacts.audit.entries import HistoryEntry
from contacts.consent.standing import SHOWN_CHANNELS, ChannelStatus, ConsentStatus, Standing, Status
from contacts.contact.events import Address, Location
from contacts.contact.queries import Counts
from contacts.contact.state import Channel, Contact
from contacts.engagement.state import Engagement
from contacts.values import AttributeValue


class View(msgspec.Struct, frozen=True, gc=False):
    """Shared shape of views: every field is always there, null where nothing is known."""


class StatusView(View, frozen=True):
    """Whether an address may be written to, and since when, why and by whom it may not."""

    status: ChannelStatus
    since: datetime | None
    reason: str | None
    #: How it came in; `installation` where another workspace blacklisted the address.
    source: str | None
    actor: str | None


class AddressView(View, frozen=True):
    """A postal address."""

    street: str | None
    city: str | None
    region: str | None
    postcode: str | None
    country: str | None


class LocationView(View, frozen=True):
    """Where the person was last known to be, in degrees."""

    latitude: float
    longitude: float
    source: str | None
    at: datetime | None


class ChannelView(View, frozen=True):
    """A channel identity and when the person was first and last seen on it."""

    kind: str
    application: str | None
    device: str | None
    token: str
    first_seen_at: datetime
    last_seen_at: datetime


class ConversationView(View, frozen=True):
    """The state of the conversation with the person."""

    status: str | None
    assignee: str | None
    opened_at: datetime | None
    last_message_at: datetime | None
    last_incoming_at: datetime | None
    last_interaction_at: datetime | None
    last_channel: str | None
    last_message_preview: str | None
    labels: tuple[str, ...]
    fields: dict[str, AttributeValue]


class ContactView(View, frozen=True, kw_only=True):
    """One contact."""

    id: UUID
    version: int
    external_id: str | None
    messaging_id: str | None
    first_name: str | None
    last_name: str | None
    full_name: str | None
    email: str | None
    email_status: StatusView | None
    email_rating: float | None
    phone: str | None
    phone_status: StatusView | None
    country: str | None
    time_zone: str | None
    language: str | None
    address: AddressView | None
    location: LocationView | None
    avatar_url: str | None
    tags: tuple[str, ...]
    lists: tuple[UUID, ...]
    categories: tuple[str, ...]
    attributes: dict[str, AttributeValue]
    channels: tuple[ChannelView, ...]
    #: By channel; `email`, `sms` and `whatsapp` are always there.
    consents: dict[str, ConsentStatus]
    campaign_opt_in: bool | None
    blocked: bool
    assignee: str | None
    conversation: ConversationView
    source: str | None
    created_at: datetime
    changed_at: datetime
    deleted_at: datetime | None
    deletion_reason: str | None
    merged_into: UUID | None
    absorbed: tuple[UUID, ...]


class Total(View, frozen=True):
    """How many there are in all."""

    count: int
    #: False where counting all would have taken too long: then there are at least this many.
    exact: bool


class ContactPage(View, frozen=True):
    """One page of contacts."""

    items: tuple[ContactView, ...]
    next_cursor: str | None
    total: Total


class EmailCounts(View, frozen=True):
    """Contacts with an e-mail address, in all and by its status."""

    all: int
    active: int
    not_confirmed: int
    unsubscribed: int
    spam_report: int
    blacklisted: int
    over_limit: int


class PhoneCounts(View, frozen=True):
    """Contacts with a phone number, in all and by its status."""

    all: int
    active: int
    blacklisted: int
    over_limit: int


class CountsView(View, frozen=True):
    """How many contacts there are."""

    total: int
    email: EmailCounts
    phone: PhoneCounts


class HistoryPage(View, frozen=True):
    """One page of what happened to a contact."""

    items: tuple[HistoryEntry, ...]
    next_cursor: str | None
    total: Total


#: A contact of which only some fields were asked for.
ContactSelection: Final = msgspec.defstruct(
    "ContactSelection",
    [(f.name, f.type | msgspec.UnsetType, msgspec.UNSET) for f in msgspec.structs.fields(ContactView)],
    namespace={"__doc__": "The fields asked for, of one contact."},
    module=__name__,
)
ContactSelectionPage: Final = msgspec.defstruct(
    "ContactSelectionPage",
    [("items", tuple[ContactSelection, ...]), ("next_cursor", str | None), ("total", Total)],  # type: ignore[valid-type]
    namespace={"__doc__": "One page of the fields asked for, of contacts."},
    module=__name__,
)

ACTIVE: Final = StatusView("active", None, None, None, None)
NO_CONSENTS: Final[dict[str, ConsentStatus]] = dict.fromkeys(SHOWN_CHANNELS, "not_subscribed")
NO_STANDING: Final = Standing()
NO_ENGAGEMENT: Final = Engagement()
#: What is answered until activity says something else.
NO_CONVERSATION: Final = ConversationView(None, None, None, None, None, None, None, None, (), {})
#: Those that activity has a say in.
ENGAGEMENT_FIELDS: Final = frozenset({"conversation", "email_rating"})
#: In the order they are shown.
CONTACT_FIELDS: Final = dict.fromkeys(ContactView.__struct_fields__)


def contact_view(contact: Contact) -> ContactView:
    """The contact as everybody sees it; it must exist."""
    assert contact.created_at is not None
    assert contact.changed_at is not None
    standing = contact.standing or NO_STANDING
    engagement = contact.engagement or NO_ENGAGEMENT
    return ContactView(
        id=contact.id,
        version=contact.version,
        external_id=contact.external_id,
        messaging_id=contact.messaging_id,
        first_name=contact.first_name,
        last_name=contact.last_name,
        full_name=contact.full_name,
        email=contact.email,
        email_status=_status(standing.email) if contact.email else None,
        email_rating=engagement.email_rating,
        phone=contact.phone,
        phone_status=_status(standing.phone) if contact.phone else None,
        country=contact.country,
        time_zone=contact.time_zone,
        language=contact.language,
        address=None if contact.address is None else _address(contact.address),
        location=None if contact.location is None else _location(contact.location),
        avatar_url=contact.avatar_url,
        tags=contact.tags,
        lists=contact.lists,
        categories=contact.categories,
        attributes=contact.attributes,
        channels=_channels(contact.channels) if contact.channels else (),
        consents={**NO_CONSENTS, **standing.consents} if standing.consents else NO_CONSENTS,
        campaign_opt_in=contact.campaign_opt_in,
        blocked=contact.blocked,
        assignee=contact.assignee,
        conversation=_conversation(engagement) if contact.engagement else NO_CONVERSATION,
        source=contact.source,
        created_at=contact.created_at,
        changed_at=contact.changed_at,
        deleted_at=contact.deleted_at,
        deletion_reason=contact.deletion_reason,
        merged_into=contact.absorbed_into,
        absorbed=contact.absorbed,
    )


def counts_view(counts: Counts) -> CountsView:
    email = EmailCounts(*(counts.email.get(name, 0) for name in EmailCounts.__struct_fields__))
    phone = PhoneCounts(*(counts.phone.get(name, 0) for name in PhoneCounts.__struct_fields__))
    return CountsView(counts.total, email, phone)


def _status(status: Status | None) -> StatusView:
    if status is None:
        return ACTIVE
    return StatusView(status.status, status.since, status.reason, status.source, status.actor)


def _conversation(engagement: Engagement) -> ConversationView:
    return ConversationView(
        status=engagement.conversation_status,
        assignee=engagement.conversation_assignee,
        opened_at=engagement.conversation_opened_at,
        last_message_at=engagement.last_message_at,
        last_incoming_at=engagement.last_incoming_at,
        last_interaction_at=engagement.last_interaction_at,
        last_channel=engagement.last_channel,
        last_message_preview=engagement.last_message_preview,
        labels=engagement.labels,
        fields=dict(engagement.fields),
    )


def _address(address: Address) -> AddressView:
    return AddressView(address.street, address.city, address.region, address.postcode, address.country)


def _location(location: Location) -> LocationView:
    return LocationView(location.latitude, location.longitude, location.source, location.at)


def _channels(channels: tuple[Channel, ...]) -> tuple[ChannelView, ...]:
    """The channel used last comes first, then the one connected last."""
    ordered = sorted(channels, key=lambda channel: (channel.last_seen_at, channel.first_seen_at), reverse=True)
    return tuple(
        ChannelView(c.kind, c.application, c.device, c.token, c.first_seen_at, c.last_seen_at) for c in ordered
    )


def selected(view: ContactView, fields: frozenset[str] | None) -> ContactView | dict[str, Any]:
    """The view, or only the named fields of it, in the view's order."""
    if fields is None:
        return view
    return {name: getattr(view, name) for name in ContactView.__struct_fields__ if name in fields}
