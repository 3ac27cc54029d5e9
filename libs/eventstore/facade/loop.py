"""An event loop on a thread of its own, so that the library's synchronous callers can use asynchronous code."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from threading import Lock, Thread, current_thread
from typing import Any, TypeVar

T = TypeVar("T")


class LoopClosed(RuntimeError):
    """Nothing runs on this loop any more."""


class LoopThread:
    """Runs from construction to `close`. Any number of threads may use it at once."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._lock = Lock()
        self._closed = False
        self._thread = Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The coroutine's result, or what it raises; the calling thread waits, which must not be the loop's own.

        Raises LoopClosed during and after `close`.
        """
        with self._lock:
            if self._closed:
                coroutine.close()
                raise LoopClosed(f"{self._thread.name} is closed")
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except CancelledError:
            raise LoopClosed(f"{self._thread.name} was closed meanwhile") from None

    def close(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Awaits `last`, cancels what still runs, and ends the thread; idempotent."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        ending = asyncio.run_coroutine_threadsafe(self._end(last), self._loop)
        # A finalizer may run on any thread, this one among them: it must not wait for itself.
        if current_thread() is not self._thread:
            self._thread.join()
            ending.result()

    def _serve(self) -> None:
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    async def _end(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await last()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await self._loop.shutdown_asyncgens()
        finally:
            self._loop.call_soon(self._loop.stop)
