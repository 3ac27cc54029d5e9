"""Duplicates over HTTP: found, looked at, dismissed, merged, removed; and whatever else somebody may ask for."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import httpx2
import pytest

from contacts.duplicate import removal
from tests.integration.api.conftest import Api, Tenant

NOBODY = UUID("00000000-0000-7000-8000-000000000001")
NO_ONE = UUID("00000000-0000-7000-8000-000000000002")


@pytest.fixture
async def tenant(api: Api) -> Tenant:
    """A workspace for each test: it is about all that is in it."""
    return await api.tenant()


async def ask(tenant: Tenant, path: str, **params: Any) -> dict[str, Any]:
    """Of read models that have come to the end of the log."""
    newest = await tenant.owner.post("/v1/contacts", json={"external_id": str(uuid4())})
    answer = await tenant.owner.get(path, params={**at(newest), **params})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def people(tenant: Tenant, *emails: str, **fields: Any) -> list[str]:
    return [(await tenant.contact(email=email, **fields))["id"] for email in emails]


async def test_a_group_is_listed_read_merged_and_gone(tenant: Tenant) -> None:
    ids = await people(tenant, "Zoe@example.com", "zoe@EXAMPLE.com", first_name="Zoë", last_name="Lee")
    gmail = await people(tenant, "ann.smith@gmail.com", "annsmith+news@googlemail.com", "a.n.n.s.m.i.t.h@gmail.com")
    await people(tenant, "tag+a@example.com", "tag+b@example.com")
    listed = await ask(tenant, "/v1/duplicates")
    assert [(item["key"], item["count"], item["contacts"]) for item in listed["items"]] == [
        ("annsmith@gmail.com", 3, gmail),
        ("zoe@example.com", 2, ids),
    ]
    assert listed["total"] == {"count": 2, "exact": True}

    read = await ask(tenant, f"/v1/duplicates/email/{quote('ZOE@Example.COM')}")
    assert [contact["id"] for contact in read["contacts"]] == ids
    assert [contact["email"] for contact in read["contacts"]] == ["Zoe@example.com", "zoe@EXAMPLE.com"]
    assert {contact["full_name"] for contact in read["contacts"]} == {"Zoë Lee"}
    assert all(contact["created_at"] and contact["changed_at"] for contact in read["contacts"])
    preview = await tenant.owner.post("/v1/merges/preview", json=read["merge"])
    assert preview.status_code == 200, preview.text
    assert (await tenant.owner.post("/v1/merges", json=read["merge"])).status_code == 201
    assert [item["key"] for item in (await ask(tenant, "/v1/duplicates"))["items"]] == ["annsmith@gmail.com"]
    gone = await tenant.owner.get("/v1/duplicates/email/zoe@example.com")
    assert (gone.status_code, gone.json()["type"]) == (404, "urn:rollbook:problem:not-found")


async def test_phones_are_groups_by_number_and_pages_go_by_the_alphabet(tenant: Tenant) -> None:
    for number in ("+4930901820", "+4930901821", "+4930901822"):
        for _ in range(2):
            await tenant.contact(phone=number)
    await tenant.contact(phone="+4930901820;ext=5")
    first = await ask(tenant, "/v1/duplicates", by="phone", limit=2)
    assert [item["key"] for item in first["items"]] == ["+4930901820", "+4930901821"]
    second = await ask(tenant, "/v1/duplicates", by="phone", limit=2, cursor=first["next_cursor"])
    assert [item["key"] for item in second["items"]] == ["+4930901822"]
    assert (second["next_cursor"], second["total"]["count"]) == (None, 3)
    one = await ask(tenant, "/v1/duplicates/phone/%2B49 30 901820", limit=1)
    assert (one["count"], len(one["contacts"]), one["merge"]) == (2, 1, None)
    rest = await ask(tenant, "/v1/duplicates/phone/%2B4930901820", limit=1, cursor=one["next_cursor"])
    assert rest["contacts"][0]["id"] != one["contacts"][0]["id"]


async def test_a_likely_pair_says_why_and_stays_dismissed(tenant: Tenant) -> None:
    address = {"street": "12 Main Street", "city": "Bern", "postcode": "3000"}
    robert = await tenant.contact(
        first_name="Robert", last_name="Müller", email="robert.muller@example.com", address=address
    )
    bob = await tenant.contact(first_name="Bob", last_name="Mueller", email="robert.mullr@example.com", address=address)
    await tenant.contact(first_name="Eve", last_name="Stranger", email="eve@example.com")
    key = f"{robert['id']}_{bob['id']}"
    (pair,) = (await ask(tenant, "/v1/duplicates", by="likely"))["items"]
    assert (pair["key"], pair["count"], pair["contacts"]) == (key, 2, [robert["id"], bob["id"]])
    said = {each["comparison"]: each for each in pair["evidence"]}
    assert {name: each["level"] for name, each in said.items()} == {
        "given_name": "short_form", "family_name": "close", "email": "close_long", "street": "same", "place": "same",
    }  # fmt: skip
    assert pair["score"] == pytest.approx(sum(each["weight"] for each in said.values()))
    assert said["given_name"]["says"] == "first names that can be forms of one name"
    read = await ask(tenant, f"/v1/duplicates/likely/{bob['id']}_{robert['id']}")
    assert (read["key"], read["score"], read["merge"]["others"]) == (key, pair["score"], [bob["id"]])

    headers = {"Idempotency-Key": "once"}
    for _ in range(2):
        dismissed = await tenant.owner.post(f"/v1/duplicates/likely/{key}/dismiss", headers=headers)
        assert dismissed.json() == {"by": "likely", "key": key, "dismissed": True}
    await tenant.owner.patch(f"/v1/contacts/{bob['id']}", json={"first_name": "Robert"})
    listed = await ask(tenant, "/v1/duplicates", by="likely")
    assert (listed["items"], listed["total"]["count"], listed["passed_over"]) == ([], 0, 0)
    again = await ask(tenant, f"/v1/duplicates/likely/{key}")
    assert again["dismissed"] is True
    assert again["score"] > pair["score"]


async def test_a_dismissed_group_is_not_shown_and_not_removed(tenant: Tenant) -> None:
    await people(tenant, "office@example.com", "office@example.com")
    await ask(tenant, "/v1/duplicates")
    dismissed = await tenant.owner.post("/v1/duplicates/email/OFFICE@example.com/dismiss")
    assert (dismissed.status_code, dismissed.json()["key"]) == (200, "office@example.com")
    # Once more, before the read model knows or after, changes nothing.
    assert (await tenant.owner.post("/v1/duplicates/email/office@example.com/dismiss")).status_code == 200
    assert (await ask(tenant, "/v1/duplicates"))["total"]["count"] == 0
    removed = await tenant.owner.post("/v1/duplicates/remove", json=removal_of("all"))
    assert (removed.status_code, removed.json()["contacts"]) == (202, 0)


def removal_of(keys: Any, keep: str = "earliest", by: str = "email", **more: Any) -> dict[str, Any]:
    return {"by": by, "keep": keep, "keys": keys, "reason": "imported twice", **more}


def counts(answer: httpx2.Response) -> dict[str, int]:
    return {name: value for name, value in answer.json().items() if name != "operation_id"}


@pytest.mark.parametrize("keep", ["earliest", "latest"])
async def test_removing_keeps_one_of_each_group(tenant: Tenant, keep: str) -> None:
    ann = await people(tenant, *["ann@example.com"] * 3)
    ben = await people(tenant, *["ben@example.com"] * 2)
    await tenant.owner.post(f"/v1/contacts/{ann[1]}/block", json={})
    await ask(tenant, "/v1/duplicates")
    wrong = await tenant.owner.post("/v1/duplicates/remove", json=removal_of("all", keep, expected_count=4))
    assert (wrong.status_code, wrong.json()["type"]) == (409, "urn:rollbook:problem:unexpected-count")
    body = removal_of(["ANN@example.com", "nobody@example.com"], keep, expected_count=2)
    headers = {"Idempotency-Key": "remove"}
    removed = await tenant.owner.post("/v1/duplicates/remove", json=body, headers=headers)
    assert removed.status_code == 202, removed.text
    assert counts(removed) == {"groups": 1, "contacts": 2, "deleted": 2, "skipped": 0, "remaining": 0}
    again = await tenant.owner.post("/v1/duplicates/remove", json=body, headers=headers)
    assert (again.json(), again.headers["Rollbook-Position"]) == (removed.json(), removed.headers["Rollbook-Position"])
    other = await tenant.owner.post("/v1/duplicates/remove", json=removal_of("all", keep), headers=headers)
    assert other.status_code == 422
    stays = ann[0] if keep == "earliest" else ann[2]
    for each in ann:
        contact = (await tenant.owner.get(f"/v1/contacts/{each}", params=at(removed))).json()
        assert (contact["deleted_at"] is None) == (each == stays)
        assert contact["deletion_reason"] == (None if each == stays else "imported twice")
        history = (await tenant.owner.get(f"/v1/contacts/{each}/history")).json()["items"]
        written = [entry["operation_id"] for entry in history if entry["event"] == "contact.deleted"]
        assert written == ([] if each == stays else [removed.json()["operation_id"]])
    assert [item["contacts"] for item in (await ask(tenant, "/v1/duplicates"))["items"]] == [ben]


def at(answer: httpx2.Response) -> dict[str, str]:
    return {"min_position": answer.headers["Rollbook-Position"]}


async def test_more_than_one_request_deletes_is_left_for_the_next(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal, "REMOVED_MAX", 3)
    monkeypatch.setattr(removal, "CHUNK", 2)
    monkeypatch.setattr(removal, "GROUPS", 1)
    for name in ("a", "b", "c"):
        await people(tenant, *[f"{name}@example.com"] * 3)
    done = []
    for _ in range(3):
        await ask(tenant, "/v1/duplicates")
        answer = await tenant.owner.post("/v1/duplicates/remove", json=removal_of("all"))
        done.append(list(counts(answer).values()))
    assert done == [[3, 6, 3, 0, 3], [2, 3, 3, 0, 0], [0, 0, 0, 0, 0]]
    assert (await ask(tenant, "/v1/contacts", q="a@example.com"))["total"]["count"] == 1


async def test_no_two_removals_delete_a_whole_group_between_them(tenant: Tenant) -> None:
    for round_ in range(5):
        ids = await people(tenant, *[f"both{round_}@example.com"] * 2)
        await ask(tenant, "/v1/duplicates")
        bodies = [removal_of("all", keep) for keep in ("earliest", "latest")]
        answers = await asyncio.gather(*(tenant.owner.post("/v1/duplicates/remove", json=body) for body in bodies))
        assert sum(answer.json()["deleted"] for answer in answers) == 1
        assert sum(answer.json()["contacts"] for answer in answers) == sum(
            answer.json()[name] for answer in answers for name in ("deleted", "skipped", "remaining")
        )
        position = max((answer.headers["Rollbook-Position"] for answer in answers), key=lambda at: int(at[2:]))
        states = [await tenant.owner.get(f"/v1/contacts/{id_}", params={"min_position": position}) for id_ in ids]
        assert [state.json()["deleted_at"] is None for state in states].count(True) == 1


async def test_who_was_changed_meanwhile_is_skipped(tenant: Tenant, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = await people(tenant, *["late@example.com"] * 4)
    await ask(tenant, "/v1/duplicates")
    queries = api.services.duplicate_queries
    members = queries.members

    async def moved_on(*args: Any, **kwargs: Any) -> Any:
        # What the read model cannot know yet when it is asked.
        found = await members(*args, **kwargs)
        await tenant.owner.patch(f"/v1/contacts/{ids[1]}", json={"email": "other@example.com"})
        await tenant.owner.delete(f"/v1/contacts/{ids[2]}", params={"reason": "by hand"})
        return found

    monkeypatch.setattr(queries, "members", moved_on)
    removed = await tenant.owner.post("/v1/duplicates/remove", json=removal_of("all"))
    assert counts(removed) == {"groups": 1, "contacts": 3, "deleted": 1, "skipped": 2, "remaining": 0}
    kept = await tenant.owner.get(f"/v1/contacts/{ids[1]}", params=at(removed))
    assert kept.json()["deleted_at"] is None


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        (removal_of("some"), 400),
        (removal_of([]), 202),
        (removal_of(["not an address"]), 422),
        (removal_of("all", by="likely"), 400),
        (removal_of("all", keep="best"), 400),
        (removal_of("all", reason=" "), 422),
        (removal_of("all", expected_count=-1), 400),
        (removal_of(["a@example.com"] * 1_001), 400),
        (removal_of(["x" * 1_001]), 400),
        (removal_of(["'; DROP TABLE contact; --"]), 422),
    ],
)
async def test_a_removal_that_cannot_be_meant_is_refused(tenant: Tenant, body: Any, status: int) -> None:
    answer = await tenant.owner.post("/v1/duplicates/remove", json=body)
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/duplicates?by=name", 400),
        ("GET", "/v1/duplicates?limit=0", 400),
        ("GET", "/v1/duplicates?cursor=abc", 400),
        ("GET", "/v1/duplicates?by=likely&cursor=abc", 400),
        ("GET", "/v1/duplicates/email/not an address", 404),
        ("GET", "/v1/duplicates/email/a%252Fb@example.com", 404),
        ("GET", "/v1/duplicates/email/nobody@example.com?cursor=x", 400),
        ("GET", "/v1/duplicates/phone/12", 404),
        ("GET", "/v1/duplicates/likely/x_y", 404),
        ("GET", f"/v1/duplicates/likely/{NOBODY}_{NO_ONE}", 404),
        ("GET", "/v1/duplicates/name/ann", 400),
        ("POST", "/v1/duplicates/email/nobody@example.com/dismiss", 404),
        ("POST", f"/v1/duplicates/likely/{NOBODY}_{NO_ONE}/dismiss", 404),
    ],
)
async def test_what_cannot_be_asked_for_is_said_to_be_so(tenant: Tenant, method: str, path: str, status: int) -> None:
    answer = await tenant.owner.request(method, path)
    assert answer.status_code == status, answer.text


async def test_an_address_with_a_slash_can_be_named(tenant: Tenant) -> None:
    await people(tenant, "a/b@example.com", "A/B@example.com")
    read = await ask(tenant, "/v1/duplicates/email/a%252Fb@example.com")
    assert read["count"] == 2


async def test_another_workspace_sees_dismisses_and_removes_nothing_of_it(tenant: Tenant, api: Api) -> None:
    ids = await people(tenant, "both@example.com", "both@example.com", first_name="Ann", last_name="Lee")
    intruder = await api.tenant()
    key = "_".join(sorted(ids))
    for by, name in (("email", "both@example.com"), ("likely", key)):
        await ask(tenant, f"/v1/duplicates/{by}/{name}")
        assert (await ask(intruder, "/v1/duplicates", by=by))["items"] == []
        for method, rest in (("GET", ""), ("POST", "/dismiss")):
            answer = await intruder.owner.request(method, f"/v1/duplicates/{by}/{name}{rest}")
            assert answer.status_code == 404
    removed = await intruder.owner.post("/v1/duplicates/remove", json=removal_of(["both@example.com"]))
    assert removed.json()["contacts"] == 0
    foreign = (await tenant.owner.get("/v1/duplicates", params={"limit": 1})).json()["next_cursor"]
    assert foreign is None
    assert (await ask(tenant, "/v1/duplicates"))["total"]["count"] == 1
