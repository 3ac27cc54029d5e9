"""The fold of engagement: the same in every order, and together the same as apart; and the formula of the rating."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contacts.activity.events import ActivityRecorded, AddressedAs
from contacts.engagement.rating import email_rating
from contacts.engagement.state import NOTHING, Tally, fold, shown, together

AT: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
_DATA: Final[dict[str, st.SearchStrategy[dict[str, Any]]]] = {
    "conversation.opened": st.just({}),
    "conversation.closed": st.just({}),
    "conversation.assigned": st.fixed_dictionaries({"assignee": st.sampled_from((None, "Ann"))}),
    "conversation.message_in": st.fixed_dictionaries({"preview": st.text(max_size=3), "channel": st.just("sms")}),
    "conversation.labels_changed": st.fixed_dictionaries({"labels": st.lists(st.sampled_from("abc"), max_size=2)}),
    "conversation.fields_changed": st.fixed_dictionaries(
        {"fields": st.dictionaries(st.sampled_from("ab"), st.sampled_from((None, 1, "x")), max_size=2)}
    ),
    "message.sent": st.just({"channel": "email"}),
    "message.read": st.just({"channel": "email"}),
    "message.clicked": st.just({"channel": "email"}),
    "message.spam_reported": st.just({"channel": "email"}),
    "order.placed": st.just({"external_id": "o"}),
}
ACTIVITIES: Final = st.sampled_from(sorted(_DATA)).flatmap(
    lambda kind: st.builds(
        lambda data, minute: ActivityRecorded(
            activity_id="a",
            kind=kind,
            occurred_at=AT + timedelta(minutes=minute),
            source="test",
            addressed_as=AddressedAs(by="external_id", value="c"),
            data=data,
        ),
        _DATA[kind],
        st.integers(0, 3),
    )
)


def folded(numbered: list[tuple[int, ActivityRecorded]]) -> Tally:
    tally = NOTHING
    for position, event in numbered:
        tally = fold(tally, event, position)
    return tally


@given(st.lists(ACTIVITIES, max_size=12), st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(events: list[ActivityRecorded], random: Any) -> None:
    numbered = list(enumerate(events, 1))
    shuffled = numbered.copy()
    random.shuffle(shuffled)
    assert folded(numbered) == folded(shuffled)


@given(st.lists(st.tuples(ACTIVITIES, st.integers(0, 2)), max_size=12))
def test_several_taken_together_are_as_one_who_did_it_all(events: list[tuple[ActivityRecorded, int]]) -> None:
    numbered = [(position, event) for position, (event, _) in enumerate(events, 1)]
    parts = [[each for each, (_, whose) in zip(numbered, events, strict=True) if whose == n] for n in range(3)]
    tallies = [folded(part) for part in parts]
    assert together(tallies) == together(reversed(tallies)) == folded(numbered)


def test_nothing_done_shows_nothing() -> None:
    assert shown(NOTHING) == shown(together([]))
    assert shown(NOTHING).email_rating is None


@pytest.mark.parametrize(
    ("counts", "rating"),
    [
        ((0, 0, 0, 0), None),
        ((10, 0, 0, 0), 0.0),
        ((10, 10, 10, 0), 3.0),
        ((10, 10, 10, 10), 5.0),
        ((10, 9, 5, 2), 1.9),
        ((0, 0, 1, 0), 3.0),
        ((3, 3, 0, 1), 1.7),
        ((20, 20, 1, 0), 0.2),
        ((1, 1, 5, 9), 5.0),
    ],
)
def test_the_rating_follows_its_formula(counts: tuple[int, int, int, int], rating: float | None) -> None:
    sent, delivered, read, clicked = counts
    found = email_rating(
        sent=sent, delivered=delivered, read=read, clicked=clicked, welcomed_at=None, refused_at=None
    )  # fmt: skip
    assert found == rating


def test_a_refusal_makes_zero_until_a_later_welcome() -> None:
    counts = {"sent": 2, "delivered": 2, "read": 2, "clicked": 0}
    later = AT + timedelta(seconds=1)
    assert email_rating(**counts, welcomed_at=AT, refused_at=later) == 0
    assert email_rating(**counts, welcomed_at=AT, refused_at=AT) == 0
    assert email_rating(**counts, welcomed_at=later, refused_at=AT) == 3
