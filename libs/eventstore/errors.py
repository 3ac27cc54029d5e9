"""Why the event store said no: one class per reason. Nothing here knows of contacts or of HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

    from eventstore.envelope import Appended, Stream


class EventStoreError(Exception):
    """Base of everything the event store raises."""


class WrongExpectedVersion(EventStoreError):
    """The stream moved on between the load and the append; load again and decide again."""

    def __init__(self, stream: Stream, expected: int, actual: int) -> None:
        super().__init__(f"expected version {expected}, stream is at {actual} ({stream})")
        self.stream = stream
        self.expected = expected
        self.actual = actual


class ClaimTaken(EventStoreError):
    """Another stream of the workspace holds the claimed value."""

    def __init__(self, kind: str, holder: UUID) -> None:
        super().__init__(f"claim {kind!r} is held by {holder}")
        self.kind = kind
        self.holder = holder


class DuplicateAppend(EventStoreError):
    """The idempotency key has had its effect already; `original` is what it wrote."""

    def __init__(self, original: Appended, *, same_request: bool) -> None:
        super().__init__(f"idempotency key was used at position {original.last_position}")
        self.original = original
        self.same_request = same_request


class StoreUnavailable(EventStoreError):
    """PostgreSQL could not be reached in time.

    `outcome_unknown` is true where a commit was under way: only a repeat with the same idempotency key tells.
    """

    def __init__(self, reason: str, *, outcome_unknown: bool) -> None:
        super().__init__(reason)
        self.outcome_unknown = outcome_unknown


class Overloaded(EventStoreError):
    """The append queue is full; nothing was written. Try again after `retry_after_s`."""

    def __init__(self, queued: int, *, retry_after_s: int) -> None:
        super().__init__(f"{queued} appends are waiting already")
        self.retry_after_s = retry_after_s


class UnknownEventType(EventStoreError):
    """The log holds a type or schema version that this code does not know; reading must hold, not skip."""

    def __init__(self, type_: str, schema_version: int) -> None:
        super().__init__(f"no codec for event {type_!r} schema version {schema_version}")
        self.type = type_
        self.schema_version = schema_version


class PositionGap(EventStoreError):
    """A lane is not dense: an event is missing or was tampered with. Never waited out, never skipped."""

    def __init__(self, lane: int, expected: int, found: int) -> None:
        super().__init__(f"lane {lane}: expected position {expected}, found {found}")
        self.lane = lane
        self.expected = expected
        self.found = found


class PositionTimeout(EventStoreError):
    """A read model did not reach the wanted position within the wait."""

    def __init__(self, projection: str, wanted: int, reached: int) -> None:
        super().__init__(f"{projection} is at {reached}, wanted {wanted}")
        self.projection = projection
        self.wanted = wanted
        self.reached = reached


class KeyUnavailable(EventStoreError):
    """The master key needed to unwrap a data key is not configured."""


class SubjectErased(EventStoreError):
    """The subject has no data key: it was erased, or never existed. Nothing can be written for it."""

    def __init__(self, subject_id: UUID) -> None:
        super().__init__(f"subject {subject_id} has no data key")
        self.subject_id = subject_id
