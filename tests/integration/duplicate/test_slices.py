"""The duplicate read model kept by several projectors at once, each with a part of the contacts, and built anew."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from contacts.catalog import CODEC
from contacts.contact import commands as c
from contacts.contact.input import AddressInput
from contacts.duplicate.projection import DuplicateProjection
from eventstore import builds
from eventstore.projector import Projector
from eventstore.rebuild import Rebuild
from eventstore.store import EventStore
from tests.integration.duplicate.model import KEYRING, LIVE, TABLES, Expected
from tests.integration.merge.conftest import Desk
from tests.support.waiting import until

SLICES = 4


@pytest.fixture
async def desk(database: str) -> AsyncIterator[Desk]:
    store = await EventStore.open(database, codec=CODEC, keyring=KEYRING, pool_size=4)
    projector = await asyncpg.connect(database, server_settings={"role": "rollbook_projector"})
    await builds.ensure_builds(projector, [DuplicateProjection()])
    live = await builds.find(projector, "duplicate", "live")
    assert live is not None
    await builds.reslice(projector, "duplicate", live.build, SLICES)
    await projector.close()
    running = asyncio.create_task(Projector(store, database, [DuplicateProjection()]).run())
    yield Desk(store, uuid4())
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await store.close()


def person(chosen: random.Random) -> dict[str, Any]:
    return {
        "first_name": chosen.choice(("Ann", "Anna", "Bob", "Robert")),
        "last_name": chosen.choice(("Smith", "Smyth", "Müller")),
        "email": f"{chosen.choice(('ann', 'bob'))}{chosen.randrange(6)}@example.com",
        "address": AddressInput(street=f"Main Street {chosen.randrange(9)}", postcode="3000"),
    }


async def content(connection: asyncpg.Connection, schema: str) -> dict[str, list[Any]]:
    return {
        table: [dict(row) for row in await connection.fetch(f"SELECT * FROM {schema}.{table} AS t ORDER BY t::text")]
        for table in TABLES
    }


async def test_slices_come_to_what_one_projector_would_and_a_rebuild_does(desk: Desk, database: str) -> None:
    chosen = random.Random(7)
    ids: list[UUID] = list(await asyncio.gather(*(desk.create(**person(chosen)) for _ in range(60))))
    await asyncio.gather(*(desk.of(c.DeleteContact, id_, reason="twice") for id_ in ids[:10]))
    await desk.merge(ids[10], ids[11], ids[12])
    await asyncio.gather(*(desk.edit(id_, first_name="Roberta") for id_ in ids[13:20]))
    connection = await asyncpg.connect(database)
    try:
        head = await desk.store.head(0)

        async def caught_up() -> bool:
            return await connection.fetchval("SELECT min(position) FROM projector.checkpoints") >= head

        await until(caught_up, timeout_s=20, what="all slices are at the head")
        expected = Expected([await desk.shown(id_) for id_ in ids if id_ not in ids[11:13]])
        kept = await content(connection, LIVE)
        assert {row["address"]: row["contacts"] for row in kept["address_group"]} == {
            address: len(members) for address, members in expected.groups["email"].items()
        }
        assert {(row["first_id"], row["second_id"]) for row in kept["likely_pair"]} == expected.pairs.keys()
        assert len(expected.pairs) > 20
        assert await connection.fetchval("SELECT count(*) FROM projector.parked") == 0

        rebuilt = await Rebuild(desk.store, database, DuplicateProjection()).run()
        assert rebuilt.parked == 0
        assert await content(connection, LIVE) == kept
    finally:
        await connection.close()
