"""Why the event store said no: one class per reason. Nothing here knows of contacts or of HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

    from eventstore.builds import Build
    from eventstore.checkpoint import Unit
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


class LeaseLost(EventStoreError):
    """The slice range is no longer ours, or its build changed its state: nothing was written."""

    def __init__(self, unit: Unit) -> None:
        super().__init__(f"lost the lease of {unit}")
        self.unit = unit


class ProjectionBroken(EventStoreError):
    """So many keys fail that none of them is parked any more; the projector waits for better code."""

    def __init__(self, name: str, failures: int, example: str) -> None:
        super().__init__(f"projection {name}: {failures} keys fail, for example: {example}")


class BuildBusy(EventStoreError):
    """Another process is making, swapping or dropping builds of this projection."""

    def __init__(self, name: str) -> None:
        super().__init__(f"projection {name} is being rebuilt elsewhere")


class NoSuchBuild(EventStoreError):
    """There is no build of this projection in the state that is needed, or by this version of the code."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"projection {name}: {reason}")


class VerificationFailed(EventStoreError):
    """The new build is not what it should be: it stays in state `failed` to be looked at, the live one stays live."""

    def __init__(self, build: Build, problems: list[str]) -> None:
        super().__init__(f"{build.name} build {build.build} in {build.schema_name}: {'; '.join(problems)}")
        self.problems = problems


class LoadIncomplete(EventStoreError):
    """A bulk load did not meet every event that was counted at its start: the log was changed under it."""

    def __init__(self, name: str, lane: int, loaded: int, total: int) -> None:
        super().__init__(f"projection {name}: {loaded} of {total} events of lane {lane} were loaded")


class NeverLevel(EventStoreError):
    """The live build moved on faster than the new one could follow. Try again when less is written."""

    def __init__(self, name: str, attempts: int) -> None:
        super().__init__(f"projection {name}: the new build was behind the live one in {attempts} attempts")
