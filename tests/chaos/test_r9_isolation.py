"""R9: no workspace sees, counts, infers or changes another's, with row-level security on and off.

Every route, and every subject of the NATS micro service, for five roles of other workspaces, with the ids, addresses,
keys and cursors of a workspace full of canaries in paths, bodies, queries and headers. What is another's must be
answered exactly as what is nowhere; no canary may be told; and the other workspace must be as it was. Both walls are
tested alone: row-level security by a query that forgot its workspace, the queries by tables without row-level security.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec
import nats
import nats.errors
import pytest

from contacts.contact import listing
from contacts.workspace.permissions import GRANTABLE
from contacts_api.endpoint import Endpoint
from contacts_api.micro.connection import micro_service
from rollbook.embedded.nats import Nats
from tests.chaos.support.intruders import CANARY, HIDDEN, PROTECTED, Door, Intruders, Loot, creations, readings
from tests.chaos.support.messages import SERVED, VERBS, MessageWire
from tests.chaos.support.report import FULL, Report, figure
from tests.integration.api.conftest import ROLES, Api, Tenant, running_api
from tests.support.waiting import until
from tests.support.wire import Wire

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(0 if FULL else 400)]

REQUESTS: Final = figure(10_000, 1_000_000)
MESSAGES: Final = figure(1_000, 100_000)
PLANTED_MESSAGES: Final = 300
READING: Final = [endpoint for endpoint in PROTECTED if endpoint.name == "read_contact"]
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
    settled = await owner.patch("/v1/settings", json={"name": HIDDEN})
    loot.position = settled.headers["Rollbook-Position"]
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


async def everything(tenant: Tenant, loot: Loot) -> dict[str, Any]:
    """As it is once every read model has seen the last command of the workspace."""
    headers = {"Rollbook-Min-Position": loot.position}
    answers = {endpoint.path: await tenant.owner.get(endpoint.path, headers=headers) for endpoint in readings()}
    return {path: (answer.status_code, answer.text) for path, answer in answers.items()}


async def door(api: Api) -> Door:
    tenant = await api.tenant()
    own = [(await tenant.contact())["id"] for _ in range(4)]
    return Door({role: await tenant.key(role, *(SCOPES if role == "service" else ())) for role in ROLES}, own)


async def intruders(api: Api, loot: Loot, wire: Wire | MessageWire, seed: int) -> list[Intruders]:
    return [Intruders(wire, (await door(api), await door(api)), loot, seed + number) for number in range(PAIRS)]


async def knock(
    api: Api, loot: Loot, seed: int, requests: int, endpoints: Sequence[Endpoint] = PROTECTED
) -> tuple[list[str], Counter[str]]:
    """What intruders found in so many requests, and how many of which kind they made."""
    wire = Wire(int(api.url.rpartition(":")[2]), 2 * PAIRS)
    try:
        return await knock_on(wire, api, loot, seed, requests, endpoints)
    finally:
        await wire.close()


async def knock_on(
    wire: Wire | MessageWire, api: Api, loot: Loot, seed: int, requests: int, endpoints: Sequence[Endpoint]
) -> tuple[list[str], Counter[str]]:
    knocking = await intruders(api, loot, wire, seed)
    await asyncio.gather(*(each.knock(requests // PAIRS, endpoints) for each in knocking))
    return [text for each in knocking for text in each.wrong], sum((each.counts for each in knocking), Counter())


async def test_what_is_another_s_is_answered_as_what_is_nowhere(
    api: Api, walls: RowSecurity, victim: tuple[Tenant, Loot], chaos_report: Callable[[str], Report]
) -> None:
    report = chaos_report("R9")
    tenant, loot = victim
    assert len(loot.ids) > 10, "there is little to steal"
    before = await everything(tenant, loot)
    try:
        for switch in WALLS:
            await walls.switch(switch)
            wrong, counts = await knock(api, loot, report.seed, REQUESTS // len(WALLS))
            assert wrong == [], f"seed {report.seed}, row security {switch}:\n" + "\n".join(wrong[:5])
            report.add(counts)
            after = await everything(tenant, loot)
            changed = {path: (before[path], after[path]) for path in before if before[path] != after[path]}
            assert not changed, f"seed {report.seed}, row security {switch}"
        report.add(await caught_without_row_security(api, walls, loot, report.seed))
    finally:
        await walls.switch("ENABLE")
    report.add({"routes": len(PROTECTED), "tables with row-level security": len(walls.tables)})
    report.finish()


@contextlib.contextmanager
def forgetting_the_workspace() -> Iterator[None]:
    """The planted bug: the query of a contact names no workspace."""
    with pytest.MonkeyPatch.context() as patch:
        sql = listing.SQL["get"]
        assert "c.workspace_id = $1 AND" in sql
        patch.setitem(listing.SQL, "get", sql.replace("c.workspace_id = $1 AND", "$1::uuid IS NOT NULL AND"))
        yield


async def caught_without_row_security(api: Api, walls: RowSecurity, loot: Loot, seed: int) -> dict[str, int]:
    """Row-level security alone still holds."""
    with forgetting_the_workspace():
        await walls.switch("ENABLE")
        wrong, _ = await knock(api, loot, seed, PLANTED_REQUESTS, READING)
        assert wrong == [], "row-level security does not hold by itself"
        await walls.switch("DISABLE")
        wrong, _ = await knock(api, loot, seed, PLANTED_REQUESTS, READING)
        assert wrong, f"a query without its workspace was not noticed (seed {seed})"
    return {"planted bug caught, wrong answers": len(wrong)}


@pytest.fixture
async def messages(api: Api, private_nats: Callable[..., Nats]) -> AsyncIterator[MessageWire]:
    server = await asyncio.to_thread(private_nats)
    async with micro_service(server.url, api.services), contextlib.AsyncExitStack() as stack:
        client = await nats.connect(server.url)
        stack.push_async_callback(client.close)

        async def answers() -> bool:
            with contextlib.suppress(nats.errors.NoRespondersError, nats.errors.TimeoutError):
                return bool(await client.request("$SRV.PING.rollbook", timeout=0.5))
            return False

        await until(answers, what="the micro service answers")
        yield MessageWire(client)


async def test_what_is_another_s_is_answered_over_nats_as_what_is_nowhere(
    api: Api, walls: RowSecurity, victim: tuple[Tenant, Loot], messages: MessageWire,
    chaos_report: Callable[[str], Report],
) -> None:  # fmt: skip
    report = chaos_report("R9 (NATS)")
    tenant, loot = victim
    before = await everything(tenant, loot)
    try:
        for switch in WALLS:
            await walls.switch(switch)
            wrong, counts = await knock_on(messages, api, loot, report.seed, MESSAGES // len(WALLS), SERVED)
            assert wrong == [], f"seed {report.seed}, row security {switch}:\n" + "\n".join(wrong[:5])
            report.add(counts)
        await no_subject_is_open(await door(api), tenant.workspace_id, loot, messages)
        after = await everything(tenant, loot)
        assert {path for path in before if before[path] != after[path]} == set()
        with forgetting_the_workspace():
            wrong, _ = await knock_on(messages, api, loot, report.seed, PLANTED_MESSAGES, READING)
        assert wrong, f"a query without its workspace was not noticed (seed {report.seed})"
        report.add({"planted bug caught, wrong answers": len(wrong)})
    finally:
        await walls.switch("ENABLE")
    report.add({"subjects": len(SERVED)})
    report.finish()


async def no_subject_is_open(intruder: Door, workspace: UUID, loot: Loot, messages: MessageWire) -> None:
    """With a key of one's own, the subjects of another workspace are those of one that is nowhere."""
    for verb, endpoint in VERBS.items():
        sent = next(iter(endpoint.examples.values()), {})
        sent = {**sent, **dict.fromkeys(endpoint.path_type.__struct_encode_fields__, loot.ids[0])}
        replies = [
            await messages.ask(verb, place, sent, intruder.keys["owner"], {}) for place in (workspace, UUID(int=7))
        ]
        assert [reply.status for reply in replies] == [403, 403], verb
        assert replies[0].content == replies[1].content, verb
