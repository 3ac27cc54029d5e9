"""One NATS connection as the bridge uses it: bounded waits, JetStream's API as plain JSON, no silent reconnect.

nats-py keeps what was published while it reconnects and sends it later, waits out the whole timeout of a request whose
connection is gone, and its models drop stream settings they do not know. Here a lost connection is the end: waiting
ends at once, nothing is sent later, and the owner connects anew and looks at what the stream holds.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from contacts_bridge.errors import BrokerRefusal, BrokerUnavailable
from servicekit.connect import hang_up

T = TypeVar("T")

CONNECT_TIMEOUT_S: Final = 2.0
INBOX_PREFIX: Final = "_INBOX_bridge"
"""Of the bridge's own, so that its user may hear the answers to its questions and to nobody else's."""
API_TIMEOUT_S: Final = 5.0

WRONG_LAST_SEQUENCE: Final = 10071
DUPLICATE_IN_BATCH: Final = 10201
STREAM_NOT_FOUND: Final = 10059
CONSUMER_NOT_FOUND: Final = 10014
MESSAGE_NOT_FOUND: Final = 10037
NOTHING_TO_DELETE: Final = 10057
NO_ROOM: Final = 10047


class Broker:
    """A connection that lives until it is lost or closed."""

    def __init__(self, client: Client, lost: asyncio.Event) -> None:
        self._client = client
        self._lost = lost

    @classmethod
    async def connect(cls, url: str, *, name: str) -> Broker:
        """Raises BrokerUnavailable."""
        lost = asyncio.Event()

        async def closed() -> None:
            lost.set()

        client = Client()
        async with connecting(client, url, name=name, closed=closed):
            return cls(client, lost)

    @property
    def server_version(self) -> tuple[int, int]:
        version = self._client.connected_server_version
        return version.major, version.minor

    @property
    def max_payload(self) -> int:
        """Largest message the server takes, in bytes, headers included."""
        return self._client.max_payload

    async def close(self) -> None:
        """Never raises and never waits for a server that does not read."""
        await hang_up(self._client)

    async def publish(
        self, subject: str, payload: bytes, *, reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        """Hands a message to the connection; whether it arrived is not known. Raises BrokerUnavailable."""
        try:
            await self._client.publish(subject, payload, reply=reply, headers=headers)
        except (nats.errors.Error, OSError) as error:
            raise BrokerUnavailable(f"not published: {type(error).__name__}") from error

    async def request(
        self, subject: str, payload: bytes, *, headers: dict[str, str] | None = None, timeout_s: float = API_TIMEOUT_S
    ) -> Msg:
        """Request and answer. Raises BrokerUnavailable: no answer in time, nobody there, or the connection is lost."""
        asked = self._client.request(subject, payload, timeout=timeout_s, headers=headers)
        return await self._unless_lost(asked, timeout_s)

    async def api(self, verb: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """One request to `$JS.API`. Raises BrokerRefusal with JetStream's error code, BrokerUnavailable."""
        message = await self.request(f"$JS.API.{verb}", b"" if body is None else msgspec.json.encode(body))
        answer: dict[str, Any] = msgspec.json.decode(message.data)
        raise_refusal(answer)
        return answer

    async def _unless_lost(self, coroutine: Coroutine[Any, Any, T], timeout_s: float) -> T:
        work = asyncio.ensure_future(coroutine)
        lost = asyncio.ensure_future(self._lost.wait())
        try:
            await asyncio.wait({work, lost}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise BrokerUnavailable("connection lost" if lost.done() else "no answer in time")
            return work.result()
        except (nats.errors.Error, OSError) as error:
            raise BrokerUnavailable(f"no answer: {type(error).__name__}") from error
        finally:
            work.cancel()
            lost.cancel()


@contextlib.asynccontextmanager
async def connecting(
    client: Client, url: str, *, name: str, closed: Callable[[], Awaitable[None]]
) -> AsyncIterator[None]:
    """Connects, with what else is done inside, in limited time; a client that did not get there is let go.

    `closed` is called when the connection is lost or closed. Raises BrokerUnavailable.
    """

    async def ignore(_: Exception) -> None:
        """Every error reaches the caller that waits; the client's own report would only double it."""

    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S + 1):
            await client.connect(
                url.split(","),
                name=name,
                inbox_prefix=INBOX_PREFIX,
                allow_reconnect=False,
                connect_timeout=int(CONNECT_TIMEOUT_S),
                closed_cb=closed,
                error_cb=ignore,
            )
            yield
    except BaseException as error:
        await hang_up(client)
        if isinstance(error, nats.errors.Error | OSError | TimeoutError):
            raise BrokerUnavailable(f"no connection: {type(error).__name__}") from error
        raise


def raise_refusal(answer: dict[str, Any]) -> None:
    """Raises BrokerRefusal where JetStream answered with an error."""
    error = answer.get("error")
    if error is not None:
        raise BrokerRefusal(error.get("err_code", 0), error.get("description", ""))
