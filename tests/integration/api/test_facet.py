"""Exact counts from memory beside a running API: right after every write, and never in the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from contacts.activity.projection import ActivityProjection
from contacts.activity.retention import prune
from contacts.catalog import CODEC
from contacts.contact import listing
from contacts.contact.filtering import Filter
from contacts.facet import index as facet
from contacts.facet.columns import Codes
from contacts.facet.index import FacetIndex
from contacts.history.projection import HistoryProjection
from contacts.smartsearch.fields import Schema
from contacts.smartsearch.moment import Moment
from contacts.smartsearch.parse import parse
from contacts.smartsearch.searching import Search, SearchQueries
from eventstore.connection import connector
from eventstore.envelope import parse_position
from eventstore.rebuild import Rebuild
from eventstore.store import EventStore
from tests.integration.api.conftest import Api, Tenant
from tests.support.waiting import until

GERMANS = {"field": "country", "op": "eq", "value": "DE"}
ANN = {"field": "first_name", "op": "contains", "value": "nn"}
CLICKED = {"activity": "message.clicked", "count": {"op": "gte", "value": 2}}
MEGABYTE = 1_000_000


@pytest.fixture
async def tenant(api: Api) -> Tenant:
    return await api.tenant()


@pytest.fixture
async def index(api: Api) -> AsyncIterator[FacetIndex]:
    async with opened(api, 10 * MEGABYTE) as index:
        yield index


def opened(api: Api, bytes_max: int) -> FacetIndex:
    return FacetIndex(api.services.pool, api.services.store, bytes_max=bytes_max, contacts_min=0, wait_s=30)


async def count(index: FacetIndex, tenant: Tenant, filter_: Any, seen: httpx2.Response) -> int | None:
    """At the position of an answer, or a later one."""
    return await index.count(
        tenant.workspace_id, Filter(), parse(filter_, Schema()), moment=Moment(now=datetime.now(UTC), time_zone="UTC"),
        definitions={}, at_least=parse_position(seen.headers["Rollbook-Position"])[1],
    )  # fmt: skip


async def counts(index: FacetIndex, tenant: Tenant, seen: httpx2.Response, *filters: Any) -> list[int | None]:
    return [await count(index, tenant, each, seen) for each in filters]


async def loaded(index: FacetIndex, tenant: Tenant, seen: httpx2.Response, *filters: Any) -> list[int | None]:
    """The first time that a field is asked for, it is not there."""
    for each in filters:
        assert await count(index, tenant, each, seen) is None
        await index.loaded(tenant.workspace_id)
    return await counts(index, tenant, seen, *filters)


async def post(tenant: Tenant, path: str, **body: Any) -> httpx2.Response:
    answer = await tenant.owner.post(path, json=body)
    assert answer.status_code < 300, answer.text
    return answer


async def contact(tenant: Tenant, name: str, **fields: Any) -> httpx2.Response:
    return await post(tenant, "/v1/contacts", external_id=name, country="DE", first_name=name, **fields)


async def clicked(tenant: Tenant, contact_id: str, *days: int) -> httpx2.Response:
    """So many days ago; the read model shows it."""
    items = [
        {
            "id": str(uuid4()), "source": "s", "type": "message.clicked", "contact": {"id": contact_id},
            "time": (datetime.now(UTC) - timedelta(days=each)).isoformat(), "data": {"channel": "email"},
        }
        for each in days
    ]  # fmt: skip
    answer = await post(tenant, "/v1/activity", items=items)
    position = {"Rollbook-Min-Position": answer.headers["Rollbook-Position"]}
    shown = await tenant.owner.get(f"/v1/contacts/{contact_id}/activity", headers=position)
    assert shown.status_code == 200, shown.text
    return answer


async def test_it_is_right_at_the_position_of_every_write(api: Api, tenant: Tenant, index: FacetIndex) -> None:
    ann = (await contact(tenant, "Ann")).json()["id"]
    seen = await contact(tenant, "Bob")
    bob = seen.json()["id"]
    asked = (GERMANS, ANN, CLICKED)
    assert await loaded(index, tenant, seen, *asked) == [2, 1, 0]
    assert await counts(index, tenant, await contact(tenant, "Hannah"), *asked) == [3, 2, 0]
    changed = await tenant.owner.patch(f"/v1/contacts/{ann}", json={"country": "AT", "first_name": None})
    assert await counts(index, tenant, changed, *asked) == [2, 1, 0]
    gone = await tenant.owner.delete(f"/v1/contacts/{bob}", params={"reason": "asked"})
    assert await counts(index, tenant, gone, *asked) == [1, 1, 0]
    back = await post(tenant, f"/v1/contacts/{bob}/restore")
    assert await counts(index, tenant, back, *asked) == [2, 1, 0]
    # Each clicked once; together twice, and apart again once.
    await clicked(tenant, ann, 1)
    assert await counts(index, tenant, await clicked(tenant, bob, 1), *asked) == [2, 1, 0]
    merged = await post(tenant, "/v1/merges", primary=ann, others=[bob])
    assert await counts(index, tenant, merged, *asked) == [1, 1, 1]
    apart = await post(tenant, f"/v1/merges/{merged.json()['id']}/unmerge")
    assert await counts(index, tenant, apart, *asked) == [2, 1, 0]


async def test_a_search_counts_with_it_and_the_answer_is_the_same(
    api: Api, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "COUNT_MAX", 1)
    monkeypatch.setattr(api.services.facets, "contacts_min", 0)
    for name in ("Ann", "Anna", "Bob"):
        await contact(tenant, name)
    totals = []
    for name in ("Hanna", "Joanna"):
        seen = await contact(tenant, name)
        position = {"Rollbook-Min-Position": seen.headers["Rollbook-Position"]}
        body = {"filter": ANN, "total": "exact", "limit": 1}
        answer = await tenant.owner.post("/v1/contacts/search", json=body, headers=position)
        totals.append(answer.json()["total"])
        await api.services.facets.loaded(tenant.workspace_id)
    assert totals == [{"count": 3, "exact": True}, {"count": 4, "exact": True}]
    assert api.services.facets.bytes > 0


async def test_of_an_erased_contact_nothing_stays_in_memory(api: Api, tenant: Tenant, index: FacetIndex) -> None:
    ann = (await contact(tenant, "Canary Ann")).json()["id"]
    await contact(tenant, "Bob")
    seen = await clicked(tenant, ann, 1, 2)
    assert await loaded(index, tenant, seen, ANN, GERMANS, CLICKED) == [1, 2, 1]
    (kept,) = index._kept.values()

    def known() -> set[object]:
        return {each for column in kept.copy.columns.values() if isinstance(column, Codes) for each in column._known}

    assert "canary ann" in known()
    erased = await post(tenant, f"/v1/contacts/{ann}/erase", confirm=True, reason="person_asked")
    assert await counts(index, tenant, erased, ANN, GERMANS, CLICKED) == [0, 1, 0]
    assert known() == {None, "bob", "DE", False}


async def test_it_loads_while_somebody_writes(api: Api, tenant: Tenant, index: FacetIndex) -> None:
    seen = await _write(tenant, "before", 3)
    writing = asyncio.create_task(_write(tenant, "beside", 15))
    assert await count(index, tenant, GERMANS, seen) is None
    await index.loaded(tenant.workspace_id)
    while not writing.done():
        found = await count(index, tenant, GERMANS, seen)
        assert found is not None
        assert 3 <= found <= 18
    assert await count(index, tenant, GERMANS, await writing) == 18


async def _write(tenant: Tenant, name: str, contacts: int) -> httpx2.Response:
    return [await contact(tenant, f"{name} {n}") for n in range(contacts)][-1]


async def test_what_is_too_large_is_left_to_sql(api: Api, tenant: Tenant) -> None:
    seen = await contact(tenant, "Ann")
    for bytes_max in (0, 10_000):
        async with opened(api, bytes_max) as index:
            assert await loaded(index, tenant, seen, GERMANS) == [None]
            assert index.bytes <= bytes_max


async def paged(queries: SearchQueries, tenant: Tenant, sort: str) -> list[list[UUID]]:
    """The Germans, two at a time."""
    moment, schema = Moment(now=datetime.now(UTC), time_zone="UTC"), Schema()
    search = Search(
        filter=Filter(), node=parse(GERMANS, schema), sort=sort, moment=moment, schema=schema, asked=b""
    )  # fmt: skip
    pages, cursor = [], None
    while not pages or cursor is not None:
        page = await queries.page(tenant.workspace_id, search, limit=2, cursor=cursor)
        assert page.total is not None
        assert page.total.exact
        pages.append([each.id for each in page.items])
        cursor = page.next_cursor
    return pages


@pytest.mark.parametrize("sort", ["-changed_at", "email", "-first_name"])
async def test_pages_of_what_is_known_are_those_of_sql(
    api: Api, tenant: Tenant, index: FacetIndex, monkeypatch: pytest.MonkeyPatch, sort: str
) -> None:
    people = (("Ann", "DE"), ("Bob", "AT"), ("Cat", "DE"), ("Dan", "DE"), ("Eve", "DE"), ("Ann", "DE"))
    made = [
        await post(tenant, "/v1/contacts", email=f"c{n}@example.com", first_name=name, country=country)
        for n, (name, country) in enumerate(people)
    ]
    assert await loaded(index, tenant, made[-1], GERMANS) == [5]
    key = b"sixteen bytes ok"
    plain, knowing = (SearchQueries(api.services.pool, key, facets=each) for each in (None, index))
    chosen: list[int] = []
    choose = listing.Listing._choose

    async def counted(self: Any, *args: Any) -> Any:
        found = await choose(self, *args)
        chosen.append(-1 if found is None else len(found))
        return found

    monkeypatch.setattr(listing.Listing, "_choose", counted)
    assert await paged(knowing, tenant, sort) == await paged(plain, tenant, sort)
    assert chosen == [3, 3, 1]

    find = index.find

    async def find_and_be_late(*args: Any, **wanted: Any) -> Any:
        """Somebody moves away between the two looks."""
        found = await find(*args, **wanted)
        moved = await tenant.owner.patch(f"/v1/contacts/{made[3].json()['id']}", json={"country": "AT"})
        await tenant.visible(moved)
        return found

    monkeypatch.setattr(index, "find", find_and_be_late)
    assert await paged(knowing, tenant, sort) == await paged(plain, tenant, sort)


async def test_workspaces_that_were_asked_for_least_recently_make_room(api: Api) -> None:
    tenants = [await api.tenant() for _ in range(3)]
    async with opened(api, 65_000) as index:
        for tenant in tenants:
            assert await loaded(index, tenant, await contact(tenant, "Ann"), GERMANS) == [1]
        assert list(index._kept)[-1] == tenants[-1].workspace_id
        assert len(index._kept) == 2


async def test_what_nobody_asks_for_any_more_is_let_go(
    api: Api, tenant: Tenant, index: FacetIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = await contact(tenant, "Ann")
    assert await loaded(index, tenant, seen, GERMANS) == [1]
    monkeypatch.setattr(facet, "IDLE_S", 0.01)
    assert await count(index, tenant, GERMANS, seen) == 1
    await until(lambda: index.bytes == 0)
    assert await count(index, tenant, GERMANS, seen) is None


async def test_activity_that_is_kept_no_longer_is_not_counted(
    api: Api, tenant: Tenant, index: FacetIndex, module_database: str
) -> None:
    seen = await clicked(tenant, (await contact(tenant, "Ann")).json()["id"], 1, 200)
    assert await loaded(index, tenant, seen, CLICKED) == [1]
    connection = await connector(module_database, role="rollbook_projector", application_name="test")()

    async def days(workspace_id: UUID) -> int | None:
        return 90 if workspace_id == tenant.workspace_id else None

    assert await prune(connection, days, datetime.now(UTC)) == 1
    await connection.close()
    assert await count(index, tenant, CLICKED, seen) == 0


async def test_after_a_rebuild_it_is_loaded_anew(
    api: Api, tenant: Tenant, index: FacetIndex, module_database: str
) -> None:
    seen = await clicked(tenant, (await contact(tenant, "Ann")).json()["id"], 1, 2)
    assert await loaded(index, tenant, seen, GERMANS, CLICKED) == [1, 1]
    keyring = api.services.store.keyring
    for projection in (ActivityProjection(), HistoryProjection(CODEC)):
        store = await EventStore.open(module_database, codec=CODEC, keyring=keyring, role=None, pool_size=2)
        await Rebuild(store, module_database, projection).run()
        await store.close()
        assert await count(index, tenant, GERMANS, seen) is None
        assert await loaded(index, tenant, seen, GERMANS, CLICKED) == [1, 1]
