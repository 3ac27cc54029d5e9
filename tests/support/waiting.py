"""Waiting for a condition with a deadline, instead of sleeping and hoping."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def until(
    condition: Callable[[], T | Awaitable[T]], *, timeout_s: float = 10.0, every_s: float = 0.01, what: str = ""
) -> T:
    """The first truthy value of `condition`, polled. Raises AssertionError with the last value when time is up."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = condition()
        value: T = await found if inspect.isawaitable(found) else found
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s} s: {what or condition} (last: {value!r})")
        await asyncio.sleep(every_s)


def until_sync(condition: Callable[[], T], *, timeout_s: float = 10.0, every_s: float = 0.01, what: str = "") -> T:
    """As `until`, for tests without an event loop."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s} s: {what or condition} (last: {value!r})")
        time.sleep(every_s)
    return value
