"""Keeps the micro service on NATS while the API runs: NATS may be late, away or refuse, HTTP is served all the same."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final, NoReturn

import structlog
from nats.errors import Error as NATSError

from contacts_api.micro.service import MicroService
from contacts_api.routes import ENDPOINTS
from eventstore.connection import Backoff
from servicekit import logs
from servicekit.connect import connect_nats, hang_up

if TYPE_CHECKING:
    from contacts_api.services import Services

#: How long requests under way may take once told to stop: what is left of the grace period is for committing.
STOP_S: Final = 1.5

log = structlog.get_logger(__name__)


@contextlib.asynccontextmanager
async def micro_service(url: str, services: Services) -> AsyncIterator[None]:
    """Serves inside the block, on the servers of `url`; leaving it answers what is under way. No URL: not at all."""
    if not url:
        yield
        return
    serving = _Serving(url, services)
    task = asyncio.create_task(serving.run())
    try:
        yield
    finally:
        await serving.stop()
        task.cancel()
        await asyncio.wait([task])


class _Serving:
    def __init__(self, url: str, services: Services) -> None:
        self._url = url
        self._services = services
        self._service: MicroService | None = None

    async def run(self) -> NoReturn:
        """Until cancelled. The client survives outages by itself; this begins anew once it gave up for good."""
        backoff = Backoff()
        while True:
            reason = await self._serve()
            delay_s = backoff.next_s()
            log.warning("no micro service on NATS", reason=reason, retry_after_s=delay_s)
            await asyncio.sleep(delay_s)

    async def stop(self) -> None:
        if self._service is not None:
            with contextlib.suppress(NATSError, OSError, TimeoutError):
                async with asyncio.timeout(STOP_S):
                    await self._service.stop()

    async def _serve(self) -> str:
        """Why it serves no more."""
        closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def on_closed(reason: str) -> None:
            if not closed.done():
                closed.set_result(reason)

        client = await connect_nats(self._url, application="api", on_closed=on_closed)
        try:
            self._service = MicroService(client, self._services, ENDPOINTS)
            await self._service.start()
            log.info("micro service listens")
            return await closed
        except (NATSError, OSError) as error:
            return logs.said(error)
        finally:
            self._service = None
            await hang_up(client)
