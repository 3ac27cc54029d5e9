"""Timelines against a naive model: any page of any part of any profile is what sorting everything gives."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contacts.activity import queries
from contacts.activity.kinds import CATEGORIES, category_of
from contacts.activity.queries import Timeline
from contacts.errors import InvalidInput
from eventstore.envelope import RecordedEvent
from tests.integration.activity.model import DATA, START, Log, Model, open_model, recorded

WORKSPACE: Final = UUID(int=1)
CONTACTS: Final = [UUID(int=100 + n) for n in range(4)]
#: Edges of months, ties, and long gaps.
MOMENTS: Final = [
    START + timedelta(days=day, microseconds=step)
    for day in (0, -1, -28, -29, -59, -60, -61, -200, -800, -3_000)
    for step in (0, 1)
] + [datetime(2026, 2, 1, tzinfo=START.tzinfo), datetime(2026, 1, 31, 23, 59, 59, 999_999, tzinfo=START.tzinfo)]


def random_log(seed: int, count: int) -> Log:
    log, chance = Log(), random.Random(seed)
    for number in range(count):
        event = recorded(f"{number % 7}", chance.choice(MOMENTS), chance.choice(list(DATA)), source=f"s-{number}")
        log.record(WORKSPACE, chance.choice(CONTACTS), event)
    return log


LOG: Final = random_log(11, 400)


@pytest.fixture(scope="module")
async def model(module_database: str) -> AsyncIterator[Model]:
    async with open_model(module_database) as opened:
        await opened.apply(LOG.events, batch=37)
        yield opened


def naive(members: list[UUID], category: str | None, since: datetime | None, until: datetime | None) -> list[Any]:
    """Everything sorted, without months, indexes or cursors."""

    def wanted(recorded: RecordedEvent[Any]) -> bool:
        event = recorded.event
        found = category_of(event.kind)
        if recorded.stream_id not in members or category not in (None, found):
            return False
        if category == "orders":
            return True
        return (since is None or event.occurred_at >= since) and (until is None or event.occurred_at < until)

    events = [each.event for each in LOG.events if wanted(each)]
    return sorted(((e.occurred_at, e.activity_id, e.source) for e in events), reverse=True)


moments = st.none() | st.sampled_from(MOMENTS) | st.sampled_from(MOMENTS).map(lambda at: at + timedelta(hours=5))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    members=st.lists(st.sampled_from(CONTACTS), min_size=1, unique=True),
    category=st.none() | st.sampled_from(CATEGORIES),
    since=moments,
    until=moments,
    limit=st.sampled_from([1, 2, 3, 10, 50, 1_000]),
)
async def test_pages_are_what_sorting_everything_gives(
    model: Model, members: list[UUID], category: Any, since: datetime | None, until: datetime | None, limit: int
) -> None:
    timeline = Timeline(
        workspace_id=WORKSPACE, contact_id=members[0], members=tuple(members), category=category, since=since,
        until=until,
    )  # fmt: skip
    expected = naive(members, category, since, until)
    found: list[Any] = []
    cursor: str | None = None
    for _ in range(15):
        page = await model.queries.page(timeline, limit=limit, cursor=cursor)
        assert page.total.count == len(expected)
        found += [(each.occurred_at, each.activity_id, each.source) for each in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert found == expected[: len(found)]
    assert len(found) == min(len(expected), 15 * limit)
    assert (cursor is None) == (len(found) == len(expected))


async def test_a_page_that_looked_at_too_few_months_would_be_noticed(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted bug without which a green run says nothing: the month of the cursor counted as if it were whole."""

    def too_late(months: queries.Months, before: datetime, wanted: int) -> datetime:
        for month, activities in months:
            wanted -= activities if month <= before else 0
            if wanted <= 0:
                break
        return month

    monkeypatch.setattr(queries, "_begin", too_late)
    timeline = Timeline(workspace_id=WORKSPACE, contact_id=CONTACTS[0], members=tuple(CONTACTS))
    found, cursor = 0, None
    for _ in range(100):
        page = await model.queries.page(timeline, limit=7, cursor=cursor)
        found += len(page.items)
        if (cursor := page.next_cursor) is None:
            break
    assert found < len(LOG.events)


async def test_a_contact_without_activity_has_an_empty_timeline(model: Model) -> None:
    timeline = Timeline(workspace_id=WORKSPACE, contact_id=uuid4(), members=(uuid4(),))
    page = await model.queries.page(timeline)
    assert (page.items, page.next_cursor, page.total.count) == ((), None, 0)
    other = Timeline(workspace_id=UUID(int=2), contact_id=CONTACTS[0], members=tuple(CONTACTS))
    assert (await model.queries.page(other)).total.count == 0


@pytest.mark.parametrize("limit", [0, -1, 1_001])
async def test_a_page_has_a_size(model: Model, limit: int) -> None:
    timeline = Timeline(workspace_id=WORKSPACE, contact_id=CONTACTS[0], members=tuple(CONTACTS))
    with pytest.raises(InvalidInput):
        await model.queries.page(timeline, limit=limit)


async def test_a_page_looks_only_at_the_months_that_can_hold_it(model: Model) -> None:
    """Rows of other months are not even planned for, and no row is sorted that is not shown."""
    async with model.readers.acquire() as connection, connection.transaction():
        await connection.execute(f"SET LOCAL rollbook.workspace_id = '{WORKSPACE}'; SET LOCAL enable_seqscan = off")
        since = datetime(2026, 2, 1, tzinfo=START.tzinfo)
        arguments: tuple[Any, ...] = (WORKSPACE, CONTACTS, list(CATEGORIES), since, START, "", "", 5)
        plan = await _explain(connection, arguments)
    assert "activity_2026_02" in plan
    assert "activity_2026_01" not in plan
    assert "activity_older" not in plan
    assert plan.count("Index Scan") == 2


async def _explain(connection: asyncpg.pool.PoolConnectionProxy[Any], arguments: tuple[Any, ...]) -> str:
    await connection.execute("SET LOCAL plan_cache_mode = force_custom_plan")
    rows = await connection.fetch("EXPLAIN " + queries.SQL["page"], *arguments)
    return "\n".join(row[0] for row in rows)
