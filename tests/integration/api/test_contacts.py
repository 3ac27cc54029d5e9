"""One contact over HTTP: created, read, edited, upserted, tagged, connected, blocked, deleted and brought back."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from uuid import uuid4

from uuid_utils.compat import uuid7

from contacts_api.views import CONTACT_FIELDS
from tests.integration.api.conftest import Api, Tenant


async def test_a_new_contact_is_answered_with_address_version_and_position(tenant: Tenant) -> None:
    answer = await tenant.owner.post(
        "/v1/contacts",
        json={"first_name": "Zoë", "last_name": "Łukasiewicz", "email": "Zoe@Example.com", "phone": "+48 22 123 45 67"},
    )
    contact = answer.json()
    assert answer.status_code == 201
    assert answer.headers["ETag"] == '"1"'
    assert answer.headers["Location"] == f"/v1/contacts/{contact['id']}"
    assert list(contact) == list(CONTACT_FIELDS)
    assert contact["full_name"] == "Zoë Łukasiewicz"
    assert contact["phone"] == "+48221234567"
    assert contact["email_status"]["status"] == "active"
    assert contact["consents"] == {"email": "not_subscribed", "sms": "not_subscribed", "whatsapp": "not_subscribed"}
    assert (contact["source"], contact["deleted_at"], contact["merged_into"]) == ("api", None, None)


async def test_a_contact_is_read_as_it_was_written_once_the_position_is_reached(tenant: Tenant) -> None:
    created = await tenant.owner.post("/v1/contacts", json={"email": f"{uuid7()}@example.com", "tags": ["vip"]})
    position = created.headers["Rollbook-Position"]
    url = created.headers["Location"]
    by_header = await tenant.owner.get(url, headers={"Rollbook-Min-Position": position})
    by_parameter = await tenant.owner.get(url, params={"min_position": position})
    assert by_header.json() == by_parameter.json() == created.json()
    assert by_header.headers["ETag"] == created.headers["ETag"]
    lane, reached = map(int, by_header.headers["Rollbook-Position"].split("."))
    assert (lane, reached) >= tuple(map(int, position.split(".")))


async def test_a_version_the_caller_has_is_not_sent_again(tenant: Tenant) -> None:
    contact = await tenant.contact()
    answer = await tenant.owner.get(f"/v1/contacts/{contact['id']}", headers={"If-None-Match": 'W/"1", "x"'})
    assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", '"1"')
    answer = await tenant.owner.get(f"/v1/contacts/{contact['id']}", headers={"If-None-Match": '"2"'})
    assert answer.status_code == 200


async def test_only_the_fields_asked_for_are_sent(tenant: Tenant) -> None:
    contact = await tenant.contact()
    answer = await tenant.owner.get(f"/v1/contacts/{contact['id']}", params={"fields": "email,id"})
    assert answer.json() == {"id": contact["id"], "email": contact["email"]}
    answer = await tenant.owner.get(f"/v1/contacts/{contact['id']}", params={"fields": "email,secret"})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["parameter"] == "fields"


async def test_head_answers_as_get_without_the_body(tenant: Tenant) -> None:
    contact = await tenant.contact()
    answer = await tenant.owner.head(f"/v1/contacts/{contact['id']}")
    assert (answer.status_code, answer.content, answer.headers["ETag"]) == (200, b"", '"1"')


async def test_an_edit_changes_what_it_names_and_nothing_else(tenant: Tenant) -> None:
    contact = await tenant.contact(
        email=f"{uuid7()}@example.com", first_name="Ann", phone="+4930901820", address={"street": "A 1", "city": "Bonn"}
    )
    url = f"/v1/contacts/{contact['id']}"
    patch = {"first_name": "Anna", "phone": None, "address": {"city": "Köln"}}
    answer = await tenant.owner.patch(url, json=patch)
    edited = answer.json()
    assert (answer.status_code, answer.headers["ETag"]) == (200, '"2"')
    assert (edited["first_name"], edited["phone"], edited["phone_status"]) == ("Anna", None, None)
    assert edited["address"] == {"street": "A 1", "city": "Köln", "region": None, "postcode": None, "country": None}
    assert edited["email"] == contact["email"]
    again = await tenant.owner.patch(url, json=patch, headers={"Content-Type": "application/merge-patch+json"})
    assert (again.status_code, again.headers["ETag"], again.json()) == (200, '"2"', edited)


async def test_a_lost_update_is_refused(tenant: Tenant) -> None:
    contact = await tenant.contact()
    url = f"/v1/contacts/{contact['id']}"
    answers = await asyncio.gather(
        *(tenant.owner.patch(url, json={"last_name": f"N{n}"}, headers={"If-Match": '"1"'}) for n in range(8))
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 7
    refused = next(answer for answer in answers if answer.status_code == 412)
    assert refused.json()["type"] == "urn:rollbook:problem:precondition-failed"
    assert "expected version 1" in refused.json()["detail"]
    assert (await tenant.owner.patch(url, json={"last_name": "x"}, headers={"If-Match": '"abc"'})).status_code == 412
    assert (await tenant.owner.patch(url, json={"last_name": "x"}, headers={"If-Match": "*"})).status_code == 200


async def test_a_unique_value_in_use_names_its_holder(tenant: Tenant) -> None:
    external_id = f"c-{uuid4()}"
    holder = await tenant.contact(external_id=external_id)
    answer = await tenant.owner.post("/v1/contacts", json={"external_id": external_id})
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (409, "urn:rollbook:problem:claim-taken")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert problem["holder"] == holder["id"]
    assert problem["errors"][0]["pointer"] == "/external_id"


async def test_upsert_creates_once_and_edits_from_then_on(tenant: Tenant) -> None:
    for by, value in (
        ("external_id", f"a/b {uuid4()}"),
        ("messaging_id", str(uuid4())),
        ("email", f"{uuid7()}@example.com"),
        ("phone", "+49 30 901820"),
    ):
        url = f"/v1/contacts/by/{by}/{value.replace('/', '%2F').replace('+', '%2B').replace(' ', '%20')}"
        # A messaging id alone is nothing to reach a person by.
        email = {"email": f"{uuid7()}@example.com"} if by == "messaging_id" else {}
        created = await tenant.owner.put(url, json={"first_name": "Ann", **email})
        edited = await tenant.owner.put(url, json={"first_name": "Anna"})
        assert (created.status_code, edited.status_code) == (201, 200), created.text
        assert created.headers["Location"].endswith(created.json()["id"])
        assert edited.json()["id"] == created.json()["id"]
        assert edited.json()["first_name"] == "Anna"
        assert created.json()[by].replace(" ", "") == value.replace(" ", "") if by == "phone" else value


async def test_an_upsert_must_not_contradict_its_address(tenant: Tenant) -> None:
    answer = await tenant.owner.put("/v1/contacts/by/external_id/one", json={"external_id": "two"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/external_id"


async def test_an_upsert_by_email_finds_a_contact_created_otherwise(tenant: Tenant) -> None:
    contact = await tenant.contact()
    answer = await tenant.owner.put(f"/v1/contacts/by/email/{contact['email'].upper()}", json={"first_name": "Ann"})
    assert (answer.status_code, answer.json()["id"]) == (200, contact["id"])


async def test_tags_are_added_and_taken_away_one_by_one(tenant: Tenant) -> None:
    contact = await tenant.contact()
    url = f"/v1/contacts/{contact['id']}/tags"
    added = await tenant.owner.post(url, json={"tags": ["a/b", "größe ü", "VIP"]})
    assert added.json()["tags"] == ["VIP", "a/b", "größe ü"]
    assert (await tenant.owner.delete(f"{url}/a%2Fb")).json()["tags"] == ["VIP", "größe ü"]
    assert (await tenant.owner.delete(f"{url}/gr%C3%B6%C3%9Fe%20%C3%BC")).json()["tags"] == ["VIP"]
    gone = await tenant.owner.delete(f"{url}/vip")
    again = await tenant.owner.delete(f"{url}/vip")
    assert gone.json() == again.json()
    assert (await tenant.owner.delete(f"{url}/%ff")).status_code == 400


async def test_channels_are_connected_and_disconnected(tenant: Tenant) -> None:
    contact = await tenant.contact()
    url = f"/v1/contacts/{contact['id']}/channels"
    await tenant.owner.post(url, json={"kind": "telegram", "token": "1"})
    answer = await tenant.owner.post(
        url, json={"kind": "web_push", "application": "shop", "device": "d", "token": "https://push.example/a?b"}
    )
    channels = answer.json()["channels"]
    assert [channel["kind"] for channel in channels] == ["web_push", "telegram"]
    assert list(channels[0]) == ["kind", "application", "device", "token", "first_seen_at", "last_seen_at"]
    token = "https%3A%2F%2Fpush.example%2Fa%3Fb"
    other = await tenant.owner.delete(f"{url}/web_push/{token}", params={"application": "other"})
    assert len(other.json()["channels"]) == 2
    answer = await tenant.owner.delete(f"{url}/web_push/{token}", params={"application": "shop"})
    assert [channel["kind"] for channel in answer.json()["channels"]] == ["telegram"]


async def test_a_contact_is_blocked_and_unblocked(tenant: Tenant) -> None:
    contact = await tenant.contact()
    url = f"/v1/contacts/{contact['id']}"
    assert (await tenant.owner.post(f"{url}/block", json={"reason": "abusive"})).json()["blocked"] is True
    assert (await tenant.owner.post(f"{url}/unblock")).json()["blocked"] is False


async def test_a_deleted_contact_says_so_and_comes_back_as_it_was(tenant: Tenant) -> None:
    external_id = f"c-{uuid4()}"
    contact = await tenant.contact(external_id=external_id, tags=["vip"])
    url = f"/v1/contacts/{contact['id']}"
    missing = await tenant.owner.delete(url)
    assert (missing.status_code, missing.json()["errors"][0]["pointer"]) == (400, "/reason")
    deleted = await tenant.owner.request("DELETE", url, json={"reason": "asked for it"})
    assert (deleted.status_code, deleted.json()["deletion_reason"]) == (200, "asked for it")
    assert datetime.fromisoformat(deleted.json()["deleted_at"]) <= datetime.now(UTC)
    edit = await tenant.owner.patch(url, json={"first_name": "A"})
    assert (edit.status_code, edit.json()["type"]) == (409, "urn:rollbook:problem:contact-deleted")
    await tenant.visible(deleted)
    assert (await tenant.owner.get(url)).json() == deleted.json()
    restored = (await tenant.owner.post(f"{url}/restore")).json()
    assert restored | {"version": 1, "changed_at": contact["changed_at"]} == contact


async def test_a_restore_that_would_take_a_value_names_who_has_it_now(tenant: Tenant) -> None:
    external_id = f"c-{uuid4()}"
    contact = await tenant.contact(external_id=external_id)
    await tenant.owner.delete(f"/v1/contacts/{contact['id']}", params={"reason": "moved"})
    successor = await tenant.contact(external_id=external_id)
    answer = await tenant.owner.post(f"/v1/contacts/{contact['id']}/restore")
    assert (answer.status_code, answer.json()["holder"]) == (409, successor["id"])


async def test_custom_attributes_are_checked_by_their_definition(tenant: Tenant) -> None:
    await tenant.owner.post("/v1/attributes", json={"key": "size", "type": "number"})
    contact = await tenant.contact()
    url = f"/v1/contacts/{contact['id']}"
    assert (await tenant.owner.patch(url, json={"attributes": {"size": 43}})).json()["attributes"] == {"size": 43}
    wrong = await tenant.owner.patch(url, json={"attributes": {"size": "big", "colour": "red"}})
    assert wrong.status_code == 422
    assert {fault["pointer"] for fault in wrong.json()["errors"]} == {"/attributes/size", "/attributes/colour"}


async def test_every_wrong_value_is_named_at_once(tenant: Tenant) -> None:
    answer = await tenant.owner.post(
        "/v1/contacts", json={"email": "no", "phone": "12", "country": "XX", "tags": ["ok", " "], "time_zone": "Mars"}
    )
    assert answer.status_code == 422
    pointers = {fault["pointer"] for fault in answer.json()["errors"]}
    assert pointers == {"/email", "/phone", "/country", "/tags/1", "/time_zone"}


async def test_contacts_of_nobody_are_not_found(tenant: Tenant) -> None:
    for method, path, body in (
        ("GET", "", None),
        ("GET", "/history", None),
        ("PATCH", "", {}),
        ("DELETE", "?reason=x", None),
        ("POST", "/restore", None),
        ("POST", "/block", None),
        ("POST", "/tags", {"tags": ["x"]}),
        ("DELETE", "/tags/x", None),
    ):
        answer = await tenant.owner.request(method, f"/v1/contacts/{uuid4()}{path}", json=body)
        assert (answer.status_code, answer.json()["type"]) == (404, "urn:rollbook:problem:not-found"), (method, path)


async def test_an_id_that_is_none_is_said_to_be_none(api: Api, tenant: Tenant) -> None:
    for id_ in ("1", "not-a-uuid", "01936f5e-8c3a-7b21-9d4e-5f6a7b8c9d0", "%00", "%ff"):
        answer = await tenant.owner.get(f"/v1/contacts/{id_}")
        assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (400, "contact_id"), id_
