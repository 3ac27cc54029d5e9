"""A log of contacts on real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final
from uuid import UUID, uuid4

import pytest

from contacts.catalog import CODEC
from eventstore.cipher import Keyring
from eventstore.store import EventStore

KEYRING: Final = Keyring.from_secret(b"a master secret of the tests, 32+ bytes")


@pytest.fixture
async def store(module_database: str) -> AsyncIterator[EventStore]:
    opened = await EventStore.open(module_database, codec=CODEC, keyring=KEYRING, pool_size=4)
    yield opened
    await opened.close()


@pytest.fixture
def workspace_id() -> UUID:
    """A workspace of this test's own in the database that the module shares."""
    return uuid4()
