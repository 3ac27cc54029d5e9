"""A log, a NATS server where streams have their real names, relays on both, and a view of what the stream holds."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from contacts.catalog import CODEC
from eventstore.store import EventStore
from rollbook.embedded.nats import Nats
from tests.integration.bridge.rig import KEYRING, Rig


@pytest.fixture
async def store(database: str) -> AsyncIterator[EventStore]:
    opened = await EventStore.open(database, codec=CODEC, keyring=KEYRING, pool_size=4)
    yield opened
    await opened.close()


@pytest.fixture
async def rig(store: EventStore, private_nats: Callable[..., Nats]) -> AsyncIterator[Rig]:
    nats = await asyncio.to_thread(private_nats)
    async with contextlib.AsyncExitStack() as stack:
        yield Rig(store, nats, stack)
