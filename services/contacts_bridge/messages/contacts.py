"""Messages of a contact's profile, its channels and its state."""

from __future__ import annotations

from typing import Annotated, Final
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta

from contacts.contact import events as contact
from contacts_bridge.messages.public import (
    Changed,
    Data,
    PublicMessage,
    Values,
    all_values,
    cleared,
    names,
    values,
)


class ContactCreated(Data, frozen=True, kw_only=True, gc=False):
    """A new contact."""

    changed: Annotated[tuple[str, ...], Meta(description="Names of the fields that have a value.")]
    lists: Annotated[tuple[UUID, ...], Meta(description="Lists it is on.")] = ()
    values: Values = UNSET


class ContactDetailsChanged(Data, frozen=True, kw_only=True, gc=False):
    """Another value in some fields of a contact."""

    changed: Changed
    cleared: Annotated[tuple[str, ...], Meta(description="Those of `changed` that are empty now.")] = ()
    lists_added: tuple[UUID, ...] = ()
    lists_removed: tuple[UUID, ...] = ()
    values: Values = UNSET


class ContactTagsChanged(Data, frozen=True, kw_only=True, gc=False):
    """Tags that came or went."""

    count: Annotated[int, Meta(ge=1, description="How many tags.")]
    values: Values = UNSET


class ContactListsChanged(Data, frozen=True, kw_only=True, gc=False):
    """Lists that the contact joined or left."""

    lists: Annotated[tuple[UUID, ...], Meta(description="Which lists.", min_length=1)]


class ContactChannel(Data, frozen=True, kw_only=True, gc=False):
    """A way of reaching the contact."""

    kind: Annotated[str, Meta(description="`mobile_push`, `telegram`, `whatsapp`, …")]
    application: Annotated[str | None, Meta(description="The app, bot or page it belongs to.")] = None
    values: Values = UNSET


class ContactStateChanged(Data, frozen=True, kw_only=True, gc=False):
    """The event's name says it all; a reason given in free text is among the values."""

    values: Values = UNSET


def _created(event: contact.ContactCreated, with_values: bool) -> ContactCreated:
    fields = msgspec.to_builtins(event, builtin_types=(UUID,))
    return ContactCreated(changed=names(fields), lists=event.lists, values=values(fields, with_values))


def _details_changed(event: contact.ContactDetailsChanged, with_values: bool) -> ContactDetailsChanged:
    fields = msgspec.to_builtins(event, builtin_types=(UUID,))
    return ContactDetailsChanged(
        changed=names(fields),
        cleared=tuple(cleared(fields)),
        lists_added=event.lists_added,
        lists_removed=event.lists_removed,
        values=values(fields, with_values),
    )


def _tags(event: contact.ContactTagged | contact.ContactUntagged, with_values: bool) -> ContactTagsChanged:
    return ContactTagsChanged(count=len(event.tags), values={"tags": event.tags} if with_values else UNSET)


def _lists(event: contact.ContactListed | contact.ContactUnlisted, _: bool) -> ContactListsChanged:
    return ContactListsChanged(lists=event.lists)


def _connected(event: contact.ContactChannelConnected, with_values: bool) -> ContactChannel:
    channel = event.channel
    return ContactChannel(kind=channel.kind, application=channel.application, values=all_values(event, with_values))


def _channel(
    event: contact.ContactChannelSeen | contact.ContactChannelDisconnected, with_values: bool
) -> ContactChannel:
    return ContactChannel(kind=event.kind, application=event.application, values=all_values(event, with_values))


def _state(event: msgspec.Struct, with_values: bool) -> ContactStateChanged:
    return ContactStateChanged(values=all_values(event, with_values))


MESSAGES: Final = (
    PublicMessage("contact.created", "A contact was created", ContactCreated, _created),
    PublicMessage("contact.details_changed", "A contact was edited", ContactDetailsChanged, _details_changed),
    PublicMessage("contact.tagged", "A contact got tags", ContactTagsChanged, _tags),
    PublicMessage("contact.untagged", "A contact lost tags", ContactTagsChanged, _tags),
    PublicMessage("contact.listed", "A contact joined lists", ContactListsChanged, _lists),
    PublicMessage("contact.unlisted", "A contact left lists", ContactListsChanged, _lists),
    PublicMessage("contact.channel_connected", "A channel reaches a contact", ContactChannel, _connected),
    PublicMessage("contact.channel_seen", "A contact showed up on a channel", ContactChannel, _channel),
    PublicMessage("contact.channel_disconnected", "A channel reaches a contact no more", ContactChannel, _channel),
    PublicMessage("contact.blocked", "A contact was blocked", ContactStateChanged, _state),
    PublicMessage("contact.unblocked", "A contact was unblocked", ContactStateChanged, _state),
    PublicMessage("contact.deleted", "A contact was deleted", ContactStateChanged, _state),
    PublicMessage("contact.restored", "A deleted contact is back", ContactStateChanged, _state),
)
