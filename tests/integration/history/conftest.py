"""A log of its own for each test, so that the whole lane can be replayed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from contacts.catalog import CODEC
from eventstore.store import EventStore
from tests.support.people import KEYRING, Process


@pytest.fixture
async def process(database: str) -> AsyncIterator[Process]:
    store = await EventStore.open(database, codec=CODEC, keyring=KEYRING, pool_size=4)
    yield Process.on(store, database)
    await store.close()
