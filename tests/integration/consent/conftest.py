"""Processes and people of two workspaces on the database that a module shares."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import uuid4

import pytest

from contacts.catalog import CODEC
from eventstore.store import EventStore
from tests.support.people import KEYRING, People, Process


@pytest.fixture
async def open_process() -> AsyncIterator[Callable[[str], Awaitable[Process]]]:
    """Opens processes on a database, and closes them."""
    stores: list[EventStore] = []

    async def open_(database: str) -> Process:
        stores.append(await EventStore.open(database, codec=CODEC, keyring=KEYRING, pool_size=4))
        return Process.on(stores[-1], database)

    yield open_
    for store in stores:
        await store.close()


@pytest.fixture
async def process(module_database: str, open_process: Callable[[str], Awaitable[Process]]) -> Process:
    return await open_process(module_database)


@pytest.fixture
def people(process: Process) -> People:
    return People(process, uuid4())


@pytest.fixture
def strangers(process: Process) -> People:
    """Another workspace of the installation."""
    return People(process, uuid4())
