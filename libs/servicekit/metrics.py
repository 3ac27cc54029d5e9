"""Prometheus metrics with bounded labels, and a small HTTP endpoint for processes that serve no HTTP otherwise."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

#: A check answers None when all is well, else what is wrong, in words without personal data.
Check = Callable[[], Awaitable[str | None]]

REQUEST_BYTES_MAX: Final = 8192
REQUEST_TIMEOUT_S: Final = 5.0
CHECK_TIMEOUT_S: Final = 2.0
OTHER: Final = "other"


def known(value: str, allowed: Collection[str]) -> str:
    """`value` as a label if it is one of `allowed`, else "other": so that no client can make series without end."""
    return value if value in allowed else OTHER


class Endpoint:
    """`/metrics`, `/healthz` (the process runs) and `/readyz` (every check is well). Port 0 takes a free one."""

    def __init__(self, host: str, port: int, checks: Mapping[str, Check]) -> None:
        self._host = host
        self.port = port
        self._checks = checks
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, self._host, self.port, limit=REQUEST_BYTES_MAX)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                head = await reader.readuntil(b"\r\n\r\n")
            status, content_type, body = await self._answer(head.split(b" ", 2))
            writer.write(
                f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
                "Connection: close\r\n\r\n".encode()
                + body
            )
            await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, request: list[bytes]) -> tuple[str, str, bytes]:
        target = request[1].partition(b"?")[0] if len(request) == 3 else b""
        if request[0] != b"GET":
            return "405 Method Not Allowed", "text/plain", b"only GET\n"
        if target == b"/metrics":
            return "200 OK", CONTENT_TYPE_LATEST, generate_latest()
        if target == b"/healthz":
            return "200 OK", "application/json", b'{"status":"ok"}\n'
        if target == b"/readyz":
            status, answer = await readiness(self._checks)
            return ("200 OK" if status else "503 Service Unavailable"), "application/json", answer
        return "404 Not Found", "text/plain", b"/metrics, /healthz or /readyz\n"


async def readiness(checks: Mapping[str, Check]) -> tuple[bool, bytes]:
    """Whether every check is well, and a JSON object that says each one's state. Checks run at once, 2 s at most."""
    found = dict(zip(checks, await asyncio.gather(*(_state(check) for check in checks.values())), strict=True))
    ready = all(problem is None for problem in found.values())
    answer = {
        "status": "ready" if ready else "not ready",
        "checks": {name: problem or "ok" for name, problem in found.items()},
    }
    return ready, json.dumps(answer).encode() + b"\n"


async def _state(check: Check) -> str | None:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            return await check()
    except TimeoutError:
        return f"no answer within {CHECK_TIMEOUT_S:.0f} s"
    except Exception as error:  # noqa: BLE001  # a check that fails is the answer
        return type(error).__name__
