"""What surrounds an event on its way in and out of the log: streams, writes, recorded events. No I/O, no encoding."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Generic, TypeVar
from uuid import UUID
from zlib import crc32

import msgspec
from asyncpg.pgproto import pgproto
from uuid_utils import uuid7

NO_STREAM: Final = 0
"""Expected version of a stream that must not exist yet."""
ANY_VERSION: Final = -1
"""Expected version of a stream that takes facts in any order (activity); needs an idempotency key."""
LANE_MAX: Final = 2**15 - 1
"""Lanes are stored in two bytes."""
SLICES: Final = 1024
"""Fixed number of hash slices; lanes and projector shards are ranges of them."""
ALL_SLICES: Final = (0, SLICES - 1)


def new_id() -> UUID:
    """A UUIDv7, so that rows written together stand together; of the subclass that asyncpg sends without a detour."""
    return pgproto.UUID(uuid7().bytes)


def slice_of(id_: UUID) -> int:
    """Hash slice of a stream or workspace id, 0 to 1023. Stored with every event: never change it."""
    return crc32(id_.bytes) & (SLICES - 1)


class Stream(msgspec.Struct, frozen=True, order=True, gc=False):
    """Identity of a stream: the events of one aggregate, with versions 1, 2, 3 …"""

    workspace_id: UUID
    #: Stable text such as `contact`; with `id` unique in the whole log.
    category: str
    id: UUID

    def __str__(self) -> str:
        return f"{self.category}-{self.id}"


class Metadata(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Who and why, next to the facts. Stored unencrypted: never put personal data here."""

    #: Who acted: `key:<id>`, `user:<id>`, `system:<name>`.
    actor: str | None = None
    #: How it came in: `manual`, `import`, `api`, `subscription_form`, …
    source: str | None = None
    #: When it happened, where that differs from when it was recorded.
    occurred_at: datetime | None = None
    #: The message that caused this one.
    causation_id: str | None = None
    #: The whole conversation it belongs to, e.g. the HTTP request id.
    correlation_id: str | None = None
    #: The long operation (import, bulk, undo) that wrote it.
    operation_id: UUID | None = None
    #: False where nothing may be automated because of this event (a merge closing conversations).
    automation: bool = True


E = TypeVar("E")


class StreamWrite(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Events to append to one stream."""

    stream: Stream
    #: The version the decision was made on, `NO_STREAM` or `ANY_VERSION`.
    expected_version: int
    #: Domain events in order (registered msgspec Structs); may be empty to record only the idempotency key.
    events: tuple[Any, ...]
    #: Whose data key encrypts the payloads; None stores them readable (no personal data then).
    subject_id: UUID | None = None
    #: True where this write makes the subject's data key; any other write needs the key to exist.
    new_subject: bool = False


class Claim(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A unique value of a workspace, held by one stream: taken or released in the append itself."""

    kind: str
    #: Clear value; the store keeps only its HMAC.
    value: str
    holder: UUID
    take: bool = True


class Suppression(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What may not be sent to an address: a row that replaces the one of the same place in the append itself.

    Whoever writes it derives it from the stream that the same write appends to, so that the stream's version guards it.
    """

    #: Whom it binds: a workspace, or an id that stands for all of them.
    scope_id: UUID
    #: Which workspace says so.
    holder_id: UUID
    #: Keyed digest, never the address.
    address: bytes
    #: Category of the stream it is derived from; with the next two it names one row of the address.
    kind: str
    channel: str
    #: Narrower than the channel; empty for the channel as a whole.
    topic: str = ""
    #: Why nothing may be sent; None where something may.
    status: str | None
    #: A code, no words.
    cause: str | None = None
    #: Since when; None for the time of the append.
    since: datetime | None = None


class Write(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one command appends: all of it or nothing. All streams belong to `workspace_id`."""

    workspace_id: UUID
    streams: tuple[StreamWrite, ...]
    claims: tuple[Claim, ...] = ()
    suppressions: tuple[Suppression, ...] = ()
    #: Subjects whose data keys and snapshots are destroyed in the append itself: what was encrypted for them can never
    #: be read again. Whoever destroys one appends in the same write to each of its streams that take expected versions;
    #: to those that take any version nothing can be appended afterwards. One without a data key is passed over.
    destroy_subjects: tuple[UUID, ...] = ()
    metadata: Metadata = Metadata()
    #: Unique in the workspace for as long as the log exists.
    idempotency_key: str | None = None
    #: Digest of the request, so that a reused key with another request is told apart.
    request_hash: bytes = b""


class Appended(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the log answered: where the events stand. With no events `last_position` is the head seen by the commit."""

    lane: int
    last_position: int
    event_count: int
    recorded_at: datetime

    @property
    def first_position(self) -> int:
        return self.last_position - self.event_count + 1

    @property
    def token(self) -> str:
        """The opaque text of `Rollbook-Position`."""
        return f"{self.lane}.{self.last_position}"


class Unreadable(msgspec.Struct, frozen=True, kw_only=True):
    """Stands in for an event whose data key was destroyed: its place in the stream is known, its content is gone."""

    type: str


class RecordedEvent(msgspec.Struct, Generic[E], frozen=True, kw_only=True, gc=False):
    """An event as the log holds it. Also an immutable domain event in the sense of the `eventsourcing` library."""

    lane: int
    position: int
    workspace_id: UUID
    category: str
    stream_id: UUID
    version: int
    event_id: UUID
    type: str
    schema_version: int
    recorded_at: datetime
    metadata: Metadata
    #: The decoded domain event, or `Unreadable`.
    event: E

    @property
    def stream(self) -> Stream:
        return Stream(self.workspace_id, self.category, self.stream_id)

    @property
    def originator_id(self) -> UUID:
        return self.stream_id

    @property
    def originator_version(self) -> int:
        return self.version


class LaneBatch(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of a lane as read: every position after `after` up to `last` was seen."""

    lane: int
    after: int
    #: Last position read; equal to `after` at the end of the lane.
    last: int
    #: Only the wanted types and slices, in order of position.
    events: list[RecordedEvent[Any]]


def parse_position(token: str) -> tuple[int, int]:
    """(lane, position) of a `Rollbook-Position` token. Raises ValueError on anything else."""
    lane, dot, position = token.partition(".")
    digits = (
        len(lane) <= 5 and len(position) <= 18 and (lane + position).isascii() and lane.isdigit() and position.isdigit()
    )
    if not (dot and digits and int(lane) <= LANE_MAX):
        raise ValueError(f"not a position: {token[:40]!r}")
    return int(lane), int(position)
