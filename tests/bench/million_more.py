"""More of what is asked of a million contacts: pages in any order, and why somebody matches a filter."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec.structs import replace

from contacts.contact.cursor import After, Total
from contacts.segment.explaining import Explainer
from contacts.segment.filters import Parsed
from contacts.segment.queries import SQL
from contacts.smartsearch.moment import Moment
from tests.bench.million_data import WORKSPACE
from tests.bench.million_questions import FILTER, PAGE, PLAIN_FILTER, Ask, Asked, Questions

if TYPE_CHECKING:
    import asyncpg

    from contacts.smartsearch.searching import Search
    from eventstore.store import EventStore

EXPLAINED: Final = 60
#: Sort, and the same in the plainest SQL.
SORTS: Final = {
    "email": ("an address", "c.email"),
    "attributes.points": ("an attribute", "(c.attributes ->> 'points')::numeric"),
}


async def sorted_pages(q: Questions, plain: asyncpg.Connection) -> list[Asked]:
    """Of everybody, the first page and one half-way down the list."""
    asked = []
    for sort, (name, key) in SORTS.items():
        search = replace(q.search(), node=None, sort=sort)
        total = (await q.queries.counts(WORKSPACE)).total
        half = total // 2
        last = await plain.fetchrow(
            f"SELECT {key} AS key, c.contact_id FROM rm_contact.contact AS c"
            " WHERE c.workspace_id = $1 AND c.deleted_at IS NULL"
            f" ORDER BY {key}, c.contact_id LIMIT 1 OFFSET {half - 1}",
            WORKSPACE,
        )
        assert last is not None
        key_text = None if last["key"] is None else str(last["key"])
        after = After(last["contact_id"], None, key_text, Total(total, exact=True))
        for where, place, offset in (("", None, 0), (", half-way down", after, half)):
            asked.append(_sorted_page(q, f"page sorted by {name}{where}", search, place, f"{key} OFFSET {offset}"))
    return asked


def _sorted_page(q: Questions, name: str, search: Search, after: After | None, plainly: str) -> Asked:
    identity = msgspec.msgpack.encode(["search", WORKSPACE, search.asked, search.sort])
    cursor = None
    if after is not None:
        pinned = replace(after, position=None, now=search.moment.now)
        cursor = q.searches._cursors.seal(pinned, identity)

    async def ask() -> Any:
        return await q.searches.page(WORKSPACE, search, limit=PAGE, cursor=cursor)

    async def plan() -> str:
        listing = search.listing(WORKSPACE)
        if not listing.can_walk:
            statement, values = listing.topping(after)
            return await q.plan(statement, WORKSPACE, PAGE + 1, *values)
        statement, values = listing.walking(after, has_key=True)
        return await q.plan(statement, WORKSPACE, PAGE + 2, PAGE + 1, *values)

    key, _, offset = plainly.partition(" OFFSET ")
    sql = (
        "SELECT c.state FROM rm_contact.contact AS c WHERE c.workspace_id = $1 AND c.deleted_at IS NULL"
        f" ORDER BY {key}, c.contact_id LIMIT {PAGE} OFFSET {offset}"
    )
    return Asked(name, None, lambda rounds: [ask] * max(5, rounds // 4), (sql, WORKSPACE), plan)


async def explained(q: Questions, plain: asyncpg.Connection, store: EventStore) -> Asked:
    """Why a contact matches the filter of ten leaves, or does not: of contacts with the most activity and of any."""
    rows = await plain.fetch(
        "(SELECT contact_id FROM rm_activity.activity_month WHERE workspace_id = $1 ORDER BY activities DESC LIMIT $2)"
        " UNION (SELECT contact_id FROM rm_contact.contact TABLESAMPLE SYSTEM (5) WHERE workspace_id = $1 LIMIT $2)",
        WORKSPACE, EXPLAINED // 2,
    )  # fmt: skip
    present = await plain.fetch(
        "SELECT contact_id FROM rm_contact.contact WHERE workspace_id = $1 AND contact_id = ANY ($2::uuid[])",
        WORKSPACE, [row["contact_id"] for row in rows],
    )  # fmt: skip
    contacts = [row["contact_id"] for row in present]
    explainer, parsed = Explainer(q.pool, store), Parsed(q.node, {}, {})

    def of(contact_id: Any) -> Ask:
        async def ask() -> Any:
            moment = Moment(now=datetime.now(UTC), time_zone="UTC", position=q.head)
            return await explainer.explain(WORKSPACE, contact_id, FILTER, parsed, moment, q.head)

        return ask

    def ways(rounds: int) -> Sequence[Ask]:
        return [of(each) for each in contacts][: max(rounds, 20)]

    async def plan() -> str:
        return await q.plan(SQL["activities"], WORKSPACE, contacts[:1], q.head, ["message.clicked"], [])

    sql = f"SELECT ({PLAIN_FILTER}) FROM rm_contact.contact AS c WHERE c.contact_id = $2"
    return Asked("explain", 50, ways, (sql, WORKSPACE, contacts[0]), plan)
