"""Has streams that have grown long loaded, whoever wrote them, so that they have a snapshot before anybody needs one.

It follows the log from where it begins: a stream that grew before gets its snapshot from whoever loads it first.
Nothing depends on it, so it keeps no checkpoint, and two processes that do it do no harm.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from eventstore.aggregate import SNAPSHOT_EVERY, Aggregates
from eventstore.envelope import Stream
from eventstore.sql import load

if TYPE_CHECKING:
    from eventstore.store import EventStore

SQL: Final = load("eventstore", "queries.sql")
LOOK_EVERY_S: Final = 1.0
#: Positions looked at in one statement.
STRETCH: Final = 10_000


class LongStreams:
    """Of the categories of some aggregates, which take snapshots. Folds one stream at a time, and rests as long."""

    def __init__(self, store: EventStore, aggregates: Iterable[Aggregates[Any]]) -> None:
        self._store = store
        self._aggregates = {each.category: each for each in aggregates}

    async def run(self) -> None:
        """Until cancelled. Raises what a lost connection raises; what was written meanwhile is then passed over."""
        at = {lane: await self._store.head(lane) for lane in self._store.lanes}
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            at = {lane: await self.follow(lane, after) for lane, after in at.items()}

    async def follow(self, lane: int, after: int) -> int:
        """Up to the end of the lane, which is answered."""
        head = await self._store.head(lane)
        while after < head:
            to = min(head, after + STRETCH)
            for stream in await self._grown(lane, after, to):
                began = time.perf_counter()
                await self._aggregates[stream.category].load(stream, fresh=True)
                await self._store.snapshots.settled()
                await asyncio.sleep(time.perf_counter() - began)
            after = to
        return after

    async def _grown(self, lane: int, after: int, to: int) -> list[Stream]:
        rows = await self._store.pool.fetch(SQL["grown"], lane, after, to, list(self._aggregates), SNAPSHOT_EVERY)
        return [Stream(row["workspace_id"], row["category"], row["stream_id"]) for row in rows]
