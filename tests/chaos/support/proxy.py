"""A TCP proxy in front of PostgreSQL that cuts connections at chosen places of the wire protocol.."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import struct
from collections import Counter
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

SSL_REQUEST: Final = 80877103
PARTS: Final = b"PBDEC"
"""Messages of the extended protocol that are followed by a Flush or Sync."""


class Cut(enum.Enum):
    """Where the connection breaks, as seen from a request (Bind … Sync) and its reply (up to ReadyForQuery)."""

    BEFORE_REQUEST = "nothing of the request arrives"
    MID_REQUEST = "half of the request arrives"
    AFTER_REQUEST = "the request arrives, and nobody waits for the reply"
    BEFORE_REPLY = "the request is done, its reply is lost"
    MID_REPLY = "the request is done, half of its reply arrives"
    SILENT_REQUEST = "half-open: the request disappears, the connection stays"
    SILENT_REPLY = "half-open: the request is done, the reply disappears, the connection stays"
    LATE_REQUEST = "the connection breaks, and the request arrives after all, some time later"


class Proxy:
    """`async with Proxy(url, choose) as proxy:` connect to `proxy.url`.

    `choose(query, request)` is asked at each request with the text of its statement and all bytes, and answers the cut.
    """

    def __init__(self, url: str, choose: Callable[[str, bytes], Cut | None], *, late_s: float = 0.05) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._upstream = parts.hostname, parts.port
        self._parts = parts
        self._choose = choose
        self._late_s = late_s
        self._server: asyncio.Server | None = None
        self._sessions: set[asyncio.Task[None]] = set()
        #: While true, connections are closed as soon as they come.
        self.refusing = False
        #: Cuts made.
        self.cuts: Counter[Cut] = Counter()
        #: Connections of clients that are open now.
        self.open = 0

    @property
    def url(self) -> str:
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        return self._parts._replace(netloc=f"{self._parts.username}:{self._parts.password}@127.0.0.1:{port}").geturl()

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for session in self._sessions:
            session.cancel()
        await asyncio.gather(*self._sessions, return_exceptions=True)
        await self._server.wait_closed()

    def decide(self, query: str, request: bytes) -> Cut | None:
        cut = self._choose(query, request)
        if cut is not None:
            self.cuts[cut] += 1
        return cut

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None
        self._sessions.add(task)
        self.open += 1
        try:
            with contextlib.suppress(OSError):
                upstream = await asyncio.open_connection(*self._upstream)
                await _Session(self, (reader, writer), upstream, self._late_s).run()
        finally:
            self.open -= 1
            self._sessions.discard(task)
            writer.transport.abort()


class _Session:
    """One client connection: requests up, replies down, message by message."""

    def __init__(
        self,
        proxy: Proxy,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        late_s: float,
    ) -> None:
        self._proxy = proxy
        self._from_client, self._to_client = client
        self._from_server, self._to_server = server
        self._late_s = late_s
        self._statements: dict[bytes, str] = {}
        #: Set while the replies are not to be passed on.
        self._withheld: bytearray | None = None
        self._reply_done = asyncio.Event()

    async def run(self) -> None:
        try:
            await self._start_up()
            tasks = [asyncio.create_task(self._up()), asyncio.create_task(self._down())]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._to_client.transport.abort()
            self._to_server.close()

    async def _start_up(self) -> None:
        while True:
            size, code = struct.unpack("!ii", head := await self._from_client.readexactly(8))
            self._to_server.write(head + await self._from_client.readexactly(size - 8))
            if code == SSL_REQUEST:
                self._to_client.write(await self._from_server.readexactly(1))
            else:
                return  # a cancel request is answered by the end of the connection

    async def _up(self) -> None:
        request = bytearray()
        query: str | None = None
        while True:
            kind, body = await _message(self._from_client)
            request += _frame(kind, body)
            if kind == b"P":
                name, text, _ = body.split(b"\0", 2)
                self._statements[name] = text.decode()
            if kind == b"B":
                query = self._statements.get(body.split(b"\0", 2)[1], "")
            if kind == b"Q":
                query = body.rstrip(b"\0").decode()
            if kind in PARTS:  # sent on when complete
                continue
            if query is not None and (cut := self._proxy.decide(query, bytes(request))) is not None:
                await self._sever(cut, bytes(request))
                return
            self._to_server.write(bytes(request))
            await self._to_server.drain()
            request.clear()
            query = None

    async def _down(self) -> None:
        while True:
            kind, body = await _message(self._from_server)
            if self._withheld is None:
                self._to_client.write(_frame(kind, body))
                await self._to_client.drain()
                continue
            self._withheld += _frame(kind, body)
            if kind == b"Z":
                self._reply_done.set()

    async def _sever(self, cut: Cut, request: bytes) -> None:
        """Ends the session by returning, except for what stays open until the client has enough of it."""
        if cut is Cut.BEFORE_REQUEST:
            return
        if cut is Cut.MID_REQUEST:
            self._to_server.write(request[: len(request) // 2])
            await self._to_server.drain()
            return
        self._withheld = bytearray()
        if cut is Cut.LATE_REQUEST:
            self._to_client.transport.abort()
            await asyncio.sleep(self._late_s)
        if cut is not Cut.SILENT_REQUEST:
            self._to_server.write(request)
            await self._to_server.drain()
        if cut in (Cut.BEFORE_REPLY, Cut.MID_REPLY, Cut.LATE_REQUEST):
            await self._reply_done.wait()
        if cut is Cut.MID_REPLY:
            self._to_client.write(bytes(self._withheld[: len(self._withheld) // 2]))
            await self._to_client.drain()
            self._to_client.close()
            await self._to_client.wait_closed()
        if cut in (Cut.SILENT_REQUEST, Cut.SILENT_REPLY):
            while await self._from_client.read(65536):
                pass


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    kind, size = struct.unpack("!ci", await reader.readexactly(5))
    return kind, await reader.readexactly(size - 4)


def _frame(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body
