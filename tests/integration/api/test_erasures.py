"""Erasing over HTTP: the certificate, 410 for everything else, and lists that do not know the contact any more."""

from __future__ import annotations

from typing import Any

import httpx2
from uuid_utils.compat import uuid7

from tests.integration.api.conftest import Api, Tenant

ERASE = {"confirm": True, "reason": "person_asked"}


async def erase(tenant: Tenant, contact: str, **headers: str) -> httpx2.Response:
    answer = await tenant.owner.post(f"/v1/contacts/{contact}/erase", json=ERASE, headers=headers)
    assert answer.status_code == 200, answer.text
    await tenant.visible(answer)
    return answer


def is_gone(answer: httpx2.Response) -> bool:
    body: dict[str, Any] = answer.json()
    return (answer.status_code, body["type"]) == (410, "urn:rollbook:problem:contact-erased")


async def test_an_erased_contact_is_gone_and_its_certificate_stays(tenant: Tenant) -> None:
    contact = await tenant.contact(email=f"{uuid7()}@example.com", first_name="Ann")
    erased = await erase(tenant, contact["id"])
    certificate = erased.json()
    assert (certificate["contact"], certificate["contacts"]) == (contact["id"], [contact["id"]])
    assert (certificate["reason"], certificate["position"]) == ("person_asked", erased.headers["Rollbook-Position"])
    assert [(each["category"], each["events"]) for each in certificate["streams"]] == [("contact", 1)]
    assert (await tenant.owner.get(f"/v1/erasures/{certificate['id']}")).json() == certificate
    again = await erase(tenant, contact["id"])
    assert again.json() == certificate


async def test_every_other_request_for_an_erased_contact_is_answered_410(tenant: Tenant) -> None:
    contact = await tenant.contact(email=f"{uuid7()}@example.com", first_name="Ann")
    url = f"/v1/contacts/{contact['id']}"
    before = (await tenant.owner.get(url)).headers["Rollbook-Position"]
    await erase(tenant, contact["id"])
    for answer in (
        await tenant.owner.get(url),
        await tenant.owner.get(url, params={"as_of": before}),
        await tenant.owner.patch(url, json={"first_name": "Ann"}),
        await tenant.owner.post(f"{url}/tags", json={"tags": ["x"]}),
        await tenant.owner.delete(url, params={"reason": "gone"}),
        await tenant.owner.post(f"{url}/restore"),
        await tenant.owner.post(f"{url}/block"),
    ):
        assert is_gone(answer), (str(answer.request.url), answer.status_code, answer.text)


async def test_repeats_of_older_requests_are_answered_410_instead_of_their_content(tenant: Tenant) -> None:
    body = {"email": f"{uuid7()}@example.com", "first_name": "Ann"}
    key = {"Idempotency-Key": f"create-{uuid7()}"}
    created = await tenant.owner.post("/v1/contacts", json=body, headers=key)
    url = created.headers["Location"]
    edit = {"json": {"last_name": "Lee"}, "headers": {"Idempotency-Key": f"edit-{uuid7()}"}}
    assert (await tenant.owner.patch(url, **edit)).status_code == 200
    await erase(tenant, created.json()["id"])
    assert is_gone(await tenant.owner.post("/v1/contacts", json=body, headers=key))
    assert is_gone(await tenant.owner.patch(url, **edit))


async def test_history_shows_what_happened_and_not_what_it_said(tenant: Tenant) -> None:
    contact = await tenant.contact(email=f"{uuid7()}@example.com", first_name="Canary")
    await tenant.owner.patch(f"/v1/contacts/{contact['id']}", json={"last_name": "Bird"})
    await erase(tenant, contact["id"])
    answer = await tenant.owner.get(f"/v1/contacts/{contact['id']}/history")
    assert answer.status_code == 200
    assert [(entry["event"], entry["erased"]) for entry in answer.json()["items"]] == [
        ("contact.erased", False), ("contact.details_changed", True), ("contact.created", True)
    ]  # fmt: skip
    assert not any(word in answer.text for word in ("Canary", "Bird", contact["email"]))


async def test_lists_counts_and_searches_do_not_know_it_any_more(api: Api) -> None:
    tenant = await api.tenant()
    stays = await tenant.contact(email="stays@example.com", first_name="Stays")
    contact = await tenant.contact(email="goes@example.com", first_name="Goes")
    deleted = await tenant.contact(email="deleted@example.com", first_name="Deleted")
    await tenant.owner.delete(f"/v1/contacts/{deleted['id']}", params={"reason": "gone"})
    await erase(tenant, contact["id"])
    await erase(tenant, deleted["id"])
    listed = (await tenant.owner.get("/v1/contacts")).json()
    assert [item["id"] for item in listed["items"]] == [stays["id"]]
    assert listed["total"]["count"] == 1
    assert (await tenant.owner.get("/v1/contacts/counts")).json()["total"] == 1
    for wanted in ({"q": "goes"}, {"deleted": "true"}):
        assert (await tenant.owner.get("/v1/contacts", params=wanted)).json()["items"] == []


async def test_its_unique_values_are_free_for_somebody_else(tenant: Tenant) -> None:
    value = str(uuid7())
    contact = await tenant.contact(external_id=value)
    await erase(tenant, contact["id"])
    answer = await tenant.owner.put(f"/v1/contacts/by/external_id/{value}", json={})
    assert answer.status_code == 201
    assert answer.json()["id"] != contact["id"]


async def test_an_erasure_has_to_be_confirmed_and_given_a_reason_that_is_known(tenant: Tenant) -> None:
    contact = await tenant.contact()
    url = f"/v1/contacts/{contact['id']}/erase"
    unconfirmed = await tenant.owner.post(url, json={"confirm": False, "reason": "person_asked"})
    assert (unconfirmed.status_code, unconfirmed.json()["errors"][0]["pointer"]) == (422, "/confirm")
    for body in ({"reason": "person_asked"}, {"confirm": True}, {"confirm": True, "reason": "Ann asked for it"}):
        assert (await tenant.owner.post(url, json=body)).status_code == 400
    stale = await tenant.owner.post(url, json=ERASE, headers={"If-Match": '"7"'})
    assert stale.status_code == 412
    assert (await tenant.owner.get(f"/v1/contacts/{contact['id']}")).status_code == 200


async def test_a_repeat_of_the_same_erasure_is_answered_as_the_first(tenant: Tenant) -> None:
    contact = await tenant.contact()
    key = f"erase-{uuid7()}"
    first = await erase(tenant, contact["id"], **{"Idempotency-Key": key})
    again = await erase(tenant, contact["id"], **{"Idempotency-Key": key})
    assert (again.json(), again.headers["Rollbook-Position"]) == (first.json(), first.headers["Rollbook-Position"])


async def test_another_workspace_sees_neither_the_contact_nor_the_certificate(api: Api, tenant: Tenant) -> None:
    contact = await tenant.contact()
    stranger = await api.tenant()
    assert (await stranger.owner.post(f"/v1/contacts/{contact['id']}/erase", json=ERASE)).status_code == 404
    certificate = (await erase(tenant, contact["id"])).json()
    assert (await stranger.owner.get(f"/v1/erasures/{certificate['id']}")).status_code == 404
    assert (await stranger.owner.get(f"/v1/contacts/{contact['id']}")).status_code == 404
