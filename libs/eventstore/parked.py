"""Keys that wait for a cure: parked with a reason, later events held, retried on request. See `poison` for finding."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec

from eventstore.checkpoint import SQL, Unit
from eventstore.envelope import slice_of
from eventstore.poison import Failure

if TYPE_CHECKING:
    from eventstore.connection import Connection
    from eventstore.envelope import RecordedEvent

POLL_S: Final = 0.05


class Retried(msgspec.Struct, frozen=True):
    """What a requested retry came to."""

    #: Keys that caught up and follow the log again.
    healed: tuple[UUID, ...]
    #: Keys that stopped again, with the present reason.
    parked: tuple[Failure, ...]
    #: Keys that no projector has tried yet within the wait.
    waiting: tuple[UUID, ...]


async def retry(connection: Connection, name: str, key: UUID | None = None, *, timeout_s: float = 10.0) -> Retried:
    """Ask for a parked key (None: all of them) to be tried again, and wait for the outcome.

    The projector that keeps the key does it between two batches, in its own transaction: events of the key that come
    meanwhile are neither lost nor doubled. A key that is not parked is not mentioned in the answer.
    """
    asked = await connection.fetch(SQL["ask_retry"], name, key)
    attempts = {(row["lane"], row["key"]): row["attempts"] for row in asked}
    keys = [row["key"] for row in asked]
    deadline = asyncio.get_running_loop().time() + timeout_s
    while True:
        rows = await connection.fetch(SQL["retry_outcome"], name, keys)
        waiting = [row for row in rows if row["attempts"] == attempts.get((row["lane"], row["key"]))]
        if not waiting or asyncio.get_running_loop().time() > deadline:
            break
        await asyncio.sleep(POLL_S)
    left = {row["key"] for row in rows}
    untried = {row["key"] for row in waiting}
    return Retried(
        healed=tuple(key for key in keys if key not in left),
        parked=tuple(Failure(r["key"], r["position"], r["error"]) for r in rows if r["key"] not in untried),
        waiting=tuple(sorted(untried)),
    )


async def load_keys(connection: Connection, unit: Unit) -> set[UUID]:
    """Parked keys of one unit. Where a build is shared by slices its keys are stream ids, so the slice tells."""
    rows = await connection.fetch(SQL["parked_keys"], unit.name, unit.build, unit.lane)
    low, high = unit.slices
    return {row["key"] for row in rows if low <= slice_of(row["key"]) <= high}


async def park(connection: Connection, unit: Unit, failures: Sequence[Failure]) -> None:
    """Part of the batch's transaction; `hold` takes the events."""
    place = (unit.name, unit.build, unit.lane)
    keys, positions, errors = zip(*((f.key, f.position, f.error) for f in failures), strict=True)
    await connection.execute(SQL["park"], *place, keys, positions, errors)


async def hold(connection: Connection, unit: Unit, events: Iterable[tuple[UUID, RecordedEvent[Any]]]) -> None:
    """Remember by position what a parked key has yet to apply: (key, event) pairs."""
    pairs = [(key, event.position) for key, event in events]
    if pairs:
        keys, positions = zip(*pairs, strict=True)
        await connection.execute(SQL["hold"], unit.name, unit.build, unit.lane, keys, positions)


async def ask_retry_of(connection: Connection, unit: Unit) -> None:
    """What a projector asks of itself when it takes a unit over: the cure usually comes with new code."""
    await connection.execute(SQL["ask_retry_of_unit"], unit.name, unit.build, unit.lane)


async def wanted_retries(connection: Connection, unit: Unit, keys: set[UUID]) -> list[UUID]:
    rows = await connection.fetch(SQL["wanted_retries"], unit.name, unit.build, unit.lane, list(keys))
    return [row["key"] for row in rows]


async def held_positions(connection: Connection, unit: Unit, key: UUID, limit: int) -> list[int]:
    rows = await connection.fetch(SQL["held_positions"], unit.name, unit.build, unit.lane, key, limit)
    return [row["position"] for row in rows]


async def settle(connection: Connection, unit: Unit, key: UUID, applied_to: int, failure: Failure | None) -> None:
    """After a retry, in its transaction: forget what is applied, and the key itself when nothing is left of it."""
    place = (unit.name, unit.build, unit.lane, key)
    await connection.execute(SQL["unhold"], *place, applied_to)
    if failure is not None:
        await connection.execute(SQL["repark"], *place, failure.position, failure.error)
    else:
        await connection.execute(SQL["unpark"], *place)
