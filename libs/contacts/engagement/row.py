"""What is shown of a profile as columns for finding it, and what is kept of it as bytes. No SQL, no I/O."""

from __future__ import annotations

from typing import Final, TypeAlias
from uuid import UUID

import msgspec

from contacts.engagement.state import Engagement, FieldValue, Tally
from contacts.folding import fold

#: The columns of what is shown, in both tables and in the order of `columns_of`; `schema.sql` says what they mean.
COLUMNS: Final = (
    "conversation_status",
    "conversation_assignee",
    "conversation_opened_at",
    "last_message_at",
    "last_incoming_at",
    "last_interaction_at",
    "last_channel",
    "last_message_preview",
    "labels",
    "fields",
    "email_rating",
    "shown",
)
Columns: TypeAlias = tuple[object, ...]
#: No label holds a control character.
SEPARATOR: Final = "\x1f"

_encode: Final = msgspec.msgpack.Encoder(uuid_format="bytes").encode
_json: Final = msgspec.json.Encoder().encode
decode_engagement: Final = msgspec.msgpack.Decoder(Engagement).decode
decode_tally: Final = msgspec.msgpack.Decoder(Tally).decode
_decode_parts: Final = msgspec.msgpack.Decoder(dict[UUID, Tally]).decode


def columns_of(shown: Engagement) -> Columns:
    """A value for each of `COLUMNS`."""
    return (
        shown.conversation_status,
        _folded(shown.conversation_assignee),
        shown.conversation_opened_at,
        shown.last_message_at,
        shown.last_incoming_at,
        shown.last_interaction_at,
        shown.last_channel,
        _folded(shown.last_message_preview),
        # Sent as one text, for columns are sent as arrays, which cannot hold sets.
        SEPARATOR.join(map(fold, shown.labels)),
        _json({key: _folded_value(value) for key, value in shown.fields.items()}).decode() if shown.fields else "{}",
        shown.email_rating,
        _encode(shown),
    )


def encode_tally(tally: Tally) -> bytes:
    return _encode(tally)


def encode_parts(parts: dict[UUID, Tally] | None) -> bytes | None:
    return None if parts is None else _encode(parts)


def decode_parts(encoded: bytes | None) -> dict[UUID, Tally] | None:
    return None if encoded is None else _decode_parts(encoded)


def _folded(text: str | None) -> str | None:
    return fold(text) if text else text


def _folded_value(value: FieldValue) -> FieldValue:
    return fold(value) if isinstance(value, str) else value
