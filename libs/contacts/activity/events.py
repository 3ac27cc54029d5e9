"""What is recorded of a person's activity, in a stream per contact beside the contact's own. No rules, no encoding.

Events only ever grow by fields with defaults. Data was checked against its kind (`kinds.py`) before it was recorded.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Literal, TypeAlias
from uuid import UUID

import msgspec

#: Its streams have the ids of contacts and take facts in any order: no edit of a contact can get in their way.
CATEGORY: Final = "activity"
#: What a sender can know a contact by.
ReferenceKind: TypeAlias = Literal["id", "external_id", "messaging_id", "email", "phone", "channel"]


class _Fact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Shared shape of events and their parts: immutable, defaults left out of the payload."""


class AddressedAs(_Fact, frozen=True, kw_only=True):
    """What the sender knew the person by."""

    by: ReferenceKind
    #: As parsed: an id, an address, or the token of a channel.
    value: str
    #: Of a channel.
    channel: str | None = None
    application: str | None = None
    #: The contact that was meant, where another one stood for it at that time.
    contact_id: UUID | None = None


class ActivityRecorded(_Fact, frozen=True, kw_only=True):
    """Something happened. Recorded once for every `activity_id` of a `source`, in the order it came in."""

    #: The sender's own id of it.
    activity_id: str
    #: `message.clicked`, `order.placed`, …
    kind: str
    #: In UTC; earlier or later than its neighbours in the stream.
    occurred_at: datetime
    #: The sender.
    source: str
    addressed_as: AddressedAs
    #: Fields of the kind (`kinds.py`), as plain JSON values.
    data: dict[str, Any] = {}
