"""What one can ask of activity. Values are parsed (`activity/input.py`)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from contacts.activity.events import AddressedAs
from contacts.values import Email, ExternalId, Phone


class ChannelReference(msgspec.Struct, frozen=True, gc=False):
    """A channel identity as a sender knows it."""

    kind: str
    token: str
    #: None means whichever.
    application: str | None = None


class ContactReference(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Everything a sender says about who is meant; at least one thing."""

    id: UUID | None = None
    external_id: ExternalId | None = None
    messaging_id: ExternalId | None = None
    email: Email | None = None
    phone: Phone | None = None
    channel: ChannelReference | None = None

    def readings(self) -> Iterator[AddressedAs]:
        """In the order in which they count: the first that somebody is known by says who is meant."""
        if self.id is not None:
            yield AddressedAs(by="id", value=str(self.id))
        if self.external_id is not None:
            yield AddressedAs(by="external_id", value=self.external_id)
        if self.messaging_id is not None:
            yield AddressedAs(by="messaging_id", value=self.messaging_id)
        if self.email is not None:
            yield AddressedAs(by="email", value=self.email)
        if self.phone is not None:
            yield AddressedAs(by="phone", value=self.phone)
        if self.channel is not None:
            channel = self.channel
            yield AddressedAs(by="channel", value=channel.token, channel=channel.kind, application=channel.application)


class RecordActivity(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Records what happened, for whoever stands for the contact that is meant.

    A blocked contact is left alone: nothing is recorded. Refused: ContactUnknown, ContactNotFound, ContactIsErased,
    ActivityAlreadyRecorded.
    """

    workspace_id: UUID
    activity_id: str
    source: str
    kind: str
    occurred_at: datetime
    data: dict[str, Any]
    contact: ContactReference
    #: Of what was sent: tells a repeat from something else under the same id.
    digest: bytes
