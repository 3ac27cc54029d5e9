"""Merges over HTTP: preview, merge, everything visible at the position of the answer, unmerge, and what is refused."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from uuid_utils.compat import uuid7

from tests.integration.api.conftest import Api, Tenant

VOLATILE = {"version", "changed_at"}


def facts(contact: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in contact.items() if name not in VOLATILE}


async def merge(tenant: Tenant, primary: dict[str, Any], *others: dict[str, Any], **choices: str) -> httpx2.Response:
    body = {"primary": primary["id"], "others": [other["id"] for other in others], "choices": choices}
    return await tenant.owner.post("/v1/merges", json=body)


async def read(tenant: Tenant, contact_id: str, answer: httpx2.Response, **parameters: Any) -> httpx2.Response:
    """The contact at the position that a command answered with."""
    position = {"Rollbook-Min-Position": answer.headers["Rollbook-Position"]}
    return await tenant.owner.get(f"/v1/contacts/{contact_id}", params=parameters, headers=position)


async def ids(tenant: Tenant, answer: httpx2.Response, **parameters: Any) -> set[str]:
    position = {"Rollbook-Min-Position": answer.headers["Rollbook-Position"]}
    page = await tenant.owner.get("/v1/contacts", params={"limit": 1000, **parameters}, headers=position)
    assert page.status_code == 200, page.text
    return {item["id"] for item in page.json()["items"]}


async def test_a_merge_and_its_unmerge_are_visible_at_once_in_every_read_model(api: Api) -> None:
    tenant = await api.tenant()
    ann = await tenant.contact(first_name="Ann", email="ann@example.com", tags=["a"])
    ben = await tenant.contact(first_name="Ben", email="ben@example.com", phone="+4930901820", tags=["b"])
    for _ in range(5):
        merged = await merge(tenant, ann, ben)
        assert (merged.status_code, merged.headers["Location"]) == (201, f"/v1/merges/{merged.json()['id']}")
        shown, absorbed = await asyncio.gather(read(tenant, ann["id"], merged), read(tenant, ben["id"], merged))
        assert shown.json() == absorbed.json()
        assert (shown.json()["id"], shown.json()["absorbed"]) == (ann["id"], [ben["id"]])
        assert (shown.json()["first_name"], shown.json()["phone"], shown.json()["tags"]) == (
            "Ann", "+4930901820", ["a", "b"],
        )  # fmt: skip
        assert "Content-Location" not in shown.headers
        assert absorbed.headers["Content-Location"] == f"/v1/contacts/{ann['id']}"
        assert absorbed.headers["ETag"] == shown.headers["ETag"]
        assert await ids(tenant, merged) == {ann["id"]}
        assert (await tenant.owner.get("/v1/contacts/counts")).json()["total"] == 1

        left = await tenant.owner.post(f"/v1/merges/{merged.json()['id']}/unmerge")
        assert (left.status_code, left.json()["merged"]) == (200, [])
        assert facts((await read(tenant, ann["id"], left)).json()) == facts(ann)
        assert facts((await read(tenant, ben["id"], left)).json()) == facts(ben)
        assert await ids(tenant, left) == {ann["id"], ben["id"]}
        assert (await tenant.owner.get("/v1/contacts/counts")).json()["total"] == 2


async def test_requests_for_an_absorbed_contact_act_on_the_one_that_stands_for_it(tenant: Tenant) -> None:
    ann, ben = await tenant.contact(), await tenant.contact(email="ben@example.com", external_id=f"b-{uuid7()}")
    merged = await merge(tenant, ann, ben)
    where = f"/v1/contacts/{ann['id']}"
    url = f"/v1/contacts/{ben['id']}"
    edited = await tenant.owner.patch(url, json={"first_name": "Anna"}, headers={"If-Match": '"2"'})
    assert (edited.status_code, edited.json()["id"], edited.headers["Content-Location"]) == (200, ann["id"], where)
    tagged = await tenant.owner.post(f"{url}/tags", json={"tags": ["vip"]})
    assert (tagged.json()["tags"], tagged.headers["Content-Location"]) == (["vip"], where)
    stale = await tenant.owner.patch(url, json={"first_name": "Eve"}, headers={"If-Match": '"2"'})
    assert stale.status_code == 412
    upserted = await tenant.owner.put(f"/v1/contacts/by/external_id/{ben['external_id']}", json={"country": "DE"})
    assert (upserted.status_code, upserted.json()["id"], upserted.json()["country"]) == (200, ann["id"], "DE")
    by_address = await tenant.owner.put("/v1/contacts/by/email/ben@example.com", json={"last_name": "Lee"})
    assert (by_address.status_code, by_address.json()["id"], by_address.json()["email"]) == (
        200, ann["id"], ann["email"],
    )  # fmt: skip
    then = await read(tenant, ben["id"], merged, as_of=merged.headers["Rollbook-Position"])
    assert (then.json()["id"], then.json()["first_name"], then.headers["Content-Location"]) == (ann["id"], None, where)
    blocked = await tenant.owner.post(f"{url}/unsubscribe", json={"channel": "email"})
    assert (blocked.status_code, blocked.json()["email_status"]["status"]) == (200, "unsubscribed")


async def test_a_preview_shows_both_sides_the_outcome_and_what_happens_to_consent(tenant: Tenant) -> None:
    ann = await tenant.contact(email=f"{uuid7()}@example.com", first_name="Ann", tags=["a"])
    ben = await tenant.contact(email=f"{uuid7()}@example.com", first_name="Ben", last_name="Bell", tags=["b"])
    await tenant.owner.post(f"/v1/contacts/{ben['id']}/unsubscribe", json={"channel": "email"})
    body = {"primary": ann["id"], "others": [ben["id"]], "choices": {"email": ben["id"]}}
    answer = await tenant.owner.post("/v1/merges/preview", json=body)
    assert answer.status_code == 200, answer.text
    preview = answer.json()
    assert [facts(preview["primary"])["first_name"], preview["others"][0]["first_name"]] == ["Ann", "Ben"]
    fields = {field["field"]: field for field in preview["fields"]}
    assert set(fields) == {"first_name", "last_name", "email"}
    assert (fields["first_name"]["value"], fields["first_name"]["conflict"]) == ("Ann", True)
    assert (fields["last_name"]["contact"], fields["last_name"]["conflict"]) == (ben["id"], False)
    assert (fields["email"]["value"], fields["email"]["chosen"]) == (ben["email"], True)
    assert fields["email"]["values"] == [
        {"contact": ann["id"], "value": ann["email"]}, {"contact": ben["id"], "value": ben["email"]},
    ]  # fmt: skip
    consent = {each["field"]: each for each in preview["consent"]}
    assert consent["email_status"]["value"] == "unsubscribed"
    assert [each["value"] for each in consent["email_status"]["values"]] == ["active", "unsubscribed"]
    assert preview["outcome"]["tags"] == ["a", "b"]

    unchanged = await tenant.owner.get(f"/v1/contacts/{ben['id']}")
    assert unchanged.json()["id"] == ben["id"]
    merged = await tenant.owner.post("/v1/merges", json=body)
    shown = (await read(tenant, ann["id"], merged)).json()
    assert facts(shown) == facts(preview["outcome"])
    assert shown["email_status"]["status"] == "unsubscribed"


async def test_an_opt_out_stays_with_the_address_through_merge_and_unmerge(tenant: Tenant) -> None:
    ann, ben = await tenant.contact(), await tenant.contact()
    await tenant.owner.post(f"/v1/contacts/{ben['id']}/unsubscribe", json={"channel": "email"})
    merged = await merge(tenant, ann, ben)
    assert (await read(tenant, ann["id"], merged)).json()["email_status"]["status"] == "unsubscribed"
    left = await tenant.owner.post(f"/v1/merges/{merged.json()['id']}/unmerge")
    statuses = [(await read(tenant, each["id"], left)).json()["email_status"]["status"] for each in (ann, ben)]
    assert statuses == ["active", "unsubscribed"]


async def test_an_unmerge_can_be_looked_at_first_and_edits_can_go_with_a_contact(tenant: Tenant) -> None:
    ann = await tenant.contact(email=f"{uuid7()}@example.com", first_name="Ann")
    ben, cleo = await tenant.contact(), await tenant.contact()
    inner, outer = await merge(tenant, ben, cleo), await merge(tenant, ann, ben)
    await tenant.owner.patch(f"/v1/contacts/{cleo['id']}", json={"first_name": "Benedict", "tags": ["new"]})
    url = f"/v1/merges/{outer.json()['id']}/unmerge"
    preview = (await tenant.owner.post(f"{url}/preview", json={"mode": "single"})).json()
    assert preview["edits"] == [
        {"field": "first_name", "contact": ann["id"], "value": "Benedict", "before": "Ann"},
        {"field": "tags", "contact": ann["id"], "value": ["new"], "before": []},
    ]
    assert [contact["id"] for contact in preview["leaving"]] == [ben["id"]]
    assert (preview["now"]["absorbed"], preview["remaining"]["absorbed"]) == ([ben["id"], cleo["id"]], [cleo["id"]])

    left = await tenant.owner.post(url, json={"mode": "single", "assign": {"first_name": ben["id"]}})
    assert left.status_code == 200, left.text
    names = [(await read(tenant, each["id"], left)).json()["first_name"] for each in (ann, ben, cleo)]
    assert names == ["Ann", "Benedict", "Ann"]
    assert left.json()["reversals"][0] | {"at": None} == {
        "contacts": [ben["id"]], "out_of": ann["id"], "mode": "single", "assigned": {"first_name": ben["id"]},
        "at": None,
    }  # fmt: skip
    again = (await tenant.owner.post(f"{url}/preview")).json()
    assert (again["now"], again["leaving"]) == (None, [])
    assert (await tenant.owner.get(f"/v1/merges/{inner.json()['id']}")).json()["merged"] == [cleo["id"]]


async def test_a_repeated_request_gets_the_same_answer(tenant: Tenant) -> None:
    ann, ben = await tenant.contact(), await tenant.contact()
    body = {"primary": ann["id"], "others": [ben["id"]]}
    key = {"Idempotency-Key": str(uuid7())}
    first = await tenant.owner.post("/v1/merges", json=body, headers=key)
    url = f"/v1/merges/{first.json()['id']}/unmerge"
    left = await tenant.owner.post(url, headers={"Idempotency-Key": f"{key['Idempotency-Key']}-left"})
    again = await tenant.owner.post("/v1/merges", json=body, headers=key)
    assert (again.status_code, again.content, again.headers["Rollbook-Position"]) == (
        201, first.content, first.headers["Rollbook-Position"],
    )  # fmt: skip
    assert again.headers["Location"] == first.headers["Location"]
    twice = await tenant.owner.post(url, headers={"Idempotency-Key": f"{key['Idempotency-Key']}-left"})
    assert (twice.content, twice.headers["Rollbook-Position"]) == (left.content, left.headers["Rollbook-Position"])
    other = await tenant.owner.post("/v1/merges", json={**body, "choices": {"email": ben["id"]}}, headers=key)
    assert other.status_code == 422


async def test_merging_what_is_merged_answers_the_merge_that_did_it(tenant: Tenant) -> None:
    ann, ben = await tenant.contact(), await tenant.contact()
    first = await merge(tenant, ann, ben)
    again = await merge(tenant, ann, ben)
    assert (again.status_code, again.json()) == (200, first.json())
    assert "Location" not in again.headers


# -- refusals ---------------------------------------------------------------------------------------------------------


def slug(answer: httpx2.Response) -> str:
    return str(answer.json()["type"]).rpartition(":")[2]


async def test_what_cannot_be_merged_is_refused_with_the_reason(api: Api, tenant: Tenant) -> None:
    ann, ben, cleo, dora = [await tenant.contact() for _ in range(4)]
    foreign = await (await api.tenant()).contact()
    unknown = {"id": str(uuid4())}
    await tenant.owner.post(f"/v1/contacts/{cleo['id']}/block")
    await tenant.owner.request("DELETE", f"/v1/contacts/{dora['id']}", json={"reason": "asked"})
    for primary, other, status, expected in (
        (ann, ann, 422, "refused"), (ann, unknown, 404, "not-found"), (unknown, ann, 404, "not-found"),
        (ann, foreign, 404, "not-found"), (ann, cleo, 409, "contact-blocked"), (ann, dora, 409, "contact-deleted"),
    ):  # fmt: skip
        for path in ("/v1/merges", "/v1/merges/preview"):
            answer = await tenant.owner.post(path, json={"primary": primary["id"], "others": [other["id"]]})
            assert (answer.status_code, slug(answer)) == (status, expected), answer.text
    of_another, of_nobody = [(await merge(tenant, ann, each)).json() for each in (foreign, unknown)]
    assert of_another | {"detail": ""} == of_nobody | {"detail": ""}

    await merge(tenant, ann, ben)
    taken = await merge(tenant, await tenant.contact(), ben)
    assert (taken.status_code, slug(taken), taken.json()["holder"]) == (409, "already-absorbed", ann["id"])
    chosen = await merge(tenant, ann, await tenant.contact(), email=cleo["id"], nickname=ann["id"])
    assert (chosen.status_code, [fault["pointer"] for fault in chosen.json()["errors"]]) == (
        422, ["/choices/email", "/choices/nickname"],
    )  # fmt: skip


SOMEBODY = "01936f5e-8c3a-7b21-9d4e-5f6a7b8c9d0e"
BAD_BODIES: dict[str, Any] = {
    "nothing": {},
    "no object": [],
    "primary is no id": {"primary": "x", "others": [SOMEBODY]},
    "nobody to merge": {"primary": SOMEBODY, "others": []},
    "others are no ids": {"primary": SOMEBODY, "others": [1]},
    "choices are no object": {"primary": SOMEBODY, "others": [SOMEBODY], "choices": []},
    "far too many": {"primary": SOMEBODY, "others": [SOMEBODY] * 1_001},
    "unknown field": {"primary": SOMEBODY, "others": [SOMEBODY], "extra": 1},
}


@pytest.mark.parametrize("what", BAD_BODIES)
async def test_bad_bodies_are_refused_at_the_door(tenant: Tenant, what: str) -> None:
    for path in ("/v1/merges", "/v1/merges/preview"):
        assert (await tenant.owner.post(path, json=BAD_BODIES[what])).status_code == 400


async def test_a_merge_that_is_none_cannot_be_read_or_taken_apart(api: Api, tenant: Tenant) -> None:
    ann, ben = await tenant.contact(), await tenant.contact()
    merged = (await merge(tenant, ann, ben)).json()
    stranger = await api.tenant()
    for client, merge_id in ((tenant.owner, uuid4()), (stranger.owner, merged["id"])):
        answers = [
            await client.get(f"/v1/merges/{merge_id}"),
            await client.post(f"/v1/merges/{merge_id}/unmerge"),
            await client.post(f"/v1/merges/{merge_id}/unmerge/preview"),
        ]
        assert [(answer.status_code, slug(answer)) for answer in answers] == [(404, "not-found")] * 3
    outsider = await tenant.owner.post(f"/v1/merges/{merged['id']}/unmerge", json={"contacts": [ann["id"]]})
    assert (outsider.status_code, slug(outsider)) == (422, "refused")
    bad = await tenant.owner.post(f"/v1/merges/{merged['id']}/unmerge", json={"mode": "forest"})
    assert bad.status_code == 400


async def test_overlapping_merges_have_one_winner(tenant: Tenant) -> None:
    ann, ben, cleo = [await tenant.contact() for _ in range(3)]
    answers = await asyncio.gather(merge(tenant, ann, ben), merge(tenant, cleo, ben), merge(tenant, ben, ann))
    assert all(answer.status_code in (200, 201, 409, 422) for answer in answers)
    made = {answer.json()["id"]: answer for answer in answers if answer.status_code == 201}
    # Who comes when the two are together already, both in a third, is told of the merge that did it.
    assert {answer.json()["id"] for answer in answers if answer.status_code == 200} <= made.keys()
    winner = next(iter(made.values()))
    assert {(await read(tenant, each["id"], winner)).status_code for each in (ann, ben, cleo)} == {200}


@pytest.mark.parametrize(("role", "status"), [("manager", 201), ("agent", 403), ("auditor", 403), ("service", 403)])
async def test_owners_and_managers_merge(tenant: Tenant, role: str, status: int) -> None:
    ann, ben = await tenant.contact(), await tenant.contact()
    client = tenant.client(await tenant.key(role))
    answer = await client.post("/v1/merges", json={"primary": ann["id"], "others": [ben["id"]]})
    assert answer.status_code == status
