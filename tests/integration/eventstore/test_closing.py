"""A store closes soon, whatever has become of its database, and whoever still waits for an answer is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from uuid import UUID

import pytest

from eventstore import appender
from eventstore.envelope import Appended
from eventstore.errors import StoreUnavailable
from tests.chaos.support.proxy import Cut, Proxy
from tests.integration.eventstore.conftest import OpenStore
from tests.support import servers
from tests.support.sample import Noted, stream_of, write

SOON_S = 10
SILENCE_S = 0.2


async def test_a_store_closes_soon_when_its_database_is_dropped_under_everything_it_does(
    admin_url: str, create_database: Callable[..., str], open_store: OpenStore, workspace: UUID
) -> None:
    database = create_database()
    store = await open_store(database)
    stream = stream_of(workspace)
    await store.append(write(stream, Noted("a")))
    reads = [asyncio.create_task(store.read_stream(stream)) for _ in range(20)]
    appends = [asyncio.create_task(store.append(write(stream_of(workspace), Noted("b")))) for _ in range(200)]
    dropping = asyncio.to_thread(servers.drop_database, admin_url, database.rpartition("/")[2])
    async with asyncio.timeout(SOON_S):
        await asyncio.gather(dropping, store.close())
        answers = await asyncio.gather(*appends, return_exceptions=True)
    await asyncio.gather(*reads, return_exceptions=True)
    assert all(isinstance(answer, Appended | StoreUnavailable) for answer in answers)


async def test_a_store_closes_soon_when_its_database_is_silent(
    module_database: str, open_store: OpenStore, workspace: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its statements would be waited for on one connection after the other."""
    monkeypatch.setattr(appender, "DRAIN_S", SILENCE_S)
    armed = asyncio.Event()

    def cut(query: str, _: bytes) -> Cut | None:
        return Cut.SILENT_REPLY if armed.is_set() and "log.append" in query else None

    async with Proxy(module_database, cut) as proxy:
        store = await open_store(proxy.url)
        await store.append(write(stream_of(workspace), Noted("warm")))
        armed.set()
        waiting = [asyncio.create_task(store.append(write(stream_of(workspace), Noted("b")))) for _ in range(50)]
        await asyncio.sleep(0)
        async with asyncio.timeout(SOON_S):
            await store.close()
            answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(answer, StoreUnavailable) for answer in answers)
    assert any(isinstance(answer, StoreUnavailable) and answer.outcome_unknown for answer in answers)
