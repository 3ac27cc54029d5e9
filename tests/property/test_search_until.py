"""G4: what an explanation says of time holds. Before `until` the answer is what it was, whatever the clock says."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Final
from uuid import UUID

from hypothesis import given, seed, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from contacts.smartsearch.dependencies import reads
from contacts.smartsearch.evaluate import evaluate, holds
from contacts.smartsearch.moment import Moment
from contacts.smartsearch.parse import parse
from tests.property.figures import SEED, figure
from tests.property.search_world import NOW, SCHEMA, Chance
from tests.property.test_smart_search import ZONE, subject

TICK: Final = timedelta(microseconds=1)
#: How far ahead answers are looked at.
AHEAD: Final = tuple(timedelta(hours=hours) for hours in (0, 1, 5, 20, 24, 47, 160, 700, 5_000, 9_000))
FILTERS: Final = 20


def test_nothing_changes_by_time_alone_before_until() -> None:
    changed = 0

    @seed(SEED)
    @settings(max_examples=figure(100, 5_000), database=None, deadline=None)
    @given(st.randoms(use_true_random=True))
    def holds_still(source: random.Random) -> None:
        nonlocal changed
        chance = Chance(source)
        person = subject(chance.person(UUID(int=1)))
        for _ in range(FILTERS):
            filter_ = chance.filter()
            node, now = parse(filter_, SCHEMA), Moment(now=NOW, time_zone=ZONE)
            truth = evaluate(node, person, now, {})
            later = {ahead: holds(node, person, replace(now, now=NOW + ahead), {}) for ahead in AHEAD}
            if truth.until is not None:
                assert truth.until > NOW, filter_
                assert holds(node, person, replace(now, now=truth.until - TICK), {}) == truth.true, filter_
                assert reads(node, {}).by_time, filter_
            for ahead, true in later.items():
                if true != truth.true:
                    changed += 1
                    assert truth.until is not None, filter_
                    assert truth.until <= NOW + ahead, filter_

    holds_still()
    # Had nothing changed, nothing would be shown.
    assert changed > 100
