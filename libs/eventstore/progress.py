"""How far the live read models are, for those who wait to read their writes. One connection; moves nothing."""

from __future__ import annotations

import asyncio
import heapq
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

from eventstore.checkpoint import SQL
from eventstore.connection import connector
from eventstore.errors import PositionTimeout
from eventstore.listener import LOOK_EVERY_S, Listener

if TYPE_CHECKING:
    from eventstore.connection import Connect, Connection

CHANNEL: Final = "rollbook_progress"
# A notification lost with its sender costs a waiter this much.
POLL_S: Final = 0.1

Place = tuple[str, int]
"""Projection name and lane."""


class Progress:
    """Positions reached by all live builds, by notification, and by polling for as long as somebody waits."""

    def __init__(self, connect: Connect) -> None:
        self._listener = Listener(connect, {CHANNEL: self._on_notify}, self)
        self._reached: dict[Place, int] = {}
        self._waiters: dict[Place, list[tuple[int, int, asyncio.Future[None]]]] = {}
        self._waiting = asyncio.Event()
        self._number = 0
        self._listening: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, dsn: str, *, role: str | None = "rollbook_reader") -> Self:
        """Starts listening; usable at once, also while the database is away."""
        progress = cls(connector(dsn, role=role, application_name="rollbook progress"))
        progress._listening = asyncio.create_task(progress._listener.run())
        return progress

    async def close(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)

    def reached(self, projection: str, lane: int) -> int:
        """Last known position; never more than the truth, but for a crash of the database that it has yet to notice."""
        return self._reached.get((projection, lane), 0)

    async def wait(self, projection: str, lane: int, position: int, timeout_s: float) -> None:
        """Returns when the live build of `projection` shows everything up to `position`.

        Raises:
            PositionTimeout: it did not within `timeout_s`.
        """
        place = (projection, lane)
        if self._reached.get(place, 0) >= position:
            return
        self._number += 1
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiters.setdefault(place, []), (position, self._number, future))
        self._waiting.set()
        try:
            async with asyncio.timeout(timeout_s):
                await future
        except TimeoutError:
            raise PositionTimeout(projection, position, self.reached(projection, lane)) from None
        finally:
            future.cancel()

    def _on_notify(self, payload: str) -> None:
        match payload.split(" "):
            case [name, lane, position] if lane.isdecimal() and position.isdecimal():
                self._advance((name, int(lane)), int(position))

    def _advance(self, place: Place, position: int) -> None:
        self._reached[place] = max(position, self._reached.get(place, 0))
        waiters = self._waiters.get(place, [])
        while waiters and (waiters[0][2].done() or waiters[0][0] <= self._reached[place]):
            future = heapq.heappop(waiters)[2]
            if not future.done():
                future.set_result(None)

    async def look(self, connection: Connection, *, anew: bool) -> None:
        rows = await connection.fetch(SQL["reached"])
        if anew:
            # What was known may be from before a crash that took the last rows with it.
            self._reached.clear()
        for row in rows:
            self._advance((row["name"], row["lane"]), row["position"])
        self._forget_the_gone()

    async def pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_EVERY_S):
                await self._waiting.wait()
                await asyncio.sleep(POLL_S)

    def _forget_the_gone(self) -> None:
        for place, waiters in list(self._waiters.items()):
            waiters[:] = [waiter for waiter in waiters if not waiter[2].done()]
            heapq.heapify(waiters)
            if not waiters:
                del self._waiters[place]
        if not self._waiters:
            self._waiting.clear()
