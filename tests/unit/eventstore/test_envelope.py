"""Position tokens, slices and places: text and arithmetic that is stored or sent, and so must never change."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.envelope import Appended, Stream, new_id, parse_position, slice_of

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


@given(st.integers(0, 2**15 - 1), st.integers(0, 10**18 - 1))
def test_a_position_is_read_back_from_its_token(lane: int, position: int) -> None:
    appended = Appended(lane=lane, last_position=position, event_count=0, recorded_at=MOMENT)
    assert parse_position(appended.token) == (lane, position)


@pytest.mark.parametrize(
    "token",
    [
        "", ".", "0", "0.", ".0", "0.1.2", "-1.5", "0.-5", "+1.5", "0x1.5", " 0.5", "0.5 ", "0.5\n", "0,5", "a.b",
        "1_0.5", "٠.٥", "0.²", "32768.1", "99999.1", "100000.1", "0.1000000000000000000", "0." + "9" * 5_000,
        "9" * 5_000 + ".0", "0.1\x00",
    ],
)  # fmt: skip
def test_anything_else_is_refused_without_repeating_much_of_it(token: str) -> None:
    with pytest.raises(ValueError, match="not a position") as refused:
        parse_position(token)
    assert len(str(refused.value)) < 100


@given(st.text())
def test_no_text_does_more_than_be_refused(token: str) -> None:
    try:
        lane, position = parse_position(token)
    except ValueError:
        return
    assert 0 <= lane < 2**15
    assert 0 <= position < 2**63


def test_an_append_without_events_has_no_first_position_before_its_last() -> None:
    one = Appended(lane=0, last_position=7, event_count=3, recorded_at=MOMENT)
    none = Appended(lane=0, last_position=7, event_count=0, recorded_at=MOMENT)
    assert (one.first_position, none.first_position) == (5, 8)


def test_slices_stay_what_they_are_stored_as() -> None:
    """Every event carries its slice: another result for the same id would hide it from its projector."""
    assert [slice_of(UUID(int=n)) for n in (0, 1, 2**127, 2**128 - 1)] == [853, 963, 673, 538]
    assert slice_of(UUID("01890a5d-ac96-774b-bcce-b302099a8057")) == 516


@given(st.uuids())
def test_a_slice_is_one_of_1024(id_: UUID) -> None:
    assert 0 <= slice_of(id_) < 1024


def test_ids_made_one_after_another_sort_that_way() -> None:
    ids = [new_id() for _ in range(1_000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 1_000
    assert {id_.version for id_ in ids} == {7}


def test_an_id_of_asyncpg_and_a_plain_one_are_the_same_key() -> None:
    id_ = new_id()
    plain = UUID(int=id_.int)
    assert {Stream(plain, "a", plain): 1}[Stream(id_, "a", id_)] == 1
