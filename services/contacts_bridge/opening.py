"""Opening the log while the database may still be starting."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from eventstore.cipher import Keyring
from eventstore.connection import CONNECTION_ERRORS, Backoff
from eventstore.store import EventStore
from servicekit import logs

if TYPE_CHECKING:
    from eventstore.codec import Codec
    from servicekit.settings import Settings

log = structlog.get_logger(__name__)


async def open_patiently(settings: Settings, *, role: str, pool_size: int, codec: Codec) -> EventStore:
    """The log, sooner or later; cancel it to give up waiting."""
    keys = settings.master_keys
    keyring = Keyring(keys, current=max(keys))
    backoff = Backoff()
    while True:
        try:
            return await EventStore.open(
                settings.database_url, codec=codec, keyring=keyring, role=role, pool_size=pool_size
            )
        except CONNECTION_ERRORS as error:
            delay_s = backoff.next_s()
            log.warning("waiting for the log", reason=logs.said(error), retry_after_s=delay_s)
            await asyncio.sleep(delay_s)
