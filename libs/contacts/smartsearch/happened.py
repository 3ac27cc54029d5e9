"""What happened to one contact, as activity and order conditions see it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Context, Decimal
from typing import Final

import msgspec

from contacts.activity.kinds import category_of
from contacts.smartsearch.compare import Clock, changes_at, compares, next_of
from contacts.smartsearch.nodes import ActivityLeaf, OrderLeaf, Where
from contacts.smartsearch.properties import ALL_OF
from contacts.smartsearch.subject import ActivityFact, Known, property_of

#: Sums are exact, as PostgreSQL's are: digits enough for any numbers that JSON can hold.
_EXACT: Final = Context(prec=2_000)


class Happened(msgspec.Struct, frozen=True):
    """What an activity condition is about, and when time alone may change that."""

    #: Those that its conditions hold for, in its window.
    counted: Sequence[ActivityFact]
    until: datetime | None


def happened(leaf: ActivityLeaf, activities: Iterable[ActivityFact], at: Clock) -> Happened:
    family, _, name = leaf.kind.partition(".")
    kind, prefix = leaf.kind, f"{family}."
    of_kind = [a for a in activities if (a.kind.startswith(prefix) if name == ALL_OF else a.kind == kind)]
    facts = [activity for activity in of_kind if _all_hold(leaf.where, activity, at)]
    moves = [
        changes_at(property_of(each.property, fact.data), each.value, at)
        for each in leaf.where
        if isinstance(each.value, timedelta)
        for fact in of_kind
    ]
    window = leaf.window
    if window is not None:
        moves += [next_of((fact.occurred_at, fact.occurred_at + window), at.now) for fact in facts]
        facts = [fact for fact in facts if at.now - window < fact.occurred_at <= at.now]
    return Happened(facts, first(moves))


def first(instants: Iterable[datetime | None]) -> datetime | None:
    return min((instant for instant in instants if instant is not None), default=None)


def _all_hold(where: Iterable[Where], activity: ActivityFact, at: Clock) -> bool:
    return all(
        compares(each.property.type, property_of(each.property, activity.data), each.op, each.value, at)
        for each in where
    )


class Order(msgspec.Struct, frozen=True):
    """One order: when its first event was, what its last one says, and where all of them are."""

    ordered_at: datetime
    last: ActivityFact
    positions: tuple[int, ...]


class Orders(msgspec.Struct, frozen=True):
    """The orders that a leaf is about: `counted` are in its window, `others` came before it or are still to come."""

    counted: Sequence[Order]
    others: Sequence[Order]

    @property
    def positions(self) -> list[int]:
        return [position for order in self.counted for position in order.positions]

    def value(self, leaf: OrderLeaf) -> Known:
        if leaf.aggregate == "count":
            return len(self.counted)
        if leaf.aggregate == "sum":
            return self._sum(leaf)
        if not self.counted:
            return None
        last = max(self.counted, key=lambda order: (order.ordered_at, order.last.position))
        return last.ordered_at if leaf.property is None else property_of(leaf.property, last.last.data)

    def _sum(self, leaf: OrderLeaf) -> Decimal:
        assert leaf.property is not None
        total = Decimal(0)
        for order in self.counted:
            number = property_of(leaf.property, order.last.data)
            if isinstance(number, int | float):
                total = _EXACT.add(total, Decimal(repr(number)))
        return total

    def until(self, leaf: OrderLeaf, now: datetime) -> datetime | None:
        window = leaf.window
        if window is None:
            return None
        return first(next_of((o.ordered_at, o.ordered_at + window), now) for o in (*self.counted, *self.others))


def orders_of(activities: Iterable[ActivityFact], leaf: OrderLeaf, at: Clock) -> Orders:
    by_number: dict[str, list[ActivityFact]] = {}
    for activity in activities:
        if category_of(activity.kind) == "orders":
            by_number.setdefault(activity.data["external_id"], []).append(activity)
    orders = [_order(events) for events in by_number.values()]
    wanted = [order for order in orders if _all_hold(leaf.where, order.last, at)]
    if leaf.window is None:
        return Orders(wanted, ())
    start = at.now - leaf.window
    counted = [order for order in wanted if start < order.ordered_at <= at.now]
    return Orders(counted, [order for order in wanted if order not in counted])


def _order(events: Sequence[ActivityFact]) -> Order:
    last = max(events, key=lambda event: (event.occurred_at, event.position))
    return Order(min(event.occurred_at for event in events), last, tuple(event.position for event in events))
