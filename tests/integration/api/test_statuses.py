"""Statuses in lists, filters and counts: as the contact stands, at the position that the command returned."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx2

from tests.integration.api.conftest import Api, Tenant

PROOF = {"text": "Yes, send me news"}


async def act(tenant: Tenant, contact: dict[str, Any], action: str, **body: Any) -> dict[str, str]:
    """The header that waits until queries show it."""
    answer = await tenant.owner.post(f"/v1/contacts/{contact['id']}/{action}", json=body)
    assert answer.status_code == 200, answer.text
    return position(answer)


def position(answer: httpx2.Response) -> dict[str, str]:
    return {"Rollbook-Min-Position": answer.headers["Rollbook-Position"]}


async def shown(tenant: Tenant, contact: dict[str, Any], at: dict[str, str]) -> dict[str, Any]:
    answer = await tenant.owner.get(f"/v1/contacts/{contact['id']}", headers=at)
    found: dict[str, Any] = answer.json()
    return found


async def listed(tenant: Tenant, at: dict[str, str], **params: str) -> set[str]:
    answer = await tenant.owner.get("/v1/contacts", params=params, headers=at)
    assert answer.status_code == 200, answer.text
    assert answer.json()["total"]["count"] == len(answer.json()["items"])
    return {item["id"] for item in answer.json()["items"]}


async def counts(tenant: Tenant, at: dict[str, str], **params: str) -> dict[str, Any]:
    found: dict[str, Any] = (await tenant.owner.get("/v1/contacts/counts", params=params, headers=at)).json()
    return found


async def test_filters_and_counts_follow_at_once(api: Api) -> None:
    tenant = await api.tenant()
    contacts = [await tenant.contact(email=f"{uuid4().hex}@example.com", phone=f"+493090182{n}") for n in range(5)]
    await act(tenant, contacts[0], "unsubscribe", reason="answered STOP")
    await act(tenant, contacts[1], "report-spam")
    await act(tenant, contacts[2], "blacklist")
    at = await act(tenant, contacts[3], "blacklist", channel="phone")
    for number, status in enumerate(("unsubscribed", "spam_report", "blacklisted")):
        assert await listed(tenant, at, email_status=status) == {contacts[number]["id"]}
    assert await listed(tenant, at, email_status="active") == {contacts[3]["id"], contacts[4]["id"]}
    assert await listed(tenant, at, phone_status="blacklisted") == {contacts[3]["id"]}
    found = await counts(tenant, at)
    assert found["email"] == {
        "all": 5, "active": 2, "not_confirmed": 0, "unsubscribed": 1, "spam_report": 1, "blacklisted": 1,
        "over_limit": 0,
    }  # fmt: skip
    assert found["phone"] == {"all": 5, "active": 4, "blacklisted": 1, "over_limit": 0}
    contact = await shown(tenant, contacts[0], at)
    assert (contact["email_status"]["reason"], contact["consents"]["email"]) == ("answered STOP", "unsubscribed")
    at = await act(tenant, contacts[0], "resubscribe", proof=PROOF)
    assert (await shown(tenant, contacts[0], at))["email_status"]["status"] == "active"
    assert (await counts(tenant, at))["email"]["active"] == 3


async def test_the_deleted_have_their_statuses_too(api: Api) -> None:
    tenant = await api.tenant()
    contact = await tenant.contact()
    await act(tenant, contact, "unsubscribe")
    deleted = await tenant.owner.delete(f"/v1/contacts/{contact['id']}", params={"reason": "x"})
    at = position(deleted)
    assert await listed(tenant, at, deleted="true", email_status="unsubscribed") == {contact["id"]}
    assert (await counts(tenant, at, deleted="true"))["email"]["unsubscribed"] == 1
    restored = await tenant.owner.post(f"/v1/contacts/{contact['id']}/restore", json={})
    assert restored.json()["email_status"]["status"] == "unsubscribed"
    assert await listed(tenant, position(restored), email_status="unsubscribed") == {contact["id"]}


async def test_a_blacklisted_e_mail_shows_in_every_workspace(api: Api) -> None:
    ours, theirs = await api.tenant(), await api.tenant()
    email = f"{uuid4().hex}@example.com"
    mine, other = await ours.contact(email=email), await theirs.contact(email=email.upper())
    await act(ours, mine, "blacklist", reason="a secret of ours")
    answer = await theirs.owner.patch(f"/v1/contacts/{other['id']}", json={"first_name": "x"})
    assert answer.json()["email_status"]["status"] == "blacklisted"
    contact = await shown(theirs, other, position(answer))
    assert contact["email_status"] == answer.json()["email_status"]
    assert contact["email_status"]["reason"] is None
    assert (contact["email_status"]["source"], contact["email_status"]["actor"]) == ("installation", None)
    assert (await counts(theirs, position(answer)))["email"]["blacklisted"] == 1


async def test_what_is_answered_to_a_command_is_what_queries_show(api: Api) -> None:
    tenant = await api.tenant()
    email = f"{uuid4().hex}@gmail.com"
    first = await tenant.contact(email=email)
    await act(tenant, first, "unsubscribe")
    created = await tenant.owner.post("/v1/contacts", json={"email": email.replace("@", "+x@")})
    assert created.json()["email_status"]["status"] == "unsubscribed"
    assert await shown(tenant, created.json(), position(created)) == created.json()


async def test_a_known_version_is_sent_again_where_the_statuses_may_differ(api: Api) -> None:
    tenant = await api.tenant()
    contact = await tenant.contact()
    known = {"If-None-Match": f'"{contact["version"]}"'}
    assert (await tenant.owner.get(f"/v1/contacts/{contact['id']}", headers=known)).status_code == 304
    at = await act(tenant, contact, "unsubscribe")
    answer = await tenant.owner.get(f"/v1/contacts/{contact['id']}", headers={**known, **at})
    assert (answer.status_code, answer.json()["email_status"]["status"]) == (200, "unsubscribed")


async def statuses(tenant: Tenant, contacts: list[dict[str, Any]], at: dict[str, str]) -> list[str]:
    return [(await shown(tenant, contact, at))["email_status"]["status"] for contact in contacts]


async def test_who_came_beyond_the_limit_waits_for_room_oldest_first(api: Api) -> None:
    tenant = await api.tenant()
    await tenant.owner.patch("/v1/settings", json={"contact_limit": 3})
    contacts = [await tenant.contact() for _ in range(5)]
    at = position(await tenant.owner.patch(f"/v1/contacts/{contacts[0]['id']}", json={"first_name": "x"}))
    assert [contact["email_status"]["status"] for contact in contacts] == [*["active"] * 3, *["over_limit"] * 2]
    assert await statuses(tenant, contacts, at) == [*["active"] * 3, *["over_limit"] * 2]
    assert await listed(tenant, at, email_status="over_limit") == {contact["id"] for contact in contacts[3:]}
    assert (await counts(tenant, at))["email"]["over_limit"] == 2
    question = {"channel": "email", "contacts": [contact["id"] for contact in contacts]}
    answer = await tenant.owner.post("/v1/may-send", json=question)
    assert [item["reason"] for item in answer.json()["items"]] == [None, None, None, "over_limit", "over_limit"]
    # Room appears, and goes to the oldest who waits; what is deleted is not over any limit.
    at = position(await tenant.owner.delete(f"/v1/contacts/{contacts[1]['id']}", params={"reason": "x"}))
    assert await statuses(tenant, contacts, at) == ["active", "active", "active", "active", "over_limit"]
    # It is the older one when it comes back.
    at = position(await tenant.owner.post(f"/v1/contacts/{contacts[1]['id']}/restore", json={}))
    assert await statuses(tenant, contacts, at) == [*["active"] * 3, *["over_limit"] * 2]
    at = await act(tenant, contacts[4], "unsubscribe")
    assert (await statuses(tenant, contacts, at))[4] == "unsubscribed"
    at = position(await tenant.owner.patch("/v1/settings", json={"contact_limit": 1}))
    assert await statuses(tenant, contacts, at) == ["active", *["over_limit"] * 3, "unsubscribed"]
    at = position(await tenant.owner.patch("/v1/settings", json={"contact_limit": None}))
    assert await statuses(tenant, contacts, at) == [*["active"] * 4, "unsubscribed"]
    assert (await counts(tenant, at))["email"]["over_limit"] == 0
