"""L4: the facet index finds whom a model written apart finds, and after every write whom SQL finds."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final
from uuid import UUID

import pytest
from msgspec.structs import replace

from contacts.facet.columns import Events, Ordered
from contacts.facet.kept import READ_MODELS, Copy, Standing
from contacts.facet.questions import Column, Unanswerable, columns_of
from contacts.smartsearch.moment import Moment
from contacts.smartsearch.nodes import Node
from contacts.smartsearch.parse import parse
from tests.property import search_model as model
from tests.property.figures import SEED, figure
from tests.property.search_model import Json, World
from tests.property.search_tables import Tables, open_tables
from tests.property.search_world import NOW, SCHEMA, Chance
from tests.property.test_smart_search import ZONE, Population, drawn, with_segments

#: Filters asked of one population.
FOR_ONE: Final = 500
MOMENT: Final = Moment(now=NOW, time_zone=ZONE)
STANDING: Final = Standing(dict.fromkeys(READ_MODELS, 7), dict.fromkeys(READ_MODELS, 1), None)
NO_STORE: Final[Any] = None


@pytest.fixture(scope="module")
async def tables(module_database: str) -> AsyncIterator[Tables]:
    async with open_tables(module_database) as tables:
        yield tables


class Asked:
    """Filters, and those of them that the index answers."""

    def __init__(self, filters: Sequence[Json]) -> None:
        self.filters, segments = with_segments(filters)
        self.world = World(NOW, ZONE, segments)
        self.definitions = {UUID(id_): parse(each, SCHEMA) for id_, each in segments.items()}
        schema = replace(SCHEMA, segments=self.definitions)
        self.answerable: list[tuple[Json, Node]] = []
        self.columns: set[Column] = set()
        for each in self.filters:
            node = parse(each, schema)
            try:
                self.columns |= columns_of(node, MOMENT, self.definitions)
            except Unanswerable:
                continue
            self.answerable.append((each, node))


async def loaded(tables: Tables, workspace_id: UUID, columns: set[Column]) -> Copy:
    copy = Copy(workspace_id, 2**30)
    async with tables.connection.transaction(isolation="repeatable_read"):
        await tables.connection.execute(f"SET LOCAL rollbook.workspace_id = '{workspace_id}'")
        await copy.renew(tables.connection, NO_STORE, STANDING, columns)
    return copy


async def differences(tables: Tables, population: Population, asked: Asked) -> list[tuple[Json, UUID, bool]]:
    workspace_id = await population.fill(tables)
    copy = await loaded(tables, workspace_id, asked.columns)
    people = population.now
    slots = copy.slots_of(list(people))
    found = []
    for filter_, node in asked.answerable:
        if copy.declined & columns_of(node, MOMENT, asked.definitions):
            continue
        try:
            held = copy.where(node, MOMENT, asked.definitions)[slots].tolist()
        except Unanswerable:
            continue
        for (id_, person), here in zip(people.items(), held, strict=True):
            if here != model.holds(filter_, person, asked.world):
                found.append((filter_, id_, here))
    return found


def smallest(found: Sequence[tuple[Json, UUID, bool]]) -> str:
    shown = sorted(found, key=lambda each: len(str(each[0])))[:5]
    return "\n".join(map(str, (f"seed {SEED}, {len(found)} differences", *shown)))


async def test_the_index_finds_whom_the_model_finds(tables: Tables) -> None:
    filters = drawn(figure(6_000, 100_000))
    answered = 0
    for start in range(0, len(filters), FOR_ONE):
        population = Population(Chance(random.Random(SEED + start)))
        asked = Asked(filters[start : start + FOR_ONE])
        found = await differences(tables, population, asked)
        assert not found, smallest(found)
        answered += len(asked.answerable)
    assert answered > len(filters) // 3


COUNTED: Final = Events.counted


def _closed(column: Events, size: int, window: tuple[int, int] | None) -> Any:
    return COUNTED(column, size, window and (window[0] - 1, window[1]))


async def _nothing(*_: object) -> None:
    """Does not look."""


BUGS: Final = {
    "what is unset is compared as if it were something": (
        Ordered,
        "is_set",
        property(lambda column: column.values == column.values),
    ),
    "a window holds its old end": (Events, "counted", _closed),
    "only the shown contact's own activity counts": (Copy, "_load_absorbed", _nothing),
}


@pytest.mark.parametrize("bug", BUGS)
async def test_a_planted_bug_is_found(tables: Tables, bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*BUGS[bug])
    for attempt in range(20):
        population = Population(Chance(random.Random(SEED + attempt)))
        if await differences(tables, population, Asked(drawn(200))):
            return
    pytest.fail("nobody noticed")
