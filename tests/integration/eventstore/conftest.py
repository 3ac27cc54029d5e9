"""Fixtures for tests of the log: stores that are closed again, a workspace of one's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from eventstore.store import EventStore
from tests.support.sample import CODEC, keyring

OpenStore = Callable[..., Awaitable[EventStore]]


@pytest.fixture
def workspace() -> UUID:
    return uuid4()


@pytest.fixture
async def open_store(module_database: str) -> AsyncIterator[OpenStore]:
    """Opens stores on the module's database, or another; each stands for a process."""
    opened: list[EventStore] = []

    async def open_(database: str = module_database, **options: Any) -> EventStore:
        store = await EventStore.open(database, **{"codec": CODEC, "keyring": keyring(), **options})
        opened.append(store)
        return store

    yield open_
    for store in opened:
        await store.close()


@pytest.fixture
async def store(open_store: OpenStore) -> EventStore:
    return await open_store()


@asynccontextmanager
async def superuser(database: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection that may do what no program of ours may: change and delete events."""
    connection = await asyncpg.connect(database)
    try:
        yield connection
    finally:
        await connection.close()
