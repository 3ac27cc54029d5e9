"""A synchronous application's connection to the event store: its thread, its listener, and the library's errors."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from threading import Event, Lock
from typing import TypeVar

import asyncpg
from eventsourcing import persistence

from eventstore import errors
from eventstore.facade.loop import LoopThread
from eventstore.facade.store import ApplicationStore
from eventstore.listener import Listener
from eventstore.signals import CHANNEL

T = TypeVar("T")


class Session:
    """Connects at its first use. Any number of threads may use it at once."""

    def __init__(self, name: str, connect: Callable[[], Awaitable[ApplicationStore]]) -> None:
        self._connect = connect
        self._loop = LoopThread(name)
        self._opening = asyncio.Lock()
        self._store: ApplicationStore | None = None
        self._listener: asyncio.Task[None] | None = None
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
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.wait([self._listener])
        if self._store is not None:
            await self._store.close()

    async def _start_listening(self, store: ApplicationStore) -> None:
        """Subscriptions poll as well, so that a notification lost here costs latency and nothing else."""
        if self._listener is None:
            own_lane = f"{store.lane} "
            listener = Listener(store.connect, {CHANNEL: lambda notice: self._wake(own_lane, notice)}, _nothing)
            self._listener = asyncio.create_task(listener.run())

    def _wake(self, own_lane: str, notice: str) -> None:
        if notice.startswith(own_lane):
            with self._watchers_lock:
                for moved in self._watchers:
                    moved.set()


async def _nothing() -> None:
    """On a new connection there is nothing to catch up with: the polls do that."""


@contextmanager
def library_errors() -> Iterator[None]:
    """Turns the store's and the driver's errors into the library's, with the original as the cause."""
    try:
        yield
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
