"""Keeps snapshots of contacts with long histories, beside the projector: who loads one need not read all of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from contacts.catalog import CODEC
from contacts.contact.handler import ContactHandler
from eventstore.connection import CONNECTION_ERRORS, Backoff
from eventstore.errors import EventStoreError
from eventstore.longstreams import LongStreams
from eventstore.store import EventStore
from servicekit import logs

if TYPE_CHECKING:
    from eventstore.cipher import Keyring
    from servicekit.settings import Settings

log = structlog.get_logger(__name__)


async def keep(settings: Settings, keyring: Keyring) -> None:
    """For ever; begins anew where the database was away."""
    backoff = Backoff()
    while True:
        try:
            # The projector itself may only read the log.
            store = await EventStore.open(settings.database_url, codec=CODEC, keyring=keyring, pool_size=1)
            try:
                backoff.reset()
                await LongStreams(store, [ContactHandler(store, cache_size=0).components.aggregates]).run()
            finally:
                await store.close()
        except (*CONNECTION_ERRORS, EventStoreError) as error:
            delay_s = backoff.next_s()
            log.warning("looking for long histories failed", reason=logs.said(error), retry_after_s=delay_s)
            await asyncio.sleep(delay_s)
