"""G4: an explanation says what a contact has, which events made it so, and until when time alone cannot change it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from contacts.attributes import AttributeDefinition
from contacts.contact.state import Contact
from contacts.smartsearch.dependencies import Reads, reads
from contacts.smartsearch.evaluate import Truth, evaluate, holds
from contacts.smartsearch.fields import Schema
from contacts.smartsearch.moment import Moment
from contacts.smartsearch.nodes import Node
from contacts.smartsearch.parse import parse
from contacts.smartsearch.subject import ActivityFact, Subject, Version
from contacts.values import Country, Tag

NOW: Final = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY: Final = timedelta(days=1)
MOMENT: Final = Moment(now=NOW, time_zone="Europe/Berlin")
SEGMENT: Final = UUID(int=5)


def asked(filter_: Any, **subject: Any) -> Truth:
    found = Subject(contact=subject.pop("contact", contact()), **subject)
    node = parse(filter_, Schema())
    truth = evaluate(node, found, MOMENT, {})
    assert truth.true == holds(node, found, MOMENT, {})
    return truth


def contact(**fields: Any) -> Contact:
    return Contact(id=UUID(int=1), version=1, created_at=NOW - 3 * DAY, changed_at=NOW, **fields)


def clicks(*ages: int) -> list[ActivityFact]:
    return [
        ActivityFact(position=100 - age, kind="message.clicked", occurred_at=NOW - age * DAY, data={"channel": "email"})
        for age in sorted(ages, reverse=True)
    ]


def field(name: str, op: str, value: Any = None, **more: Any) -> dict[str, Any]:
    return {"field": name, "op": op, "value": value, **more}


def test_a_value_is_explained_by_the_event_since_which_it_has_been_so() -> None:
    versions = [
        Version(position=3, contact=contact(country=Country("DE"))),
        Version(position=5, contact=contact(country=Country("PL"))),
        Version(position=8, contact=contact(country=Country("DE"))),
        Version(position=9, contact=contact(country=Country("DE"), tags=(Tag("vip"),))),
    ]
    truth = asked(field("country", "eq", "DE"), contact=versions[-1].contact, versions=versions)
    assert (truth.true, truth.value, truth.because, truth.until) == (True, "DE", (8,), None)
    truth = asked(field("tags", "has_any", ["x"]), contact=versions[-1].contact, versions=versions)
    assert (truth.true, truth.value, truth.because) == (False, frozenset({"vip"}), (9,))
    cut = {"contact": versions[-1].contact, "versions": versions[2:], "is_whole": False}
    assert asked(field("country", "eq", "DE"), **cut).because == ()


def test_activity_is_explained_by_what_counted_and_ends_when_the_first_of_it_does() -> None:
    filter_ = {"activity": "message.clicked", "within": "7d", "count": {"op": "gte", "value": 2}}
    truth = asked(filter_, activities=clicks(1, 3, 10))
    assert (truth.true, truth.value, truth.because, truth.until) == (True, 2, (97, 99), NOW + 4 * DAY)
    assert asked(filter_, activities=clicks(7)).value == 0
    ever = asked({"activity": "message.clicked"}, activities=clicks(400))
    assert (ever.true, ever.until) == (True, None)


def test_orders_are_explained_by_all_their_events() -> None:
    def order(position: int, number: str, age: int, **data: Any) -> ActivityFact:
        at = NOW - age * DAY
        return ActivityFact(
            position=position, kind="order.placed", occurred_at=at, data={"external_id": number, **data}
        )

    orders = [order(1, "a", 400, amount=50), order(2, "b", 20, amount=10), order(3, "b", 2, amount=0.1)]
    total = {"order": {"aggregate": "sum"}, "op": "lt", "value": 0.2, "within": "1y"}
    truth = asked(total, activities=orders)
    assert (truth.true, truth.value, truth.because, truth.until) == (True, 0.1, (2, 3), NOW + 345 * DAY)
    last = asked({"order": {"aggregate": "last"}, "op": "within_last", "value": "30d"}, activities=orders)
    assert (last.true, last.value, last.until) == (True, NOW - 20 * DAY, NOW + 10 * DAY)


def test_a_group_ends_when_all_that_decide_it_have() -> None:
    recent, older = field("created_at", "within_last", "4d"), field("created_at", "within_last", "10d")
    never = field("country", "eq", "DE")
    assert asked({"all": [recent, older]}).until == NOW + DAY
    assert asked({"any": [recent, older]}).until == NOW + 7 * DAY
    assert asked({"all": [recent, never]}).until is None
    assert asked({"any": [recent, never]}).until == NOW + DAY
    assert asked({"not": {"any": [recent, older]}}).until == NOW + 7 * DAY


def test_days_end_at_midnight_where_they_are_meant() -> None:
    born = Contact(id=UUID(int=1), version=1, time_zone="Asia/Tokyo", attributes={"seen": "2026-11-22"})  # type: ignore[arg-type]
    schema = Schema(attributes={"seen": AttributeDefinition(key="seen", name="Seen", type="date")})
    node: Node = parse(field("attributes.seen", "within_last", "1d", time_zone="contact"), schema)
    truth = evaluate(node, Subject(contact=born), MOMENT, {})
    assert (truth.true, truth.until) == (True, datetime(2026, 11, 22, 15, tzinfo=UTC))


def test_a_segment_shows_its_definition_and_one_that_is_not_there_has_nobody() -> None:
    node = parse({"segment": str(SEGMENT)}, Schema(segments={SEGMENT: parse({"all": []}, Schema())}))
    there = evaluate(node, Subject(contact=contact()), MOMENT, {SEGMENT: parse({"all": []}, Schema())})
    assert (there.true, [item.true for item in there.items]) == (True, [True])
    assert evaluate(node, Subject(contact=contact()), MOMENT, {}).true is False


def test_what_a_filter_reads_is_known_with_all_its_segments() -> None:
    inner = parse({"all": [field("tags", "has_any", ["a"]), {"activity": "order.*", "within": "1d"}]}, Schema())
    schema = Schema(segments={SEGMENT: inner})
    filter_ = {"any": [{"segment": str(SEGMENT)}, field("email_rating", "gt", 3), {"list": str(SEGMENT)}]}
    found = reads(parse(filter_, schema), {SEGMENT: inner})
    assert found == Reads(
        fields=frozenset({"tags", "email_rating", "lists"}), kinds=frozenset({"order.*"}), by_time=True,
        engagement=True, segments=frozenset({SEGMENT}),
    )  # fmt: skip
    assert found.reads_kind("order.paid")
    assert not found.reads_kind("message.sent")
