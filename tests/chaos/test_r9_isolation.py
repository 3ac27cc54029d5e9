"""R9: no workspace sees, counts, infers or changes another's, with row-level security on and off.

Every route for five roles of other workspaces, with the ids, addresses, keys and cursors of a workspace full of
canaries in paths, bodies, queries and headers. What is another's must be answered exactly as what is nowhere; no
canary may be told; and the other workspace must be as it was. Both walls are tested alone: row-level security by a
query that forgot its workspace, the queries by tables without row-level security.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final

import asyncpg
import msgspec
import pytest

from contacts.contact import listing
from contacts.workspace.permissions import GRANTABLE
from contacts_api.endpoint import Endpoint
from tests.chaos.support.intruders import CANARY, HIDDEN, PROTECTED, Door, Intruders, Loot, creations, readings
from tests.chaos.support.report import FULL, Report, figure
from tests.integration.api.conftest import ROLES, Api, Tenant, running_api
from tests.support.wire import Wire

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(0 if FULL else 400)]

REQUESTS: Final = figure(10_000, 1_000_000)
PLANTED_REQUESTS: Final = 800
PAIRS: Final = 4
WALLS: Final = ("ENABLE", "DISABLE")
#: All that a service can be given.
SCOPES: Final = sorted(action.value for action in GRANTABLE)


@pytest.fixture(scope="module")
async def api(module_database: str) -> AsyncIterator[Api]:
    async with running_api(module_database) as running:
        yield running


@pytest.fixture(scope="module")
async def admin(module_database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(module_database)
    yield connection
    await connection.close()


@pytest.fixture(scope="module")
async def walls(api: Api, admin: asyncpg.Connection) -> RowSecurity:
    """Of the read models as they were made."""
    tables = await admin.fetch(
        "SELECT oid::regclass::text AS name FROM pg_class WHERE relkind IN ('r', 'p') AND relrowsecurity"
    )
    assert len(tables) > 10
    return RowSecurity(admin, [table["name"] for table in tables])


class RowSecurity:
    """Of all tables that have it."""

    def __init__(self, admin: asyncpg.Connection, tables: list[str]) -> None:
        self._admin = admin
        self.tables = tables

    async def switch(self, to: str) -> None:
        """ENABLE or DISABLE."""
        for table in self.tables:
            await self._admin.execute(f"ALTER TABLE {table} {to} ROW LEVEL SECURITY")


@pytest.fixture(scope="module")
async def victim(api: Api) -> tuple[Tenant, Loot]:
    """A workspace full of canaries, and all that one could know of it."""
    tenant, loot = await api.tenant(), Loot()
    owner = tenant.owner
    await owner.post("/v1/attributes", json={"key": CANARY, "type": "text"})
    fields = {
        "external_id": f"{CANARY}-1", "messaging_id": f"{CANARY}-2", "first_name": HIDDEN, "tags": [HIDDEN],
        "email": f"{CANARY}@example.com", "phone": "+48229876543", "attributes": {CANARY: HIDDEN},
        "channels": [{"kind": "telegram", "token": CANARY}],
    }  # fmt: skip
    contact = await tenant.contact(**fields)
    others = [await tenant.contact(email=f"{CANARY}.{n}@example.com", last_name=HIDDEN) for n in range(4)]
    first, absorbed, deleted, erased = (other["id"] for other in others)
    await owner.post("/v1/merges", json={"primary": first, "others": [absorbed]})
    await owner.delete(f"/v1/contacts/{deleted}", params={"reason": HIDDEN})
    certificate = await owner.post(f"/v1/contacts/{erased}/erase", json={"confirm": True, "reason": "person_asked"})
    loot.learn(certificate.json())
    # Consent is the workspace's own, unlike the e-mail blacklist.
    await owner.post(f"/v1/contacts/{contact['id']}/unsubscribe", json={"reason": HIDDEN})
    await owner.post(f"/v1/contacts/{contact['id']}/blacklist", json={"channel": "phone", "reason": HIDDEN})
    await owner.post("/v1/members", json={"member_id": CANARY, "role": "agent"})
    key = (await owner.post("/v1/keys", json={"name": HIDDEN, "role": "agent"})).json()
    await owner.post("/v1/contacts", json={"email": f"{CANARY}.k@example.com"}, headers={"Idempotency-Key": CANARY})
    for endpoint in creations():
        for example in endpoint.examples.values():
            if endpoint.name not in ("issue_key", "add_suppression"):
                text = msgspec.json.encode(example).decode()
                loot.learn(_parsed(await owner.post(endpoint.path, content=text, headers=JSON)))
    await owner.patch("/v1/settings", json={"name": HIDDEN})
    for endpoint in readings():
        loot.learn(_parsed(await owner.get(endpoint.path)))
    listed = (await owner.get("/v1/contacts", params={"limit": 1})).json()
    loot.texts = {
        "email": [f"{CANARY}@example.com", f"{CANARY}.0@example.com"], "phone": ["+48229876543"],
        "addresses": [f"{CANARY}@example.com"], "external_id": [f"{CANARY}-1"], "messaging_id": [f"{CANARY}-2"],
        "key_id": [key["key_id"]], "cursor": [listed["next_cursor"]], "address": ["+48229876543"],
        "q": [CANARY, f"{CANARY}@example.com", "+48229876543", contact["id"]], "name": [CANARY],
        "idempotency_key": [CANARY],
    }  # fmt: skip
    loot.secrets.add(key["key_id"])
    return tenant, loot


JSON: Final = {"Content-Type": "application/json"}


def _parsed(answer: Any) -> Any:
    return answer.json() if answer.is_success and answer.headers["Content-Type"] == "application/json" else None


async def everything(tenant: Tenant) -> dict[str, Any]:
    answers = {endpoint.path: await tenant.owner.get(endpoint.path) for endpoint in readings()}
    return {path: (answer.status_code, answer.text) for path, answer in answers.items()}


async def door(api: Api) -> Door:
    tenant = await api.tenant()
    own = [(await tenant.contact())["id"] for _ in range(4)]
    return Door({role: await tenant.key(role, *(SCOPES if role == "service" else ())) for role in ROLES}, own)


async def intruders(api: Api, loot: Loot, wire: Wire, seed: int) -> list[Intruders]:
    return [Intruders(wire, (await door(api), await door(api)), loot, seed + number) for number in range(PAIRS)]


async def knock(
    api: Api, loot: Loot, seed: int, requests: int, endpoints: Sequence[Endpoint] = PROTECTED
) -> tuple[list[str], Counter[str]]:
    """What intruders found in so many requests, and how many of which kind they made."""
    wire = Wire(int(api.url.rpartition(":")[2]), 2 * PAIRS)
    try:
        knocking = await intruders(api, loot, wire, seed)
        await asyncio.gather(*(each.knock(requests // PAIRS, endpoints) for each in knocking))
    finally:
        await wire.close()
    return [text for each in knocking for text in each.wrong], sum((each.counts for each in knocking), Counter())


async def test_what_is_another_s_is_answered_as_what_is_nowhere(
    api: Api, walls: RowSecurity, victim: tuple[Tenant, Loot], chaos_report: Callable[[str], Report]
) -> None:
    report = chaos_report("R9")
    tenant, loot = victim
    assert len(loot.ids) > 10, "there is little to steal"
    before = await everything(tenant)
    try:
        for switch in WALLS:
            await walls.switch(switch)
            wrong, counts = await knock(api, loot, report.seed, REQUESTS // len(WALLS))
            assert wrong == [], f"seed {report.seed}, row security {switch}:\n" + "\n".join(wrong[:5])
            report.add(counts)
            after = await everything(tenant)
            changed = {path: (before[path], after[path]) for path in before if before[path] != after[path]}
            assert not changed, f"seed {report.seed}, row security {switch}"
        report.add(await caught_without_row_security(api, walls, loot, report.seed))
    finally:
        await walls.switch("ENABLE")
    report.add({"routes": len(PROTECTED), "tables with row-level security": len(walls.tables)})
    report.finish()


async def caught_without_row_security(api: Api, walls: RowSecurity, loot: Loot, seed: int) -> dict[str, int]:
    """The planted bug: the query of a contact forgets the workspace. Row-level security alone still holds."""
    reading = [endpoint for endpoint in PROTECTED if endpoint.name == "read_contact"]
    with pytest.MonkeyPatch.context() as patch:
        sql = listing.SQL["get"]
        assert "c.workspace_id = $1 AND" in sql
        patch.setitem(listing.SQL, "get", sql.replace("c.workspace_id = $1 AND", "$1::uuid IS NOT NULL AND"))
        await walls.switch("ENABLE")
        wrong, _ = await knock(api, loot, seed, PLANTED_REQUESTS, reading)
        assert wrong == [], "row-level security does not hold by itself"
        await walls.switch("DISABLE")
        wrong, _ = await knock(api, loot, seed, PLANTED_REQUESTS, reading)
        assert wrong, f"a query without its workspace was not noticed (seed {seed})"
    return {"planted bug caught, wrong answers": len(wrong)}
