"""Every field that can be asked for: its type, its column, whether lists can be sorted by it. The only way to a column.

A name that is not here, or not made here from a custom attribute, a channel or a consent, reaches no SQL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, get_args
from uuid import UUID

import msgspec
from msgspec.structs import replace

from contacts.attributes import AttributeDefinition
from contacts.consent.standing import RANKS, ConsentStatus
from contacts.errors import InvalidValue
from contacts.smartsearch.names import expected_name, shown_name
from contacts.smartsearch.nodes import Field, FieldType, Node
from contacts.values import SOURCES, AttributeType, Country, parse_kind


class Schema(msgspec.Struct, frozen=True, kw_only=True):
    """What the names and values of a filter are checked against: one workspace's."""

    attributes: Mapping[str, AttributeDefinition] = {}
    #: Whose national phone numbers are meant.
    region: Country | None = None
    #: Definitions of the segments there are, archived ones too.
    segments: Mapping[UUID, Node] = {}
    #: The segment that the filter will define; it must not lead back to it.
    defining: UUID | None = None
    #: The lists there are; None if any id will do.
    lists: frozenset[UUID] | None = None


CONSENTS: Final = get_args(ConsentStatus)
CONVERSATION_STATUSES: Final = ("open", "closed", "snoozed")

ATTRIBUTES: Final = "attributes."
CONSENT: Final = "consents."
CHANNELS: Final = "channels."
#: What fields of conversations are compared as; all others as text.
CONVERSATION_TYPES: Final = frozenset({"number", "boolean", "date", "datetime"})
CONVERSATION_FIELDS: Final = "conversation.fields."
SEEN: Final = ("first_seen_at", "last_seen_at")
#: Under which `extras` keeps when any channel was seen; no kind of channel is empty.
ANY_CHANNEL: Final = ""

_TYPES: Final[dict[AttributeType, FieldType]] = {
    "text": "text",
    "number": "number",
    "boolean": "boolean",
    "date": "date",
    "datetime": "instant",
    "url": "text",
    "email": "text",
    "phone": "phone",
    "select": "text",
    "multi_select": "texts",
}


def _contact_fields() -> Iterator[Field]:
    yield Field(name="id", type="id", column="contact_id")
    for name in ("external_id", "messaging_id"):
        yield Field(name=name, type="text", column=name, folded_path=("folded", name), sortable=name == "external_id")
    for name in ("first_name", "last_name", "full_name", "assignee"):
        yield Field(name=name, type="text", column=name, sortable=True)
    yield Field(name="email", type="email", column="email", folded_path=("folded", "email"), sortable=True)
    yield Field(name="phone", type="phone", column="phone", sortable=True)
    for name in ("country", "language", "time_zone"):
        yield Field(name=name, type="code", column=name, code=name, sortable=True)
    yield Field(
        name="source", type="code", column="source", code="source", options=tuple(sorted(SOURCES)), sortable=True
    )
    for name in ("blocked", "campaign_opt_in"):
        yield Field(name=name, type="boolean", column=name)
    for name in ("created_at", "changed_at", "deleted_at"):
        yield Field(name=name, type="instant", column=name, sortable=True)
    yield Field(name="tags", type="texts", column="tags")
    yield Field(name="categories", type="texts", column="categories")
    yield Field(name="lists", type="ids", column="lists")
    yield Field(name="absorbed", type="ids", column="absorbed")


def _extra_fields() -> Iterator[Field]:
    for channel in ("email", "phone"):
        statuses = tuple(RANKS) if channel == "email" else ("active", "blacklisted", "over_limit")
        name = f"{channel}_status"
        status = Field(name=name, type="code", column=name, code="lower", options=statuses, sortable=True)
        yield status
        yield replace(status, name=f"{name}.status")
        yield Field(name=f"{name}.since", type="instant", column="extras", path=(name, "since"), sortable=True)
        for part in ("reason", "source"):
            yield Field(name=f"{name}.{part}", type="text", column="extras", path=(name, part))
    for part in ("street", "city", "region", "postcode"):
        yield Field(name=f"address.{part}", type="text", column="extras", path=("address", part), sortable=True)
    yield Field(
        name="address.country", type="code", code="country", column="extras", path=("address", "country"), sortable=True
    )
    for part in ("latitude", "longitude"):
        yield Field(name=f"location.{part}", type="number", column="extras", path=("location", part))
    yield Field(name="location.source", type="text", column="extras", path=("location", "source"))
    yield Field(name="location.at", type="instant", column="extras", path=("location", "at"), sortable=True)
    for name in ("avatar_url", "deletion_reason"):
        yield Field(name=name, type="text", column="extras", path=(name,))


def _channel_fields() -> Iterator[Field]:
    for name in ("channels", "channels.kind"):
        yield Field(name=name, type="texts", column="channels", code="kind")
    for part in ("application", "device"):
        yield Field(name=f"channels.{part}", type="texts", column="extras", path=(part,), default="")
    for part in SEEN:
        yield _seen(f"channels.{part}", ANY_CHANNEL, part)


def _seen(name: str, kind: str, part: str) -> Field:
    return Field(name=name, type="instant", column="extras", path=("seen", kind, part), sortable=True)


def _engagement_fields() -> Iterator[Field]:
    def field(name: str, type_: FieldType, column: str, **more: object) -> Field:
        made = {"name": name, "type": type_, "column": column, "place": "engagement", **more}
        return msgspec.convert(made, Field)

    yield field(
        "conversation.status", "code", "conversation_status", code="lower", options=CONVERSATION_STATUSES, sortable=True
    )
    yield field("conversation.assignee", "text", "conversation_assignee", sortable=True)
    yield field("conversation.opened_at", "instant", "conversation_opened_at", sortable=True)
    for name in ("last_message_at", "last_incoming_at", "last_interaction_at"):
        yield field(f"conversation.{name}", "instant", name, sortable=True)
    yield field("last_interaction_at", "instant", "last_interaction_at", sortable=True)
    yield field("conversation.last_channel", "code", "last_channel", code="kind", sortable=True)
    yield field("conversation.last_message_preview", "text", "last_message_preview")
    yield field("conversation.labels", "texts", "labels")
    yield field("email_rating", "number", "email_rating", sortable=True)


FIELDS: Final[Mapping[str, Field]] = {
    field.name: field
    for part in (_contact_fields, _extra_fields, _channel_fields, _engagement_fields)
    for field in part()
}


def resolve(name: str, schema: Schema) -> Field:
    """Raises InvalidValue with the names that are nearly the same."""
    field = FIELDS.get(name)
    if field is not None:
        return field
    for prefix, make in _FAMILIES.items():
        if name.startswith(prefix):
            return make(name, name.removeprefix(prefix), schema)
    raise InvalidValue(f"{shown_name(name)} is no field", expected_name(name, known_names(schema)))


def known_names(schema: Schema) -> Iterable[str]:
    """Fields that a caller could ask for; of open families an example."""
    yield from FIELDS
    yield from (f"{ATTRIBUTES}{key}" for key, each in schema.attributes.items() if each.level == "contact")
    yield from (f"{CONVERSATION_FIELDS}{key}" for key, each in schema.attributes.items() if each.level != "contact")
    yield from (f"{CONSENT}{channel}" for channel in ("email", "sms", "whatsapp"))


def sortable_names(schema: Schema) -> tuple[str, ...]:
    names = (name for name in known_names(schema) if resolve(name, schema).sortable)
    return tuple(dict.fromkeys(names))


def _attribute(name: str, key: str, schema: Schema) -> Field:
    definition = schema.attributes.get(key)
    if definition is None or definition.level != "contact":
        known = [f"{ATTRIBUTES}{key}" for key, each in schema.attributes.items() if each.level == "contact"]
        expected = expected_name(name, known) if known else "the key of an attribute; the workspace has defined none"
        raise InvalidValue(f"{shown_name(name)} is no attribute of this workspace", expected)
    type_ = _TYPES[definition.type]
    return Field(name=name, type=type_, column="attributes", path=(key,), sortable=type_ != "texts")


def _conversation_field(name: str, key: str, schema: Schema) -> Field:
    definition = schema.attributes.get(key)
    if definition is None or definition.level != "conversation":
        known = [f"{CONVERSATION_FIELDS}{key}" for key, each in schema.attributes.items() if each.level != "contact"]
        expected = expected_name(name, known) if known else "an attribute of conversations; there is none"
        raise InvalidValue(f"{shown_name(name)} is no attribute of conversations", expected)
    # Nobody checked what came with a conversation: what does not read as the type is unset.
    type_ = _TYPES[definition.type] if definition.type in CONVERSATION_TYPES else "text"
    return Field(name=name, type=type_, column="fields", path=(key,), place="engagement", unchecked=True)


def _consent(name: str, channel: str, schema: Schema) -> Field:
    try:
        kind = parse_kind(channel)
    except InvalidValue as error:
        raise InvalidValue(f"{shown_name(name)} names no channel", error.expected) from None
    return Field(
        name=f"{CONSENT}{kind}",
        type="code",
        column="extras",
        path=("consents", kind),
        code="lower",
        options=CONSENTS,
        default="not_subscribed",
    )


def _channel(name: str, rest: str, schema: Schema) -> Field:
    """`channels.telegram.last_seen_at`."""
    kind, _, part = rest.rpartition(".")
    if part in SEEN and kind:
        try:
            return _seen(name, parse_kind(kind), part)
        except InvalidValue:
            pass
    known = [name for name in FIELDS if name.startswith(CHANNELS)]
    expected = expected_name(name, known) + "; or channels.<kind>.last_seen_at"
    raise InvalidValue(f"{shown_name(name)} is no field of channels", expected)


_FAMILIES: Final[dict[str, Callable[[str, str, Schema], Field]]] = {
    ATTRIBUTES: _attribute,
    CONVERSATION_FIELDS: _conversation_field,
    CONSENT: _consent,
    CHANNELS: _channel,
}
