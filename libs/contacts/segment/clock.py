"""Moves contacts in and out of segments as time passes: what no event of the log says.

Any number of processes may do it: whoever has the row of the checkpoint is alone, the projector included. An instant is
passed only when no event of before it can come any more: everything recorded up to then was applied. So what a tick
writes is what the next event would have written before it did anything itself.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final, NoReturn

from contacts.segment.lives import SQL
from contacts.segment.projection import SegmentProjection
from eventstore.recurring import Trouble, recur

if TYPE_CHECKING:
    from eventstore.connection import Connect
    from eventstore.projection import Connection

TICK_S: Final = 0.5


class SegmentClock:
    """One per projector process. `connect` opens connections as rollbook_projector."""

    def __init__(
        self, connect: Connect, projection: SegmentProjection, *, tick_s: float = TICK_S,
        on_trouble: Trouble | None = None,
    ) -> None:  # fmt: skip
        """`on_trouble` is told why the clock stands still for a moment."""
        self._connect = connect
        self._projection = projection
        self._tick_s = tick_s
        self._on_trouble = on_trouble

    async def run(self) -> NoReturn:
        """Until cancelled; outlives restarts of the database, and waits for a read model that is not there yet."""
        await recur(self._connect, self.tick, every_s=self._tick_s, on_trouble=self._on_trouble)

    async def tick(self, connection: Connection) -> None:
        """Passes the time of every lane in which somebody's has come."""
        for row in await connection.fetch(SQL["lanes_due"]):
            while not await self._tick(connection, row["lane"]):
                pass

    async def _tick(self, connection: Connection, lane: int) -> bool:
        """Whether all is done that can be done now."""
        seen = await self._head(connection, lane)
        async with connection.transaction():
            row = await connection.fetchrow(SQL["take_turn"], lane)
            if row is None:
                return True  # the projector is at work, and passes the time itself
            position: int = row["position"]
            until = await self._until(connection, lane, position, *seen)
            return until is None or await self._projection.pass_time(connection, lane, position, until)

    async def _head(self, connection: Connection, lane: int) -> tuple[int, datetime]:
        """A position and an instant: whatever comes behind the one is not of before the other."""
        async with connection.transaction():
            await connection.execute(SQL["hold_lane"], lane)
            row = await connection.fetchrow(SQL["head"], lane)
            assert row is not None
            return row["position"], row["now"]

    async def _until(
        self, connection: Connection, lane: int, position: int, head: int, now: datetime
    ) -> datetime | None:  # fmt: skip
        if position >= head:
            return now
        until: datetime | None = await connection.fetchval(SQL["recorded_at"], lane, position + 1)
        return until
