"""One message of the inbox, read: the plain form, and CloudEvents in structured and binary mode. No I/O.

Whatever its form, it becomes the same `ActivityInput` that `POST /v1/activity` takes, so that a repeat in another form
is still a repeat. Headers and subjects are read from their bytes: a client library that stumbles over them would take
the connection down with it, again and again.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, NamedTuple
from urllib.parse import unquote
from uuid import UUID

import msgspec
from msgspec import Meta

from contacts.activity.data import fault_of
from contacts.activity.input import ActivityInput, ContactReferenceInput
from contacts.errors import InvalidField, InvalidInput
from contacts_bridge.definitions import INBOX_PREFIX
from servicekit.dead_letters import parse_headers

UPSERT: Final = "contact.upsert"
CLOUDEVENTS: Final = "application/cloudevents"
JSON: Final = "application/json"
#: Larger ones are refused unread, in bytes; the data of one activity is far smaller.
MESSAGE_BYTES_MAX: Final = 256 * 1024
#: What goes wrong in reading JSON that somebody made up: not all of it is a DecodeError.
_UNREADABLE: Final = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, OverflowError, MemoryError)


class Raw(NamedTuple):
    """A message as it came over the wire."""

    subject: bytes
    #: Where it is acknowledged; it also tells how often it was delivered.
    reply: bytes
    headers: bytes
    data: bytes

    @property
    def place(self) -> tuple[int, int]:
        """(deliveries so far, sequence in the stream)."""
        tokens = self.reply.split(b".")
        first = 4 if len(tokens) == 9 else 6
        return int(tokens[first]), int(tokens[first + 1])

    @property
    def pending(self) -> int:
        """How many more the consumer had to give out after this one."""
        tokens = self.reply.split(b".")
        return int(tokens[8 if len(tokens) == 9 else 10])


class Inbound(NamedTuple):
    """A message that could be read."""

    workspace_id: UUID
    sent: ActivityInput

    @property
    def is_upsert(self) -> bool:
        return self.sent.type == UPSERT


class CloudEventInput(msgspec.Struct, frozen=True, kw_only=True):
    """A CloudEvent in structured mode. Extensions it does not know are passed over, as CloudEvents asks."""

    specversion: Annotated[str, Meta(pattern="^1")]
    id: str
    source: str
    type: str
    time: datetime
    #: Id of the contact, where nothing else says who is meant.
    subject: str | None = None
    datacontenttype: str | None = None
    data: dict[str, Any] = {}
    #: As in the plain form; or one of the extension attributes below.
    contact: ContactReferenceInput | None = None
    externalid: str | None = None
    messagingid: str | None = None
    email: str | None = None
    phone: str | None = None


_plain: Final = msgspec.json.Decoder(ActivityInput).decode
_event: Final = msgspec.json.Decoder(CloudEventInput).decode
_data: Final = msgspec.json.Decoder(dict[str, Any]).decode


def read(raw: Raw) -> Inbound:
    """Raises InvalidInput; its text holds no values."""
    workspace_id, kind = _address(raw.subject)
    if len(raw.data) > MESSAGE_BYTES_MAX:
        raise _invalid("", f"has {len(raw.data)} bytes", f"at most {MESSAGE_BYTES_MAX} bytes")
    try:
        sent = _read(raw)
    except msgspec.ValidationError as error:
        raise InvalidInput([fault_of(str(error))]) from None
    except _UNREADABLE as error:
        raise _invalid("", "cannot be read as JSON", "one JSON object in UTF-8, not nested too deeply") from error
    if sent.type != kind:
        raise _invalid("/type", "differs from the kind in the subject", "the same kind in both")
    return Inbound(workspace_id, sent)


def headers_of(block: bytes) -> dict[str, str]:
    """By name as sent. Raises InvalidInput where they are no headers."""
    try:
        return parse_headers(block)
    except UnicodeDecodeError:
        raise _invalid("/headers", "are not UTF-8", "headers in UTF-8") from None
    except ValueError as error:
        raise _invalid("/headers", str(error), "NATS/1.0, and a line `name: value` for each") from None


def _address(subject: bytes) -> tuple[UUID, str]:
    """(workspace, kind)"""
    try:
        prefix, workspace, kind = subject.decode()[: len(INBOX_PREFIX)], *_tail(subject.decode())
        if prefix == INBOX_PREFIX:
            return UUID(workspace), kind
    except ValueError:
        pass
    raise _invalid("/subject", "is no subject of the inbox", f"{INBOX_PREFIX}.<workspace>.<kind>")


def _tail(subject: str) -> list[str]:
    return subject[len(INBOX_PREFIX) + 1 :].split(".", 1)


def _read(raw: Raw) -> ActivityInput:
    headers = headers_of(raw.headers) if raw.headers else {}
    lowered = {name.lower(): value for name, value in headers.items()}
    if "ce-specversion" in lowered:
        return _of_event(_binary(lowered, raw.data))
    if lowered.get("content-type", "").startswith(CLOUDEVENTS) or b'"specversion"' in raw.data:
        return _of_event(_event(raw.data))
    return _plain(raw.data)


def _binary(headers: Mapping[str, str], data: bytes) -> CloudEventInput:
    """Attributes in headers, percent-encoded where they are not plain; the body is the data."""
    content_type = headers.get("content-type", JSON).partition(";")[0].strip()
    if content_type != JSON:
        raise _invalid("/headers/content-type", "is no JSON", JSON)
    attributes: dict[str, Any] = {
        name.removeprefix("ce-"): unquote(value) for name, value in headers.items() if name.startswith("ce-")
    }
    attributes["data"] = _data(data) if data else {}
    return msgspec.convert(attributes, CloudEventInput)


def _of_event(event: CloudEventInput) -> ActivityInput:
    if event.datacontenttype not in (None, JSON):
        raise _invalid("/datacontenttype", "is no JSON", JSON)
    return ActivityInput(
        id=event.id,
        source=event.source,
        type=event.type,
        time=event.time,
        contact=event.contact or _reference(event),
        data=event.data,
    )


def _reference(event: CloudEventInput) -> ContactReferenceInput:
    named = ContactReferenceInput(
        external_id=event.externalid, messaging_id=event.messagingid, email=event.email, phone=event.phone
    )
    if named != ContactReferenceInput() or event.subject is None:
        return named
    try:
        return ContactReferenceInput(id=UUID(event.subject))
    except ValueError:
        raise _invalid("/subject", "is no id of a contact", "a UUID, or another way to say who is meant") from None


def _invalid(pointer: str, reason: str, expected: str) -> InvalidInput:
    return InvalidInput([InvalidField(pointer, reason, expected)])
