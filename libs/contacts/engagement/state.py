"""What activity says of one contact, as a fold that does not mind in which order it comes in. No I/O.

Of everything that can be said anew the newest counts: by when it happened, then by when it was recorded. All else are
counts. So the tallies of several contacts can be taken together as if one had done it all, and taken apart again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar

import msgspec
from msgspec.structs import replace

from contacts.activity.events import ActivityRecorded
from contacts.engagement.rating import email_rating

T = TypeVar("T")
ConversationStatus: TypeAlias = Literal["open", "closed", "snoozed"]
FieldValue: TypeAlias = str | bool | int | float

EMAIL: Final = "email"


class Engagement(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What is shown of a profile."""

    conversation_status: ConversationStatus | None = None
    conversation_assignee: str | None = None
    #: The last time one was opened.
    conversation_opened_at: datetime | None = None
    #: In either direction, as are its preview and channel.
    last_message_at: datetime | None = None
    last_incoming_at: datetime | None = None
    #: A message of a conversation, or anything the person did; what campaigns merely sent does not count.
    last_interaction_at: datetime | None = None
    #: Of the newest interaction that went over one.
    last_channel: str | None = None
    last_message_preview: str | None = None
    labels: tuple[str, ...] = ()
    #: In the order of their keys.
    fields: dict[str, FieldValue] = {}
    #: 0 to 5 in tenths (`rating`); None where there was no e-mail.
    email_rating: float | None = None


class Mark(msgspec.Struct, Generic[T], frozen=True, array_like=True, gc=False):
    """The newest that was said of something."""

    at: datetime
    #: In the log, where two happened at the same time.
    position: int
    value: T


class Tally(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """All that counts of one contact's own activity."""

    status: Mark[ConversationStatus] | None = None
    assignee: Mark[str | None] | None = None
    opened_at: datetime | None = None
    #: The preview.
    message: Mark[str | None] | None = None
    incoming_at: datetime | None = None
    interaction_at: datetime | None = None
    channel: Mark[str] | None = None
    labels: Mark[tuple[str, ...]] | None = None
    #: None where the newest took it away.
    fields: dict[str, Mark[FieldValue | None]] = {}
    #: Of e-mails, as are those below.
    sent: int = 0
    delivered: int = 0
    read: int = 0
    clicked: int = 0
    #: Last read or click.
    welcomed_at: datetime | None = None
    #: Last hard bounce, complaint or unsubscription of the whole channel.
    refused_at: datetime | None = None


NOTHING: Final = Tally()


def fold(tally: Tally, event: ActivityRecorded, position: int) -> Tally:
    """With one more activity, recorded at `position`. Once for each: counts are not idempotent."""
    family = event.kind.partition(".")[0]
    step = _FOLD.get(event.kind) or _FOLD.get(family)
    return tally if step is None else step(tally, event, position)


def together(tallies: Iterable[Tally]) -> Tally:
    """As if one contact had done it all; the order of the tallies does not matter."""
    total = NOTHING
    for tally in tallies:
        total = tally if total is NOTHING else _sum(total, tally)
    return total


def shown(tally: Tally) -> Engagement:
    """What it comes to."""
    message, fields = tally.message, tally.fields
    return Engagement(
        conversation_status=_value(tally.status),
        conversation_assignee=_value(tally.assignee),
        conversation_opened_at=tally.opened_at,
        last_message_at=message.at if message else None,
        last_incoming_at=tally.incoming_at,
        last_interaction_at=tally.interaction_at,
        last_channel=_value(tally.channel),
        last_message_preview=_value(message),
        labels=tally.labels.value if tally.labels else (),
        fields={key: value for key in sorted(fields) if (value := fields[key].value) is not None} if fields else {},
        email_rating=email_rating(
            sent=tally.sent,
            delivered=tally.delivered,
            read=tally.read,
            clicked=tally.clicked,
            welcomed_at=tally.welcomed_at,
            refused_at=tally.refused_at,
        ),
    )


# -- one step of each kind --------------------------------------------------------------------------------------------

Step: TypeAlias = Callable[[Tally, ActivityRecorded, int], Tally]


def _status(value: ConversationStatus, tally: Tally, event: ActivityRecorded, position: int) -> Tally:
    status = _newer(tally.status, Mark(event.occurred_at, position, value))
    if value == "open":
        return replace(tally, status=status, opened_at=_later(tally.opened_at, event.occurred_at))
    return replace(tally, status=status)


def _assigned(tally: Tally, event: ActivityRecorded, position: int) -> Tally:
    assignee = Mark(event.occurred_at, position, event.data.get("assignee"))
    return replace(tally, assignee=_newer(tally.assignee, assignee))


def _message(tally: Tally, event: ActivityRecorded, position: int, *, incoming: bool) -> Tally:
    at = event.occurred_at
    message = _newer(tally.message, Mark(at, position, event.data.get("preview")))
    tally = replace(_interacted(tally, event, position), message=message)
    return replace(tally, incoming_at=_later(tally.incoming_at, at)) if incoming else tally


def _labels_changed(tally: Tally, event: ActivityRecorded, position: int) -> Tally:
    labels = tuple(sorted(set(event.data.get("labels", ()))))
    return replace(tally, labels=_newer(tally.labels, Mark(event.occurred_at, position, labels)))


def _fields_changed(tally: Tally, event: ActivityRecorded, position: int) -> Tally:
    changed = {key: Mark(event.occurred_at, position, value) for key, value in event.data.get("fields", {}).items()}
    return replace(tally, fields=_newest_fields(tally.fields, changed))


def _interacted(tally: Tally, event: ActivityRecorded, position: int) -> Tally:
    at, over = event.occurred_at, event.data.get("channel")
    channel = _newer(tally.channel, Mark(at, position, over)) if over else tally.channel
    return replace(tally, interaction_at=_later(tally.interaction_at, at), channel=channel)


def _counted(name: str, tally: Tally, event: ActivityRecorded, position: int) -> Tally:
    if event.data.get("channel") != EMAIL:
        return tally
    return replace(tally, **{name: getattr(tally, name) + 1})


def _welcomed(name: str, tally: Tally, event: ActivityRecorded, position: int) -> Tally:
    tally = _interacted(_counted(name, tally, event, position), event, position)
    if event.data.get("channel") != EMAIL:
        return tally
    return replace(tally, welcomed_at=_later(tally.welcomed_at, event.occurred_at))


def _refused(tally: Tally, event: ActivityRecorded, position: int) -> Tally:
    if event.data.get("channel") != EMAIL:
        return tally
    return replace(tally, refused_at=_later(tally.refused_at, event.occurred_at))


def _undelivered(tally: Tally, event: ActivityRecorded, position: int) -> Tally:
    return _refused(tally, event, position) if event.data.get("bounce") == "hard" else tally


def _objected(tally: Tally, event: ActivityRecorded, position: int) -> Tally:
    tally = _interacted(tally, event, position)
    # Of one category only: the others are as welcome as before.
    return tally if "category" in event.data else _refused(tally, event, position)


#: By kind, or by what stands before its dot. What is not here says nothing of what is shown.
_FOLD: Final[Mapping[str, Step]] = {
    "conversation.opened": partial(_status, "open"),
    "conversation.closed": partial(_status, "closed"),
    "conversation.snoozed": partial(_status, "snoozed"),
    "conversation.assigned": _assigned,
    "conversation.message_in": partial(_message, incoming=True),
    "conversation.message_out": partial(_message, incoming=False),
    "conversation.labels_changed": _labels_changed,
    "conversation.fields_changed": _fields_changed,
    "message.sent": partial(_counted, "sent"),
    "message.delivered": partial(_counted, "delivered"),
    "message.read": partial(_welcomed, "read"),
    "message.clicked": partial(_welcomed, "clicked"),
    "message.undelivered": _undelivered,
    "message.unsubscribed": _objected,
    "message.spam_reported": _objected,
    "order": _interacted,
    "web": _interacted,
    "widget": _interacted,
}


# -- the newer of two -------------------------------------------------------------------------------------------------


def _newer(one: Mark[T] | None, other: Mark[T] | None) -> Mark[T] | None:
    if one is None or other is None:
        return one or other
    return one if (one.at, one.position) > (other.at, other.position) else other


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    if one is None or other is None:
        return one or other
    return max(one, other)


def _newest_fields(
    one: dict[str, Mark[FieldValue | None]], other: dict[str, Mark[FieldValue | None]]
) -> dict[str, Mark[FieldValue | None]]:
    found: dict[str, Any] = {key: _newer(one.get(key), other.get(key)) for key in {**one, **other}}
    return found


def _sum(one: Tally, other: Tally) -> Tally:
    return Tally(
        status=_newer(one.status, other.status),
        assignee=_newer(one.assignee, other.assignee),
        opened_at=_later(one.opened_at, other.opened_at),
        message=_newer(one.message, other.message),
        incoming_at=_later(one.incoming_at, other.incoming_at),
        interaction_at=_later(one.interaction_at, other.interaction_at),
        channel=_newer(one.channel, other.channel),
        labels=_newer(one.labels, other.labels),
        fields=_newest_fields(one.fields, other.fields),
        sent=one.sent + other.sent,
        delivered=one.delivered + other.delivered,
        read=one.read + other.read,
        clicked=one.clicked + other.clicked,
        welcomed_at=_later(one.welcomed_at, other.welcomed_at),
        refused_at=_later(one.refused_at, other.refused_at),
    )


def _value(mark: Mark[T] | None) -> T | None:
    return mark.value if mark else None
