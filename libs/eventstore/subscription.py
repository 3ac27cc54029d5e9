"""Follows one lane from a position for consumers that keep their own cursor, such as the relay. Keeps no checkpoint."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from eventstore.connection import CONNECTION_ERRORS, Backoff
from eventstore.errors import StoreUnavailable

if TYPE_CHECKING:
    from eventstore.envelope import LaneBatch
    from eventstore.signals import LaneSignal
    from eventstore.store import EventStore

POLL_S: Final = 0.5


async def subscribe(
    store: EventStore, signal: LaneSignal, *, after: int, limit: int = 1_000, types: frozenset[str] | None = None,
    slices: tuple[int, int] = (0, 1023),
) -> AsyncIterator[LaneBatch]:  # fmt: skip
    """Endless stretches of the signal's lane, each right after the one before and never empty of positions.

    A stretch may hold no wanted event; its `last` is still where to go on from. While the database is away it waits.

    Raises:
        PositionGap: the lane is not dense at this point; nothing after it was given out.
        UnknownEventType: the next event is newer than this code. Ask again after an update.
    """
    backoff = Backoff()
    while True:
        try:
            batch = await store.read_lane(signal.lane, after=after, limit=limit, types=types, slices=slices)
        except (*CONNECTION_ERRORS, StoreUnavailable):
            await asyncio.sleep(backoff.next_s())
            continue
        backoff.reset()
        if batch.last == after:
            await signal.wait(after, POLL_S)
            continue
        after = batch.last
        yield batch
