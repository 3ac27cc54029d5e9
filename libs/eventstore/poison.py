"""Tells a bad event from a broken machine, finds it in a batch, names it without personal data. Stores nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import asyncpg
import msgspec

from eventstore.errors import EventStoreError, KeyUnavailable, PositionGap, ProjectionBroken, StoreUnavailable
from eventstore.projection import PoisonedEvent

if TYPE_CHECKING:
    from eventstore.connection import Connection
    from eventstore.envelope import RecordedEvent
    from eventstore.projection import Projection

# Beyond this the projection is at fault, not the events: parking all of them would only hide it.
FAILURES_PER_BATCH_MAX: Final = 100

# SQLSTATE classes that say something about a value: cardinality, data, constraint, check option, program limit (a row
# too large for an index), RAISE in a trigger. All others (connection, resources, locks, undefined tables, permissions)
# would meet every event alike.
_VALUE_CLASSES: Final = frozenset({"21", "22", "23", "44", "54", "P0"})


class Failure(msgspec.Struct, frozen=True):
    """One key that could not go on, and the event it stopped at."""

    key: UUID
    position: int
    #: Fit for operators and logs: no values of the event.
    error: str


_MACHINERY: Final = (
    asyncpg.InternalClientError,
    OSError,
    MemoryError,
    PositionGap,
    KeyUnavailable,
    StoreUnavailable,
    ProjectionBroken,
)


def is_poison(error: Exception) -> bool:
    """Whether an error may be due to one event, so that going on without it helps."""
    if isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "")[:2] in _VALUE_CLASSES
    if isinstance(error, asyncpg.InterfaceError):
        return isinstance(error, ValueError)  # a value that the client could not encode
    return not isinstance(error, _MACHINERY)


def describe(error: BaseException) -> str:
    """Class and place of an error; its text only where it cannot hold values of an event."""
    name = type(error).__name__
    if isinstance(error, PoisonedEvent):
        return f"{name}: {error.reason}"
    if isinstance(error, EventStoreError):
        return f"{name}: {error}"
    if isinstance(error, asyncpg.PostgresError):
        places = (error.schema_name, error.table_name, error.column_name, error.constraint_name)
        return " ".join([name, str(error.sqlstate), *(str(place) for place in places if place)])
    return f"{name}{_raised_in(error)}"


async def isolate(
    connection: Connection, projection: Projection, events: Sequence[RecordedEvent[Any]]
) -> list[Failure]:
    """Applies what can be applied inside the caller's transaction; answers where each bad key stopped.

    A key's events before its bad one are applied, those after it are not. Costs about two applications of the batch
    plus a few small ones per bad event.
    """
    failures: list[Failure] = []
    pending = [list(events)]
    while pending:
        part = pending.pop()
        error = await _try(connection, projection, part)
        if error is None:
            continue
        named = _named(projection, part, error)
        if named is not None:
            failures.append(named)
            pending.append([e for e in part if projection.key(e) != named.key or e.position < named.position])
        elif len(part) == 1:
            failures.append(Failure(projection.key(part[0]), part[0].position, describe(error)))
            _drop_later(projection, pending, failures[-1])
        else:
            pending.extend(_halves(projection, part))
        if len(failures) > FAILURES_PER_BATCH_MAX:
            raise ProjectionBroken(projection.name, len(failures), failures[0].error)
    return failures


async def _try(
    connection: Connection, projection: Projection, events: Sequence[RecordedEvent[Any]]
) -> Exception | None:
    if not events:
        return None
    try:
        async with connection.transaction():  # a savepoint
            await projection.apply(connection, events, fresh=False)
    except Exception as error:
        if not is_poison(error):
            raise
        return error
    return None


def _named(projection: Projection, events: Sequence[RecordedEvent[Any]], error: Exception) -> Failure | None:
    """What a projection that knows the bad event says, if it is one of these."""
    if not isinstance(error, PoisonedEvent):
        return None
    position = error.event.position
    if any(event.position == position and projection.key(event) == error.key for event in events):
        return Failure(error.key, position, describe(error))
    return None


def _halves(projection: Projection, events: list[RecordedEvent[Any]]) -> list[list[RecordedEvent[Any]]]:
    """Later half first, because parts are taken from the end: the events of one key stay in order."""
    keys = list(dict.fromkeys(map(projection.key, events)))
    if len(keys) == 1:
        middle = len(events) // 2
        return [events[middle:], events[:middle]]
    early = set(keys[: len(keys) // 2])
    return [
        [event for event in events if projection.key(event) not in early],
        [event for event in events if projection.key(event) in early],
    ]


def _drop_later(projection: Projection, pending: list[list[RecordedEvent[Any]]], failure: Failure) -> None:
    """A key that stopped does not go on: its later half waits at the end of `pending`."""
    pending[:] = [[e for e in part if projection.key(e) != failure.key] for part in pending]


def _raised_in(error: BaseException) -> str:
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return ""
    module = traceback.tb_frame.f_globals.get("__name__", "?")
    return f" in {module}, line {traceback.tb_lineno}"
