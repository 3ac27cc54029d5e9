"""Restoring over HTTP where others took what the contact had: the offer, what it says can be sent, and the answers."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from tests.integration.api.conftest import Tenant


async def lost_and_successor(tenant: Tenant, **fields: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A deleted contact, and the one that has its external id now."""
    external_id = f"c-{uuid4()}"
    lost = await tenant.contact(external_id=external_id, email=f"{external_id}@example.com", tags=["vip"], **fields)
    await tenant.owner.delete(f"/v1/contacts/{lost['id']}", params={"reason": "moved"})
    return lost, await tenant.contact(external_id=external_id, first_name="Anna")


async def test_a_conflict_answers_with_what_can_be_sent_next(tenant: Tenant) -> None:
    lost, successor = await lost_and_successor(tenant)
    answer = await tenant.owner.post(f"/v1/contacts/{lost['id']}/restore")
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (409, "urn:rollbook:problem:claim-taken")
    offer = problem["offer"]
    assert offer["conflicts"] == [{"contact": lost["id"], "field": "external_id", "holder": successor["id"]}]
    assert offer["on_conflict"] == ["merge", "release"]
    preview, merge = offer["preview"], offer["merge"]
    shown = await tenant.owner.request(preview["method"], preview["href"], json=preview["body"])
    assert shown.status_code == 200, shown.text
    assert (shown.json()["outcome"]["email"], shown.json()["others"][0]["id"]) == (lost["email"], lost["id"])
    assert shown.json()["others"][0]["deleted_at"] is not None
    merged = await tenant.owner.request(merge["method"], merge["href"], json=merge["body"])
    assert (merged.status_code, merged.json()["merged"]) == (201, [lost["id"]])
    await tenant.visible(merged)
    profile = (await tenant.owner.get(f"/v1/contacts/{lost['id']}")).json()
    assert (profile["id"], profile["tags"], profile["deleted_at"]) == (successor["id"], ["vip"], None)


async def test_one_request_restores_and_merges(tenant: Tenant) -> None:
    lost, successor = await lost_and_successor(tenant)
    url = f"/v1/contacts/{lost['id']}/restore"
    answer = await tenant.owner.post(url, json={"on_conflict": "merge"}, headers={"Idempotency-Key": f"k-{lost['id']}"})
    profile = answer.json()
    assert (answer.status_code, profile["id"], profile["email"]) == (200, successor["id"], lost["email"])
    assert answer.headers["Content-Location"] == f"/v1/contacts/{successor['id']}"
    assert profile["released"] == [{"contact": lost["id"], "field": "external_id", "holder": successor["id"]}]
    await tenant.visible(answer)
    again = await tenant.owner.post(url, json={"on_conflict": "merge"}, headers={"Idempotency-Key": f"k-{lost['id']}"})
    assert again.json() == profile
    apart = await tenant.owner.post(f"/v1/merges/{profile['restored_by_merge']}/unmerge")
    await tenant.visible(apart)
    back = (await tenant.owner.get(f"/v1/contacts/{lost['id']}")).json()
    assert (back["id"], back["external_id"], back["tags"], back["deleted_at"]) == (lost["id"], None, ["vip"], None)


async def test_one_request_restores_without_what_was_taken(tenant: Tenant) -> None:
    lost, successor = await lost_and_successor(tenant)
    answer = await tenant.owner.post(f"/v1/contacts/{lost['id']}/restore", json={"on_conflict": "release"})
    contact = answer.json()
    assert (answer.status_code, contact["id"], contact["external_id"]) == (200, lost["id"], None)
    assert (contact["restored_by_merge"], contact["released"][0]["holder"]) == (None, successor["id"])
    await tenant.visible(answer)
    shown = (await tenant.owner.get(f"/v1/contacts/{lost['id']}")).json()
    assert {name: contact[name] for name in shown} == shown


async def test_no_way_of_restoring_subscribes_anybody_again(tenant: Tenant) -> None:
    for way in ("merge", "release"):
        lost, _ = await lost_and_successor(tenant)
        other = await tenant.contact(email=lost["email"])
        await tenant.owner.post(f"/v1/contacts/{other['id']}/unsubscribe", json={"channel": "email", "reason": "asked"})
        restored = await tenant.owner.post(f"/v1/contacts/{lost['id']}/restore", json={"on_conflict": way})
        assert restored.json()["email_status"]["status"] == "unsubscribed", restored.text
        assert restored.json()["consents"]["email"] == "unsubscribed"


async def test_who_may_not_merge_can_release(tenant: Tenant) -> None:
    lost, _ = await lost_and_successor(tenant)
    agent = tenant.client(await tenant.key("agent"))
    url = f"/v1/contacts/{lost['id']}/restore"
    assert (await agent.post(url, json={"on_conflict": "merge"})).status_code == 403
    assert (await agent.post(url, json={"on_conflict": "release"})).status_code == 200


async def test_a_lost_update_is_refused(tenant: Tenant) -> None:
    lost, _ = await lost_and_successor(tenant)
    url = f"/v1/contacts/{lost['id']}/restore"
    for way in ("offer", "merge", "release"):
        assert (await tenant.owner.post(url, json={"on_conflict": way}, headers={"If-Match": '"1"'})).status_code == 412
    answer = await tenant.owner.post(url, json={"on_conflict": "release"}, headers={"If-Match": '"2"'})
    assert answer.status_code == 200


async def test_an_unmerge_out_of_a_deleted_profile_can_do_without_what_was_taken(tenant: Tenant) -> None:
    external_id = f"c-{uuid4()}"
    root, part = await tenant.contact(), await tenant.contact(external_id=external_id)
    merge = (await tenant.owner.post("/v1/merges", json={"primary": root["id"], "others": [part["id"]]})).json()
    await tenant.owner.delete(f"/v1/contacts/{root['id']}", params={"reason": "moved"})
    taker = await tenant.contact(external_id=external_id)
    url = f"/v1/merges/{merge['id']}/unmerge"
    refused = await tenant.owner.post(url)
    assert (refused.status_code, refused.json()["holder"]) == (409, taker["id"])
    apart = await tenant.owner.post(url, json={"on_conflict": "release"})
    assert apart.status_code == 200, apart.text
    await tenant.visible(apart)
    back = (await tenant.owner.get(f"/v1/contacts/{part['id']}")).json()
    assert (back["id"], back["external_id"], back["deleted_at"]) == (part["id"], None, None)
