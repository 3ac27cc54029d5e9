"""A snapshot of a contact and the events after it come to the same state as all events, whenever it was taken.

Random histories of merged and unmerged contacts, a snapshot at every version of every stream. Planted bugs: snapshots
that forget something, or keep less of it than there was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from contacts.contact.handler import SNAPSHOTS
from contacts.contact.state import Contact, fold, initial
from eventstore.aggregate import SnapshotCodec
from eventstore.envelope import RecordedEvent
from tests.property.figures import SEED, figure
from tests.property.merge_histories import History
from tests.support.report import Report

QUIET = settings(
    deadline=None, database=None, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck)
)
CHOICES = st.binary(min_size=40, max_size=240)


def check(codec: SnapshotCodec[Contact], stream: Sequence[RecordedEvent[Any]]) -> int:
    """Answers how many snapshots were taken. Bytes are compared, because equal is less than the same: 1 == 1.0."""
    states = [initial(stream[0].stream_id)]
    for event in stream:
        states.append(fold(states[-1], event))
    whole = SNAPSHOTS.encode(states[-1])
    for version, state in enumerate(states):
        found = codec.decode(codec.encode(state))
        for event in stream[version:]:
            found = fold(found, event)
        assert SNAPSHOTS.encode(found) == whole, f"a snapshot at version {version} of {len(stream)}"
    return len(states)


def histories(codec: SnapshotCodec[Contact], count: int) -> Counter[str]:
    counts: Counter[str] = Counter()

    @seed(SEED)
    @settings(QUIET, max_examples=count)
    @given(CHOICES)
    def one(choices: bytes) -> None:
        history = History(choices)
        history.run()
        for stream in history.real.streams.values():
            counts["snapshots"] += check(codec, stream)
            counts["streams"] += 1

    one()
    return counts


def test_a_snapshot_at_any_version_and_the_rest_come_to_what_all_events_come_to(
    property_report: Callable[[str], Report],
) -> None:
    report = property_report("R5 snapshots")
    count = figure(200, 10_000)
    report.add({"histories": count, **histories(SNAPSHOTS, count)})
    report.finish()


BUGS: dict[str, Callable[[Contact], Contact]] = {
    "what was taken out of a profile": lambda state: (
        replace(state, composition=replace(state.composition, touched={})) if state.composition else state
    ),
    "who stands for it": lambda state: replace(state, absorbed_into=None),
    "its tags": lambda state: replace(state, tags=()),
    "an attribute": lambda state: replace(state, attributes=dict(list(state.attributes.items())[1:])),
    "the minute of its last change": lambda state: replace(
        state, changed_at=state.changed_at and state.changed_at.replace(minute=0)
    ),
    "its last event": lambda state: replace(state, version=max(0, state.version - 1)),
}


@pytest.mark.parametrize("forget", BUGS.values(), ids=BUGS.keys())
def test_a_snapshot_that_forgets_something_is_found_out(forget: Callable[[Contact], Contact]) -> None:
    forgetful = SnapshotCodec[Contact](
        schema_version=SNAPSHOTS.schema_version, encode=lambda state: SNAPSHOTS.encode(forget(state)),
        decode=SNAPSHOTS.decode, subject_of=SNAPSHOTS.subject_of,
    )  # fmt: skip
    with pytest.raises(AssertionError, match="a snapshot at version"):
        histories(forgetful, 200)
