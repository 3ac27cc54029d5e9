"""uvicorn around an application: a socket of our own, no signals taken, no access log. Knows no route, no service."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import uvicorn

if TYPE_CHECKING:
    from contacts_api.edge import Edge

BACKLOG = 1_024
#: Idle connections are kept longer than most load balancers keep theirs, so that those close first.
KEEP_ALIVE_S = 75


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the process, which stops more than a server."""
        yield


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG, reuse_port=False)


@contextlib.asynccontextmanager
async def serving(app: Edge, sock: socket.socket, *, grace_s: float) -> AsyncIterator[asyncio.Task[None]]:
    """Serves inside the block; leaving it answers what is under way, for `grace_s` at most."""
    config = uvicorn.Config(
        _asgi(app),
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, int(grace_s)),
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve([sock]))
    try:
        # The socket listens already: whoever connects before the server takes over waits in its queue.
        yield task
    finally:
        server.should_exit = True
        await task


def _asgi(app: Edge) -> Any:
    # Litestar and uvicorn type the same protocol each in their own way.
    return app
