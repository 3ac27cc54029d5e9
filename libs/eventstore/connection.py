"""Opens the connections of stores, projectors and listeners, and paces reconnecting. What they ask is elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import asyncpg

if TYPE_CHECKING:
    from eventstore.sql import AnyConnection

    Connection = asyncpg.Connection[asyncpg.Record]
    Connect = Callable[[], Awaitable[Connection]]

CONNECT_TIMEOUT_S: Final = 5
#: Connections that a pool opens at once: two questions at a time are common, and opening takes longer than answering.
POOL_MIN: Final = 2
BACKOFF_FIRST_S: Final = 0.1
BACKOFF_LAST_S: Final = 5.0

#: Of the types that the log's statements take.
ARRAYS: Final = (
    "SELECT $1::uuid[], $2::text[], $3::bytea[], $4::integer[], $5::smallint[], $6::bigint[], $7::boolean[], "
    "$8::timestamptz[]"
)

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


async def open_pool(dsn: str, *, settings: dict[str, str], size: int, timeout_s: float) -> asyncpg.Pool:
    """For reads of the log, of at most `timeout_s` each. Raises what connecting raises."""
    return await asyncpg.create_pool(
        dsn, min_size=min(POOL_MIN, size), max_size=size, server_settings=settings,
        command_timeout=timeout_s, timeout=CONNECT_TIMEOUT_S, init=learn_types, reset=_keep_session,
    )  # fmt: skip


def session_settings(role: str | None) -> dict[str, str]:
    """What the sessions of a store say on connecting."""
    settings = {
        "application_name": "rollbook",
        # A session that hangs in a transaction must not hold the lane or keep dead rows alive.
        "idle_in_transaction_session_timeout": "15000",
        "lock_timeout": "20000",
        # While it waits for the rows of a COPY, only this ends the session of a client whose machine is gone.
        "tcp_keepalives_idle": "10",
        "tcp_keepalives_interval": "5",
        "tcp_keepalives_count": "3",
    }
    return settings if role is None else settings | {"role": role}


async def learn_types(connection: AnyConnection) -> None:
    """Has the driver look up array types now: the first statement that takes some would pay ten milliseconds for it."""
    await connection.fetch(ARRAYS, *([],) * ARRAYS.count("$"), timeout=CONNECT_TIMEOUT_S)


async def _keep_session(_connection: AnyConnection) -> None:
    """Nothing here changes a session, so a reader saves the round trip that would put it back."""


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
