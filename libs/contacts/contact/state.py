"""The present of one contact as a fold of its stream. No rules about what may happen: those are in the decider."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from contacts.consent.standing import Standing
from contacts.contact import events as e
from contacts.contact.composition import PLAIN_FIELDS, Composition, touched, with_merge, without
from contacts.engagement.state import Engagement
from contacts.values import AttributeValue, Country, Email, ExternalId, Language, Phone, Tag, TimeZone
from eventstore.envelope import RecordedEvent, Unreadable

CATEGORY: Final = "contact"


class Channel(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A connected channel identity and when the person was first and last seen on it."""

    kind: str
    token: str
    first_seen_at: datetime
    last_seen_at: datetime
    application: str | None = None
    device: str | None = None

    @property
    def key(self) -> tuple[str, str | None, str]:
        return (self.kind, self.application, self.token)


class Contact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Everything a contact's own stream says of it, or a profile made of several. Version 0: it was never created."""

    id: UUID
    #: Number of events folded, which is the version of the stream.
    version: int = 0
    external_id: ExternalId | None = None
    messaging_id: ExternalId | None = None
    first_name: str | None = None
    last_name: str | None = None
    email: Email | None = None
    phone: Phone | None = None
    country: Country | None = None
    time_zone: TimeZone | None = None
    language: Language | None = None
    address: e.Address | None = None
    location: e.Location | None = None
    avatar_url: str | None = None
    assignee: str | None = None
    campaign_opt_in: bool | None = None
    #: Sorted.
    tags: tuple[Tag, ...] = ()
    #: Sorted.
    lists: tuple[UUID, ...] = ()
    #: Sorted.
    categories: tuple[str, ...] = ()
    attributes: dict[str, AttributeValue] = {}
    #: In the order they were connected.
    channels: tuple[Channel, ...] = ()
    blocked: bool = False
    blocked_at: datetime | None = None
    blocked_reason: str | None = None
    source: str | None = None
    consent_attested: bool = False
    created_at: datetime | None = None
    changed_at: datetime | None = None
    deleted_at: datetime | None = None
    deletion_reason: str | None = None
    #: Some of its events can no longer be read: its data key was destroyed.
    erased: bool = False
    #: The erasure that did it.
    erased_by: UUID | None = None
    #: What it absorbed; None for nearly all contacts.
    composition: Composition | None = None
    #: The contact that stands for it, and the merge that made it so.
    absorbed_into: UUID | None = None
    absorbed_by: UUID | None = None
    #: In profiles only (`merge.view`): all that it stands for, at any depth.
    absorbed: tuple[UUID, ...] = ()
    #: In answers only: how its addresses stand, out of other streams. None where nothing was recorded of any of them.
    standing: Standing | None = None
    #: In answers only: what activity says of it, out of its read model. None where nothing is known.
    engagement: Engagement | None = None

    @property
    def exists(self) -> bool:
        return self.version > 0

    @property
    def deleted(self) -> bool:
        return self.deleted_at is not None

    @property
    def full_name(self) -> str | None:
        """First and last name, or what there is of them."""
        if self.first_name and self.last_name:
            return f"{self.first_name} {self.last_name}"
        return self.first_name or self.last_name


def initial(contact_id: UUID) -> Contact:
    """The state before the first event."""
    return Contact(id=contact_id)


def evolve(contact: Contact, event: e.ContactEvent | Unreadable, at: datetime) -> Contact:
    """The state after `event`, recorded `at`. Total: any event can follow any state, `Unreadable` too."""
    after = _EVOLVE[type(event)](contact, event, at)
    if after.composition is None:
        return after
    composition = touched(after.composition, event, after.version)
    return after if composition is after.composition else replace(after, composition=composition)


def fold(contact: Contact, recorded: RecordedEvent[Any]) -> Contact:
    """`evolve` for an event as the log holds it."""
    return evolve(contact, recorded.event, recorded.recorded_at)


def _created(contact: Contact, event: e.ContactCreated, at: datetime) -> Contact:
    return Contact(
        id=contact.id,
        version=contact.version + 1,
        external_id=event.external_id,
        messaging_id=event.messaging_id,
        first_name=event.first_name,
        last_name=event.last_name,
        email=event.email,
        phone=event.phone,
        country=event.country,
        time_zone=event.time_zone,
        language=event.language,
        address=event.address,
        location=event.location,
        avatar_url=event.avatar_url,
        assignee=event.assignee,
        campaign_opt_in=event.campaign_opt_in,
        tags=event.tags,
        lists=event.lists,
        categories=event.categories,
        attributes=event.attributes,
        channels=tuple(_connected(channel, at) for channel in event.channels) if event.channels else (),
        source=event.source,
        consent_attested=event.consent_attested,
        created_at=at,
        changed_at=at,
        erased=contact.erased,
    )


def _connected(channel: e.ChannelIdentity, at: datetime) -> Channel:
    return Channel(
        kind=channel.kind,
        token=channel.token,
        application=channel.application,
        device=channel.device,
        first_seen_at=at,
        last_seen_at=at,
    )


def _details_changed(contact: Contact, event: e.ContactDetailsChanged, at: datetime) -> Contact:
    changes: dict[str, Any] = {name: value for name in PLAIN_FIELDS if (value := getattr(event, name)) is not UNSET}
    if event.attributes is not UNSET:
        merged = {**contact.attributes, **event.attributes}
        changes["attributes"] = {key: value for key, value in merged.items() if value is not None}
    if event.lists_added or event.lists_removed:
        changes["lists"] = _resorted(contact.lists, event.lists_added, event.lists_removed)
    if event.categories_added or event.categories_removed:
        changes["categories"] = _resorted(contact.categories, event.categories_added, event.categories_removed)
    return replace(contact, version=contact.version + 1, changed_at=at, **changes)


def _resorted(present: tuple[Any, ...], added: tuple[Any, ...], removed: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(sorted({*present, *added}.difference(removed)))


def _tagged(contact: Contact, event: e.ContactTagged, at: datetime) -> Contact:
    tags = _resorted(contact.tags, event.tags, ())
    return replace(contact, version=contact.version + 1, changed_at=at, tags=tags)


def _untagged(contact: Contact, event: e.ContactUntagged, at: datetime) -> Contact:
    tags = _resorted(contact.tags, (), event.tags)
    return replace(contact, version=contact.version + 1, changed_at=at, tags=tags)


def _listed(contact: Contact, event: e.ContactListed, at: datetime) -> Contact:
    lists = _resorted(contact.lists, event.lists, ())
    return replace(contact, version=contact.version + 1, changed_at=at, lists=lists)


def _unlisted(contact: Contact, event: e.ContactUnlisted, at: datetime) -> Contact:
    lists = _resorted(contact.lists, (), event.lists)
    return replace(contact, version=contact.version + 1, changed_at=at, lists=lists)


def _channel_connected(contact: Contact, event: e.ContactChannelConnected, at: datetime) -> Contact:
    others = tuple(channel for channel in contact.channels if channel.key != event.channel.key)
    channels = (*others, _connected(event.channel, event.connected_at or at))
    return replace(contact, version=contact.version + 1, changed_at=at, channels=channels)


def _channel_seen(contact: Contact, event: e.ContactChannelSeen, at: datetime) -> Contact:
    key = (event.kind, event.application, event.token)
    channels = tuple(
        replace(channel, last_seen_at=event.seen_at) if channel.key == key else channel for channel in contact.channels
    )
    # Being seen is not a change of the profile, so `changed_at` stays.
    return replace(contact, version=contact.version + 1, channels=channels)


def _channel_disconnected(contact: Contact, event: e.ContactChannelDisconnected, at: datetime) -> Contact:
    key = (event.kind, event.application, event.token)
    channels = tuple(channel for channel in contact.channels if channel.key != key)
    return replace(contact, version=contact.version + 1, changed_at=at, channels=channels)


def _blocked(contact: Contact, event: e.ContactBlocked, at: datetime) -> Contact:
    return replace(
        contact,
        version=contact.version + 1,
        changed_at=at,
        blocked=True,
        blocked_at=at,
        blocked_reason=event.reason,
    )


def _unblocked(contact: Contact, event: e.ContactUnblocked, at: datetime) -> Contact:
    return replace(
        contact, version=contact.version + 1, changed_at=at, blocked=False, blocked_at=None, blocked_reason=None
    )


def _deleted(contact: Contact, event: e.ContactDeleted, at: datetime) -> Contact:
    return replace(contact, version=contact.version + 1, changed_at=at, deleted_at=at, deletion_reason=event.reason)


def _restored(contact: Contact, event: e.ContactRestored, at: datetime) -> Contact:
    return replace(contact, version=contact.version + 1, changed_at=at, deleted_at=None, deletion_reason=None)


def _merged(contact: Contact, event: e.ContactMerged, at: datetime) -> Contact:
    version = contact.version + 1
    if contact.absorbed_into in event.others:
        event = _but_for(event, contact.absorbed_into)
    composition = with_merge(contact.composition, event, version) if event.others else contact.composition
    return replace(contact, version=version, changed_at=at, composition=composition)


def _but_for(event: e.ContactMerged, parent: UUID | None) -> e.ContactMerged:
    """Two merged each other at once, which older logs may hold: the merge that came second is void (decision 32)."""
    return replace(event, others=tuple(other for other in event.others if other != parent))


def _absorbed(contact: Contact, event: e.ContactAbsorbed, at: datetime) -> Contact:
    if contact.composition is not None and event.into in contact.composition.children:
        # The other side of `_but_for`.
        return replace(contact, version=contact.version + 1, changed_at=at)
    return replace(
        contact, version=contact.version + 1, changed_at=at, absorbed_into=event.into, absorbed_by=event.merge_id
    )


def _unmerged(contact: Contact, event: e.ContactUnmerged, at: datetime) -> Contact:
    composition = without(contact.composition, event)
    return replace(contact, version=contact.version + 1, changed_at=at, composition=composition)


def _reinstated(contact: Contact, event: e.ContactReinstated, at: datetime) -> Contact:
    composition = None if event.mode == "single" else contact.composition
    return replace(
        contact,
        version=contact.version + 1,
        changed_at=at,
        absorbed_into=None,
        absorbed_by=None,
        composition=composition,
    )


def _unreadable(contact: Contact, event: Unreadable, at: datetime) -> Contact:
    created_at = contact.created_at or at
    return replace(contact, version=contact.version + 1, created_at=created_at, changed_at=at, erased=True)


def _erased(contact: Contact, event: e.ContactErased, at: datetime) -> Contact:
    return Contact(
        id=contact.id,
        version=contact.version + 1,
        created_at=contact.created_at,
        changed_at=at,
        erased=True,
        erased_by=event.erasure_id,
    )


# A table instead of a chain of `isinstance`: replay of a whole log spends its time here. A test holds it complete.
_EVOLVE: Final[dict[type, Callable[[Contact, Any, datetime], Contact]]] = {
    e.ContactCreated: _created,
    e.ContactDetailsChanged: _details_changed,
    e.ContactTagged: _tagged,
    e.ContactUntagged: _untagged,
    e.ContactListed: _listed,
    e.ContactUnlisted: _unlisted,
    e.ContactChannelConnected: _channel_connected,
    e.ContactChannelSeen: _channel_seen,
    e.ContactChannelDisconnected: _channel_disconnected,
    e.ContactBlocked: _blocked,
    e.ContactUnblocked: _unblocked,
    e.ContactDeleted: _deleted,
    e.ContactRestored: _restored,
    e.ContactMerged: _merged,
    e.ContactAbsorbed: _absorbed,
    e.ContactUnmerged: _unmerged,
    e.ContactReinstated: _reinstated,
    e.ContactErased: _erased,
    Unreadable: _unreadable,
}
