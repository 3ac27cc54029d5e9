"""Many callers, few queries: while one query runs, the next questions gather and are asked together. Knows no SQL."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Generic, TypeVar

from eventstore.appender import lost

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Gathering(Generic[K, V]):
    """One query at a time, for as many questions as there are by then. Safe to use concurrently on one loop."""

    def __init__(self, read: Callable[[list[K]], Awaitable[Mapping[K, V]]], *, most: int) -> None:
        """`read` answers every key it is given, at most `most` of them."""
        self._read = read
        self._most = most
        self._wanted: dict[K, asyncio.Future[V]] = {}
        self._reader: asyncio.Task[None] | None = None

    async def ask(self, key: K) -> V:
        """The answer of a query that began after this call. Raises what the query raised."""
        future = self._wanted.get(key)
        if future is None:
            future = self._wanted[key] = asyncio.get_running_loop().create_future()
            if self._reader is None or self._reader.done():
                self._reader = asyncio.create_task(self._answer())
        return await asyncio.shield(future)

    async def _answer(self) -> None:
        while self._wanted:
            keys = list(self._wanted)[: self._most]
            futures = {key: self._wanted.pop(key) for key in keys}
            try:
                _answer_each(futures, await self._read(keys))
            except Exception as error:  # noqa: BLE001 - handed to everyone who asked
                await self._answer_alone(futures, error)

    async def _answer_alone(self, futures: dict[K, asyncio.Future[V]], error: Exception) -> None:
        """What cannot be answered fails alone; a database that is away is not asked for each."""
        for key, future in futures.items():
            if len(futures) > 1 and not lost(error):
                try:
                    _answer_each({key: future}, await self._read([key]))
                except Exception as own_error:  # noqa: BLE001 - handed to everyone who asked
                    error = own_error
            if not future.done():
                future.set_exception(error)


def _answer_each(futures: Mapping[K, asyncio.Future[V]], answers: Mapping[K, V]) -> None:
    for key, future in futures.items():
        if not future.done():
            future.set_result(answers[key])
