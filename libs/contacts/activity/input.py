"""What senders say of one activity, and its one way into a command: every edge (HTTP, NATS) parses here. No I/O."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from msgspec import Meta

from contacts import values
from contacts.activity.commands import ChannelReference, ContactReference, RecordActivity
from contacts.activity.data import parse_data
from contacts.activity.kinds import parse_kind
from contacts.emails import parse_email
from contacts.errors import InvalidInput, InvalidValue
from contacts.faults import Faults
from contacts.phones import parse_phone
from contacts.workspace.state import Workspace

#: What is said to be older comes of a clock that was never set, or of seconds taken for milliseconds.
OCCURRED_MIN: Final = datetime(2000, 1, 1, tzinfo=UTC)
#: What is said to come later than this is not believed; the sender's clock may be ahead by as much.
AHEAD_MAX: Final = timedelta(days=1)
DIGEST_BYTES: Final = 16


class _Input(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """Shared shape of what callers send: unknown fields are refused."""


class ChannelReferenceInput(_Input, frozen=True, kw_only=True):
    """A channel identity; without application, whichever has this token."""

    kind: str
    token: str
    application: str | None = None


class ContactReferenceInput(_Input, frozen=True, kw_only=True):
    """Who is meant: at least one of them. The first that a contact is known by counts, in this order."""

    id: UUID | None = None
    external_id: str | None = None
    messaging_id: str | None = None
    email: str | None = None
    phone: str | None = None
    channel: ChannelReferenceInput | None = None


class ActivityInput(_Input, frozen=True, kw_only=True):
    """Something that happened to a person, or that a person did."""

    id: Annotated[str, Meta(description="The sender's own id of it. A repeat of `source` and `id` has no effect.")]
    source: Annotated[str, Meta(description="The sender.")]
    type: Annotated[str, Meta(description="`message.clicked`, `order.placed`, …")]
    time: Annotated[datetime, Meta(description="When it happened, however late it is told.")]
    contact: ContactReferenceInput
    data: Annotated[dict[str, Any], Meta(description="The fields of the type.")] = {}


_encode = msgspec.json.Encoder(order="deterministic").encode


def record_activity(sent: ActivityInput, workspace: Workspace, *, now: datetime) -> RecordActivity:
    """Raises InvalidInput, with pointers into the activity."""
    fault = Faults()
    activity_id = fault.parse("/id", values.parse_external_id, sent.id)
    source = fault.parse("/source", values.parse_external_id, sent.source)
    kind = fault.parse("/type", parse_kind, sent.type)
    occurred_at = fault.parse("/time", lambda time: _parse_time(time, now), sent.time)
    contact = _reference(sent.contact, workspace, fault)
    data: dict[str, Any] = {}
    if kind is not None:
        try:
            data = parse_data(kind, sent.data)
        except InvalidInput as invalid:
            fault.add_all(invalid)
    fault.raise_if_any()
    assert activity_id is not None
    assert source is not None
    assert kind is not None
    assert occurred_at is not None
    return RecordActivity(
        workspace_id=workspace.id,
        activity_id=activity_id,
        source=source,
        kind=kind,
        occurred_at=occurred_at,
        data=data,
        contact=contact,
        # Of what was sent, not of what came of it: a later parser may read a repeat otherwise.
        digest=blake2b(_encode(sent), digest_size=DIGEST_BYTES).digest(),
    )


def _parse_time(time: datetime, now: datetime) -> datetime:
    instant = values.parse_instant(time)
    if not OCCURRED_MIN <= instant <= now + AHEAD_MAX:
        raise InvalidValue("is out of range", f"from {OCCURRED_MIN:%Y-%m-%d} to a day from now")
    return instant


def _reference(sent: ContactReferenceInput, workspace: Workspace, fault: Faults) -> ContactReference:
    region = workspace.settings.default_region
    if sent == ContactReferenceInput():
        fault.add("/contact", InvalidValue("says nothing", "at least one of " + ", ".join(sent.__struct_fields__)))
    found: dict[str, Any] = {}
    if sent.external_id is not None:
        found["external_id"] = fault.parse("/contact/external_id", values.parse_external_id, sent.external_id)
    if sent.messaging_id is not None:
        found["messaging_id"] = fault.parse("/contact/messaging_id", values.parse_external_id, sent.messaging_id)
    if sent.email is not None:
        found["email"] = fault.parse("/contact/email", parse_email, sent.email)
    if sent.phone is not None:
        found["phone"] = fault.parse("/contact/phone", lambda text: parse_phone(text, region), sent.phone)
    if sent.channel is not None:
        found["channel"] = _channel(sent.channel, fault)
    return ContactReference(id=sent.id, **found)


def _channel(sent: ChannelReferenceInput, fault: Faults) -> ChannelReference:
    at = "/contact/channel"
    application = sent.application
    return ChannelReference(
        kind=fault.parse(f"{at}/kind", values.parse_kind, sent.kind) or "",
        token=fault.parse(f"{at}/token", values.parse_token, sent.token) or "",
        application=None if application is None else fault.parse(f"{at}/application", values.parse_line, application),
    )
