"""Suppression and consent over HTTP: the actions and the way back, lists, may-send, one-click links."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from contacts.consent import verify
from tests.integration.api.conftest import Api, Tenant

PROOF = {"text": "Yes, send me news", "form_version": "7", "ip": "192.0.2.1"}


def some_email() -> str:
    return f"{uuid4().hex}@example.com"


async def act(tenant: Tenant, contact: dict[str, Any], action: str, **body: Any) -> httpx2.Response:
    return await tenant.owner.post(f"/v1/contacts/{contact['id']}/{action}", json=body)


async def may_send(tenant: Tenant, **question: Any) -> list[str | None]:
    answer = await tenant.owner.post("/v1/may-send", json={"channel": "email", **question})
    assert answer.status_code == 200, answer.text
    items = answer.json()["items"]
    assert all(item["allowed"] is (item["reason"] is None) for item in items)
    return [item["reason"] for item in items]


async def test_an_action_answers_the_contact_as_it_stands_now(tenant: Tenant) -> None:
    contact = await tenant.contact(email=some_email(), phone=f"+4930{uuid4().int % 10**7:07}")
    answer = await act(tenant, contact, "blacklist", channel="email", reason="inactive address", cause="hard_bounce")
    assert answer.status_code == 200
    status = answer.json()["email_status"]
    assert (status["status"], status["reason"], status["source"]) == ("blacklisted", "inactive address", "api")
    assert status["since"] is not None
    assert status["actor"].startswith("key:")
    assert answer.json()["phone_status"]["status"] == "active"
    assert answer.headers["ETag"] == '"1"'


@pytest.mark.parametrize(
    ("action", "reverse", "status", "back"),
    [
        ("blacklist", "unblacklist", "blacklisted", {"reason": "works again"}),
        ("unsubscribe", "resubscribe", "unsubscribed", {"proof": PROOF}),
        ("report-spam", "clear-spam", "spam_report", {"reason": "by mistake"}),
    ],
)
async def test_every_action_has_a_way_back_that_needs_more(
    tenant: Tenant, action: str, reverse: str, status: str, back: dict[str, Any]
) -> None:
    contact = await tenant.contact(email=some_email())
    done = await act(tenant, contact, action)
    assert done.json()["email_status"]["status"] == status
    assert await may_send(tenant, contacts=[contact["id"]]) == [status]
    refused = await act(tenant, contact, reverse, channel="email")
    assert (refused.status_code, refused.json()["type"]) == (422, "urn:rollbook:problem:refused")
    undone = await act(tenant, contact, reverse, **back)
    assert undone.json()["email_status"]["status"] == "active"
    assert await may_send(tenant, contacts=[contact["id"]]) == [None]


async def test_consents_are_subscribed_or_unsubscribed_and_nothing_else(tenant: Tenant) -> None:
    contact = await tenant.contact(email=some_email(), phone=f"+4930{uuid4().int % 10**7:07}")
    assert contact["consents"] == {"email": "not_subscribed", "sms": "not_subscribed", "whatsapp": "not_subscribed"}
    agreed = await act(tenant, contact, "consents", channel="sms", status="subscribed", proof=PROOF)
    assert agreed.json()["consents"]["sms"] == "subscribed"
    objected = await act(tenant, contact, "consents", channel="sms", status="unsubscribed")
    assert objected.json()["consents"]["sms"] == "unsubscribed"
    never = await act(tenant, contact, "consents", channel="sms", status="not_subscribed")
    assert (never.status_code, never.json()["errors"][0]["pointer"]) == (400, "/status")
    without = await act(tenant, contact, "consents", channel="sms", status="subscribed")
    assert without.status_code == 422


async def test_a_new_contact_with_a_suppressed_address_is_answered_as_such(tenant: Tenant) -> None:
    email = some_email()
    await act(tenant, await tenant.contact(email=email), "unsubscribe", reason="answered STOP")
    created = await tenant.owner.post("/v1/contacts", json={"email": email.upper()})
    assert created.json()["email_status"]["reason"] == "answered STOP"
    moved = await tenant.owner.patch(f"/v1/contacts/{created.json()['id']}", json={"email": some_email()})
    assert moved.json()["email_status"]["status"] == "active"


async def test_bad_input_is_refused_with_its_place(tenant: Tenant) -> None:
    contact = await tenant.contact(email=some_email())
    for body, pointer in (
        ({"channel": "E mail"}, "/channel"),
        ({"proof": {"ip": "300.1.1.1"}}, "/proof/ip"),
        ({"category": "weekly", "channel": "all"}, "/category"),
        ({"cause": "Hard Bounce"}, "/cause"),
        ({"reason": " "}, "/reason"),
    ):
        answer = await act(tenant, contact, "unsubscribe", **body)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer), body
    assert (await act(tenant, contact, "unsubscribe", channel="sms")).status_code == 422
    assert (await act(tenant, {"id": uuid4()}, "unsubscribe")).status_code == 404
    assert (await act(tenant, contact, "blacklist", category="weekly")).status_code == 422


async def test_only_some_roles_may_lift(tenant: Tenant) -> None:
    contact = await tenant.contact(email=some_email())
    agent = tenant.client(await tenant.key("agent"))
    path = f"/v1/contacts/{contact['id']}"
    assert (await agent.post(f"{path}/unsubscribe", json={})).status_code == 200
    assert (await agent.post(f"{path}/resubscribe", json={"proof": PROOF})).status_code == 403
    subscribed = {"channel": "email", "status": "subscribed", "proof": PROOF}
    assert (await agent.post(f"{path}/consents", json=subscribed)).status_code == 403
    auditor = tenant.client(await tenant.key("auditor"))
    assert (await auditor.post(f"{path}/unsubscribe", json={})).status_code == 403
    assert (await auditor.post("/v1/may-send", json={"channel": "email", "contacts": []})).status_code == 200


async def test_a_repeat_of_a_key_gets_the_first_answer(tenant: Tenant) -> None:
    contact = await tenant.contact(email=some_email())
    path, key = f"/v1/contacts/{contact['id']}/unsubscribe", {"Idempotency-Key": uuid4().hex}
    first = await tenant.owner.post(path, json={"reason": "STOP"}, headers=key)
    await act(tenant, contact, "resubscribe", proof=PROOF)
    again = await tenant.owner.post(path, json={"reason": "STOP"}, headers=key)
    assert (again.json(), again.headers["Rollbook-Position"]) == (first.json(), first.headers["Rollbook-Position"])
    assert (await tenant.owner.post(path, json={"reason": "other"}, headers=key)).status_code == 422


async def test_the_past_shows_how_it_stood(tenant: Tenant) -> None:
    contact = await tenant.contact(email=some_email())
    left = await act(tenant, contact, "unsubscribe")
    back = await act(tenant, contact, "resubscribe", proof=PROOF)
    for answer, status in ((left, "unsubscribed"), (back, "active")):
        params = {"as_of": answer.headers["Rollbook-Position"]}
        shown = await tenant.owner.get(f"/v1/contacts/{contact['id']}", params=params)
        assert shown.json()["email_status"]["status"] == status


async def test_blacklisted_addresses_are_listed_found_and_lifted(api: Api) -> None:
    tenant, other = await api.tenant(), await api.tenant()
    emails = [some_email() for _ in range(5)]
    ids = []
    for email in emails:
        made = await tenant.owner.post("/v1/suppressions", json={"channel": "email", "address": email, "reason": "x"})
        assert (made.status_code, made.headers["Location"]) == (201, f"/v1/suppressions/{made.json()['id']}")
        ids.append(made.json()["id"])
    again = await tenant.owner.post("/v1/suppressions", json={"channel": "email", "address": emails[0].upper()})
    assert (again.status_code, again.json()["id"], again.json()["address"]) == (200, ids[0], emails[0])
    position = {"Rollbook-Min-Position": again.headers["Rollbook-Position"]}
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = await tenant.owner.get("/v1/suppressions", params={"limit": 2, **cursor}, headers=position)
        assert page.json()["total"] == {"count": 5, "exact": True}
        found += [item["address"] for item in page.json()["items"]]
        if page.json()["next_cursor"] is None:
            break
        cursor = {"cursor": page.json()["next_cursor"]}
    assert found == emails[::-1]
    by_address = await tenant.owner.get("/v1/suppressions", params={"channel": "email", "address": emails[2].upper()})
    assert [item["id"] for item in by_address.json()["items"]] == [ids[2]]
    assert (await other.owner.get("/v1/suppressions")).json()["items"] == []
    assert (await other.owner.delete(f"/v1/suppressions/{ids[0]}", params={"reason": "x"})).status_code == 404
    assert (await other.owner.get(f"/v1/suppressions/{ids[0]}")).status_code == 404
    assert await may_send(other, addresses=emails[:2]) == ["blacklisted"] * 2
    assert (await tenant.owner.delete(f"/v1/suppressions/{ids[0]}")).status_code == 400
    lifted = await tenant.owner.delete(f"/v1/suppressions/{ids[0]}", params={"reason": "works again"})
    assert lifted.status_code == 204
    assert await may_send(other, addresses=emails[:2]) == [None, "blacklisted"]
    position = {"Rollbook-Min-Position": lifted.headers["Rollbook-Position"]}
    left = await tenant.owner.get("/v1/suppressions", headers=position)
    assert (len(left.json()["items"]), left.json()["total"]["count"]) == (4, 4)


async def test_a_phone_is_blacklisted_for_the_workspace_in_any_spelling(api: Api) -> None:
    tenant, other = await api.tenant(), await api.tenant()
    await tenant.owner.patch("/v1/settings", json={"default_region": "DE"})
    phone = f"030 {uuid4().int % 10**7:07}"
    made = await tenant.owner.post("/v1/suppressions", json={"channel": "phone", "address": phone})
    international = made.json()["address"]
    assert international.startswith("+4930")
    assert await may_send(tenant, channel="sms", addresses=[phone, international]) == ["blacklisted"] * 2
    assert await may_send(other, channel="sms", addresses=[international]) == [None]


async def test_may_send_asks_about_contacts_or_addresses(tenant: Tenant) -> None:
    for question in ({}, {"contacts": [], "addresses": []}):
        answer = await tenant.owner.post("/v1/may-send", json={"channel": "email", **question})
        assert answer.status_code == 400
    assert await may_send(tenant, addresses=["nobody", some_email()]) == ["invalid_address", None]
    assert await may_send(tenant, contacts=[str(uuid4())]) == ["not_found"]
    assert await may_send(tenant, addresses=[]) == []


async def test_one_click_unsubscribes_without_logging_in(api: Api, tenant: Tenant) -> None:
    contact = await tenant.contact(email=some_email())
    body = {"base_url": api.url, "contacts": [contact["id"], str(uuid4())]}
    made, nobody = (await tenant.owner.post("/v1/unsubscribe-links", json=body)).json()["items"]
    assert nobody == {"url": None, "headers": {}}
    url = made["url"]
    assert made["headers"] == {
        "List-Unsubscribe": f"<{url}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }
    assert contact["email"] not in url
    async with httpx2.AsyncClient(timeout=30) as anybody:
        page = await anybody.get(url)
        assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        assert contact["email"] not in page.text
        assert await may_send(tenant, contacts=[contact["id"]]) == [None]
        assert (await anybody.post(url, data={"something": "else"})).status_code == 400
        assert (await anybody.post(url, json={"List-Unsubscribe": "One-Click"})).status_code == 415
        assert await may_send(tenant, contacts=[contact["id"]]) == [None]
        done = await anybody.post(url, data={"List-Unsubscribe": "One-Click"})
        assert done.status_code == 200
        assert await may_send(tenant, contacts=[contact["id"]]) == ["unsubscribed"]
        multipart = await anybody.post(url, files={"List-Unsubscribe": (None, b"One-Click")})
        assert multipart.status_code == 200
        for wrong in (url[:-2], f"{url}AA", f"{api.url}/unsubscribe/x", f"{api.url}/unsubscribe/{'A' * 2_000}"):
            assert (await anybody.get(wrong)).status_code == 404
            assert (await anybody.post(wrong, data={"List-Unsubscribe": "One-Click"})).status_code == 404


async def test_a_link_can_leave_one_category_only(api: Api, tenant: Tenant) -> None:
    email = some_email()
    body = {"base_url": api.url, "category": "Weekly <b>", "addresses": [email]}
    (made,) = (await tenant.owner.post("/v1/unsubscribe-links", json=body)).json()["items"]
    async with httpx2.AsyncClient(timeout=30) as anybody:
        assert "weekly &lt;b&gt;" in (await anybody.get(made["url"])).text
        await anybody.post(made["url"], data={"List-Unsubscribe": "One-Click"})
    assert await may_send(tenant, addresses=[email], category="WEEKLY <b>") == ["category_unsubscribed"]
    assert await may_send(tenant, addresses=[email]) == [None]


async def test_contacts_of_a_source_with_double_opt_in_wait_to_be_confirmed(api: Api) -> None:
    tenant = await api.tenant()
    await tenant.owner.patch("/v1/settings", json={"double_opt_in": {"subscription_form": True}})
    contact = await tenant.contact(email=some_email(), source="subscription_form")
    assert contact["email_status"]["status"] == "not_confirmed"
    assert await may_send(tenant, contacts=[contact["id"]]) == ["not_confirmed"]
    confirmed = await act(tenant, contact, "confirm", proof=PROOF)
    assert confirmed.json()["email_status"]["status"] == "active"
    assert confirmed.json()["consents"]["email"] == "subscribed"


async def test_a_ledger_is_exported_and_verified_offline(tenant: Tenant) -> None:
    email = some_email()
    contact = await tenant.contact(email=email)
    await act(tenant, contact, "consents", channel="email", status="subscribed", proof=PROOF)
    await act(tenant, contact, "unsubscribe", reason="answered STOP")
    await act(tenant, contact, "blacklist", reason="bounced")
    exported = await tenant.owner.get(f"/v1/contacts/{contact['id']}/ledger")
    assert (exported.status_code, exported.headers["Content-Type"]) == (200, "application/jsonl")
    lines = exported.content.rstrip(b"\n").split(b"\n")
    assert verify.verify(lines).startswith("6 entries")
    entries = [json.loads(line) for line in lines[1:-1]]
    assert [entry["event"] for entry in entries if not entry["kind"].endswith("_proof")] == [
        "consent.granted",
        "consent.withdrawn",
        "suppression.address_blacklisted",
    ]
    assert entries[1]["data"]["proof"]["ip"] == "192.0.2.1"
    by_address = await tenant.owner.post("/v1/consent-ledgers", json={"channel": "email", "address": email.upper()})
    assert by_address.content.split(b"\n")[1].partition(b'"previous"')[0] == lines[1].partition(b'"previous"')[0]
    assert (await tenant.owner.get(f"/v1/contacts/{uuid4()}/ledger")).status_code == 404
    nobody = await tenant.owner.post("/v1/consent-ledgers", json={"channel": "email", "address": some_email()})
    assert verify.verify(nobody.content.rstrip(b"\n").split(b"\n")).startswith("0 entries")
