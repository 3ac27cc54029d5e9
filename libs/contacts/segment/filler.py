"""Goes on with fillings of large workspaces while events come in: the only writer of marks in the live build."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final, NoReturn

import asyncpg

from contacts.segment.filling import SQL
from contacts.segment.projection import SegmentProjection
from eventstore.recurring import Trouble, recur

if TYPE_CHECKING:
    from eventstore.connection import Connect
    from eventstore.projection import Connection

#: How soon a filling is seen that nobody announced.
LOOK_S: Final = 0.5
#: For so long, about, events wait for a stretch.
STRETCH_S: Final = 0.25
VERSIONS_FIRST: Final = 500
VERSIONS_MIN: Final = 100
VERSIONS_MAX: Final = 20_000
REST_MIN_S: Final = 0.02
#: How long it waits for the projector before it tries again.
TURN_MS: Final = 2_000


class SegmentFiller:
    """One per projector process; any number may run. `connect` opens connections as rollbook_projector."""

    def __init__(
        self, connect: Connect, projection: SegmentProjection, *, look_s: float = LOOK_S,
        on_trouble: Trouble | None = None,
    ) -> None:  # fmt: skip
        """`on_trouble` is told why nothing moves for a moment."""
        self._connect = connect
        self._projection = projection
        self._look_s = look_s
        self._on_trouble = on_trouble
        self._versions = VERSIONS_FIRST

    async def run(self) -> NoReturn:
        """Until cancelled; outlives restarts of the database, and waits for a read model that is not there yet."""
        await recur(self._connect, self._fill, every_s=self._look_s, on_trouble=self._on_trouble)

    async def _fill(self, connection: Connection) -> None:
        """Until nothing is left to do in any lane."""
        while lanes := [row["lane"] for row in await connection.fetch(SQL["lanes_filling"])]:
            for lane in lanes:
                await self.step(connection, lane)

    async def step(self, connection: Connection, lane: int) -> None:
        """One stretch, and half as long a rest: others have their turn, and a machine of few cores has other work."""
        started = time.perf_counter()
        with contextlib.suppress(asyncpg.LockNotAvailableError):
            await self._stretch(connection, lane)
        await asyncio.sleep(max(REST_MIN_S, (time.perf_counter() - started) / 2))

    async def _stretch(self, connection: Connection, lane: int) -> None:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL lock_timeout = {TURN_MS}")
            build = await connection.fetchval(SQL["hold_turn"], lane)
            if build is None or await connection.fetchval(SQL["turn"], build) is None:
                return
            started = time.perf_counter()
            await self._projection.fill(connection, lane, self._versions)
        self._adapt(time.perf_counter() - started)

    def _adapt(self, seconds: float) -> None:
        wanted = self._versions * STRETCH_S / max(seconds, STRETCH_S / 4)
        self._versions = round(min(VERSIONS_MAX, 2 * self._versions, max(VERSIONS_MIN, wanted)))
