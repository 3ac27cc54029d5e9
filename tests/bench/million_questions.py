"""What is asked of a million contacts, each with the plainest SQL for the same question."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import asyncpg
import msgspec

from contacts.contact.filtering import Filter, parse_filter
from contacts.contact.listing import Listing
from contacts.contact.ordering import parse_sort
from contacts.contact.queries import ContactQueries
from contacts.facet.index import FacetIndex
from contacts.reading import reading
from contacts.smartsearch.fields import Schema
from contacts.smartsearch.moment import Moment
from contacts.smartsearch.nodes import Node
from contacts.smartsearch.parse import parse
from contacts.smartsearch.searching import Search, SearchQueries
from contacts.workspace.directory import Workspaces
from eventstore.store import EventStore
from tests.bench.million_data import WORKSPACE

PAGE: Final = 50
#: Ten leaves, nested, with an attribute, a tag and a count of activity.
FILTER: Final[dict[str, Any]] = {
    "all": [
        {"field": "country", "op": "in", "value": ["DE", "FR", "GB"]},
        {
            "any": [
                {"field": "tags", "op": "has_any", "value": ["vip"]},
                {"field": "attributes.plan", "op": "eq", "value": "enterprise"},
                {"field": "language", "op": "starts_with", "value": "f"},
            ]
        },
        {
            "not": {
                "any": [
                    {"field": "email_status", "op": "in", "value": ["blacklisted", "spam_report"]},
                    {"field": "blocked", "op": "eq", "value": True},
                ]
            }
        },
        {"field": "email", "op": "exists"},
        {"activity": "message.clicked", "within": "2y", "count": {"op": "gte", "value": 2}},
        {
            "any": [
                {"field": "campaign_opt_in", "op": "eq", "value": True},
                {"field": "attributes.points", "op": "gt", "value": 100},
            ]
        },
    ]
}
#: The same, as somebody would write it who has the tables before them.
PLAIN_FILTER: Final = """
    c.workspace_id = $1 AND c.deleted_at IS NULL AND c.country IN ('DE', 'FR', 'GB')
    AND (c.tags && ARRAY['vip'] OR c.attributes ->> 'plan' = 'enterprise' OR c.language LIKE 'f%')
    AND NOT (c.email_status IN ('blacklisted', 'spam_report') OR c.blocked) AND c.email IS NOT NULL
    AND (
        SELECT count(*)
        FROM rm_activity.activity AS a
        WHERE a.workspace_id = c.workspace_id AND a.contact_id = c.contact_id AND a.kind = 'message.clicked'
            AND a.occurred_at > now() - interval '2 years'
    ) >= 2
    AND (c.campaign_opt_in OR (c.attributes ->> 'points')::numeric > 100)
"""

Ask = Callable[[], Awaitable[Any]]


class Asked(NamedTuple):
    """One question, in as many ways as it is put."""

    name: str
    #: None where it is there to compare with.
    goal_ms: float | None
    ways: Callable[[int], Sequence[Ask]]
    #: Statement and values.
    plain: tuple[Any, ...] | None
    plan: Callable[[], Awaitable[str]]


class Questions:
    """What all of them need."""

    def __init__(self, pool: asyncpg.Pool, schema: Schema, node: Node, head: int, facets: FacetIndex) -> None:
        self.pool = pool
        self.queries = ContactQueries(pool, b"sixteen bytes ok")
        self.facets = facets
        self.searches = SearchQueries(pool, b"sixteen bytes ok", facets=facets, timeout_s=300)
        self.schema = schema
        self.node = node
        self.head = head

    def search(self, position: int | None = None) -> Search:
        return Search(
            filter=Filter(), node=self.node, sort="-changed_at", schema=self.schema, asked=b"",
            moment=Moment(now=datetime.now(UTC), time_zone="UTC", position=position),
        )  # fmt: skip

    def filtered(self, position: int | None = None) -> Listing:
        return self.search(position).listing(WORKSPACE)

    def page(self, position: int | None = None) -> Ask:
        async def ask() -> Any:
            return await self.searches.page(WORKSPACE, self.search(position), limit=PAGE)

        return ask

    def count(self, position: int | None = None) -> Ask:
        async def ask() -> Any:
            async with reading(self.pool, WORKSPACE) as connection:
                return await self.filtered(position).count(connection)

        return ask

    def listed(self, **wanted: Any) -> Ask:
        async def ask() -> Any:
            return await self.queries.list(WORKSPACE, limit=PAGE, **wanted)

        return ask

    async def plan(self, statement: str, *values: Any) -> str:
        async with reading(self.pool, WORKSPACE) as connection:
            return plan_head(await connection.fetch(f"EXPLAIN (FORMAT JSON) {statement}", *values))


def plan_head(rows: Sequence[asyncpg.Record]) -> str:
    """The nodes of a plan, outermost first."""
    (plan,) = msgspec.json.decode(rows[0][0])
    names: list[str] = []

    def walk(node: dict[str, Any]) -> None:
        of = node.get("Index Name") or node.get("Relation Name")
        names.append(node["Node Type"] + (f" {of}" if of else ""))
        for below in node.get("Plans", ()):
            walk(below)

    walk(plan["Plan"])
    return " → ".join(names[:9]) + (" …" if len(names) > 9 else "")


async def opened(pool: asyncpg.Pool, store: EventStore, facets: FacetIndex) -> Questions:
    workspace = await Workspaces(store).get(WORKSPACE)
    schema = Schema(attributes=workspace.attributes)
    return Questions(pool, schema, parse(FILTER, schema), await store.head(store.lane_of(WORKSPACE)), facets)


async def questions(q: Questions, plain: asyncpg.Connection, pick: random.Random) -> list[Asked]:
    """Those of the present, then those of the past."""
    typing = await _typing(q, plain, pick)
    # What nobody looked for since the server started is read from disk.
    unread = typing._replace(name="search box, each text for the first time", goal_ms=None, plain=None)
    return [
        unread, typing, _filtered(q), await _counted(q), _counted_by_sql(q), await _deep(q), _past_page(q),
        _past_count(q),
    ]  # fmt: skip


async def _typing(q: Questions, plain: asyncpg.Connection, pick: random.Random) -> Asked:
    """What is in the box while somebody types a name, an address or a number, from the second letter on."""
    rows = await plain.fetch(
        "SELECT first_name, last_name, email, phone FROM rm_contact.contact TABLESAMPLE SYSTEM (5)"
        " WHERE email IS NOT NULL AND first_name IS NOT NULL AND last_name IS NOT NULL AND phone IS NOT NULL LIMIT 500"
    )
    typed = []
    for row in pick.sample(rows, min(len(rows), 60)):
        words = pick.choice([f"{row['first_name']} {row['last_name']}", row["email"], row["phone"]])
        typed.append(words[: pick.randint(2, max(2, len(words)))])

    def ways(rounds: int) -> list[Ask]:
        return [q.listed(q=text) for text in (typed * rounds)[: max(rounds, len(typed))]]

    text = max(typed, key=len)
    statement, values = Listing(
        WORKSPACE,
        parse_filter(q=text, email_status=None, phone_status=None, deleted=False, region=None),
        parse_sort("-changed_at", deleted=False),
    ).gathering(None)
    sql = (
        "SELECT c.state FROM rm_contact.contact AS c WHERE c.workspace_id = $1 AND c.deleted_at IS NULL"
        f" AND c.search LIKE '%' || $2 || '%' ORDER BY c.changed_at DESC LIMIT {PAGE}"
    )
    return Asked(
        "search box while typing", 50, ways, (sql, WORKSPACE, text),
        lambda: q.plan(statement, WORKSPACE, 10_001, PAGE + 1, *values),
    )  # fmt: skip


def _filtered(q: Questions) -> Asked:
    statement, values = q.filtered().gathering(None)
    sql = f"SELECT c.state FROM rm_contact.contact AS c WHERE {PLAIN_FILTER} ORDER BY c.changed_at DESC LIMIT {PAGE}"
    return Asked(
        "page of a nested filter of ten leaves", 100, lambda rounds: [q.page()] * rounds, (sql, WORKSPACE),
        lambda: q.plan(statement, WORKSPACE, 10_001, PAGE + 1, *values),
    )  # fmt: skip


async def _counted(q: Questions) -> Asked:
    """From memory, as the API has it once somebody asked."""
    started = time.perf_counter()
    await q.searches.count(WORKSPACE, q.search())
    await q.facets.loaded(WORKSPACE)
    seconds = time.perf_counter() - started

    async def ask() -> Any:
        return await q.searches.count(WORKSPACE, q.search())

    async def plan() -> str:
        both = await ask(), await q.count()()
        same = "the same as SQL counts" if both[0] == both[1] else f"and SQL counts {both[1]:,}"
        return f"{both[0]:,}, {same}; {q.facets.bytes / 1e6:,.0f} MB in memory, loaded in {seconds:,.1f} s"

    return Asked(
        "exact count of it", 300, lambda rounds: [ask] * rounds,
        (f"SELECT count(*) FROM rm_contact.contact AS c WHERE {PLAIN_FILTER}", WORKSPACE), plan,
    )  # fmt: skip


def _counted_by_sql(q: Questions) -> Asked:
    statement, values = q.filtered().counting()
    return Asked(
        "the same, without the facet index", None, lambda rounds: [q.count()] * max(5, rounds // 4), None,
        lambda: q.plan(statement, WORKSPACE, *values),
    )  # fmt: skip


async def _deep(q: Questions) -> Asked:
    """Ten thousand pages down, or as deep as half the contacts there are."""
    total = (await q.queries.counts(WORKSPACE)).total
    depth = min(10_000 * PAGE, total // 2)
    cursor, passed = None, 0
    while passed < depth:
        page = await q.queries.list(WORKSPACE, limit=min(1_000, depth - passed), cursor=cursor)
        cursor, passed = page.next_cursor, passed + len(page.items)
    sql = (
        "SELECT c.state FROM rm_contact.contact AS c WHERE c.workspace_id = $1 AND c.deleted_at IS NULL"
        f" ORDER BY c.changed_at DESC, c.contact_id DESC LIMIT {PAGE} OFFSET {depth}"
    )
    statement, values = Listing(WORKSPACE, Filter(), parse_sort("-changed_at", deleted=False)).walking(
        None, has_key=True
    )
    return Asked(
        f"page {depth // PAGE:,} deep", 20, lambda rounds: [q.listed(cursor=cursor)] * rounds, (sql, WORKSPACE),
        lambda: q.plan(statement, WORKSPACE, PAGE + 1, PAGE + 1, *values),
    )  # fmt: skip


def _past_page(q: Questions) -> Asked:
    position = q.head // 2
    statement, values = q.filtered(position).gathering(None)
    return Asked(
        "members as of a past instant, first page", 500, lambda rounds: [q.page(position)] * rounds,
        (f"{_plain_past('c.state')} ORDER BY c.changed_at DESC LIMIT {PAGE}", WORKSPACE, position),
        lambda: q.plan(statement, WORKSPACE, 10_001, PAGE + 1, *values),
    )  # fmt: skip


def _past_count(q: Questions) -> Asked:
    position = q.head // 2
    statement, values = q.filtered(position).counting()
    return Asked(
        "their exact count", 5_000, lambda rounds: [q.count(position)] * max(5, rounds // 4),
        (_plain_past("count(*)"), WORKSPACE, position), lambda: q.plan(statement, WORKSPACE, *values),
    )  # fmt: skip


def _plain_past(answer: str) -> str:
    condition = PLAIN_FILTER.replace(
        "a.workspace_id = c.workspace_id", "a.position <= $2 AND a.workspace_id = c.workspace_id"
    )
    return (
        f"SELECT {answer} FROM rm_history.contact_history AS c"
        f" WHERE c.from_position <= $2 AND c.to_position > $2 AND {condition}"
    )
