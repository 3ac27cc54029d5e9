"""Read models rebuilt after erasures are those that saw them happen: alone, merged, deleted, with proof and without."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from contacts.catalog import CODEC, PROJECTIONS
from eventstore.rebuild import Rebuild
from eventstore.store import EventStore
from tests.integration.api.conftest import Api, Tenant, running_api

ERASE = {"confirm": True, "reason": "person_asked"}
#: Which event wrote a row last is told of live rows only.
NOT_COMPARED = {"position"}


async def content(database: str, schema: str) -> dict[str, list[dict[str, Any]]]:
    connection = await asyncpg.connect(database)
    try:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1 ORDER BY 1", schema)
        return {
            table: [
                {name: value for name, value in row.items() if name not in NOT_COMPARED}
                for row in await connection.fetch(f"SELECT * FROM {schema}.{table} AS t ORDER BY t::text")
            ]
            for (table,) in tables
        }
    finally:
        await connection.close()


async def person(tenant: Tenant, **fields: Any) -> str:
    contact = await tenant.contact(email=f"{uuid7()}@example.com", first_name="Canary", **fields)
    url = f"/v1/contacts/{contact['id']}"
    answer = await tenant.owner.post(f"{url}/blacklist", json={"channel": "email", "reason": "Canary asked for it"})
    assert answer.is_success, answer.text
    return str(contact["id"])


async def erasures(tenant: Tenant) -> None:
    alone, deleted, primary, other, _stays = [await person(tenant, external_id=f"e-{n}") for n in range(5)]
    await tenant.owner.delete(f"/v1/contacts/{deleted}", params={"reason": "gone"})
    merged = await tenant.owner.post("/v1/merges", json={"primary": primary, "others": [other]})
    assert merged.is_success, merged.text
    for contact in (alone, deleted, other):
        answer = await tenant.owner.post(f"/v1/contacts/{contact}/erase", json=ERASE)
        assert answer.status_code == 200, answer.text
    await tenant.visible(answer)
    suppressions = {"Rollbook-Min-Position": answer.headers["Rollbook-Position"]}
    assert (await tenant.owner.get("/v1/suppressions", headers=suppressions)).status_code == 200


async def rebuilt(api: Api, database: str) -> None:
    store = await EventStore.open(
        database, codec=CODEC, keyring=api.services.store.keyring, role="rollbook_projector", pool_size=2
    )
    try:
        for projection in PROJECTIONS:
            assert (await Rebuild(store, database, projection).run()).parked == 0, projection.name
    finally:
        await store.close()


@pytest.mark.timeout(120)
async def test_a_rebuild_after_erasures_equals_the_models_that_saw_them(database: str) -> None:
    async with running_api(database) as api:
        tenant = await api.tenant()
        await erasures(tenant)
        await rebuilt(api, database)
        assert (await tenant.owner.get("/v1/contacts/counts")).json()["total"] == 1
    for projection in PROJECTIONS:
        live = await content(database, f"rm_{projection.name}")
        assert live == await content(database, f"rm_{projection.name}_b1"), projection.name
        text = str(live)
        assert text.count("Canary asked for it") <= 3, "words of the erased are left"
