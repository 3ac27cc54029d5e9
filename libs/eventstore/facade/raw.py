"""Events that pass through the store undecoded, for the library's mapper to decode. No I/O."""

from __future__ import annotations

from typing import Any

import msgspec
from eventsourcing.persistence import StoredEvent

from eventstore.codec import Codec
from eventstore.envelope import RecordedEvent, Unreadable
from eventstore.mapper import Envelope, State, encode_state

LIBRARY_SCHEMA_VERSION = 1


class RawEvent(msgspec.Struct, frozen=True):
    """An event's registered name, or topic, with its payload as the log holds it, decrypted."""

    type: str
    schema_version: int
    payload: bytes


class LibraryPayload(msgspec.Struct, frozen=True):
    """What the log keeps of an event that the library wrote."""

    #: The library's version of it: counts from 0 or from 1, where the log's versions always count from 1.
    version: int
    state: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(LibraryPayload).decode


class RawCodec(Codec):
    """The codec of a store whose events are decoded elsewhere; it knows every name."""

    def __init__(self) -> None:
        super().__init__(())

    def encode(self, event: object) -> tuple[str, int, bytes]:
        assert isinstance(event, RawEvent)
        return event.type, event.schema_version, event.payload

    def decode(self, name: str, schema_version: int, payload: bytes) -> RawEvent:
        return RawEvent(name, schema_version, payload)


def from_library(stored: StoredEvent) -> RawEvent:
    payload = _encode(LibraryPayload(stored.originator_version, stored.state))
    return RawEvent(stored.topic, LIBRARY_SCHEMA_VERSION, payload)


def to_library(recorded: RecordedEvent[Any], *, own: bool) -> StoredEvent:
    """The stored event that the library gave (`own`), or one that stands for an event of the log's other writers."""
    event: RawEvent | Unreadable = recorded.event
    if own:
        assert isinstance(event, RawEvent)
        payload = _decode(event.payload)
        return StoredEvent(recorded.stream_id, payload.version, recorded.type, payload.state)
    envelope = Envelope(
        recorded.lane,
        recorded.position,
        recorded.workspace_id,
        recorded.category,
        recorded.event_id,
        recorded.recorded_at,
        recorded.metadata,
    )
    content = None if isinstance(event, Unreadable) else event.payload
    state = encode_state(State(recorded.schema_version, content, envelope))
    return StoredEvent(recorded.stream_id, recorded.version, recorded.type, state)
