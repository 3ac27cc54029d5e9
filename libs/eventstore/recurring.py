"""Work that is done again and again on a connection of its own, over every outage of the database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NoReturn

from eventstore.connection import Backoff, check_cancelled
from eventstore.poison import describe

if TYPE_CHECKING:
    from eventstore.connection import Connect
    from eventstore.projection import Connection

Trouble = Callable[[str], None]


async def recur(
    connect: Connect, work: Callable[[Connection], Awaitable[None]], *, every_s: float, on_trouble: Trouble | None
) -> NoReturn:
    """Until cancelled. `work` is begun `every_s` after it ended, and must leave nothing half done when it fails.

    `on_trouble` is told why it failed, in words that hold no row of the database.
    """
    backoff = Backoff()
    while True:
        try:
            connection = await connect()
            try:
                while True:
                    await work(connection)
                    backoff.reset()
                    await asyncio.sleep(every_s)
            finally:
                connection.terminate()
        except Exception as error:  # noqa: BLE001  # whatever it was, trying again loses nothing
            check_cancelled()
            if on_trouble is not None:
                on_trouble(describe(error))
            await asyncio.sleep(backoff.next_s())
