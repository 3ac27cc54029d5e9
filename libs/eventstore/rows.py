"""Between events in memory and rows of the log: encode and encrypt, decrypt and decode. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from eventstore.envelope import Metadata, RecordedEvent, StreamWrite, Unreadable, new_id

if TYPE_CHECKING:
    from asyncpg import Record

    from eventstore.cipher import SubjectCipher
    from eventstore.codec import Codec

EventRow = tuple[UUID, str, int, bytes, bytes]
"""Event id, type, schema version, metadata, payload; what its stream says stands once per stream."""

encode_metadata = msgspec.msgpack.Encoder().encode
_decode_metadata = msgspec.msgpack.Decoder(Metadata).decode


class RowCodec:
    """One for reading and writing, so that what is written is what can be read."""

    def __init__(self, codec: Codec, cipher: SubjectCipher) -> None:
        self._codec = codec
        self._cipher = cipher

    def encode(self, write: StreamWrite, wrapped: bytes | None, metadata: bytes) -> list[EventRow]:
        """Rows of one stream write in order; `wrapped` is the subject's data key where there is a subject."""
        stream_id = write.stream.id
        rows: list[EventRow] = []
        for event in write.events:
            name, schema_version, payload = self._codec.encode(event)
            if wrapped is not None:
                assert write.subject_id is not None
                payload = self._cipher.encrypt(write.subject_id, wrapped, payload, _context(stream_id, name))
            rows.append((new_id(), name, schema_version, metadata, payload))
        return rows

    def decode(self, row: Record) -> RecordedEvent[Any]:
        """Raises UnknownEventType, InvalidTag or DecodeError for a row that this code cannot read."""
        (
            lane, position, workspace_id, category, stream_id, version, event_id, type_, schema_version,
            recorded_at, metadata, payload, subject_id, wrapped,
        ) = row  # fmt: skip
        return RecordedEvent(
            lane=lane,
            position=position,
            workspace_id=workspace_id,
            category=category,
            stream_id=stream_id,
            version=version,
            event_id=event_id,
            type=type_,
            schema_version=schema_version,
            recorded_at=recorded_at,
            metadata=_decode_metadata(metadata),
            event=self._decode_event(type_, schema_version, stream_id, payload, subject_id, wrapped),
        )

    def decode_all(self, rows: Sequence[Record]) -> list[RecordedEvent[Any]]:
        decode = self.decode
        return [decode(row) for row in rows]

    def _decode_event(
        self, type_: str, schema_version: int, stream_id: UUID, payload: bytes, subject_id: UUID | None, wrapped: bytes
    ) -> Any:
        if subject_id is not None:
            if wrapped is None:
                return Unreadable(type=type_)
            payload = self._cipher.decrypt(subject_id, wrapped, payload, _context(stream_id, type_))
        return self._codec.decode(type_, schema_version, payload)


def _context(stream_id: UUID, type_: str) -> bytes:
    """What a payload is bound to: moved to another stream or renamed, it no longer decrypts."""
    return stream_id.bytes + type_.encode()
