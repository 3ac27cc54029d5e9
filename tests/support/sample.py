"""A small domain for tests of the log: notes and counts. Writes are built here; nothing is stored."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID, uuid4

import msgspec

from eventstore.cipher import Keyring
from eventstore.codec import Codec, EventType
from eventstore.envelope import NO_STREAM, Claim, Metadata, RecordedEvent, Stream, StreamWrite, Write

SECRET: Final = b"a master secret of the tests, 32+ bytes"
CATEGORY: Final = "note"


class Noted(msgspec.Struct, frozen=True):
    text: str


class Counted(msgspec.Struct, frozen=True):
    """Carries a number that an oracle can find again."""

    number: int


CODEC: Final = Codec((EventType("test.noted", Noted), EventType("test.counted", Counted)))


def keyring() -> Keyring:
    return Keyring.from_secret(SECRET)


def stream_of(workspace_id: UUID, stream_id: UUID | None = None, category: str = CATEGORY) -> Stream:
    return Stream(workspace_id, category, stream_id or uuid4())


def write(
    stream: Stream,
    *events: Any,
    expected: int = NO_STREAM,
    key: str | None = None,
    request: bytes = b"",
    claims: tuple[Claim, ...] = (),
    subject: UUID | None = None,
    new_subject: bool = False,
    metadata: Metadata = Metadata(),  # noqa: B008  # frozen
) -> Write:
    """What a command would append to one stream."""
    part = StreamWrite(
        stream=stream, expected_version=expected, events=events, subject_id=subject, new_subject=new_subject
    )
    return Write(
        workspace_id=stream.workspace_id, streams=(part,), claims=claims, metadata=metadata, idempotency_key=key,
        request_hash=request,
    )  # fmt: skip


def texts(events: list[RecordedEvent[Any]]) -> list[str]:
    return [event.event.text for event in events]
