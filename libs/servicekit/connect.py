"""Connections to PostgreSQL (with a role) and NATS (that never gives up), and waiting for both at the start."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Final

import asyncpg
import structlog
from nats.aio.client import Client

from servicekit import logs

log = structlog.get_logger(__name__)

CONNECT_TIMEOUT_S: Final = 10.0
STATEMENT_TIMEOUT_S: Final = 30.0
RETRY_S: Final = 0.5
HANG_UP_S: Final = 0.5
#: How long a session may hold a transaction open without working: one that hangs pins old rows for everybody.
IDLE_IN_TRANSACTION_S: Final = 30.0
#: What PostgreSQL answers while it starts or stops, and the network while nothing listens.
UNREACHABLE: Final = (
    OSError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.PostgresConnectionError,
)


async def open_pool(
    url: str,
    *,
    role: str | None,
    application: str,
    size_max: int,
    size_min: int = 1,
    statement_timeout_s: float = STATEMENT_TIMEOUT_S,
    wait_s: float = 60.0,
) -> asyncpg.Pool:
    """A pool whose sessions act as `role`, waiting up to `wait_s` for a database that is still starting.

    Raises asyncpg's or the system's error when the wait is over; wrong passwords and missing databases at once.
    """
    deadline = asyncio.get_running_loop().time() + wait_s
    while True:
        try:
            return await asyncpg.create_pool(
                url,
                min_size=size_min,
                max_size=size_max,
                timeout=CONNECT_TIMEOUT_S,
                command_timeout=statement_timeout_s + 5,
                server_settings=session_settings(role, application, statement_timeout_s),
            )
        except UNREACHABLE as error:
            if asyncio.get_running_loop().time() > deadline:
                raise
            log.info("waiting for the database", reason=logs.said(error))
            await asyncio.sleep(RETRY_S)


def session_settings(role: str | None, application: str, statement_timeout_s: float) -> dict[str, str]:
    """What every session says on connecting."""
    settings = {
        "application_name": f"rollbook-{application}",
        "statement_timeout": f"{int(statement_timeout_s * 1000)}ms",
        "idle_in_transaction_session_timeout": f"{int(IDLE_IN_TRANSACTION_S * 1000)}ms",
        "jit": "off",
        "timezone": "UTC",
    }
    return settings | ({"role": role} if role else {})


class TolerantClient(Client):
    """Drops a message whose subject or status line is not UTF-8; nats-py would end the connection over it.

    Anybody who may ask a service could keep it from answering others that way.
    """

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        try:
            await super()._process_msg(sid, subject, reply, data, headers)
        except (UnicodeDecodeError, IndexError):
            log.warning("a message that cannot be read was dropped", size_bytes=len(data))


async def connect_nats(
    url: str, *, application: str, on_closed: Callable[[str], None], tls: ssl.SSLContext | None = None
) -> Client:
    """A client that reconnects for ever; the library's default closes it for good after about two minutes.

    `on_closed` is called with the reason should it close all the same without being told to (wrong password, …):
    the process should then stop, to be started again.
    """

    async def disconnected() -> None:
        # Also called where it was closed on purpose.
        if not client.is_closed:
            log.warning("connection to NATS lost; trying again")

    async def reconnected() -> None:
        log.info("connected to NATS again", server=_place(client))

    async def closed() -> None:
        error = client.last_error
        on_closed("the connection to NATS was closed" + (f": {logs.said(error)}" if error else ""))

    async def failed(error: Exception) -> None:
        log.debug("NATS", reason=logs.said(error))

    client = TolerantClient()
    await client.connect(
        servers=[part.strip() for part in url.split(",")],
        name=f"rollbook-{application}",
        # Of its own, so that its user may hear the answers to its questions and to nobody else's.
        inbox_prefix=f"_INBOX_{application}",
        max_reconnect_attempts=-1,
        reconnect_time_wait=1,
        connect_timeout=5,
        ping_interval=10,
        max_outstanding_pings=3,
        error_cb=failed,
        disconnected_cb=disconnected,
        reconnected_cb=reconnected,
        closed_cb=closed,
        tls=tls,
    )
    return client


async def hang_up(client: Client) -> None:
    """Closes it, whatever state it is in. Never raises, and never waits long for a server that does not read.

    The library sends first what it still holds. Where that is cut short, by a cancellation as well, it leaves its
    socket and the tasks of its subscriptions behind.
    """
    try:
        with contextlib.suppress(Exception):
            async with asyncio.timeout(HANG_UP_S):
                await client.close()
    finally:
        for subscription in client._subs.values():
            if subscription._wait_for_msgs_task is not None:
                subscription._wait_for_msgs_task.cancel()
        writer: asyncio.StreamWriter | None = getattr(client._transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()


def _place(client: Client) -> str:
    url = client.connected_url
    # Without user and password, which the URL may hold.
    return f"{url.hostname}:{url.port}" if url else ""


async def nats_ready(client: Client) -> str | None:
    """A check for `/readyz`."""
    return None if client.is_connected else "not connected"


async def database_ready(pool: asyncpg.Pool) -> str | None:
    """A check for `/readyz`."""
    await pool.fetchval("SELECT 1")
    return None
