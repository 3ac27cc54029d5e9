"""L4 over HTTP: contacts by a nested filter, in any order, counted, page by page, now and as they were."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from contacts.contact import listing
from tests.integration.api.conftest import Api, Tenant

#: By first name: where they live, what they score, how they are tagged.
PEOPLE = {
    "Ann": ("DE", 10, ["VIP"]),
    "Bob": ("DE", 2.5, []),
    "Cid": ("PL", 10, ["vip", "new"]),
    "Dóra": ("HU", None, ["new"]),
    "Eve": (None, 0, []),
}


@pytest.fixture
async def tenant(api: Api) -> Tenant:
    """With five people whose scores are custom attributes; Ann clicked twice, Cid ordered."""
    tenant = await api.tenant()
    definition = {"key": "score", "name": "Score", "type": "number"}
    assert (await tenant.owner.post("/v1/attributes", json=definition)).status_code == 201
    for name, (country, score, tags) in PEOPLE.items():
        attributes = {} if score is None else {"score": score}
        await tenant.contact(
            first_name=name, external_id=name, country=country, tags=tags, attributes=attributes, source="import"
        )
    ago = timedelta(days=1)
    await happened(tenant, ("Ann", "message.clicked", ago, {"channel": "email", "message_name": "Spring"}))
    await happened(tenant, ("Ann", "message.clicked", 40 * ago, {"channel": "email", "message_name": "SPRING"}))
    await happened(tenant, ("Cid", "order.placed", ago, {"external_id": "o-1", "amount": 120.5}))
    return tenant


async def happened(tenant: Tenant, *found: tuple[str, str, timedelta, dict[str, Any]]) -> httpx2.Response:
    items = [
        {
            "id": str(uuid4()), "source": "shop", "type": kind, "time": (datetime.now(UTC) - ago).isoformat(),
            "contact": {"external_id": name}, "data": data,
        }
        for name, kind, ago, data in found
    ]  # fmt: skip
    answer = await tenant.owner.post("/v1/activity", json={"items": items})
    assert answer.status_code == 200, answer.text
    return answer


async def ask(tenant: Tenant, seen: httpx2.Response | None = None, **asked: Any) -> dict[str, Any]:
    headers = {} if seen is None else {"Rollbook-Min-Position": seen.headers["Rollbook-Position"]}
    answer = await tenant.owner.post("/v1/contacts/search", json=asked, headers=headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def names(tenant: Tenant, filter_: Any = None, seen: httpx2.Response | None = None, **asked: Any) -> list[str]:
    found = await ask(tenant, seen, **({} if filter_ is None else {"filter": filter_}), **{"sort": "full_name"} | asked)
    return [item["first_name"] for item in found["items"]]


def field(name: str, op: str, value: Any = None, **more: Any) -> dict[str, Any]:
    return {"field": name, "op": op, "value": value, **more}


async def test_nested_filters_find_whom_they_mean(tenant: Tenant) -> None:
    seen = await happened(tenant, ("Bob", "web.viewed", timedelta(), {"name": "Prices"}))
    germans = field("country", "eq", "de")
    assert await names(tenant, germans) == ["Ann", "Bob"]
    assert await names(tenant, field("country", "ne", "DE")) == ["Cid", "Dóra"]
    assert await names(tenant, {"not": germans}) == ["Cid", "Dóra", "Eve"]
    assert await names(tenant, field("tags", "has_any", ["Vip"])) == ["Ann", "Cid"]
    assert await names(tenant, field("first_name", "contains", "DOR")) == ["Dóra"]
    assert await names(tenant, field("attributes.score", "between", [2.5, 10])) == ["Ann", "Bob", "Cid"]
    assert await names(tenant, field("attributes.score", "exists", False)) == ["Dóra"]
    assert await names(tenant, field("consents.sms", "eq", "not_subscribed")) == list(PEOPLE)
    spring = {"activity": "message.clicked", "where": [{"property": "message_name", "op": "eq", "value": "spring"}]}
    assert await names(tenant, {**spring, "count": {"op": "gte", "value": 2}}, seen) == ["Ann"]
    assert await names(tenant, {**spring, "within": "30d", "count": {"op": "gte", "value": 2}}, seen) == []
    assert await names(tenant, {**spring, "count": {"op": "eq", "value": 0}}, seen) == ["Bob", "Cid", "Dóra", "Eve"]
    assert await names(tenant, {"order": {"aggregate": "sum"}, "op": "gt", "value": 120}, seen) == ["Cid"]
    assert await names(tenant, field("last_interaction_at", "within_last", "2d"), seen) == ["Ann", "Bob", "Cid"]
    assert await names(tenant, {"any": [germans, {"all": []}]}, deleted=True) == []
    assert await names(tenant, q="an", email_status=None) == ["Ann"]


async def test_segments_and_lists_can_be_part_of_it(tenant: Tenant) -> None:
    filter_ = field("attributes.score", "eq", 10)
    segment = (await tenant.owner.post("/v1/segments", json={"name": "Tens", "filter": filter_})).json()["id"]
    contact = (await ask(tenant, filter=field("first_name", "eq", "ann")))["items"][0]["id"]
    made = await tenant.owner.post("/v1/lists", json={"name": "Fair"})
    list_ = made.json()["id"]
    joined = await tenant.owner.post(f"/v1/contacts/{contact}/lists/{list_}")
    assert joined.status_code == 200, joined.text
    assert await names(tenant, {"segment": segment}, joined) == ["Ann", "Cid"]
    assert await names(tenant, {"all": [{"segment": segment}, {"not": {"list": list_}}]}, joined) == ["Cid"]
    for query, wanted in (({"segment": segment}, ["Ann", "Cid"]), ({"segment": segment, "list": list_}, ["Ann"])):
        found = await tenant.owner.get("/v1/contacts", params={**query, "sort": "full_name"})
        assert [item["first_name"] for item in found.json()["items"]] == wanted
        assert found.json()["total"] == {"count": len(wanted), "exact": True}
    unknown = await tenant.owner.get("/v1/contacts", params={"segment": contact})
    assert (unknown.status_code, unknown.json()["errors"][0]["parameter"]) == (400, "segment")


ORDERS = {
    "attributes.score": ["Eve", "Bob", "Ann", "Cid", "Dóra"],
    "-attributes.score": ["Cid", "Ann", "Bob", "Eve", "Dóra"],
    "country": ["Ann", "Bob", "Dóra", "Cid", "Eve"],
    "-full_name": ["Eve", "Dóra", "Cid", "Bob", "Ann"],
    "-last_interaction_at": ["Cid", "Ann", "Eve", "Dóra", "Bob"],
    "created_at": list(PEOPLE),
}


@pytest.mark.parametrize("way", ["gathered", "walked"])
async def test_pages_follow_any_order_both_ways(tenant: Tenant, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    if way == "walked":
        monkeypatch.setattr(listing, "COUNT_MAX", 1)
        monkeypatch.setattr(listing, "GLANCE_FROM", 1)
    seen = await happened(tenant, ("Cid", "web.viewed", timedelta(), {"name": "Prices"}))
    for sort, order in ORDERS.items():
        asked: dict[str, Any] = {"filter": {"all": [field("source", "eq", "import")]}, "sort": sort, "limit": 2}
        found: list[str] = []
        while asked.get("cursor", "") is not None:
            page = await ask(tenant, seen, **asked)
            found += [item["first_name"] for item in page["items"]]
            asked["cursor"] = page["next_cursor"]
        assert (sort, found) == (sort, order)


async def test_totals_are_exact_on_request_and_left_out_on_request(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "COUNT_MAX", 1)
    monkeypatch.setattr(listing, "GLANCE_FROM", 1)
    asked: dict[str, Any] = {"filter": field("source", "eq", "import"), "limit": 2}
    assert (await ask(tenant, **asked))["total"]["exact"] is False
    assert (await ask(tenant, **asked, total="exact"))["total"] == {"count": 5, "exact": True}
    assert (await ask(tenant, **asked, total="none"))["total"] is None


async def test_every_page_takes_the_same_moment_for_now(tenant: Tenant) -> None:
    recent = {"not": {"activity": "web.viewed", "within": "1min", "count": {"op": "gte", "value": 5}}}
    first = await ask(tenant, filter=recent, sort="created_at", limit=3)
    second = await ask(tenant, filter=recent, sort="created_at", limit=3, cursor=first["next_cursor"])
    assert [item["first_name"] for item in (*first["items"], *second["items"])] == list(PEOPLE)
    other = await tenant.owner.post(
        "/v1/contacts/search", json={"filter": {"all": []}, "sort": "created_at", "cursor": first["next_cursor"]}
    )
    assert (other.status_code, other.json()["errors"][0]["pointer"]) == (422, "/cursor")


async def test_the_same_search_can_be_asked_of_the_past(tenant: Tenant) -> None:
    clicked = {"activity": "message.clicked", "count": {"op": "gte", "value": 1}}
    asked = {"any": [field("country", "eq", "HU"), clicked, field("last_interaction_at", "exists")]}
    before = await happened(tenant, ("Bob", "web.viewed", timedelta(), {"name": "Prices"}))
    as_of = before.headers["Rollbook-Position"]
    assert await names(tenant, asked, before) == ["Ann", "Bob", "Cid", "Dóra"]
    dora = (await ask(tenant, filter=field("country", "eq", "HU")))["items"][0]["id"]
    await tenant.owner.patch(f"/v1/contacts/{dora}", json={"country": "AT"})
    after = await happened(tenant, ("Eve", "message.clicked", timedelta(), {"channel": "email"}))
    assert await names(tenant, asked, after) == ["Ann", "Bob", "Cid", "Eve"]
    for sort in ("full_name", "country", "-last_interaction_at"):
        page = await ask(tenant, filter=asked, as_of=as_of, sort=sort, limit=3, total="exact")
        rest = await ask(tenant, filter=asked, as_of=as_of, sort=sort, limit=3, cursor=page["next_cursor"])
        shown = [item["first_name"] for item in (*page["items"], *rest["items"])]
        assert (sorted(shown), page["total"]["count"]) == (["Ann", "Bob", "Cid", "Dóra"], 4)
        assert {item["country"] for item in (*page["items"], *rest["items"])} == {"DE", "PL", "HU"}


async def test_what_is_wrong_is_told_with_where_it_stands(tenant: Tenant) -> None:
    async def errors(**asked: Any) -> list[str]:
        answer = await tenant.owner.post("/v1/contacts/search", json=asked)
        assert answer.status_code in (400, 422), answer.text
        return [error["pointer"] for error in answer.json()["errors"]]

    assert await errors(filter={"any": [field("contry", "eq", "DE"), {"not": field("tags", "gt", 1)}]}) == [
        "/filter/any/0/field", "/filter/any/1/not/op",
    ]  # fmt: skip
    assert await errors(sort="attributes.scor") == ["/sort"]
    assert await errors(sort="tags") == ["/sort"]
    assert await errors(fields=["id", "emial"]) == ["/fields/1"]
    assert await errors(filter=[]) == ["/filter"]
    large = await tenant.owner.post("/v1/contacts/search", json={"filter": {"all": ["x" * 1_000_000]}})
    assert large.status_code == 413
    nested = '{"filter":' + '{"not":' * 5_000 + '{"all":[]}' + "}" * 5_001
    answer = await tenant.owner.post(
        "/v1/contacts/search", content=nested, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code in (400, 422)


async def test_a_search_that_takes_too_long_says_so(tenant: Tenant, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.services.search_queries, "_limits", "SET LOCAL statement_timeout = 1; SELECT pg_sleep(0.2)")
    answer = await tenant.owner.post("/v1/contacts/search", json={"filter": {"all": []}})
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:rollbook:problem:too-slow")
