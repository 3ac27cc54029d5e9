"""A synchronous application's connection to the event store: its thread, its listener, and the library's errors."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Lock
from typing import Any, Final, TypeVar

import asyncpg
from eventsourcing import persistence

from eventstore import errors
from eventstore.facade.loop import LoopClosed, LoopThread
from eventstore.facade.store import ApplicationStore
from eventstore.signals import LaneSignal, LogSignals

SILENCE_S: Final = 3_600.0
"""After so long without a notification the watchers are woken all the same; they poll more often by themselves."""

T = TypeVar("T")


class Session:
    """Connects at its first use. Any number of threads may use it at once."""

    def __init__(self, name: str, connect: Callable[[], Awaitable[ApplicationStore]]) -> None:
        self._connect = connect
        self._loop = LoopThread(name)
        self._opening = asyncio.Lock()
        self._store: ApplicationStore | None = None
        self._listening: asyncio.Future[Any] | None = None
        self._watchers: set[Event] = set()
        self._watchers_lock = Lock()

    def run(self, work: Callable[[ApplicationStore], Awaitable[T]]) -> T:
        """What `work` answers when it runs with the open store; raises the library's persistence errors."""
        with library_errors():
            return self._loop.run(self._run(work))

    def watch(self, moved: Event) -> Callable[[], None]:
        """Set `moved` whenever the store's lane has moved, until the function that this answers is called."""
        with self._watchers_lock:
            self._watchers.add(moved)
        self.run(self._start_listening)

        def unwatch() -> None:
            with self._watchers_lock:
                self._watchers.discard(moved)

        return unwatch

    def close(self) -> None:
        """Commits what is queued and disconnects; idempotent."""
        self._loop.close(self._close)

    async def _run(self, work: Callable[[ApplicationStore], Awaitable[T]]) -> T:
        return await work(self._store or await self._open())

    async def _open(self) -> ApplicationStore:
        async with self._opening:
            if self._store is None:
                self._store = await self._connect()
            return self._store

    async def _close(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            with suppress(asyncio.CancelledError):
                await self._listening
        if self._store is not None:
            await self._store.close()

    async def _start_listening(self, store: ApplicationStore) -> None:
        """Subscriptions poll as well, so that a notification lost here costs latency and nothing else."""
        if self._listening is None:
            signals = LogSignals(store.connect)
            passing_on = self._pass_on(signals.of_lane(store.lane))
            self._listening = asyncio.gather(signals.run(), passing_on)

    async def _pass_on(self, signal: LaneSignal) -> None:
        while True:
            await signal.wait(after=-1, timeout_s=SILENCE_S)
            with self._watchers_lock:
                for moved in self._watchers:
                    moved.set()


@contextmanager
def library_errors() -> Iterator[None]:
    """Turns the store's and the driver's errors into the library's, with the original as the cause."""
    try:
        yield
    except LoopClosed as error:
        raise persistence.InterfaceError(str(error)) from error
    except errors.WrongExpectedVersion as error:
        raise persistence.IntegrityError(str(error)) from error
    except (errors.StoreUnavailable, errors.Overloaded) as error:
        raise persistence.OperationalError(str(error)) from error
    except errors.PositionGap as error:
        raise persistence.InternalError(str(error)) from error
    except asyncpg.IntegrityConstraintViolationError as error:
        raise persistence.IntegrityError(type(error).__name__) from error
    except (OSError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError) as error:
        raise persistence.OperationalError(type(error).__name__) from error
    except asyncpg.PostgresError as error:
        raise persistence.DatabaseError(type(error).__name__) from error
