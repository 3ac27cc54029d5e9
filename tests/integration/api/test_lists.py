"""The list of contacts over HTTP: paging, order, search, filters, counts. What is found is the read model's matter."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.api.conftest import Api, Tenant

PEOPLE = [
    {"first_name": first, "last_name": last, "email": f"{first}.{last}@example.com".lower(), "external_id": f"p-{n:02}"}
    for n, (first, last) in enumerate(
        (first, last)
        for first in ("Ann", "Bob", "Cem", "Dée", "Eva")
        for last in ("Zorn", "Young", "Xu", "Weiß", "Vogel")
    )
]


@pytest.fixture(scope="module")
async def people(api: Api) -> Tenant:
    """A workspace with 25 present contacts, one with a phone, and two deleted ones."""
    tenant = await api.tenant()
    for person in PEOPLE:
        await tenant.owner.post("/v1/contacts", json=person)
    await tenant.owner.put("/v1/contacts/by/external_id/p-00", json={"phone": "+4930901820"})
    for n in range(2):
        gone = await tenant.contact(email=f"gone-{n}@example.com", first_name="Gone")
        await tenant.visible(await tenant.owner.delete(f"/v1/contacts/{gone['id']}", params={"reason": "left"}))
    return tenant


async def pages(tenant: Tenant, **params: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        answer = await tenant.owner.get("/v1/contacts", params=params)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        params["cursor"] = page["next_cursor"]


async def test_pages_lead_to_the_end_and_show_everyone_once(people: Tenant) -> None:
    found = await pages(people, limit=7)
    assert len(found) == 25
    assert {contact["external_id"] for contact in found} == {person["external_id"] for person in PEOPLE}
    assert [contact["changed_at"] for contact in found] == sorted((c["changed_at"] for c in found), reverse=True)


@pytest.mark.parametrize("sort", ["created_at", "email", "full_name", "last_name", "external_id"])
async def test_the_order_goes_both_ways(people: Tenant, sort: str) -> None:
    up = [contact["id"] for contact in await pages(people, sort=sort, limit=10)]
    down = [contact["id"] for contact in await pages(people, sort=f"-{sort}", limit=10)]
    assert len(up) == 25
    assert up == down[::-1]


@pytest.mark.parametrize(
    ("q", "count"),
    [
        ("ann", 5),
        ("DEE", 5),
        ("weiss", 5),
        ("zorn eva", 1),
        ("ann.xu@example.com", 1),
        ("030 901820", 1),
        ("+49 30 901820", 1),
        ("90182", 1),
        ("p-07", 1),
        ("nobody", 0),
    ],
)
async def test_the_search_box_finds_and_counts(people: Tenant, q: str, count: int) -> None:
    answer = (await people.owner.get("/v1/contacts", params={"q": q})).json()
    assert len(answer["items"]) == count
    assert answer["total"] == {"count": count, "exact": True}


async def test_an_id_finds_its_contact(people: Tenant) -> None:
    contact = (await pages(people, limit=1000))[3]
    answer = (await people.owner.get("/v1/contacts", params={"q": contact["id"]})).json()
    assert answer["items"] == [contact]


async def test_the_deleted_are_a_list_of_their_own(people: Tenant) -> None:
    found = await pages(people, deleted="true", sort="-deleted_at")
    assert [contact["email"] for contact in found] == ["gone-1@example.com", "gone-0@example.com"]
    assert {contact["deletion_reason"] for contact in found} == {"left"}
    assert (await people.owner.get("/v1/contacts", params={"q": "gone"})).json()["items"] == []


async def test_counts_are_exact(people: Tenant) -> None:
    counts = (await people.owner.get("/v1/contacts/counts")).json()
    assert counts["total"] == 25
    assert (counts["email"]["all"], counts["email"]["active"], counts["email"]["blacklisted"]) == (25, 25, 0)
    assert counts["phone"] == {"all": 1, "active": 1, "blacklisted": 0, "over_limit": 0}
    deleted = (await people.owner.get("/v1/contacts/counts", params={"deleted": "true"})).json()
    assert (deleted["total"], deleted["phone"]["all"]) == (2, 0)


async def test_a_status_narrows_the_list(people: Tenant) -> None:
    assert len(await pages(people, phone_status="active")) == 1
    assert len(await pages(people, email_status="all")) == 25
    assert await pages(people, email_status="unsubscribed") == []


async def test_only_the_fields_asked_for_are_listed(people: Tenant) -> None:
    answer = (await people.owner.get("/v1/contacts", params={"fields": "tags,external_id", "limit": 2})).json()
    assert [list(item) for item in answer["items"]] == [["external_id", "tags"]] * 2


@pytest.mark.parametrize(
    ("params", "parameter"),
    [
        ({"cursor": "AAAA"}, "cursor"),
        ({"cursor": "not base64 ü"}, "cursor"),
        ({"sort": "size"}, "sort"),
        ({"sort": "deleted_at"}, "sort"),
        ({"email_status": "sad"}, "email_status"),
        ({"limit": 0}, "limit"),
        ({"limit": 1001}, "limit"),
        ({"q": "x" * 201}, "q"),
        ({"q": " ".join("abcdefghijkl")}, "q"),
        ({"deleted": "maybe"}, "deleted"),
        ({"fields": ""}, "fields"),
    ],
)
async def test_a_wrong_parameter_is_named(people: Tenant, params: dict[str, Any], parameter: str) -> None:
    answer = await people.owner.get("/v1/contacts", params=params)
    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (400, parameter), answer.text


async def test_a_cursor_belongs_to_its_list(people: Tenant) -> None:
    cursor = (await people.owner.get("/v1/contacts", params={"limit": 1})).json()["next_cursor"]
    for params in ({"sort": "email"}, {"q": "ann"}, {"email_status": "active"}):
        answer = await people.owner.get("/v1/contacts", params={"cursor": cursor} | params)
        assert answer.status_code == 400, params
    for part in ("ann", "example", "@"):
        assert part not in cursor.lower()


async def test_small_lists_are_paged_too(people: Tenant) -> None:
    for n in range(5):
        await people.owner.post("/v1/attributes", json={"key": f"a{n}", "type": "text"})
        await people.owner.post("/v1/members", json={"member_id": f"m{n}", "role": "agent"})
    for path in ("/v1/attributes", "/v1/members"):
        found, cursor = [], None
        while True:
            params = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
            page = (await people.owner.get(path, params=params)).json()
            assert page["total"] == {"count": 5, "exact": True}
            found += page["items"]
            if (cursor := page["next_cursor"]) is None:
                break
        assert len(found) == 5
        assert (await people.owner.get(path, params={"cursor": "é"})).status_code == 400
