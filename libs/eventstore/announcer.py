"""Tells those who wait to read their writes that read models have moved, for all units of a process. Moves nothing."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from eventstore.checkpoint import SQL, Unit
from eventstore.connection import CONNECTION_ERRORS, Backoff, check_cancelled

if TYPE_CHECKING:
    from eventstore.connection import Connect

#: The first commit after a pause is announced at once, as are those that somebody may be waiting for; later ones
#: together: a dozen read models move with every event, and NOTIFY takes a lock of the whole database.
ANNOUNCE_EVERY_S: Final = 0.002


class Announcer:
    """Sends from a connection of its own. That an announcement arrives is never relied upon."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._moved: set[tuple[str, int]] = set()
        self._told = asyncio.Event()
        self._awaited = asyncio.Event()

    def moved(self, unit: Unit, *, awaited: bool = True) -> None:
        """Only after COMMIT: whoever is woken must find the rows. What nobody awaits may come a moment later."""
        self._moved.add((unit.name, unit.lane))
        self._told.set()
        if awaited:
            self._awaited.set()

    async def run(self) -> None:
        """Until cancelled."""
        backoff = Backoff()
        while True:
            try:
                await self._announce(backoff)
            except CONNECTION_ERRORS:
                check_cancelled()
                await asyncio.sleep(backoff.next_s())

    async def _announce(self, backoff: Backoff) -> None:
        connection = await self._connect()
        try:
            while True:
                await self._told.wait()
                self._told.clear()
                self._awaited.clear()
                moved, self._moved = self._moved, set()
                await connection.execute(SQL["announce"], [name for name, _ in moved], [lane for _, lane in moved])
                backoff.reset()
                with suppress(TimeoutError):
                    async with asyncio.timeout(ANNOUNCE_EVERY_S):
                        await self._awaited.wait()
        finally:
            connection.terminate()
