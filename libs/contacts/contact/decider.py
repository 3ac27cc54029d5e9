"""Contact rules: (command, state) -> events. No I/O, no clock; the fold itself is in `contact/state.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from msgspec import UNSET
from msgspec.structs import replace

from contacts import errors
from contacts.contact import commands as c
from contacts.contact import events as e
from contacts.contact.details import changes_of, created_fields
from contacts.contact.state import Channel, Contact, evolve, fold, initial
from contacts.values import Tag

__all__ = ["Channel", "Contact", "decide", "evolve", "fold", "initial"]

#: Stands in for the time of recording where only the resulting values matter.
EPOCH: Final = datetime.fromtimestamp(0, UTC)
TAGS_MAX: Final = 1_000
LISTS_MAX: Final = 1_000
CATEGORIES_MAX: Final = 1_000
CHANNELS_MAX: Final = 1_000


def decide(command: c.ContactCommand, contact: Contact) -> list[e.ContactEvent]:
    """The events `command` causes; none where everything is as wanted already.

    Raises:
        ContactNotFound, ContactIsDeleted, ContactIsErased: nothing can be asked of this contact.
        Refusal: as each command names.
    """
    if isinstance(command, c.CreateContact):
        return _create(command, contact)
    if not contact.exists:
        raise errors.ContactNotFound(contact.id)
    if contact.erased:
        raise errors.ContactIsErased(contact.id)
    if contact.deleted and not isinstance(command, c.DeleteContact | c.RestoreContact):
        raise errors.ContactIsDeleted(contact.id)
    return _DECIDE[type(command)](command, contact)


def _create(command: c.CreateContact, contact: Contact) -> list[e.ContactEvent]:
    if contact.exists:
        raise errors.ContactAlreadyExists(contact.id)
    fields = created_fields(command.details)
    if command.channels:
        fields["channels"] = tuple({channel.key: channel for channel in command.channels}.values())
    created = e.ContactCreated(source=command.source, consent_attested=command.consent_attested, **fields)
    if not (created.email or created.phone or created.external_id or created.channels):
        raise errors.IdentityMissing
    if command.external_id_required and created.external_id is None:
        raise errors.ExternalIdRequired
    if command.source == "manual" and not command.consent_attested:
        raise errors.ConsentNotAttested
    _check_limits(len(created.tags), len(created.lists), len(created.categories), len(created.channels))
    return [created]


def _edit(command: c.EditContact, contact: Contact) -> list[e.ContactEvent]:
    details = command.details
    if command.found_by is not None and contact.absorbed:
        details = replace(details, **{command.found_by: UNSET})
    events: list[e.ContactEvent] = []
    changed = changes_of(details, contact)
    if changed is not None:
        events.append(changed)
    if details.tags is not UNSET:
        wanted = {_tag_key(tag) for tag in details.tags}
        events += _tag(details.tags, contact)
        events += _untag((tag for tag in contact.tags if _tag_key(tag) not in wanted), contact)
    if details.lists is not UNSET:
        events += _list(details.lists, contact)
        events += _unlist(set(contact.lists).difference(details.lists), contact)
    if events:
        _check_result(events, contact, external_id_required=command.external_id_required)
    return events


def _check_result(events: Iterable[e.ContactEvent], contact: Contact, *, external_id_required: bool) -> None:
    after = contact
    for event in events:
        after = evolve(after, event, EPOCH)
    if not (after.email or after.phone or after.external_id or after.channels):
        raise errors.IdentityMissing
    if external_id_required and after.external_id is None and contact.external_id is not None:
        raise errors.ExternalIdRequired
    _check_limits(len(after.tags), len(after.lists), len(after.categories), 0)


def _check_limits(tags: int, lists: int, categories: int, channels: int) -> None:
    for what, count, limit in (
        ("tags", tags, TAGS_MAX),
        ("lists", lists, LISTS_MAX),
        ("categories", categories, CATEGORIES_MAX),
        ("channels", channels, CHANNELS_MAX),
    ):
        if count > limit:
            raise errors.TooMany(what, limit)


def _tag_key(tag: str) -> str:
    return tag.casefold()


def _tag(tags: Iterable[Tag], contact: Contact) -> list[e.ContactEvent]:
    had = {_tag_key(tag) for tag in contact.tags}
    new = {_tag_key(tag): tag for tag in tags if _tag_key(tag) not in had}
    return [e.ContactTagged(tags=tuple(sorted(new.values())))] if new else []


def _untag(tags: Iterable[Tag], contact: Contact) -> list[e.ContactEvent]:
    unwanted = {_tag_key(tag) for tag in tags}
    held = tuple(tag for tag in contact.tags if _tag_key(tag) in unwanted)
    return [e.ContactUntagged(tags=held)] if held else []


def _add_tags(command: c.TagContact, contact: Contact) -> list[e.ContactEvent]:
    _check_limits(len({_tag_key(tag) for tag in (*contact.tags, *command.tags)}), 0, 0, 0)
    return _tag(command.tags, contact)


def _remove_tags(command: c.UntagContact, contact: Contact) -> list[e.ContactEvent]:
    return _untag(command.tags, contact)


def _list(lists: Iterable[UUID], contact: Contact) -> list[e.ContactEvent]:
    new = tuple(sorted(set(lists).difference(contact.lists)))
    return [e.ContactListed(lists=new)] if new else []


def _unlist(lists: Iterable[UUID], contact: Contact) -> list[e.ContactEvent]:
    gone = tuple(sorted(set(lists).intersection(contact.lists)))
    return [e.ContactUnlisted(lists=gone)] if gone else []


def _add_to_lists(command: c.AddContactToLists, contact: Contact) -> list[e.ContactEvent]:
    _check_limits(0, len({*contact.lists, *command.lists}), 0, 0)
    return _list(command.lists, contact)


def _remove_from_lists(command: c.RemoveContactFromLists, contact: Contact) -> list[e.ContactEvent]:
    return _unlist(command.lists, contact)


def _connect(command: c.ConnectChannel, contact: Contact) -> list[e.ContactEvent]:
    channel = command.channel
    if any(known.key == channel.key and known.device == channel.device for known in contact.channels):
        return []
    replaced = [known for known in contact.channels if _is_replaced(known, channel)]
    _check_limits(0, 0, 0, len(contact.channels) - len(replaced) + 1)
    events: list[e.ContactEvent] = [_disconnected(known, "replaced") for known in replaced]
    return [*events, e.ContactChannelConnected(channel=channel, connected_at=command.connected_at)]


def _is_replaced(known: Channel, channel: e.ChannelIdentity) -> bool:
    if channel.device is None or known.key == channel.key:
        return False
    return (known.kind, known.application, known.device) == (channel.kind, channel.application, channel.device)


def _see(command: c.SeeChannel, contact: Contact) -> list[e.ContactEvent]:
    channel = _channel(contact, command.kind, command.application, command.token)
    if contact.blocked or command.seen_at <= channel.last_seen_at:
        return []
    return [
        e.ContactChannelSeen(
            kind=channel.kind, application=channel.application, token=channel.token, seen_at=command.seen_at
        )
    ]


def _channel(contact: Contact, kind: str, application: str | None, token: str) -> Channel:
    for channel in contact.channels:
        if channel.key == (kind, application, token):
            return channel
    raise errors.ChannelNotFound(contact.id, kind)


def _disconnect(command: c.DisconnectChannel, contact: Contact) -> list[e.ContactEvent]:
    key = (command.kind, command.application, command.token)
    held = [channel for channel in contact.channels if channel.key == key]
    if not held:
        return []
    if len(contact.channels) == 1 and not (contact.email or contact.phone or contact.external_id):
        raise errors.IdentityMissing
    return [_disconnected(held[0], command.reason)]


def _disconnected(channel: Channel, reason: str | None) -> e.ContactChannelDisconnected:
    return e.ContactChannelDisconnected(
        kind=channel.kind, application=channel.application, token=channel.token, reason=reason
    )


def _block(command: c.BlockContact, contact: Contact) -> list[e.ContactEvent]:
    return [] if contact.blocked else [e.ContactBlocked(reason=command.reason)]


def _unblock(command: c.UnblockContact, contact: Contact) -> list[e.ContactEvent]:
    return [e.ContactUnblocked(reason=command.reason)] if contact.blocked else []


def _delete(command: c.DeleteContact, contact: Contact) -> list[e.ContactEvent]:
    return [] if contact.deleted else [e.ContactDeleted(reason=command.reason)]


def _restore(command: c.RestoreContact, contact: Contact) -> list[e.ContactEvent]:
    return [e.ContactRestored(reason=command.reason)] if contact.deleted else []


_DECIDE: Final[dict[type, Callable[[Any, Contact], list[e.ContactEvent]]]] = {
    c.EditContact: _edit,
    c.TagContact: _add_tags,
    c.UntagContact: _remove_tags,
    c.AddContactToLists: _add_to_lists,
    c.RemoveContactFromLists: _remove_from_lists,
    c.ConnectChannel: _connect,
    c.SeeChannel: _see,
    c.DisconnectChannel: _disconnect,
    c.BlockContact: _block,
    c.UnblockContact: _unblock,
    c.DeleteContact: _delete,
    c.RestoreContact: _restore,
}
