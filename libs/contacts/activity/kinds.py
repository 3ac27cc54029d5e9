"""The kinds of activity: the category each is shown in, and the fields that its data may have. Checks no data.

What has no field of its own goes into `properties`, so that a mistyped field is refused instead of kept unseen.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from contacts.attributes import URL_MAX
from contacts.errors import InvalidValue
from contacts.values import CATEGORY_MAX, EXTERNAL_ID_MAX, LINE_MAX, TAG_MAX

Category: TypeAlias = Literal["campaigns", "events", "orders", "conversations"]
CATEGORIES: Final[tuple[Category, ...]] = ("campaigns", "events", "orders", "conversations")

PREVIEW_MAX: Final = 1_000
NAME_MAX: Final = 50
ITEMS_MAX: Final = 500
LABELS_MAX: Final = 100

_Line: TypeAlias = Annotated[str, Meta(min_length=1, max_length=LINE_MAX)]
_Id: TypeAlias = Annotated[str, Meta(min_length=1, max_length=EXTERNAL_ID_MAX)]
_Url: TypeAlias = Annotated[str, Meta(min_length=1, max_length=URL_MAX)]
_Number: TypeAlias = int | float


class Data(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """What the data of every kind has."""

    #: Whatever else the sender knows, as plain JSON.
    properties: dict[str, Any] = {}


class MessageData(Data, frozen=True, kw_only=True):
    """One message of a campaign, to one person."""

    #: It went over: `email`, `sms`, `web_push`, …
    channel: str
    message_name: _Line | None = None
    message_id: _Id | None = None
    language: str | None = None
    application: _Line | None = None


class UndeliveredData(MessageData, frozen=True, kw_only=True):
    #: `hard` or `soft`: hard is an address that does not exist and never will.
    bounce: str | None = None
    reason: _Line | None = None


class ClickedData(MessageData, frozen=True, kw_only=True):
    url: _Url | None = None


class UnsubscribedData(MessageData, frozen=True, kw_only=True):
    #: The subscription category, where not all of the channel is meant.
    category: Annotated[str, Meta(min_length=1, max_length=CATEGORY_MAX)] | None = None


class OrderItem(Data, frozen=True, kw_only=True):
    name: _Line
    external_id: _Id | None = None
    quantity: _Number | None = None
    #: Of one.
    price: _Number | None = None
    url: _Url | None = None


class OrderData(Data, frozen=True, kw_only=True):
    """An order as it is from this moment on."""

    external_id: _Id
    amount: _Number | None = None
    #: ISO 4217.
    currency: str | None = None
    status: _Line | None = None
    items: Annotated[list[OrderItem], Meta(max_length=ITEMS_MAX)] = []


class WebData(Data, frozen=True, kw_only=True):
    """An event of a site or an app."""

    name: _Line
    url: _Url | None = None
    application: _Line | None = None
    #: Those that it started.
    workflows: Annotated[list[_Line], Meta(max_length=LABELS_MAX)] = []


class WidgetData(Data, frozen=True, kw_only=True):
    """Something done in a widget of a site."""

    name: _Line | None = None
    url: _Url | None = None
    application: _Line | None = None


class LocationData(Data, frozen=True, kw_only=True):
    """Where the person was, in degrees."""

    latitude: Annotated[float, Meta(ge=-90, le=90)]
    longitude: Annotated[float, Meta(ge=-180, le=180)]
    accuracy_m: _Number | None = None
    #: Who says so: `gps`, `ip`, …
    source: _Line | None = None


class ConversationData(Data, frozen=True, kw_only=True):
    """Something in a conversation with the person."""

    conversation_id: _Id | None = None
    channel: str | None = None
    application: _Line | None = None
    #: Who did it, where it was one of us.
    author: _Line | None = None


class ClosedData(ConversationData, frozen=True, kw_only=True):
    reason: _Line | None = None


class SnoozedData(ConversationData, frozen=True, kw_only=True):
    until: Annotated[datetime, Meta(tz=True)] | None = None


class AssignedData(ConversationData, frozen=True, kw_only=True):
    #: None where it is nobody any more.
    assignee: _Line | None


class TalkData(ConversationData, frozen=True, kw_only=True):
    """A message from the person or to them, or a comment among us."""

    #: Its beginning.
    preview: Annotated[str, Meta(max_length=PREVIEW_MAX)] | None = None
    message_id: _Id | None = None


class LabelsData(ConversationData, frozen=True, kw_only=True):
    #: All that it has from this moment on.
    labels: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=TAG_MAX)]], Meta(max_length=LABELS_MAX)
    ]  # fmt: skip


class FieldsData(ConversationData, frozen=True, kw_only=True):
    #: Those that changed, by key; null clears one.
    fields: dict[str, str | bool | int | float | None]


class Family(msgspec.Struct, frozen=True):
    """The kinds with one word before the dot."""

    category: Category
    #: By what stands behind the dot.
    kinds: Mapping[str, type[Data]]
    #: Of any other name; None where there is no other.
    other: type[Data] | None = None


FAMILIES: Final[dict[str, Family]] = {
    "message": Family(
        "campaigns",
        {
            "sent": MessageData,
            "delivered": MessageData,
            "undelivered": UndeliveredData,
            "read": MessageData,
            "clicked": ClickedData,
            "unsubscribed": UnsubscribedData,
            "spam_reported": MessageData,
        },
    ),
    "conversation": Family(
        "conversations",
        {
            "opened": ConversationData,
            "closed": ClosedData,
            "snoozed": SnoozedData,
            "assigned": AssignedData,
            "message_in": TalkData,
            "message_out": TalkData,
            "commented": TalkData,
            "labels_changed": LabelsData,
            "fields_changed": FieldsData,
        },
    ),
    "order": Family("orders", {}, OrderData),
    "web": Family("events", {}, WebData),
    "widget": Family("events", {}, WidgetData),
    "location": Family("events", {}, LocationData),
}
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")


def parse_kind(text: str) -> str:
    """Raises InvalidValue."""
    family_name, _, name = text.partition(".")
    family = FAMILIES.get(family_name)
    if family is None:
        raise InvalidValue("is no kind of activity", " or ".join(f"{each}.*" for each in FAMILIES))
    if family.other is None and name not in family.kinds:
        raise InvalidValue("is no kind of activity", "one of " + ", ".join(f"{family_name}.{n}" for n in family.kinds))
    if len(name) > NAME_MAX or not _NAME.fullmatch(name):
        expected = f"{family_name}. and a letter, then letters, digits and _, at most {NAME_MAX} in all"
        raise InvalidValue("is no kind of activity", expected)
    return text


def category_of(kind: str) -> Category:
    """Of a kind that was parsed."""
    return FAMILIES[kind.partition(".")[0]].category


def data_type(kind: str) -> type[Data]:
    """What the data of a kind that was parsed has to be."""
    family_name, _, name = kind.partition(".")
    family = FAMILIES[family_name]
    found = family.kinds.get(name, family.other)
    assert found is not None
    return found
