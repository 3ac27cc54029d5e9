"""One connection that LISTENs and comes back after every loss. What a notification means is not known here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from eventstore.connection import CONNECTION_ERRORS, Backoff, check_cancelled

if TYPE_CHECKING:
    from eventstore.connection import Connect, Connection

# A half-open connection looks like silence: every owner asks at least this often.
LOOK_EVERY_S: Final = 5.0
LOOK_TIMEOUT_S: Final = 5.0


class Watcher(Protocol):
    """What a listener's owner does besides handling notifications."""

    async def look(self, connection: Connection, *, anew: bool) -> None:
        """See the state itself, with LISTEN in force already: `anew` after each (re)connect, when notifications may
        have been lost, and then after each `pause`. Also tells a dead connection, which makes no noise."""

    async def pause(self) -> None:
        """How long to wait between two looks."""


class Listener:
    """Calls `handlers[channel](payload)` for each notification while `run` runs. One connection."""

    def __init__(self, connect: Connect, handlers: Mapping[str, Callable[[str], None]], watcher: Watcher) -> None:
        self._connect = connect
        self._handlers = handlers
        self._watcher = watcher
        self._backoff = Backoff()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._listen()
            except CONNECTION_ERRORS:
                check_cancelled()
                await asyncio.sleep(self._backoff.next_s())

    async def _listen(self) -> None:
        connection = await self._connect()
        try:
            lost = asyncio.Event()
            connection.add_termination_listener(lambda _: lost.set())
            for channel in self._handlers:
                await connection.add_listener(channel, self._dispatch)
            await self._watcher.look(connection, anew=True)
            self._backoff.reset()
            while not lost.is_set():
                await _first(lost.wait(), self._watcher.pause())
                async with asyncio.timeout(LOOK_TIMEOUT_S):
                    await self._watcher.look(connection, anew=False)
        finally:
            connection.terminate()

    def _dispatch(self, connection: Any, pid: int, channel: str, payload: object) -> None:
        self._handlers[channel](str(payload))


async def _first(*awaitables: Coroutine[Any, Any, object]) -> None:
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
