"""Lists and segments over HTTP: who is in them now and then, by which definition, who moved and why."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx2
from uuid_utils.compat import uuid7

from contacts.segment.filler import SegmentFiller
from contacts.segment.projection import SegmentProjection
from eventstore.connection import connector
from eventstore.rebuild import Rebuild
from tests.integration.api.conftest import Api, Tenant
from tests.support.waiting import until

GERMANS = {"field": "country", "op": "eq", "value": "DE"}


async def ok(answer: httpx2.Response, status: int = 200) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


def after(answer: httpx2.Response) -> dict[str, str]:
    return {"Rollbook-Min-Position": answer.headers["Rollbook-Position"]}


async def segment(tenant: Tenant, filter_: Any, name: str = "S") -> tuple[str, httpx2.Response]:
    answer = await tenant.owner.post("/v1/segments", json={"name": name, "filter": filter_})
    return (await ok(answer, 201))["id"], answer


async def members(tenant: Tenant, path: str, seen: httpx2.Response | None = None, **query: Any) -> list[str]:
    headers = after(seen) if seen is not None else {}
    found = await ok(await tenant.owner.get(f"{path}/members", params=query, headers=headers))
    return [item["id"] for item in found["items"]]


async def clicked(
    tenant: Tenant, contact: str, ago: timedelta = timedelta(), id_: str | None = None
) -> httpx2.Response:
    item = {
        "id": id_ or str(uuid4()), "source": "test", "type": "message.clicked", "contact": {"id": contact},
        "time": (datetime.now(UTC) - ago).isoformat(), "data": {"channel": "email"},
    }  # fmt: skip
    answer = await tenant.owner.post("/v1/activity", json={"items": [item]})
    assert answer.status_code == 200, answer.text
    return answer


# -- lists ------------------------------------------------------------------------------------------------------------


async def test_a_list_is_made_renamed_archived_and_restored(api: Api) -> None:
    tenant = await api.tenant()
    created = await tenant.owner.post("/v1/lists", json={"name": "Fair"})
    list_ = await ok(created, 201)
    assert (list_["name"], list_["members"], list_["archived_at"]) == ("Fair", 0, None)
    path = f"/v1/lists/{list_['id']}"
    renamed = await tenant.owner.patch(
        path, json={"name": "Summer fair"}, headers={"If-Match": created.headers["ETag"]}
    )
    assert (await ok(renamed))["name"] == "Summer fair"
    assert (await tenant.owner.patch(path, json={"name": "x"}, headers={"If-Match": '"1"'})).status_code == 412
    archived = await tenant.owner.delete(path)
    assert (await ok(archived))["archived_at"] is not None
    present = await ok(await tenant.owner.get("/v1/lists", headers=after(archived)))
    assert present["items"] == []
    gone = await ok(await tenant.owner.get("/v1/lists", params={"archived": "true"}))
    assert [item["name"] for item in gone["items"]] == ["Summer fair"]
    contact = await tenant.contact()
    refused = await tenant.owner.post(f"/v1/contacts/{contact['id']}/lists/{list_['id']}")
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:rollbook:problem:archived")
    await ok(await tenant.owner.post(f"{path}/restore"))
    await ok(await tenant.owner.post(f"/v1/contacts/{contact['id']}/lists/{list_['id']}"))
    assert (await tenant.owner.post(f"/v1/contacts/{contact['id']}/lists/{uuid7()}")).status_code == 404


async def test_members_come_and_go_by_the_hundred_and_the_counts_add_up(api: Api) -> None:
    tenant = await api.tenant()
    list_id = (await ok(await tenant.owner.post("/v1/lists", json={"name": "Many"}), 201))["id"]
    path = f"/v1/lists/{list_id}"
    contacts = [
        (await tenant.owner.post("/v1/contacts", json={"email": f"m{n}@example.com"})).json() for n in range(60)
    ]
    ids = [contact["id"] for contact in contacts]
    await tenant.owner.delete(f"/v1/contacts/{ids[0]}", params={"reason": "asked"})
    nobody = str(uuid7())
    body = {"contacts": [*ids, ids[1], nobody]}
    key = {"Idempotency-Key": "add-them"}
    added = await tenant.owner.post(f"{path}/members", json=body, headers=key)
    report = await ok(added)
    assert (report["changed"], report["unchanged"], report["refused"]) == (59, 0, 2)
    refusals = {each["contact_id"]: each["type"] for each in report["refusals"]}
    assert refusals == {ids[0]: "urn:rollbook:problem:contact-deleted", nobody: "urn:rollbook:problem:not-found"}
    again = await tenant.owner.post(f"{path}/members", json=body, headers=key)
    assert (await ok(again)) == report
    assert (await tenant.owner.post(f"{path}/members", json={"contacts": ids[:2]}, headers=key)).status_code == 422
    pages: list[str] = []
    cursor = None
    while True:
        query = {"limit": 25, **({"cursor": cursor} if cursor else {})}
        page = await ok(await tenant.owner.get(f"{path}/members", params=query, headers=after(added)))
        assert page["total"] == {"count": 59, "exact": True}
        pages += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert pages == sorted(ids[1:])
    removed = await tenant.owner.request("DELETE", f"{path}/members", json={"contacts": ids[:10]})
    assert [(await ok(removed))[name] for name in ("changed", "unchanged", "refused")] == [9, 0, 1]
    assert len(await members(tenant, path, removed, limit=100)) == 50
    assert len(await members(tenant, path, limit=100, as_of=added.headers["Rollbook-Position"])) == 59
    listed = await ok(await tenant.owner.get("/v1/lists", headers=after(removed)))
    assert [item["members"] for item in listed["items"]] == [50]


async def test_a_merged_profile_is_on_the_lists_of_all_it_is_made_of(api: Api) -> None:
    tenant = await api.tenant()
    list_id = (await ok(await tenant.owner.post("/v1/lists", json={"name": "L"}), 201))["id"]
    one, other = await tenant.contact(), await tenant.contact()
    await ok(await tenant.owner.post(f"/v1/contacts/{other['id']}/lists/{list_id}"))
    merged = await tenant.owner.post("/v1/merges", json={"primary": one["id"], "others": [other["id"]]})
    merge = await ok(merged, 201)
    assert await members(tenant, f"/v1/lists/{list_id}", merged) == [one["id"]]
    unmerged = await tenant.owner.post(f"/v1/merges/{merge['id']}/unmerge", json={})
    await ok(unmerged)
    assert await members(tenant, f"/v1/lists/{list_id}", unmerged) == [other["id"]]


# -- segments ---------------------------------------------------------------------------------------------------------


async def test_a_segment_follows_its_contacts_and_its_definition(api: Api) -> None:
    tenant = await api.tenant()
    german, austrian = (
        await tenant.contact(email="g@example.com", country="DE"),
        await tenant.contact(country="AT", email="a@example.com"),
    )
    segment_id, created = await segment(tenant, GERMANS, "Germans")
    path = f"/v1/segments/{segment_id}"
    assert await members(tenant, path, created) == [german["id"]]
    moved = await tenant.owner.patch(f"/v1/contacts/{austrian['id']}", json={"country": "DE"})
    assert await members(tenant, path, moved) == sorted([german["id"], austrian["id"]])
    counted = await ok(await tenant.owner.get(f"{path}/members/count", headers=after(moved)))
    assert counted == {"count": 2}
    redefined = await tenant.owner.patch(path, json={"filter": {"not": GERMANS}})
    await ok(redefined)
    assert await members(tenant, path, redefined) == []
    then = created.headers["Rollbook-Position"]
    assert await members(tenant, path, as_of=then) == [german["id"]]
    assert await members(tenant, path, as_of=then, definition="now") == [austrian["id"]]
    tried = await tenant.owner.post(f"{path}/members", params={"as_of": then}, json={"filter": {"all": []}})
    assert len((await ok(tried))["items"]) == 2
    was = await ok(await tenant.owner.get(path, params={"as_of": then}))
    assert was["filter"] == GERMANS
    archived = await tenant.owner.delete(path)
    await ok(archived)
    assert await members(tenant, path, archived) == []
    refused = await tenant.owner.patch(path, json={"filter": GERMANS})
    assert refused.json()["type"] == "urn:rollbook:problem:archived"
    restored = await tenant.owner.post(f"{path}/restore")
    await tenant.owner.patch(path, json={"filter": GERMANS})
    listed = await ok(await tenant.owner.get("/v1/segments", headers=after(restored)))
    assert [item["name"] for item in listed["items"]] == ["Germans"]


async def test_what_moved_between_two_moments_is_told_with_its_cause(api: Api) -> None:
    tenant = await api.tenant()
    stays, comes, goes = [
        await tenant.contact(email=f"d{n}@example.com", country=country) for n, country in enumerate(("DE", "AT", "DE"))
    ]
    segment_id, created = await segment(tenant, GERMANS)
    await tenant.owner.patch(f"/v1/contacts/{stays['id']}", json={"country": "AT"})
    await tenant.owner.patch(f"/v1/contacts/{stays['id']}", json={"country": "DE"})
    await tenant.owner.patch(f"/v1/contacts/{comes['id']}", json={"country": "DE"})
    deleted = await tenant.owner.delete(f"/v1/contacts/{goes['id']}", params={"reason": "asked"})
    diff = await ok(
        await tenant.owner.get(
            f"/v1/segments/{segment_id}/diff", params={"from": created.headers["Rollbook-Position"]},
            headers=after(deleted),
        )
    )  # fmt: skip
    assert (diff["entered"], diff["left"]) == (1, 1)
    found = {(item["contact_id"], item["change"], item["cause"]["type"]) for item in diff["items"]}
    assert found == {(comes["id"], "entered", "contact.details_changed"), (goes["id"], "left", "contact.deleted")}
    assert all(item["cause"]["event_id"] for item in diff["items"])


async def test_a_window_that_passes_takes_its_contacts_out_within_seconds(api: Api) -> None:
    tenant = await api.tenant()
    contact = await tenant.contact()
    segment_id, _ = await segment(tenant, {"activity": "message.clicked", "within": "1min"})
    path = f"/v1/segments/{segment_id}"
    seen = await clicked(tenant, contact["id"], timedelta(seconds=57))
    assert await members(tenant, path, seen) == [contact["id"]]
    began = datetime.now(UTC)

    async def left() -> bool:
        return not await members(tenant, path)

    await until(left, timeout_s=15)
    assert datetime.now(UTC) - began < timedelta(seconds=9)
    diff = await ok(
        await tenant.owner.get(f"/v1/segments/{segment_id}/diff", params={"from": seen.headers["Rollbook-Position"]})
    )
    [item] = diff["items"]
    assert (item["change"], item["cause"]) == ("left", {"type": "clock", "event_id": None})


async def test_an_explanation_names_the_events_and_when_time_will_change_it(api: Api) -> None:
    tenant = await api.tenant()
    contact = await tenant.contact(email="why@example.com", country="AT")
    moved = await tenant.owner.patch(f"/v1/contacts/{contact['id']}", json={"country": "DE"})
    inner, _ = await segment(tenant, GERMANS, "Germans")
    segment_id, _ = await segment(
        tenant, {"all": [{"segment": inner}, {"activity": "message.clicked", "within": "30d"}]}, "Clicking Germans"
    )
    path = f"/v1/segments/{segment_id}/explain/{contact['id']}"
    before = await ok(await tenant.owner.get(path, headers=after(moved)))
    assert (before["member"], before["truth"]["items"][1]["value"]) == (False, 0)
    seen = await clicked(tenant, contact["id"])
    found = await ok(await tenant.owner.get(path, headers=after(seen)))
    assert found["member"]
    german, click = found["truth"]["items"]
    assert german["items"][0]["filter"] == GERMANS
    assert german["items"][0]["value"] == "DE"
    [reason] = german["items"][0]["because"]
    assert (reason["type"], reason["position"]) == ("contact.details_changed", moved.headers["Rollbook-Position"])
    assert click["because"][0]["kind"] == "message.clicked"
    assert timedelta(days=29) < datetime.fromisoformat(found["until"]) - datetime.now(UTC) < timedelta(days=31)
    was = await ok(await tenant.owner.get(path, params={"as_of": seen.headers["Rollbook-Position"]}))
    assert was["member"]
    asked = await tenant.owner.post(f"/v1/contacts/{contact['id']}/explain", json={"filter": {"not": GERMANS}})
    assert (await ok(asked))["member"] is False
    held = await ok(await tenant.owner.get(f"/v1/contacts/{contact['id']}/segments", headers=after(seen)))
    assert [each["name"] for each in held["items"]] == ["Clicking Germans", "Germans"]


async def test_an_absorbed_contact_is_explained_by_the_one_that_stands_for_it(api: Api) -> None:
    tenant = await api.tenant()
    one, other = await tenant.contact(email="o@example.com", country="DE"), await tenant.contact()
    segment_id, _ = await segment(tenant, GERMANS)
    merged = await tenant.owner.post("/v1/merges", json={"primary": one["id"], "others": [other["id"]]})
    found = await ok(await tenant.owner.get(f"/v1/segments/{segment_id}/explain/{other['id']}", headers=after(merged)))
    assert (found["contact_id"], found["member"]) == (one["id"], True)
    missing = await tenant.owner.get(f"/v1/segments/{segment_id}/explain/{uuid7()}")
    assert missing.status_code == 404


async def test_no_two_redefinitions_at_once_make_a_cycle(api: Api) -> None:
    tenant = await api.tenant()
    for _ in range(5):
        one, _ = await segment(tenant, GERMANS)
        other, _ = await segment(tenant, GERMANS)
        answers = await asyncio.gather(
            tenant.owner.patch(f"/v1/segments/{one}", json={"filter": {"segment": other}}),
            tenant.owner.patch(f"/v1/segments/{other}", json={"filter": {"segment": one}}),
        )
        assert sorted(answer.status_code for answer in answers) == [200, 422]
    refused = await tenant.owner.patch(f"/v1/segments/{one}", json={"filter": {"any": [{"segment": one}]}})
    assert refused.status_code == 422


async def test_bad_filters_are_refused_with_pointers_and_change_nothing(api: Api) -> None:
    tenant = await api.tenant()
    for filter_ in (
        {"field": "contry", "op": "eq", "value": "DE"},
        {"segment": str(uuid7())},
        {"list": str(uuid7())},
        {"all": 1},
        {},
    ):
        answer = await tenant.owner.post("/v1/segments", json={"name": "S", "filter": filter_})
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"][0]["pointer"].startswith("/filter")
    assert (await ok(await tenant.owner.get("/v1/segments")))["items"] == []


async def test_segments_are_rebuilt_while_they_are_served(api: Api, module_database: str) -> None:
    tenant = await api.tenant()
    contacts = [await tenant.contact(email=f"r{n}@example.com", country=("DE", "AT")[n % 2]) for n in range(6)]
    german, created = await segment(tenant, GERMANS)
    clicking, _ = await segment(tenant, {"any": [{"segment": german}, {"activity": "message.clicked", "within": "1h"}]})
    await clicked(tenant, contacts[1]["id"])
    moved = await tenant.owner.patch(f"/v1/contacts/{contacts[0]['id']}", json={"country": "AT"})
    before = [await members(tenant, f"/v1/segments/{each}", moved) for each in (german, clicking)]
    then = await members(tenant, f"/v1/segments/{german}", as_of=created.headers["Rollbook-Position"])
    rebuilt = await Rebuild(api.services.store, module_database, SegmentProjection()).run()
    assert rebuilt.parked == 0
    assert [await members(tenant, f"/v1/segments/{each}", moved) for each in (german, clicking)] == before
    assert await members(tenant, f"/v1/segments/{german}", as_of=created.headers["Rollbook-Position"]) == then
    assert then == sorted(contact["id"] for contact in contacts[::2])


async def test_an_erased_contact_leaves_and_nothing_is_kept_of_where_it_was(api: Api, module_database: str) -> None:
    tenant = await api.tenant()
    contact = await tenant.contact(email="erased@example.com", country="DE")
    segment_id, created = await segment(tenant, GERMANS)
    path = f"/v1/segments/{segment_id}"
    assert await members(tenant, path, created) == [contact["id"]]
    body = {"reason": "person_asked", "confirm": True}
    erased = await tenant.owner.post(f"/v1/contacts/{contact['id']}/erase", json=body)
    assert erased.status_code in (200, 201), erased.text
    assert await members(tenant, path, erased) == []
    assert await members(tenant, path, as_of=created.headers["Rollbook-Position"]) == []
    counted = await ok(await tenant.owner.get(f"{path}/members/count"))
    assert counted == {"count": 0}
    connection = await asyncpg.connect(module_database)
    rows = await connection.fetch(
        "SELECT entered, cause FROM rm_segment.change WHERE contact_id = $1 ORDER BY position", UUID(contact["id"])
    )
    kept = await connection.fetchval(
        "SELECT count(*) FROM rm_segment.membership WHERE contact_id = $1", UUID(contact["id"])
    )
    await connection.close()
    assert ([tuple(row) for row in rows][-1], kept) == ((False, "contact.erased"), 0)


async def test_contacts_are_listed_by_segment_and_by_list(api: Api) -> None:
    tenant = await api.tenant()
    contacts = [await tenant.contact(email=f"n{n}@example.com", country=("DE", "AT")[n % 2]) for n in range(5)]
    segment_id, _ = await segment(tenant, GERMANS)
    list_id = (await ok(await tenant.owner.post("/v1/lists", json={"name": "L"}), 201))["id"]
    joined = [await tenant.owner.post(f"/v1/contacts/{contact['id']}/lists/{list_id}") for contact in contacts[2:]]
    for query, expected in (
        ({"segment": segment_id}, contacts[::2]),
        ({"list": list_id}, contacts[2:]),
        ({"segment": segment_id, "list": list_id, "sort": "email"}, contacts[2::2]),
        ({"segment": segment_id, "q": "n2"}, [contacts[2]]),
    ):
        found = await ok(await tenant.owner.get("/v1/contacts", params=query, headers=after(joined[-1])))
        assert {item["id"] for item in found["items"]} == {contact["id"] for contact in expected}
        assert found["total"] == {"count": len(expected), "exact": True}
    then = {"list": list_id, "as_of": joined[0].headers["Rollbook-Position"]}
    before = await ok(await tenant.owner.get("/v1/contacts", params=then))
    assert [item["id"] for item in before["items"]] == [contacts[2]["id"]]
    refused = await tenant.owner.get("/v1/contacts", params={"segment": str(uuid7())})
    assert refused.status_code == 400


async def test_whoever_matches_a_filter_joins_a_list_at_once(api: Api) -> None:
    tenant = await api.tenant()
    contacts = [await tenant.contact(email=f"f{n}@example.com", country=("DE", "AT")[n % 2]) for n in range(5)]
    list_id = (await ok(await tenant.owner.post("/v1/lists", json={"name": "L"}), 201))["id"]
    path = f"/v1/lists/{list_id}/members"
    added = await tenant.owner.post(path, json={"filter": GERMANS})
    assert [(await ok(added))[name] for name in ("changed", "unchanged", "refused")] == [3, 0, 0]
    assert await members(tenant, f"/v1/lists/{list_id}", added) == sorted(contact["id"] for contact in contacts[::2])
    others = {"not": {"field": "email", "op": "eq", "value": "f0@example.com"}}
    removed = await tenant.owner.request("DELETE", path, json={"filter": others})
    assert [(await ok(removed))[name] for name in ("changed", "unchanged", "refused")] == [2, 2, 0]
    for body in ({}, {"filter": GERMANS, "contacts": [contacts[0]["id"]]}, {"contacts": []}):
        assert (await tenant.owner.post(path, json=body)).status_code in (400, 422)


async def test_a_segment_of_a_large_workspace_is_filled_bit_by_bit_and_says_how_far_it_is(
    api: Api, module_database: str
) -> None:
    tenant = await api.tenant()
    contacts = [await tenant.contact(email=f"{uuid7()}@example.com", country="DE") for _ in range(3)]
    segment_id, created = await segment(tenant, GERMANS)
    path = f"/v1/segments/{segment_id}"
    ids = await members(tenant, path, created)
    assert ids == sorted(contact["id"] for contact in contacts)
    connect = connector(module_database, role="rollbook_projector", application_name="filler")
    connection = await connect()
    try:
        await connection.execute(
            "INSERT INTO rm_segment.filling (workspace_id, position, at, lane, cause, event_id, segment_ids, scope)"
            " SELECT d.workspace_id, d.from_position, now(), 0, 'segment.created', $2, ARRAY[$1::uuid], s.state"
            " FROM rm_segment.definition AS d JOIN rm_segment.scope AS s ON s.workspace_id = d.workspace_id"
            " WHERE d.segment_id = $1",
            UUID(segment_id), uuid4(),
        )  # fmt: skip
        waiting = await ok(await tenant.owner.get(path))
        assert waiting["counting"] == {"counted": 0, "of": 3}
        assert (await ok(await tenant.owner.get("/v1/segments")))["items"][0]["counting"] == waiting["counting"]
        await SegmentFiller(connect, SegmentProjection()).step(connection, 0)
    finally:
        connection.terminate()
    filled = await ok(await tenant.owner.get(path))
    assert (filled["counting"], filled["members"], await members(tenant, path)) == (None, 3, ids)
