"""One signed request to a stranger's server: no redirects, no proxies, no cookies, bounded in time and size.

A name is resolved here and the connection goes to an address that was checked, so that no answer of a name server can
lead a delivery into our own network between the check and the connect.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Iterable
from typing import Any, Final

import httpcore2
import msgspec
from httpcore2._backends.auto import AutoBackend

from contacts.webhook.secrets import signature
from contacts.webhook.targets import Reach, is_public
from contacts_bridge.cloudevent import CONTENT_TYPE

CONNECT_TIMEOUT_S: Final = 5.0
TIMEOUT_S: Final = 15.0
#: Of the answer, which nobody reads: connections that bring more are not used again.
ANSWER_BYTES_MAX: Final = 64 * 1024
CONNECTIONS_MAX: Final = 100
USER_AGENT: Final = "Rollbook-Webhooks/1"
RETRY_AFTER_MAX_S: Final = 3_600.0


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one request."""

    status: int | None
    #: None where it was delivered; in our words otherwise, for the receiver's may hold anything.
    reason: str | None
    duration_ms: int
    #: What the receiver asks to wait.
    retry_after_s: float = 0.0

    @property
    def delivered(self) -> bool:
        return self.reason is None

    @property
    def gone(self) -> bool:
        """The receiver wants nothing any more."""
        return self.status == 410


class TargetNotPublic(httpcore2.ConnectError):
    """The name leads to an address that is not one of the public internet."""


class Sender:
    """One per process; safe to use concurrently."""

    def __init__(self, reach: Reach, *, timeout_s: float = TIMEOUT_S, tls: ssl.SSLContext | None = None) -> None:
        self._timeout_s = timeout_s
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=CONNECTIONS_MAX,
            max_keepalive_connections=CONNECTIONS_MAX,
            keepalive_expiry=30.0,
            network_backend=_Guarded(reach),
        )

    async def close(self) -> None:
        await self._pool.aclose()

    async def send(self, url: str, *, id_: str, body: bytes, keys: Iterable[bytes]) -> Sent:
        """Never raises but for a cancellation."""
        timestamp_s = int(time.time())
        headers = {
            "content-type": CONTENT_TYPE,
            "content-length": str(len(body)),
            "user-agent": USER_AGENT,
            "accept": "*/*",
            "webhook-id": id_,
            "webhook-timestamp": str(timestamp_s),
            "webhook-signature": signature(keys, id_, timestamp_s, body),
        }
        began = time.perf_counter()
        status, retry_after_s = None, 0.0
        try:
            async with asyncio.timeout(self._timeout_s):
                status, retry_after_s = await self._request(url, headers, body)
            reason = _reason_of(status)
        except Exception as error:  # noqa: BLE001  # whatever a stranger's server makes of a connection is a failed delivery
            reason = _reason(error)
        duration_ms = round((time.perf_counter() - began) * 1000)
        return Sent(status=status, reason=reason, duration_ms=duration_ms, retry_after_s=retry_after_s)

    async def _request(self, url: str, headers: dict[str, str], body: bytes) -> tuple[int, float]:
        timeouts = {"connect": CONNECT_TIMEOUT_S, "read": self._timeout_s, "write": self._timeout_s, "pool": None}
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        stream = self._pool.stream(
            "POST", url, headers=_with_host(url, pairs), content=body, extensions={"timeout": timeouts}
        )
        async with stream as response:
            size = 0
            async for chunk in response.aiter_stream():
                size += len(chunk)
                if size > ANSWER_BYTES_MAX:
                    break
            return response.status, _retry_after_s(response.headers)


class _Guarded(AutoBackend):
    """Connects to addresses that were checked, by the address."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach

    async def connect_tcp(self, host: str, port: int, *arguments: Any, **options: Any) -> httpcore2.AsyncNetworkStream:
        """Raises TargetNotPublic where any address of the name is not public, and what connecting raises."""
        failed: Exception = httpcore2.ConnectError("no address")
        for address in await self._addresses(host, port):
            try:
                return await super().connect_tcp(address, port, *arguments, **options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failed = error
        raise failed

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore2.AsyncNetworkStream:
        raise TargetNotPublic("no file is a target")

    async def _addresses(self, host: str, port: int) -> list[str]:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise httpcore2.ConnectError("the name cannot be resolved") from error
        addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
        if self._reach == "public" and not all(map(is_public, addresses)):
            raise TargetNotPublic("the target is not public")
        return addresses


def _with_host(url: str, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    target = httpcore2.URL(url)
    default = {b"https": 443, b"http": 80}.get(target.scheme)
    port = b"" if target.port in (None, default) else b":%d" % target.port
    host = b"[%s]" % target.host if b":" in target.host else target.host
    return [(b"host", host + port), *headers]


def _reason_of(status: int) -> str | None:
    if 200 <= status < 300:
        return None
    return f"redirects are not followed ({status})" if 300 <= status < 400 else f"status {status}"


def _reason(error: Exception) -> str:
    if isinstance(error, TargetNotPublic):
        return "the target is not a public address"
    if isinstance(error, TimeoutError | httpcore2.TimeoutException):
        return "no answer in time"
    if isinstance(error, ssl.SSLError) or isinstance(error.__cause__, ssl.SSLError):
        return "the certificate was refused, or TLS failed"
    if isinstance(error, httpcore2.ConnectError):
        return "no connection"
    return "the connection failed"


def _retry_after_s(headers: Iterable[tuple[bytes, bytes]]) -> float:
    for name, value in headers:
        if name.lower() == b"retry-after" and value.isdigit() and len(value) < 7:
            return min(float(value), RETRY_AFTER_MAX_S)
    return 0.0
