"""L4: a compiled filter, its evaluation and a model written apart agree about everybody, now and in the past.

Random filters over every field, kind of activity and order, asked of random people whose values lie on the ends of
windows and of days in odd time zones. Planted bugs: unset values that make `not` unset, a window that is closed at its
old end, a `not` that is forgotten.
"""

from __future__ import annotations

import random
import re
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from contacts.smartsearch.evaluate import evaluate, holds
from contacts.smartsearch.moment import Moment
from contacts.smartsearch.parse import parse
from contacts.smartsearch.subject import ActivityFact, Subject
from tests.property import search_model as model
from tests.property.figures import SEED, figure
from tests.property.search_model import Json, Person, World
from tests.property.search_tables import Bug, Tables, open_tables
from tests.property.search_world import NOW, SCHEMA, Chance

PEOPLE: Final = 14
AT_ONCE: Final = 50
POSITION: Final = 6
#: Filters asked of one population.
FOR_ONE: Final = 1_000
ZONE: Final = "Europe/Berlin"
PAST: Final = NOW - timedelta(days=6)


@pytest.fixture(scope="module")
async def tables(module_database: str) -> AsyncIterator[Tables]:
    async with open_tables(module_database) as tables:
        yield tables


class Population:
    """People of one workspace, now and at a position in the past."""

    def __init__(self, chance: Chance) -> None:
        ids = [UUID(int=n) for n in range(1, PEOPLE + 1)]
        self.now = {id_: chance.person(id_, absorbed_by(id_)) for id_ in ids}
        self.then = {id_: earlier(chance.person(id_, absorbed_by(id_)), self.now[id_]) for id_ in ids}

    async def fill(self, tables: Tables) -> UUID:
        return await tables.fill(self.then, self.now, POSITION)


def absorbed_by(id_: UUID) -> tuple[UUID, ...]:
    return tuple(UUID(int=id_.int * 1_000 + n) for n in range(id_.int % 3))


def earlier(person: Person, now: Person) -> Person:
    """Another one, to whom the same had happened, as far as it was known."""
    return person._replace(happened=[each for each in now.happened if each.position <= POSITION])


def subject(person: Person) -> Subject:
    facts = [ActivityFact(position=h.position, kind=h.kind, occurred_at=h.at, data=h.data) for h in person.happened]
    return Subject(contact=person.contact, engagement=person.engagement, activities=facts)


def drawn(count: int) -> list[Json]:
    """Filters as Hypothesis comes upon them."""
    found: list[Json] = []

    @seed(SEED)
    @settings(max_examples=max(1, count // AT_ONCE), database=None)
    @given(st.randoms(use_true_random=True))
    def draw(source: random.Random) -> None:
        found.extend(Chance(source).filter() for _ in range(AT_ONCE))

    draw()
    return found


async def differences(
    tables: Tables, filters: Sequence[Json], population: Population, workspace_id: UUID, *, bug: Bug | None = None
) -> list[tuple[Json, UUID, str]]:
    """Where SQL or the evaluation says something else than the model does, now or then."""
    filters, segments = with_segments(filters)
    definitions = {UUID(id_): parse(each, SCHEMA) for id_, each in segments.items()}
    schema = replace(SCHEMA, segments=definitions)
    nodes = [parse(each, schema) for each in filters]
    found = []
    for people, moment in (
        (population.now, Moment(now=NOW, time_zone=ZONE)),
        (population.then, Moment(now=PAST, time_zone=ZONE, position=POSITION)),
    ):
        world = World(moment.now, moment.time_zone, segments)
        subjects = {id_: subject(person) for id_, person in people.items()}
        for start in range(0, len(filters), AT_ONCE):
            part = range(start, min(start + AT_ONCE, len(filters)))
            asked = [nodes[n] for n in part]
            # Every other statement is put as for everybody, which is another text.
            everybody = start // AT_ONCE % 2 == 1
            compiled = await tables.ask(
                workspace_id, asked, moment, definitions, bug or (lambda condition: condition), everybody=everybody
            )
            for id_, person in people.items():
                for n, by_sql in zip(part, compiled[id_], strict=True):
                    wanted = model.holds(filters[n], person, world)
                    if by_sql != wanted:
                        found.append((filters[n], id_, f"SQL says {by_sql}, {moment}"))
                    if bug is None and holds(nodes[n], subjects[id_], moment, definitions) != wanted:
                        found.append((filters[n], id_, f"holds says {not wanted}, {moment}"))
                    if bug is None and n % 10 == 0:
                        truth = evaluate(nodes[n], subjects[id_], moment, definitions)
                        if truth.true != wanted:
                            found.append((filters[n], id_, f"evaluate says {truth.true}, {moment}"))
    return found


def with_segments(filters: Sequence[Json]) -> tuple[list[Json], dict[str, Json]]:
    """Every tenth is a segment that its neighbour uses."""
    segments = {str(UUID(int=10**9 + n)): each for n, each in enumerate(filters) if n % 10 == 0}
    used: list[Json] = list(filters)
    for n in range(1, len(filters), 10):
        used[n] = {"any": [{"not": {"segment": str(UUID(int=10**9 + n - 1))}}, filters[n]]}
    return used, segments


def smallest(found: Sequence[tuple[Json, UUID, str]]) -> str:
    shown = sorted(found, key=lambda each: len(str(each[0])))[:5]
    return "\n".join(map(str, (f"seed {SEED}, {len(found)} differences", *shown)))


async def test_sql_evaluation_and_the_model_agree_about_everybody_now_and_then(tables: Tables) -> None:
    filters = drawn(figure(10_000, 200_000))
    hit = 0
    for start in range(0, len(filters), FOR_ONE):
        population = Population(Chance(random.Random(SEED + start)))
        workspace_id = await population.fill(tables)
        asked = filters[start : start + FOR_ONE]
        found = await differences(tables, asked, population, workspace_id)
        assert not found, smallest(found)
        world = World(NOW, ZONE, with_segments(asked)[1])
        hit += sum(any(model.holds(each, p, world) for p in population.now.values()) for each in asked[:100])
    # Filters that nobody matches would prove nothing.
    assert hit > len(filters) // FOR_ONE * 40


BUGS: Final[dict[str, Bug]] = {
    "what is unset makes its complement unset": lambda sql: sql.replace(" IS NOT TRUE", " = FALSE"),
    "a window holds both of its ends": lambda sql: re.sub(r"(a\.occurred_at|o\.ordered_at) > ", r"\1 >= ", sql),
    "a window does not hold now": lambda sql: re.sub(r"(a\.occurred_at|o\.ordered_at) <= ", r"\1 < ", sql),
    "not is forgotten": lambda sql: sql.replace(") IS NOT TRUE", ")"),
    "only the shown contact's own activity counts": lambda sql: sql.replace("c.absorbed", "'{}'::uuid[]"),
}


@pytest.mark.parametrize("bug", BUGS)
async def test_a_planted_bug_is_found(tables: Tables, bug: str) -> None:
    for attempt in range(20):
        population = Population(Chance(random.Random(SEED + attempt)))
        workspace_id = await population.fill(tables)
        if await differences(tables, drawn(200), population, workspace_id, bug=BUGS[bug]):
            return
    pytest.fail("nobody noticed")
