"""Tells readers of the log that a lane has grown: a hint that saves polling, never a proof. Reads nothing itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from eventstore.listener import LOOK_EVERY_S, Listener

if TYPE_CHECKING:
    from eventstore.connection import Connect, Connection

CHANNEL: Final = "rollbook_log"
#: When to look again for what was announced and not found, twice as late each time: a look that many share may have
#: begun too early, and a position announced by mistake is never found.
AGAIN_FIRST_S: Final = 0.002


class LaneSignal:
    """One reader's view of one lane."""

    def __init__(self, lane: int) -> None:
        self.lane = lane
        self._told = asyncio.Event()
        self._position = 0
        self._again_s = AGAIN_FIRST_S

    def tell(self, position: int) -> None:
        self._position = position
        self._again_s = AGAIN_FIRST_S
        self._told.set()

    def ends_at(self, position: int) -> bool:
        """Whether this is what was announced last, so that a look after it would most likely be in vain."""
        return self._position == position

    async def wait(self, after: int, timeout_s: float) -> None:
        """Returns when the lane is said to have passed `after`, or after `timeout_s`.

        Where it was said before, and the caller has looked in vain, soon as well; later with every time.
        """
        unfound = self._position > after
        try:
            async with asyncio.timeout(min(timeout_s, self._again_s) if unfound else timeout_s):
                while True:
                    await self._told.wait()
                    # Cleared before looking: a false announcement costs a few reads, not a busy loop.
                    self._told.clear()
                    if self._position > after:
                        return
        except TimeoutError:
            if unfound:
                self._again_s *= 2


class LogSignals:
    """One listening connection per process, shared by all its readers of the log."""

    def __init__(self, connect: Connect) -> None:
        self._signals: WeakSet[LaneSignal] = WeakSet()
        self._listener = Listener(connect, {CHANNEL: self._on_notify}, self)

    async def run(self) -> None:
        """Until cancelled."""
        await self._listener.run()

    def of_lane(self, lane: int) -> LaneSignal:
        signal = LaneSignal(lane)
        self._signals.add(signal)
        return signal

    def _on_notify(self, payload: str) -> None:
        lane, _, position = payload.partition(" ")
        if lane.isdecimal() and position.isdecimal():
            for signal in self._signals:
                if signal.lane == int(lane):
                    signal.tell(int(position))

    async def look(self, connection: Connection, *, anew: bool) -> None:
        if not anew:
            await connection.execute("SELECT 1")
            return
        # What was announced while nobody listened is unknown: let every reader look once.
        for signal in self._signals:
            signal.tell(2**63)

    async def pause(self) -> None:
        await asyncio.sleep(LOOK_EVERY_S)
