"""Lists and counts as of a position on real PostgreSQL: what the present read model answered there, to the letter."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any, Final, get_args

import pytest

from contacts.catalog import CODEC
from contacts.contact import listing
from contacts.contact.ordering import SortField
from contacts.contact.queries import Counts, Past
from contacts.contact.state import Contact
from contacts.engagement.projection import EngagementProjection
from contacts.errors import InvalidInput
from contacts.history.projection import HistoryProjection
from contacts.history.queries import HistoryQueries
from eventstore import builds
from tests.integration.contact.model import Model, open_model
from tests.integration.contact.sixty import WORKSPACE, history
from tests.integration.history.model import apply_to
from tests.support.people import KEYRING

FILTERS: Final[tuple[dict[str, Any], ...]] = (
    {}, {"deleted": True}, {"q": "an"}, {"q": "example.com an"}, {"email_status": "all"}, {"q": "nobody at all"},
)  # fmt: skip
SORTS: Final = [sign + field for field in get_args(SortField) for sign in ("", "-")]
#: How many matches are gathered and how far is walked: as it is, and so small that every way of finding is taken.
WAYS: Final = {"gathered": (10_000, 100_000), "walked": (3, 100_000), "walked in vain": (3, 5)}

Answers = dict[tuple[int, int, str], list[Contact]]


@pytest.fixture(scope="module")
async def model(module_database: str) -> AsyncIterator[Model]:
    async with open_model(module_database) as model:
        await builds.ensure_builds(model.projector, [HistoryProjection(CODEC), EngagementProjection()])
        yield model


@pytest.fixture(scope="module")
async def presents(model: Model) -> tuple[Answers, dict[int, Counts]]:
    """What was answered when it was the present: by position, filter and order."""
    events = history(WORKSPACE).events
    pick = random.Random(7)
    positions = [*sorted(pick.sample([event.position for event in events], 3)), events[-1].position]
    lists: Answers = {}
    counts: dict[int, Counts] = {}
    done = 0
    for position in positions:
        await model.apply([event for event in events if done < event.position <= position])
        done = position
        counts[position] = await model.queries.counts(WORKSPACE)
        for number, wanted in enumerate(FILTERS):
            for sort in SORTS:
                if "deleted_at" not in sort or wanted.get("deleted"):
                    lists[position, number, sort] = await whole(model, sort=sort, **wanted)
    await apply_to(model.projector, "rm_history", HistoryProjection(CODEC).bound(KEYRING), events)
    return lists, counts


async def whole(model: Model, **wanted: Any) -> list[Contact]:
    """Page after page; every total says the same."""
    page = await model.queries.list(WORKSPACE, limit=9, **wanted)
    found, total = list(page.items), page.total
    while page.next_cursor is not None:
        page = await model.queries.list(WORKSPACE, limit=9, cursor=page.next_cursor, **wanted)
        found += page.items
        assert page.total == total
    assert not total.exact or total.count == len(found)
    return found


@pytest.mark.parametrize("way", WAYS)
async def test_a_list_of_the_past_is_the_list_of_that_present(
    model: Model, presents: tuple[Answers, dict[int, Counts]], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(listing, "COUNT_MAX", WAYS[way][0])
    monkeypatch.setattr(listing, "WALK_MAX", WAYS[way][1])
    lists, _ = presents
    assert max(map(len, lists.values())) > 30
    for (position, number, sort), expected in lists.items():
        past = Past(f"0.{position}", position)
        found = await whole(model, past=past, sort=sort, **FILTERS[number])
        assert [contact.id for contact in found] == [contact.id for contact in expected], (position, number, sort)
        assert found == expected


async def test_counts_of_the_past_are_those_of_that_present(
    model: Model, presents: tuple[Answers, dict[int, Counts]]
) -> None:
    _, counts = presents
    for position, expected in counts.items():
        assert await model.queries.counts(WORKSPACE, position=position) == expected
    assert len({str(each) for each in counts.values()}) > 1
    assert (await model.queries.counts(WORKSPACE, position=0)).total == 0


async def test_before_the_beginning_there_is_nobody(model: Model, presents: tuple[Answers, dict[int, Counts]]) -> None:
    page = await model.queries.list(WORKSPACE, past=Past("0.0", 0))
    assert (page.items, page.next_cursor, page.total.count, page.total.exact) == ((), None, 0, True)


async def test_a_cursor_belongs_to_its_moment_and_stays_at_it(
    model: Model, presents: tuple[Answers, dict[int, Counts]]
) -> None:
    lists, _ = presents
    position = max(place[0] for place in lists)
    page = await model.queries.list(WORKSPACE, past=Past("now", position - 40), limit=5)
    assert page.next_cursor is not None
    # The instant that was named is found to be a later position by the second page.
    following = await model.queries.list(WORKSPACE, past=Past("now", position), limit=1000, cursor=page.next_cursor)
    assert following.position == position - 40
    at_once = await model.queries.list(WORKSPACE, past=Past("now", position - 40), limit=1000)
    assert (*page.items, *following.items) == at_once.items
    with pytest.raises(InvalidInput):
        await model.queries.list(WORKSPACE, past=Past("then", position - 40), cursor=page.next_cursor)
    with pytest.raises(InvalidInput):
        await model.queries.list(WORKSPACE, cursor=page.next_cursor)


async def test_contacts_are_found_as_they_were(model: Model, presents: tuple[Answers, dict[int, Counts]]) -> None:
    lists, _ = presents
    queries = HistoryQueries(model.readers)
    everybody = {contact.id for contacts in lists.values() for contact in contacts}
    for (position, number, sort), expected in lists.items():
        if (number, sort) == (0, "created_at"):
            found = await queries.get_many(WORKSPACE, everybody, position)
            assert [contact for contact in found.values() if not contact.deleted] != []
            assert {id_: c for id_, c in found.items() if not c.deleted} == {c.id: c for c in expected}
