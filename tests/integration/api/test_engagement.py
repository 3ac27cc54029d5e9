"""What activity says of contacts, as contacts are answered: read, listed, sorted, edited, merged, and as of then."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx2
import pytest

from tests.integration.api.conftest import Api, Tenant
from tests.integration.api.test_activity import send

NOON: Final = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=10)


def item(id_: str, contact: str, type_: str, minute: int = 0, **data: Any) -> dict[str, Any]:
    time = (NOON + timedelta(minutes=minute)).isoformat()
    return {"id": id_, "source": "desk", "type": type_, "time": time, "contact": {"external_id": contact}, "data": data}


async def shown(client: httpx2.AsyncClient, contact: Any, after: httpx2.Response, **query: Any) -> dict[str, Any]:
    headers = {"Rollbook-Min-Position": after.headers["Rollbook-Position"]}
    answer = await client.get(f"/v1/contacts/{contact['id']}", params=query, headers=headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_contact_shows_its_conversation_and_rating_as_soon_as_it_is_asked_for_them(tenant: Tenant) -> None:
    contact = await tenant.contact(external_id="talker", email="talker@example.com")
    assert contact["conversation"]["status"] is None
    answer = await send(
        tenant.owner,
        item("c-1", "talker", "conversation.opened", 1),
        item("c-2", "talker", "conversation.assigned", 2, assignee="Zoë"),
        item("c-3", "talker", "conversation.message_in", 3, preview="Hello?", channel="whatsapp"),
        item("c-4", "talker", "conversation.labels_changed", 3, labels=["vip", "new"]),
        item("c-5", "talker", "conversation.fields_changed", 3, fields={"order": 17, "paid": True}),
        item("c-6", "talker", "message.sent", 0, channel="email"),
        item("c-7", "talker", "message.read", 2, channel="email"),
    )
    found = await shown(tenant.owner, contact, answer)
    at = (NOON + timedelta(minutes=3)).isoformat().replace("+00:00", "Z")
    assert found["conversation"] == {
        "status": "open",
        "assignee": "Zoë",
        "opened_at": (NOON + timedelta(minutes=1)).isoformat().replace("+00:00", "Z"),
        "last_message_at": at,
        "last_incoming_at": at,
        "last_interaction_at": at,
        "last_channel": "whatsapp",
        "last_message_preview": "Hello?",
        "labels": ["new", "vip"],
        "fields": {"order": 17, "paid": True},
    }
    assert found["email_rating"] == 3.0
    # An edit shows it as well, and so does its repeat after more has happened.
    headers = {"Idempotency-Key": "edit-1"}
    edited = await tenant.owner.patch(f"/v1/contacts/{contact['id']}", json={"first_name": "Tia"}, headers=headers)
    assert edited.json()["conversation"] == found["conversation"]
    closed = await send(tenant.owner, item("c-8", "talker", "conversation.closed", 9))
    assert (await shown(tenant.owner, contact, closed))["conversation"]["status"] == "closed"
    again = await tenant.owner.patch(f"/v1/contacts/{contact['id']}", json={"first_name": "Tia"}, headers=headers)
    assert again.content == edited.content
    then = await shown(tenant.owner, contact, closed, as_of=answer.headers["Rollbook-Position"])
    assert then["conversation"] == found["conversation"]


async def test_lists_are_sorted_by_what_activity_says_and_those_without_come_last(api: Api) -> None:
    owner = (await api.tenant()).owner
    for n in range(6):
        created = await owner.post("/v1/contacts", json={"external_id": f"s-{n}", "first_name": "Sort"})
        assert created.status_code == 201
    items = []
    for n, minute in ((0, 30), (1, 10), (2, 20), (3, 20)):
        items.append(item(f"i-{n}", f"s-{n}", "message.read", minute, channel="email"))
        items += [item(f"s-{n}-{m}", f"s-{n}", "message.sent", 0, channel="email") for m in range(1 + n)]
    answer = await send(owner, *items)
    headers = {"Rollbook-Min-Position": answer.headers["Rollbook-Position"]}

    async def listed(sort: str, **query: Any) -> list[str]:
        found: list[str] = []
        cursor: str | None = None
        while True:
            parameters = {"sort": sort, "limit": 2, **query, **({"cursor": cursor} if cursor else {})}
            page = await owner.get("/v1/contacts", params=parameters, headers=headers)
            assert page.status_code == 200, page.text
            found += [each["external_id"] for each in page.json()["items"]]
            cursor = page.json()["next_cursor"]
            if cursor is None:
                return found

    for query in ({}, {"q": "sort"}):
        assert await listed("last_interaction_at", **query) == ["s-1", "s-2", "s-3", "s-0", "s-4", "s-5"]
        assert await listed("-last_interaction_at", **query) == ["s-0", "s-3", "s-2", "s-1", "s-5", "s-4"]
        assert await listed("-email_rating", **query) == ["s-0", "s-1", "s-2", "s-3", "s-5", "s-4"]
        assert await listed("email_rating", **query) == ["s-3", "s-2", "s-1", "s-0", "s-4", "s-5"]
    page = await owner.get("/v1/contacts", params={"fields": "external_id,email_rating", "sort": "-email_rating"})
    assert page.json()["items"][:2] == [
        {"external_id": "s-0", "email_rating": 3.0}, {"external_id": "s-1", "email_rating": 1.5},
    ]  # fmt: skip


async def test_a_merged_profile_shows_what_all_its_contacts_did(tenant: Tenant) -> None:
    anna = await tenant.contact(external_id="both-a")
    ben = await tenant.contact(external_id="both-b")
    await send(
        tenant.owner,
        item("b-1", "both-a", "conversation.message_in", 1, preview="first"),
        item("b-2", "both-b", "conversation.message_out", 2, preview="second"),
    )
    merged = await tenant.owner.post("/v1/merges", json={"primary": anna["id"], "others": [ben["id"]]})
    assert merged.status_code == 201, merged.text
    found = await shown(tenant.owner, ben, merged)
    assert found["id"] == anna["id"]
    assert found["conversation"]["last_message_preview"] == "second"
    apart = await tenant.owner.post(f"/v1/merges/{merged.json()['id']}/unmerge", json={})
    assert apart.status_code == 200, apart.text
    assert (await shown(tenant.owner, anna, apart))["conversation"]["last_message_preview"] == "first"
    assert (await shown(tenant.owner, ben, apart))["conversation"]["last_message_preview"] == "second"


async def test_a_merge_preview_shows_the_conversation_and_rating_that_the_merge_brings(tenant: Tenant) -> None:
    one, two = [await tenant.contact(external_id=f"preview-{name}") for name in ("one", "two")]
    answer = await send(
        tenant.owner,
        item("p-1", "preview-one", "conversation.opened", 1),
        item("p-2", "preview-two", "message.sent", 1, channel="email"),
        item("p-3", "preview-two", "message.read", 2, channel="email"),
        item("p-4", "preview-two", "conversation.message_in", 3, preview="Hello?", channel="whatsapp"),
    )
    await shown(tenant.owner, two, answer)
    body = {"primary": one["id"], "others": [two["id"]]}
    preview = (await tenant.owner.post("/v1/merges/preview", json=body)).json()
    assert preview["primary"]["conversation"]["last_message_preview"] is None
    assert preview["others"][0]["conversation"]["last_message_preview"] == "Hello?"
    found = await shown(tenant.owner, one, await tenant.owner.post("/v1/merges", json=body))
    assert (found["conversation"]["status"], found["email_rating"]) == ("open", 3.0)
    assert [preview["outcome"][field] for field in ("conversation", "email_rating")] == [
        found["conversation"],
        found["email_rating"],
    ]


@pytest.mark.parametrize("mode", ["subtree", "single"])
async def test_an_unmerge_preview_shows_the_conversations_and_ratings_that_everybody_gets_back(
    tenant: Tenant, mode: str
) -> None:
    names = [f"{mode}-{name}" for name in ("one", "two", "three", "silent")]
    one, two, three, silent = [await tenant.contact(external_id=name) for name in names]
    await send(
        tenant.owner,
        item(f"{mode}-1", names[0], "conversation.opened", 1),
        item(f"{mode}-2", names[1], "message.sent", 1, channel="email"),
        item(f"{mode}-3", names[1], "message.read", 2, channel="email"),
        item(f"{mode}-4", names[2], "conversation.message_in", 3, preview="Hello?", channel="whatsapp"),
    )
    for primary, other in ((one, silent), (two, three), (one, two)):
        body = {"primary": primary["id"], "others": [other["id"]]}
        merged = await tenant.owner.post("/v1/merges", json=body)
        assert merged.status_code == 201, merged.text
    since = await send(tenant.owner, item(f"{mode}-5", names[2], "conversation.message_in", 4, preview="Well?"))
    now = await shown(tenant.owner, one, since)
    url = f"/v1/merges/{merged.json()['id']}/unmerge"
    preview = (await tenant.owner.post(f"{url}/preview", json={"mode": mode})).json()
    apart = await tenant.owner.post(url, json={"mode": mode})
    assert apart.status_code == 200, apart.text

    def said(contact: dict[str, Any]) -> tuple[str, Any, Any]:
        return contact["id"], contact["conversation"], contact["email_rating"]

    assert said(preview["now"]) == said(now)
    assert said(preview["remaining"]) == said(await shown(tenant.owner, one, apart))
    assert [said(each) for each in preview["leaving"]] == [said(await shown(tenant.owner, two, apart))]
    assert now["conversation"]["last_message_preview"] == "Well?"
    assert preview["leaving"][0]["email_rating"] == 3.0
