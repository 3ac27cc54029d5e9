"""The API as a process: settings in, HTTP and a micro service out, requests under way answered when told to stop."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import TYPE_CHECKING

import structlog

from contacts_api.app import create_app
from contacts_api.micro.connection import micro_service
from contacts_api.server import listen, serving
from contacts_api.services import open_services
from servicekit.run import Stop, run

if TYPE_CHECKING:
    from servicekit.settings import Settings

log = structlog.get_logger(__name__)

NEEDED = ("database_url", "master_key")
#: What is left of the grace period for committing and closing once the last answer is out.
CLOSING_S = 1.0


async def serve(settings: Settings, stop: Stop) -> None:
    """Serves until `stop` is set."""
    with closing(listen(settings.api_host, settings.api_port)) as sock:
        async with (
            open_services(settings) as services,
            micro_service(settings.nats_url, services),
            serving(create_app(services), sock, grace_s=settings.shutdown_grace_s - CLOSING_S) as server,
        ):
            log.info("listening", host=settings.api_host, port=settings.api_port)
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait({stopping, server}, return_when=asyncio.FIRST_COMPLETED)


def main() -> None:
    run("api", serve, needed=NEEDED)


if __name__ == "__main__":
    main()
