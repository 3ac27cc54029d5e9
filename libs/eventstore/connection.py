"""Opens the long-lived connections of projectors and listeners, and paces reconnecting. Pools are elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import asyncpg

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
    Connect = Callable[[], Awaitable[Connection]]

CONNECT_TIMEOUT_S: Final = 5
BACKOFF_FIRST_S: Final = 0.1
BACKOFF_LAST_S: Final = 5.0

#: What a lost, restarting or refusing database raises on a connection that was fine.
# The internal error is what the client raises when it is used between the server's farewell and the end of TCP.
CONNECTION_ERRORS: Final = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


def connector(dsn: str, *, role: str | None, application_name: str, **settings: str) -> Connect:
    """A function that opens one connection with these session settings, as `role` where one is given."""
    server_settings = {"application_name": application_name, **settings}
    if role is not None:
        server_settings["role"] = role

    async def connect() -> Connection:
        return await asyncpg.connect(dsn, server_settings=server_settings, timeout=CONNECT_TIMEOUT_S)

    return connect


class Backoff:
    """Waiting times that double up to a limit; `reset` after success."""

    def __init__(self) -> None:
        self._next_s = BACKOFF_FIRST_S

    def reset(self) -> None:
        self._next_s = BACKOFF_FIRST_S

    def next_s(self) -> float:
        delay_s = self._next_s
        self._next_s = min(2 * delay_s, BACKOFF_LAST_S)
        return delay_s


def check_cancelled() -> None:
    """For a loop that goes on after errors. Raises CancelledError where the task was told to end meanwhile.

    A driver that fails to roll back on a lost connection raises that failure in place of the cancellation.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
