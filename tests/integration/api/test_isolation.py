"""Two workspaces in one database: neither sees, counts, infers or changes anything of the other (R9, CI figure)."""

from __future__ import annotations

from itertools import product
from typing import Any, Final
from uuid import uuid4

import httpx2
import pytest

from contacts_api.endpoint import PUBLIC
from contacts_api.routes import ENDPOINTS
from tests.integration.api.conftest import ROLES, Api, Tenant

CANARY = "canarybird"


@pytest.fixture(scope="module")
async def victim(api: Api) -> dict[str, Any]:
    """A workspace full of canaries, and the ids one would guess."""
    tenant = await api.tenant()
    owner = tenant.owner
    await owner.post("/v1/attributes", json={"key": CANARY, "type": "text"})
    contact = await tenant.contact(
        external_id=f"{CANARY}-1",
        messaging_id=f"{CANARY}-2",
        first_name=CANARY,
        email=f"{CANARY}@example.com",
        phone="+4930901820",
        tags=[CANARY],
        attributes={CANARY: CANARY},
        channels=[{"kind": "telegram", "token": CANARY}],
    )
    deleted = await tenant.contact(email=f"{CANARY}.deleted@example.com", last_name=CANARY)
    await owner.delete(f"/v1/contacts/{deleted['id']}", params={"reason": CANARY})
    await owner.post("/v1/members", json={"member_id": CANARY, "role": "agent"})
    await owner.patch("/v1/settings", json={"name": CANARY})
    key = (await owner.post("/v1/keys", json={"name": CANARY, "role": "agent"})).json()
    listed_address = {"channel": "email", "address": f"{CANARY}.listed@example.com", "reason": CANARY}
    suppression = (await owner.post("/v1/suppressions", json=listed_address)).json()
    absorbed = await tenant.contact()
    merge = (await owner.post("/v1/merges", json={"primary": contact["id"], "others": [absorbed["id"]]})).json()
    await tenant.contact()
    webhook = (await owner.post("/v1/webhooks", json={"url": "https://example.com", "description": CANARY})).json()
    list_ = (await owner.post("/v1/lists", json={"name": CANARY})).json()
    filter_ = {"field": "first_name", "op": "eq", "value": CANARY}
    segment = (await owner.post("/v1/segments", json={"name": CANARY, "filter": filter_})).json()
    joined = await owner.post(f"/v1/contacts/{contact['id']}/lists/{list_['id']}")
    await owner.get("/v1/lists", headers={"Rollbook-Min-Position": joined.headers["Rollbook-Position"]})
    listed = await owner.get("/v1/contacts", params={"limit": 1})
    return {
        "tenant": tenant,
        "contact_id": contact["id"],
        "deleted_id": deleted["id"],
        "key_id": key["key_id"],
        "suppression_id": suppression["id"],
        "absorbed_id": absorbed["id"],
        "merge_id": merge["id"],
        "webhook_id": webhook["id"],
        "letter_id": "1-0123456789ab",
        "list_id": list_["id"],
        "segment_id": segment["id"],
        "cursor": listed.json()["next_cursor"],
        "position": listed.headers["Rollbook-Position"],
    }


@pytest.fixture(scope="module")
async def intruders(api: Api) -> list[httpx2.AsyncClient]:
    """One client for every role of another workspace; the service with every scope there is."""
    tenant = await api.tenant()
    scopes = (
        "contacts.read",
        "contacts.write",
        "contacts.delete",
        "contacts.history",
        "segments.read",
        "segments.write",
        "attributes.write",
        "suppressions.read",
        "suppressions.add",
        "suppressions.lift",
    )
    keys = [await tenant.key(role, *(scopes if role == "service" else ())) for role in ROLES]
    return [tenant.client(key) for key in keys]


NAMED: Final = (
    "contact_id",
    "value",
    "tag",
    "key",
    "member_id",
    "key_id",
    "token",
    "suppression_id",
    "merge_id",
    "erasure_id",
    "webhook_id",
    "list_id",
    "segment_id",
    "letter_id",
)


def fingerprint(answer: httpx2.Response, *ids: str) -> tuple[int, str]:
    text = answer.text
    for id_ in ids:
        text = text.replace(id_, "<id>")
    return answer.status_code, text


async def everything(tenant: Tenant) -> dict[str, str]:
    paths = (
        "/v1/contacts",
        "/v1/contacts?deleted=true",
        "/v1/settings",
        "/v1/members",
        "/v1/attributes",
        "/v1/keys",
        "/v1/suppressions",
        "/v1/webhooks",
        "/v1/dead-letters",
        "/v1/lists",
        "/v1/segments",
    )
    return {path: (await tenant.owner.get(path)).text for path in paths}


async def test_foreign_ids_are_answered_exactly_as_absent_ones(
    victim: dict[str, Any], intruders: list[httpx2.AsyncClient]
) -> None:
    before = await everything(victim["tenant"])
    rounds = 0
    for endpoint, client in product(ENDPOINTS, intruders):
        if endpoint.action is PUBLIC or "{" not in endpoint.template:
            continue
        body = next(iter(endpoint.examples.values()), None)
        query = "?reason=x" if endpoint.method == "DELETE" and endpoint.name == "delete_contact" else ""
        for foreign in (
            victim["contact_id"], victim["deleted_id"], victim["key_id"], victim["suppression_id"],
            victim["absorbed_id"], victim["merge_id"], victim["webhook_id"],
            victim["list_id"], victim["segment_id"], CANARY,
        ):  # fmt: skip
            absent = str(uuid4()) if len(foreign) == 36 else "q" * len(foreign)
            answers = []
            for id_ in (foreign, absent):
                values = dict.fromkeys(NAMED, id_)
                path = endpoint.template.format_map(values | {"by": "external_id", "kind": "telegram"})
                if endpoint.name == "upsert_contact":
                    # It would be created, under this key, in the workspace of the intruder.
                    answer = await client.put(path, json={"external_id": "other"})
                else:
                    answer = await client.request(endpoint.method, path + query, json=body)
                answers.append(fingerprint(answer, id_, str(answer.headers.get("X-Request-Id"))))
                rounds += 1
            assert answers[0] == answers[1], (endpoint.name, foreign)
            assert CANARY not in answers[0][1].replace(foreign, "")
    assert await everything(victim["tenant"]) == before
    assert rounds > 500


async def test_nothing_foreign_is_listed_found_counted_or_paged_to(
    victim: dict[str, Any], intruders: list[httpx2.AsyncClient]
) -> None:
    for client in intruders:
        for params in (
            {},
            {"q": CANARY},
            {"q": f"{CANARY}@example.com"},
            {"q": "+4930901820"},
            {"q": victim["contact_id"]},
            {"q": "%"},
            {"q": "_"},
            {"deleted": "true"},
            {"deleted": "true", "q": CANARY},
            {"min_position": victim["position"]},
        ):
            answer = await client.get("/v1/contacts", params=params)
            assert answer.status_code == 200, answer.text
            assert (answer.json()["items"], answer.json()["total"]["count"]) == ([], 0), params
        counts = await client.get("/v1/contacts/counts")
        assert CANARY not in counts.text
        assert set(numbers(counts.json())) <= {0}
        suppressions = await client.get("/v1/suppressions")
        assert (suppressions.json()["items"], suppressions.json()["total"]["count"]) == ([], 0)
        cursor = await client.get("/v1/contacts", params={"cursor": victim["cursor"], "limit": 1})
        assert cursor.status_code == 400


async def test_unique_values_and_idempotency_keys_are_each_workspaces_own(api: Api, victim: dict[str, Any]) -> None:
    intruder = await api.tenant()
    created = await intruder.owner.post("/v1/contacts", json={"external_id": f"{CANARY}-1"})
    assert created.status_code == 201
    headers = {"Idempotency-Key": "shared"}
    theirs = await victim["tenant"].owner.post("/v1/contacts", json={"email": "a@example.com"}, headers=headers)
    ours = await intruder.owner.post("/v1/contacts", json={"email": "b@example.com"}, headers=headers)
    assert (theirs.status_code, ours.status_code) == (201, 201)
    assert theirs.json()["id"] != ours.json()["id"]


def numbers(value: object) -> list[int]:
    if isinstance(value, dict):
        return [number for member in value.values() for number in numbers(member)]
    return [value] if isinstance(value, int) and not isinstance(value, bool) else []
