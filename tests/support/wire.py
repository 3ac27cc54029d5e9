"""A lean HTTP/1.1 client for tests that make thousands of requests: a tenth of the work of a full one. No redirects."""

from __future__ import annotations

import asyncio
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec

HEAD_MAX: Final = 1 << 16


class Reply(msgspec.Struct, frozen=True):
    """An answer, with the names of its headers in small letters."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode()

    def json(self) -> Any:
        return msgspec.json.decode(self.content)


class Wire:
    """Kept-alive connections to one server; as many requests at once as are asked for, up to `connections`."""

    def __init__(self, port: int, connections: int = 16) -> None:
        self._port = port
        self._room = asyncio.Semaphore(connections)
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def close(self) -> None:
        for _, writer in self._idle:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for _, writer in self._idle), return_exceptions=True)
        self._idle.clear()

    async def send(
        self, method: str, path: str, body: Any = None, *, key: str | None, headers: dict[str, str] | None = None
    ) -> Reply:
        """One request; `body` as JSON, or bytes as they are. A cancelled one takes its connection with it."""
        content = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
        said = {"Host": "127.0.0.1", "Content-Length": str(len(content)), **(headers or {})}
        if body is not None:
            said.setdefault("Content-Type", "application/json")
        if key is not None:
            said["Authorization"] = f"Bearer {key}"
        lines = "".join(f"{name}: {value}\r\n" for name, value in said.items())
        async with self._room:
            reader, writer = self._idle.pop() if self._idle else await self._connect()
            try:
                writer.write(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + content)
                reply = await _read(reader)
            except BaseException:
                writer.close()
                raise
            self._idle.append((reader, writer))
        return reply

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self._port, limit=HEAD_MAX)


async def _read(reader: asyncio.StreamReader) -> Reply:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])}
    length = int(headers.get("content-length", 0))
    return Reply(int(head[0].split(" ", 2)[1]), headers, await reader.readexactly(length) if length else b"")


def address(template: str, query: dict[str, str] | None = None, **values: str) -> str:
    """A path with its values escaped."""
    path = template.format_map({name: quote(value, safe="") for name, value in values.items()})
    return f"{path}?{urlencode(query)}" if query else path
