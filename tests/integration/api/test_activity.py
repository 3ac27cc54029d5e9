"""Activity over HTTP: batches in, timelines out, also of contacts that merge and come apart (seed 002)."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

import httpx2
import pytest
from prometheus_client import REGISTRY

from contacts.activity.kinds import CATEGORIES, category_of
from tests.integration.api.conftest import Api, Tenant
from tests.unit.activity.examples import LEAST

NOON: Final = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=40)


def item(id_: str, contact: dict[str, Any], *, type_: str = "message.clicked", **fields: Any) -> dict[str, Any]:
    return {
        "id": id_, "source": "mailer", "type": type_, "time": NOON.isoformat(), "contact": contact,
        "data": LEAST[type_], **fields,
    }  # fmt: skip


async def send(client: httpx2.AsyncClient, *items: dict[str, Any], **headers: str) -> httpx2.Response:
    answer = await client.post("/v1/activity", json={"items": list(items)}, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer


async def timeline(client: httpx2.AsyncClient, contact_id: str, after: httpx2.Response, **query: Any) -> dict[str, Any]:
    headers = {"Rollbook-Min-Position": after.headers["Rollbook-Position"]}
    answer = await client.get(f"/v1/contacts/{contact_id}/activity", params=query, headers=headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def ids(page: dict[str, Any]) -> list[str]:
    return [each["id"] for each in page["items"]]


def at(minute: int) -> str:
    return (NOON + timedelta(minutes=minute)).isoformat()


# -- batches ----------------------------------------------------------------------------------------------------------


async def test_every_item_has_a_result_of_its_own_and_the_counts_add_up(tenant: Tenant) -> None:
    contact = await tenant.contact(external_id="mixed", email="mixed@example.com")
    blocked = await tenant.contact(external_id="blocked")
    done = await tenant.owner.post(f"/v1/contacts/{blocked['id']}/block")
    # Whoever is meant by an e-mail is looked up in the read model.
    position = {"Rollbook-Min-Position": done.headers["Rollbook-Position"]}
    await tenant.owner.get(f"/v1/contacts/{contact['id']}", headers=position)
    answer = await send(
        tenant.owner,
        item("m-1", {"external_id": "mixed"}),
        item("m-2", {"external_id": "nobody"}),
        item("m-1", {"external_id": "mixed"}),
        item("m-3", {"external_id": "blocked"}),
        item("m-4", {"email": "mixed@example.com"}, data={"channel": "email", "urll": "x"}),
        item("m-5", {"id": str(uuid4())}),
        item("m-1", {"external_id": "mixed"}, time=at(1)),
        item("m-6", {"email": "Mixed@example.com"}),
    )
    body = answer.json()
    assert [each["outcome"] for each in body["items"]] == [
        "recorded", "refused", "duplicate", "dropped", "refused", "refused", "refused", "recorded",
    ]  # fmt: skip
    assert body["counts"] == {"recorded": 2, "duplicate": 1, "dropped": 1, "refused": 4}
    assert [each["contact_id"] for each in body["items"] if each["outcome"] == "recorded"] == [contact["id"]] * 2
    problems = [each["problem"] for each in body["items"] if each["outcome"] == "refused"]
    assert [problem["type"].rpartition(":")[2] for problem in problems] == [
        "not-found", "invalid-value", "not-found", "already-exists",
    ]  # fmt: skip
    assert problems[1]["errors"][0]["pointer"] == "/items/4/data/urll"
    assert ids(await timeline(tenant.owner, contact["id"], answer)) == ["m-6", "m-1"]


@pytest.mark.parametrize("type_", LEAST)
async def test_every_type_is_taken_with_the_least_it_needs_and_shown_as_it_was_sent(tenant: Tenant, type_: str) -> None:
    contact = await tenant.contact()
    data = {**LEAST[type_], "properties": {"n": 1, "x": 1.5, "deep": {"list": ["é", None, True]}}}
    answer = await send(tenant.owner, item(f"least-{type_}", {"id": contact["id"]}, type_=type_, data=data))
    (shown,) = (await timeline(tenant.owner, contact["id"], answer))["items"]
    recorded_at = shown.pop("recorded_at")
    assert shown == {
        "id": f"least-{type_}",
        "source": "mailer",
        "type": type_,
        "category": category_of(type_),
        "time": NOON.isoformat().replace("+00:00", "Z"),
        "contact_id": contact["id"],
        "addressed_to": contact["id"],
        "addressed_as": {"by": "id", "value": contact["id"], "channel": None, "application": None},
        "data": data,
    }
    assert recorded_at > shown["time"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/items"),
        ({"items": []}, "/items"),
        ({"items": [item("a", {"external_id": "x"})] * 1_001}, "/items"),
        ({"items": [{**item("a", {}), "id": 1}]}, "/items/0/id"),
        ({"items": [{**item("a", {}), "time": "noon"}]}, "/items/0/time"),
        ({"items": [{**item("a", {}), "kind": "x"}]}, "/items/0/kind"),
        ({"items": [item("a", {"id": "x"})]}, "/items/0/contact/id"),
        ({"items": [item("a", {"fax": "x"})]}, "/items/0/contact/fax"),
        ({"items": [item("a", {"external_id": "x"}, data=[])]}, "/items/0/data"),
        ({"items": [item("a", {"external_id": "x\0"})]}, "/items/0/contact/external_id"),
    ],
)
async def test_a_batch_that_cannot_be_read_is_refused_as_a_whole(tenant: Tenant, body: Any, pointer: str) -> None:
    answer = await tenant.owner.post("/v1/activity", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, pointer)


async def test_a_repeat_with_the_same_idempotency_key_gets_the_same_answer(tenant: Tenant) -> None:
    contact = await tenant.contact()
    items = [item("key-1", {"id": contact["id"]}), item("key-2", {"external_id": "nobody"})]
    headers = {"Idempotency-Key": str(uuid4())}
    answers = await asyncio.gather(*(send(tenant.owner, *items, **headers) for _ in range(5)))
    assert len({(a.text, a.headers["Rollbook-Position"]) for a in answers}) == 1
    first = answers[0]
    await tenant.contact(external_id="nobody")
    again = await send(tenant.owner, *items, **headers)
    assert (again.text, again.headers["Rollbook-Position"]) == (first.text, first.headers["Rollbook-Position"])
    assert first.json()["counts"]["refused"] == 1
    without = await send(tenant.owner, *items)
    assert without.json()["counts"] == {"recorded": 1, "duplicate": 1, "dropped": 0, "refused": 0}
    other = await tenant.owner.post("/v1/activity", json={"items": items[:1]}, headers=headers)
    assert (other.status_code, other.json()["type"]) == (422, "urn:rollbook:problem:idempotency-key-reused")


async def test_one_batch_sent_by_several_at_once_has_one_effect(tenant: Tenant) -> None:
    contact = await tenant.contact()
    items = [item(f"many-{n}", {"id": contact["id"]}, time=at(n)) for n in range(50)]
    answers = await asyncio.gather(*(send(tenant.owner, *items) for _ in range(4)))
    assert sum(answer.json()["counts"]["recorded"] for answer in answers) == 50
    for answer in answers:
        page = await timeline(tenant.owner, contact["id"], answer, limit=1_000)
        assert ids(page) == [f"many-{n}" for n in reversed(range(50))]


async def test_what_became_of_items_is_counted(tenant: Tenant) -> None:
    def counted(outcome: str) -> float:
        return REGISTRY.get_sample_value("rollbook_activity_total", {"outcome": outcome}) or 0.0

    before = {outcome: counted(outcome) for outcome in ("recorded", "dropped")}
    contact = await tenant.contact()
    await send(tenant.owner, item("counted-1", {"id": contact["id"]}))
    await tenant.owner.post(f"/v1/contacts/{contact['id']}/block")
    await send(tenant.owner, *(item(f"counted-{n}", {"id": contact["id"]}) for n in (2, 3)))
    assert {outcome: counted(outcome) - before[outcome] for outcome in before} == {"recorded": 1, "dropped": 2}


# -- timelines --------------------------------------------------------------------------------------------------------


async def test_a_timeline_is_filtered_by_category_and_period(tenant: Tenant) -> None:
    contact = await tenant.contact()
    types = ("message.clicked", "web.page_viewed", "order.placed", "conversation.message_in", "location.updated")
    items = [
        item(f"{day}-{type_}", {"id": contact["id"]}, type_=type_, time=(NOON - timedelta(days=day)).isoformat())
        for day in range(30)
        for type_ in types
    ]
    random.Random(3).shuffle(items)
    answer = await send(tenant.owner, *items)

    async def shown(**query: Any) -> dict[str, Any]:
        return await timeline(tenant.owner, contact["id"], answer, limit=1_000, **query)

    everything = await shown()
    assert (len(everything["items"]), everything["total"]) == (150, {"count": 150, "exact": True})
    times = [each["time"] for each in everything["items"]]
    assert times == sorted(times, reverse=True)
    by_category = {category: ids(await shown(category=category)) for category in CATEGORIES}
    assert {category: len(found) for category, found in by_category.items()} == {
        "campaigns": 30, "events": 60, "orders": 30, "conversations": 30,
    }  # fmt: skip
    since, until = (NOON - timedelta(days=20)).isoformat(), (NOON - timedelta(days=5)).isoformat()
    period = await shown(category="campaigns", since=since, until=until)
    assert ids(period) == [f"{day}-message.clicked" for day in range(6, 21)]
    assert period["total"]["count"] == 15
    assert len(ids(await shown(category="campaigns", since=since))) == 21
    assert len(ids(await shown(category="campaigns", until=until))) == 24
    assert ids(await shown(category="campaigns", since=until, until=since)) == []
    assert ids(await shown(category="orders", since=since, until=until)) == by_category["orders"]


@pytest.mark.parametrize("limit", [1, 7, 50])
async def test_pages_show_everything_once_whatever_arrives_meanwhile(api: Api, limit: int) -> None:
    tenant = await api.tenant()
    contact = await tenant.contact()
    chance = random.Random(limit)
    moments = [NOON - timedelta(days=chance.randrange(400), minutes=chance.randrange(3)) for _ in range(60)]
    items = [
        item(f"p-{n}", {"id": contact["id"]}, type_=chance.choice(list(LEAST)), time=moment.isoformat())
        for n, moment in enumerate(moments)
    ]
    answer = await send(tenant.owner, *items)
    expected = [each["id"] for each in sorted(items, key=lambda each: (each["time"], each["id"]), reverse=True)]

    found: list[str] = []
    cursor: str | None = None
    late = 0
    while True:
        query = {"limit": limit} | ({"cursor": cursor} if cursor else {})
        page = await timeline(tenant.owner, contact["id"], answer, **query)
        found += ids(page)
        assert page["total"]["count"] == 60 + late
        cursor = page["next_cursor"]
        if cursor is None:
            break
        if late < 3:
            # Newer than all that was shown: it moves nothing of what is still to come.
            late += 1
            newest = (NOON + timedelta(hours=late)).isoformat()
            answer = await send(tenant.owner, item(f"late-{late}", {"id": contact["id"]}, time=newest))
    assert found == expected


async def test_a_cursor_belongs_to_its_timeline(tenant: Tenant) -> None:
    contact, other = await tenant.contact(), await tenant.contact()
    answer = await send(tenant.owner, *(item(f"cur-{n}", {"id": contact["id"]}) for n in range(3)))
    cursor = (await timeline(tenant.owner, contact["id"], answer, limit=1))["next_cursor"]
    for contact_id, query in (
        (other["id"], {"cursor": cursor}),
        (contact["id"], {"cursor": cursor, "category": "orders"}),
        (contact["id"], {"cursor": cursor, "since": at(0)}),
        (contact["id"], {"cursor": cursor[:-4]}),
        (contact["id"], {"cursor": "x"}),
    ):
        refused = await tenant.owner.get(f"/v1/contacts/{contact_id}/activity", params=query)
        assert (refused.status_code, refused.json()["errors"][0]["parameter"]) == (400, "cursor"), query


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"category": "campaign"}, "category"),
        ({"since": "yesterday"}, "since"),
        ({"until": "2026-03-01T12:00:00"}, "until"),
        ({"since": "0001-01-01T00:00:00+14:00"}, "since"),
        ({"limit": 0}, "limit"),
        ({"limit": 1_001}, "limit"),
        ({"sort": "time"}, "sort"),
        ({"min_position": "0.999999999"}, "min_position"),
    ],
)
async def test_a_query_that_makes_no_sense_is_refused(tenant: Tenant, query: dict[str, Any], parameter: str) -> None:
    contact = await tenant.contact()
    refused = await tenant.owner.get(f"/v1/contacts/{contact['id']}/activity", params=query)
    assert (refused.status_code, refused.json()["errors"][0]["parameter"]) == (400, parameter)


async def test_the_earliest_and_latest_instants_are_periods_as_well(tenant: Tenant) -> None:
    contact = await tenant.contact()
    answer = await send(tenant.owner, item("ends", {"id": contact["id"]}))
    query = {"since": "0001-01-01T00:00:00Z", "until": "9999-12-31T23:59:59.999999Z"}
    assert ids(await timeline(tenant.owner, contact["id"], answer, **query)) == ["ends"]


async def test_a_deleted_contact_has_its_timeline_and_an_erased_one_has_none(tenant: Tenant) -> None:
    contact = await tenant.contact(external_id="leaving")
    await send(tenant.owner, item("leave-1", {"id": contact["id"]}))
    await tenant.owner.delete(f"/v1/contacts/{contact['id']}", params={"reason": "asked"})
    answer = await send(
        tenant.owner, item("leave-2", {"id": contact["id"]}), item("leave-3", {"external_id": "leaving"})
    )
    assert [each["outcome"] for each in answer.json()["items"]] == ["recorded", "refused"]
    assert ids(await timeline(tenant.owner, contact["id"], answer)) == ["leave-2", "leave-1"]
    erased = await tenant.owner.post(
        f"/v1/contacts/{contact['id']}/erase", json={"confirm": True, "reason": "person_asked"}
    )
    assert erased.status_code < 300, erased.text
    gone = await tenant.owner.get(f"/v1/contacts/{contact['id']}/activity")
    assert (gone.status_code, gone.json()["type"]) == (410, "urn:rollbook:problem:contact-erased")
    late = await send(tenant.owner, item("leave-4", {"id": contact["id"]}), item("leave-1", {"id": contact["id"]}))
    assert [each["outcome"] for each in late.json()["items"]] == ["refused", "duplicate"]
    assert late.json()["items"][0]["problem"]["status"] == 410


# -- merged -----------------------------------------------------------------------------------------------------------


async def test_merged_contacts_have_one_timeline_and_each_its_own_again_after_the_unmerge(tenant: Tenant) -> None:
    owner = tenant.owner
    primary = await tenant.contact(first_name="Anna", external_id="seed-a", email="anna@seed.example")
    secondary = await tenant.contact(first_name="Ann", external_id="seed-b", phone="+4930901820")
    await send(
        owner,
        item("a-before", {"external_id": "seed-a"}, time=at(1)),
        item("b-before", {"external_id": "seed-b"}, time=at(2), type_="conversation.message_in"),
    )
    merge = await owner.post("/v1/merges", json={"primary": primary["id"], "others": [secondary["id"]]})
    assert merge.status_code == 201, merge.text
    during = await send(
        owner,
        item("b-during", {"phone": "+49 30 901820"}, time=at(3)),
        # It happened before the merge and is told after it: what came after the merge stays with the primary.
        item("b-late", {"external_id": "seed-b"}, time=at(0), type_="order.placed"),
    )
    assert {each["contact_id"] for each in during.json()["items"]} == {primary["id"]}

    for asked in (primary["id"], secondary["id"]):
        page = await timeline(owner, asked, during)
        assert ids(page) == ["b-during", "b-before", "a-before", "b-late"]
        assert page["total"]["count"] == 4
    headers = (await owner.get(f"/v1/contacts/{secondary['id']}/activity")).headers
    assert headers["Content-Location"] == f"/v1/contacts/{primary['id']}/activity"
    assert page["items"][0]["addressed_to"] == secondary["id"]
    assert page["items"][0]["addressed_as"]["value"] == "+4930901820"
    paged = await timeline(owner, secondary["id"], during, limit=2)
    rest = await timeline(owner, primary["id"], during, limit=2, cursor=paged["next_cursor"])
    assert ids(paged) + ids(rest) == ["b-during", "b-before", "a-before", "b-late"]

    unmerged = await owner.post(f"/v1/merges/{merge.json()['id']}/unmerge", json={})
    assert unmerged.status_code == 200, unmerged.text
    after = await send(owner, item("b-after", {"phone": "+4930901820"}, time=at(5)))
    assert ids(await timeline(owner, primary["id"], after)) == ["b-during", "a-before", "b-late"]
    assert ids(await timeline(owner, secondary["id"], after)) == ["b-after", "b-before"]


# -- walls ------------------------------------------------------------------------------------------------------------


async def test_workspaces_neither_see_nor_reach_one_another(api: Api) -> None:
    ours, theirs = await api.tenant(), await api.tenant()
    contact = await theirs.contact(external_id="x", email="x@example.com")
    answer = await send(theirs.owner, item("same", {"id": contact["id"]}))
    assert ids(await timeline(theirs.owner, contact["id"], answer)) == ["same"]

    absent = str(uuid4())
    reads = [await ours.owner.get(f"/v1/contacts/{id_}/activity") for id_ in (contact["id"], absent)]
    assert [read.status_code for read in reads] == [404, 404]
    assert reads[0].text.replace(contact["id"], "") == reads[1].text.replace(absent, "")
    for reference in ({"id": contact["id"]}, {"external_id": "x"}, {"email": "x@example.com"}):
        result = (await send(ours.owner, item("ours", reference))).json()["items"][0]
        assert (result["outcome"], result["problem"]["status"]) == ("refused", 404)
    mine = await ours.contact(external_id="x")
    recorded = await send(ours.owner, item("same", {"external_id": "x"}))
    assert recorded.json()["items"][0] == {"outcome": "recorded", "contact_id": mine["id"], "problem": None}


async def test_who_may_send_and_who_may_read(tenant: Tenant) -> None:
    contact = await tenant.contact()
    body = {"items": [item("roles", {"id": contact["id"]})]}
    for role, scopes, sends, reads in (
        ("agent", (), 200, 200),
        ("auditor", (), 403, 200),
        ("service", ("activity.write",), 200, 403),
        ("service", ("contacts.read",), 403, 200),
    ):
        client = tenant.client(await tenant.key(role, *scopes))
        assert (await client.post("/v1/activity", json=body)).status_code == sends, (role, scopes)
        assert (await client.get(f"/v1/contacts/{contact['id']}/activity")).status_code == reads, (role, scopes)
