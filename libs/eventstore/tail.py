"""The newest stretch of each lane in memory, read and decoded once for all units of a process. Waits for nothing.

A dozen read models follow the same events: read apart, each would fetch, decrypt and decode them again.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Iterable
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Protocol

from eventstore.envelope import ALL_SLICES, LaneBatch, slice_of
from eventstore.poison import is_poison

if TYPE_CHECKING:
    from eventstore.envelope import RecordedEvent
    from eventstore.store import EventStore

#: Positions kept of a lane. Who is further behind than that reads for itself.
KEPT_MAX: Final = 10_000
#: Positions fetched at a time.
READ_MAX: Final = 5_000

_position: Final = attrgetter("position")


class LaneSource(Protocol):
    """Where lanes are read: the store, or the tail of a process in front of it."""

    async def read_lane(
        self, lane: int, *, after: int, limit: int, types: frozenset[str] | None = None,
        slices: tuple[int, int] = ALL_SLICES,
    ) -> LaneBatch: ...  # fmt: skip


class LogTail:
    """Reads lanes like the store, from memory where it can. For use on one event loop.

    What is kept was committed, and committed positions never change. An event that cannot be decoded is kept from
    nobody: whoever comes to it reads the store, and learns why.
    """

    def __init__(self, store: EventStore, types: Iterable[frozenset[str]]) -> None:
        self._store = store
        self._types = frozenset().union(*types)
        self._lanes: dict[int, _LaneTail] = {}

    async def read_lane(
        self, lane: int, *, after: int, limit: int, types: frozenset[str] | None = None,
        slices: tuple[int, int] = ALL_SLICES,
    ) -> LaneBatch:  # fmt: skip
        """As EventStore.read_lane; may answer fewer positions than there are."""
        if types is not None and types <= self._types:
            tail = self._lanes.setdefault(lane, _LaneTail(self._store, lane, self._types))
            if await tail.reaches(after, limit):
                return tail.read(after, limit, types, slices)
        return await self._store.read_lane(lane, after=after, limit=limit, types=types, slices=slices)


class _LaneTail:
    def __init__(self, store: EventStore, lane: int, types: frozenset[str]) -> None:
        self._store = store
        self._lane = lane
        self._types = types
        #: Holds the wanted events of the positions after `_after` up to `_last`, in order.
        self._events: list[RecordedEvent[Any]] = []
        self._after = self._last = 0
        #: Whether there is more for certain.
        self._goes_on = False
        self._reading: asyncio.Task[bool] | None = None

    async def reaches(self, after: int, limit: int) -> bool:
        """Whether `read` can answer; fetches what comes next where it is asked for."""
        if after >= self._last:
            return await self._fetch(after) and self._after <= after <= self._last
        if after >= self._after and self._goes_on and after + limit > self._last:
            await self._fetch(self._last)
        return self._after <= after < self._last

    def read(self, after: int, limit: int, types: frozenset[str], slices: tuple[int, int]) -> LaneBatch:
        last = min(self._last, after + limit)
        begin = bisect_right(self._events, after, key=_position)
        end = bisect_right(self._events, last, lo=begin, key=_position)
        events = [event for event in self._events[begin:end] if event.type in types]
        if slices != ALL_SLICES:
            events = [event for event in events if slices[0] <= slice_of(event.stream_id) <= slices[1]]
        return LaneBatch(lane=self._lane, after=after, last=last, events=events)

    async def _fetch(self, after: int) -> bool:
        """One fetch at a time, whoever asked for it and however many wait. False where an event cannot be decoded."""
        if self._reading is not None:
            # Begun before this was asked for, so it may have looked too early.
            await asyncio.shield(self._reading)
            if self._after <= after < self._last:
                return True
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._extend(after))
            self._reading.add_done_callback(self._fetched)
        return await asyncio.shield(self._reading)

    def _fetched(self, reading: asyncio.Task[bool]) -> None:
        if self._reading is reading:
            self._reading = None
        if not reading.cancelled():
            reading.exception()  # whoever waits for it is told; nobody may be waiting any more

    async def _extend(self, after: int) -> bool:
        try:
            batch = await self._store.read_lane(self._lane, after=after, limit=READ_MAX, types=self._types)
        except Exception as error:
            if not is_poison(error):
                raise
            return False
        if after != self._last:
            # It has come from elsewhere: what lies between is not here.
            self._after, self._events = after, []
        self._last = batch.last
        self._goes_on = batch.last - after == READ_MAX
        self._events.extend(batch.events)
        self._drop(self._last - KEPT_MAX)
        return True

    def _drop(self, to: int) -> None:
        if to > self._after:
            self._after = to
            del self._events[: bisect_right(self._events, to, key=_position)]
