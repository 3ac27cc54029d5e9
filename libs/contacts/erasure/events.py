"""What can happen to an erasure: it was completed. Holds ids and places only, so it stays readable for ever.

What it means for each contact is `contact.erased` in the contact's own stream (`contact/events.py`), appended together.
"""

from __future__ import annotations

from uuid import UUID

import msgspec

from contacts.contact.events import ErasureReason


class ErasedStream(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One stream whose content is gone. Its events stand where they stood."""

    category: str
    stream_id: UUID
    #: How many were there to be erased, and the positions of the first and last.
    events: int
    first_position: int
    last_position: int


class ErasureCompleted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The certificate: whose data keys were destroyed in this append, and what only they could read.

    Who did it and when stand in the event's metadata and time. Whatever was recorded in the streams up to this event's
    own position is covered, should a stream have grown since it was counted.
    """

    #: The contact that was asked for, or the one that stood for it.
    contact_id: UUID
    #: All whose data went: that contact, and those it stood for.
    contacts: tuple[UUID, ...]
    reason: ErasureReason
    streams: tuple[ErasedStream, ...]
    #: Keyed digests of all that they were ever known by (`erasure/marks.py`): so are messages found that nobody could
    #: place, which are kept outside the log. In no answer and no message.
    marks: tuple[bytes, ...] = ()
