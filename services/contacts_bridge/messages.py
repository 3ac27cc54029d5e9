"""What each domain event looks like from outside: public types of their own, and one table from the one to the other.

Public data names what changed and carries ids, never the values: names, addresses, tags and free text may be personal.
Only a workspace that asks for it gets `values`. A change of a type that breaks its readers is a new version beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from contacts.activity import events as activity
from contacts.activity.kinds import Category, category_of
from contacts.consent import events as consent
from contacts.contact import events as contact
from contacts.erasure import events as erasure
from contacts.suppression import events as suppression
from contacts.workspace import events as workspace
from contacts_bridge.cloudevent import CloudEvent, cloud_event
from contacts_bridge.errors import UnmappedEvent
from eventstore.envelope import RecordedEvent, Unreadable

Changed = Annotated[
    tuple[str, ...],
    Meta(description="Names of the fields that got another value, custom ones as `attributes.<key>`.", min_length=1),
]
Values = (
    Annotated[
        dict[str, Any],
        Meta(description="The values themselves. Only where the workspace's settings ask for personal data."),
    ]
    | UnsetType
)


class _Data(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Shared shape of public data."""


class ContactCreated(_Data, frozen=True, kw_only=True, gc=False):
    """A new contact."""

    changed: Annotated[tuple[str, ...], Meta(description="Names of the fields that have a value.")]
    lists: Annotated[tuple[UUID, ...], Meta(description="Lists it is on.")] = ()
    values: Values = UNSET


class ContactDetailsChanged(_Data, frozen=True, kw_only=True, gc=False):
    """Another value in some fields of a contact."""

    changed: Changed
    cleared: Annotated[tuple[str, ...], Meta(description="Those of `changed` that are empty now.")] = ()
    lists_added: tuple[UUID, ...] = ()
    lists_removed: tuple[UUID, ...] = ()
    values: Values = UNSET


class ContactTagsChanged(_Data, frozen=True, kw_only=True, gc=False):
    """Tags that came or went."""

    count: Annotated[int, Meta(ge=1, description="How many tags.")]
    values: Values = UNSET


class ContactChannel(_Data, frozen=True, kw_only=True, gc=False):
    """A way of reaching the contact."""

    kind: Annotated[str, Meta(description="`mobile_push`, `telegram`, `whatsapp`, …")]
    application: Annotated[str | None, Meta(description="The app, bot or page it belongs to.")] = None
    values: Values = UNSET


class ContactStateChanged(_Data, frozen=True, kw_only=True, gc=False):
    """The event's name says it all; a reason given in free text is among the values."""

    values: Values = UNSET


class ContactMerged(_Data, frozen=True, kw_only=True, gc=False):
    """Others are shown as part of this contact from here on. Their ids keep resolving, to this one."""

    merge: Annotated[UUID, Meta(description="The merge; it can be taken apart by this id.")]
    others: Annotated[tuple[UUID, ...], Meta(description="Those that are not shown by themselves any more.")]
    chosen: Annotated[tuple[str, ...], Meta(description="Fields for which somebody chose whose value is shown.")] = ()


class ContactAbsorbed(_Data, frozen=True, kw_only=True, gc=False):
    """This contact is shown as part of another one. Nothing of it is lost."""

    merge: UUID
    into: UUID


class ContactUnmerged(_Data, frozen=True, kw_only=True, gc=False):
    """Others are shown by themselves again."""

    merge: UUID
    contacts: tuple[UUID, ...]


class ContactReinstated(_Data, frozen=True, kw_only=True, gc=False):
    """This contact is shown by itself again."""

    merge: UUID
    out_of: UUID


class ContactErased(_Data, frozen=True, kw_only=True, gc=False):
    """Nothing of this contact is left, and nothing will follow. Whoever keeps copies of its data erases them now."""

    erasure: Annotated[UUID, Meta(description="The erasure; its certificate is kept by this id.")]
    reason: Annotated[str, Meta(description="A code: `person_asked`, `retention`, …")]


class ErasureCompleted(_Data, frozen=True, kw_only=True, gc=False):
    """Contacts were erased together; each of them tells so itself as well."""

    contacts: tuple[UUID, ...]


class MergeCompleted(_Data, frozen=True, kw_only=True, gc=False):
    """Contacts were merged; each of them tells so itself as well."""

    primary: UUID
    others: tuple[UUID, ...]


class MergeReversed(_Data, frozen=True, kw_only=True, gc=False):
    """Contacts came out of a merge; each of them tells so itself as well."""

    contacts: tuple[UUID, ...]
    out_of: UUID


class AddressFact(_Data, frozen=True, kw_only=True, gc=False):
    """What was recorded of an address. Which address is told to nobody; contacts and `may-send` say what follows."""

    channel: Annotated[str, Meta(description="`email`, `sms`, …; `phone` is every channel of a phone number.")]
    contact: Annotated[UUID, Meta(description="The contact through which it came.")] | UnsetType = UNSET
    category: Annotated[str, Meta(description="The subscription category, where it is about one.")] | UnsetType = UNSET
    cause: Annotated[str, Meta(description="`manual`, `hard_bounce`, …")] | UnsetType = UNSET


class ProofKept(_Data, frozen=True, kw_only=True, gc=False):
    """The proof of what was recorded of an address came or went. What it says is told to nobody."""


class ActivityRecorded(_Data, frozen=True, kw_only=True, gc=False):
    """Something a contact did, or that was done to reach it. `time` is when it happened; it may come late."""

    kind: Annotated[str, Meta(description="`message.clicked`, `order.placed`, …")]
    category: Annotated[Category, Meta(description="Where a timeline shows it.")]
    source: Annotated[str, Meta(description="The service that saw it.")]
    channel: Annotated[str, Meta(description="`email`, `sms`, …")] | UnsetType = UNSET
    values: Values = UNSET


class WorkspaceCreated(_Data, frozen=True, kw_only=True, gc=False):
    """A new workspace."""


class WorkspaceSettingsChanged(_Data, frozen=True, kw_only=True, gc=False):
    """Other settings of a workspace."""

    changed: Changed


class WorkspaceKey(_Data, frozen=True, kw_only=True, gc=False):
    """An API key came or went."""

    key: Annotated[str, Meta(description="Id of the key; its text is never told.")]


class WorkspaceMember(_Data, frozen=True, kw_only=True, gc=False):
    """Somebody came, went or got another role. Who is not told: a member's id may be an e-mail address."""

    role: Annotated[str, Meta(description="The role held from now on.")] | UnsetType = UNSET


class AttributeChanged(_Data, frozen=True, kw_only=True, gc=False):
    """The definition of a custom attribute."""

    key: str


class PublicMessage(msgspec.Struct, frozen=True):
    """One row of the table: a domain event, its public data and how the one becomes the other."""

    name: str
    summary: str
    data_type: type[msgspec.Struct]
    convert: Callable[[Any, bool], msgspec.Struct]
    version: int = 1

    @property
    def type(self) -> str:
        """The `type` attribute of its CloudEvents."""
        return f"rollbook.{self.name}.v{self.version}"


def _created(event: contact.ContactCreated, with_values: bool) -> ContactCreated:
    fields = msgspec.to_builtins(event, builtin_types=(UUID,))
    return ContactCreated(changed=_names(fields), lists=event.lists, values=_values(fields, with_values))


def _details_changed(event: contact.ContactDetailsChanged, with_values: bool) -> ContactDetailsChanged:
    fields = msgspec.to_builtins(event, builtin_types=(UUID,))
    return ContactDetailsChanged(
        changed=_names(fields),
        cleared=tuple(_cleared(fields)),
        lists_added=event.lists_added,
        lists_removed=event.lists_removed,
        values=_values(fields, with_values),
    )


def _tags(event: contact.ContactTagged | contact.ContactUntagged, with_values: bool) -> ContactTagsChanged:
    return ContactTagsChanged(count=len(event.tags), values={"tags": event.tags} if with_values else UNSET)


def _connected(event: contact.ContactChannelConnected, with_values: bool) -> ContactChannel:
    channel = event.channel
    return ContactChannel(kind=channel.kind, application=channel.application, values=_all_values(event, with_values))


def _channel(
    event: contact.ContactChannelSeen | contact.ContactChannelDisconnected, with_values: bool
) -> ContactChannel:
    return ContactChannel(kind=event.kind, application=event.application, values=_all_values(event, with_values))


def _state(event: msgspec.Struct, with_values: bool) -> ContactStateChanged:
    return ContactStateChanged(values=_all_values(event, with_values))


def _merged(event: contact.ContactMerged, _: bool) -> ContactMerged:
    return ContactMerged(merge=event.merge_id, others=event.others, chosen=tuple(sorted(event.choices)))


def _erased(event: contact.ContactErased, _: bool) -> ContactErased:
    return ContactErased(erasure=event.erasure_id, reason=event.reason)


def _erasure_completed(event: erasure.ErasureCompleted, _: bool) -> ErasureCompleted:
    return ErasureCompleted(contacts=event.contacts)


def _address_fact(event: consent.ConsentEvent | suppression.SuppressionEvent, _: bool) -> AddressFact:
    contact_id = getattr(event, "contact_id", None)
    return AddressFact(
        channel=getattr(event, "channel", "") or getattr(event, "family", ""),
        contact=UNSET if contact_id is None else contact_id,
        category=getattr(event, "category", UNSET),
        cause=getattr(event, "cause", UNSET),
    )


def _activity(event: activity.ActivityRecorded, with_values: bool) -> ActivityRecorded:
    return ActivityRecorded(
        kind=event.kind,
        category=category_of(event.kind),
        source=event.source,
        channel=event.data.get("channel", UNSET),
        values=_all_values(event, with_values),
    )


def _same_fields(data: type[_Data]) -> Callable[[Any, bool], _Data]:
    """For data whose fields all stand in the event by the same names; a merge stands there as `merge_id`."""
    names = {name: "merge_id" if name == "merge" else name for name in data.__struct_fields__}
    return lambda event, _: data(**{name: getattr(event, field) for name, field in names.items()})


def _settings(event: workspace.WorkspaceSettingsChanged, _: bool) -> WorkspaceSettingsChanged:
    return WorkspaceSettingsChanged(changed=_names(msgspec.to_builtins(event)))


def _key(event: workspace.WorkspaceKeyIssued | workspace.WorkspaceKeyRevoked, _: bool) -> WorkspaceKey:
    return WorkspaceKey(key=event.key_id)


def _member(event: workspace.WorkspaceMemberAdded | workspace.WorkspaceMemberRoleChanged, _: bool) -> WorkspaceMember:
    return WorkspaceMember(role=event.role)


def _attribute(event: workspace.AttributeDefined | workspace.AttributeArchived, _: bool) -> AttributeChanged:
    return AttributeChanged(key=event.key)


#: Ways of saying the same field in a domain event. What is not about the person's data is not a field of theirs.
_FIELD: Final = {
    "lists_added": "lists",
    "lists_removed": "lists",
    "categories_added": "categories",
    "categories_removed": "categories",
}
_NOT_FIELDS: Final = frozenset({"source", "consent_attested"})


def _names(fields: dict[str, Any]) -> tuple[str, ...]:
    return tuple(sorted(set(_field_names(fields))))


def _field_names(fields: dict[str, Any]) -> Iterator[str]:
    for name, value in fields.items():
        if name == "attributes":
            yield from (f"attributes.{key}" for key in value)
        elif name not in _NOT_FIELDS:
            yield _FIELD.get(name, name)


def _cleared(fields: dict[str, Any]) -> Iterator[str]:
    for name, value in fields.items():
        if value is None:
            yield name
        elif name == "attributes":
            yield from (f"attributes.{key}" for key in value if value[key] is None)


def _values(fields: dict[str, Any], with_values: bool) -> dict[str, Any] | UnsetType:
    return fields if with_values else UNSET


def _all_values(event: msgspec.Struct, with_values: bool) -> dict[str, Any] | UnsetType:
    return msgspec.to_builtins(event) if with_values else UNSET


MESSAGES: Final = (
    PublicMessage("contact.created", "A contact was created", ContactCreated, _created),
    PublicMessage("contact.details_changed", "A contact was edited", ContactDetailsChanged, _details_changed),
    PublicMessage("contact.tagged", "A contact got tags", ContactTagsChanged, _tags),
    PublicMessage("contact.untagged", "A contact lost tags", ContactTagsChanged, _tags),
    PublicMessage("contact.channel_connected", "A channel reaches a contact", ContactChannel, _connected),
    PublicMessage("contact.channel_seen", "A contact showed up on a channel", ContactChannel, _channel),
    PublicMessage("contact.channel_disconnected", "A channel reaches a contact no more", ContactChannel, _channel),
    PublicMessage("contact.blocked", "A contact was blocked", ContactStateChanged, _state),
    PublicMessage("contact.unblocked", "A contact was unblocked", ContactStateChanged, _state),
    PublicMessage("contact.deleted", "A contact was deleted", ContactStateChanged, _state),
    PublicMessage("contact.restored", "A deleted contact is back", ContactStateChanged, _state),
    PublicMessage("contact.merged", "A contact absorbed others", ContactMerged, _merged),
    PublicMessage(
        "contact.absorbed", "A contact was absorbed by another", ContactAbsorbed, _same_fields(ContactAbsorbed)
    ),
    PublicMessage(
        "contact.unmerged", "Others came out of a contact again", ContactUnmerged, _same_fields(ContactUnmerged)
    ),
    PublicMessage(
        "contact.reinstated", "An absorbed contact is back", ContactReinstated, _same_fields(ContactReinstated)
    ),
    PublicMessage("contact.erased", "A contact was erased", ContactErased, _erased),
    PublicMessage("erasure.completed", "Contacts were erased", ErasureCompleted, _erasure_completed),
    PublicMessage("merge.completed", "Contacts were merged", MergeCompleted, _same_fields(MergeCompleted)),
    PublicMessage("merge.reversed", "Contacts came out of a merge", MergeReversed, _same_fields(MergeReversed)),
    PublicMessage("suppression.address_blacklisted", "An address is on the blacklist", AddressFact, _address_fact),
    PublicMessage("suppression.address_unblacklisted", "An address is off the blacklist", AddressFact, _address_fact),
    PublicMessage("consent.granted", "Somebody agreed to a channel", AddressFact, _address_fact),
    PublicMessage("consent.withdrawn", "Somebody objected to a channel", AddressFact, _address_fact),
    PublicMessage("consent.unsubscribed_from_all", "Somebody objected to everything", AddressFact, _address_fact),
    PublicMessage("consent.double_opt_in_requested", "An address has to be confirmed", AddressFact, _address_fact),
    PublicMessage("consent.double_opt_in_confirmed", "An address was confirmed", AddressFact, _address_fact),
    PublicMessage("consent.spam_reported", "Somebody complained of spam", AddressFact, _address_fact),
    PublicMessage("consent.spam_cleared", "Complaints were taken back", AddressFact, _address_fact),
    PublicMessage("consent.category_subscribed", "Somebody agreed to a category", AddressFact, _address_fact),
    PublicMessage("consent.category_unsubscribed", "Somebody objected to a category", AddressFact, _address_fact),
    PublicMessage("proof.recorded", "A proof was recorded", ProofKept, lambda _e, _v: ProofKept()),
    PublicMessage("proof.destroyed", "Proof was destroyed", ProofKept, lambda _e, _v: ProofKept()),
    PublicMessage("activity.recorded", "Something happened to a contact", ActivityRecorded, _activity),
    PublicMessage("workspace.created", "A workspace was created", WorkspaceCreated, lambda _e, _v: WorkspaceCreated()),
    PublicMessage("workspace.settings_changed", "Settings changed", WorkspaceSettingsChanged, _settings),
    PublicMessage("workspace.key_issued", "An API key was issued", WorkspaceKey, _key),
    PublicMessage("workspace.key_revoked", "An API key was revoked", WorkspaceKey, _key),
    PublicMessage("workspace.member_added", "Somebody joined the workspace", WorkspaceMember, _member),
    PublicMessage("workspace.member_role_changed", "Somebody has another role", WorkspaceMember, _member),
    PublicMessage(
        "workspace.member_removed", "Somebody left the workspace", WorkspaceMember, lambda _e, _v: WorkspaceMember()
    ),
    PublicMessage("attribute.defined", "A custom attribute was defined", AttributeChanged, _attribute),
    PublicMessage("attribute.renamed", "A custom attribute was renamed", AttributeChanged, _attribute),
    PublicMessage("attribute.archived", "A custom attribute takes no new values", AttributeChanged, _attribute),
)
_BY_NAME: Final = {message.name: message for message in MESSAGES}


def public_message(recorded: RecordedEvent[Any], *, with_values: bool = False) -> CloudEvent[msgspec.Struct]:
    """What the world is told of a recorded event. Raises UnmappedEvent for a type without a public message.

    An erased (unreadable) event is told with all that is known: its id, type, contact, time and place in the log.
    """
    message = _BY_NAME.get(recorded.type)
    if message is None:
        raise UnmappedEvent(recorded.type)
    readable = not isinstance(recorded.event, Unreadable)
    data = message.convert(recorded.event, with_values) if readable else UNSET
    return cloud_event(recorded, type_=message.type, data=data)
