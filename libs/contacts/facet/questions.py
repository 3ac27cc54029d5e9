"""Which columns a filter asks for, and whom it is true of by them. What comparisons mean is `smartsearch.compare`'s."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import reduce
from typing import Final, TypeAlias
from uuid import UUID

import msgspec
import numpy as np

from contacts.contact.filtering import Filter
from contacts.facet.columns import Codes, Events, Ints, Mask, Ordered
from contacts.smartsearch.compare import Clock, clock, compares
from contacts.smartsearch.fields import FIELDS
from contacts.smartsearch.moment import Moment, today
from contacts.smartsearch.nodes import (
    CONTACT,
    ActivityLeaf,
    All,
    Any,
    Bound,
    Count,
    Field,
    FieldLeaf,
    Leaf,
    ListLeaf,
    Node,
    Not,
    Range,
    SegmentLeaf,
    Where,
)
from contacts.smartsearch.segments import leaves_of, reachable

#: PostgreSQL counts microseconds and days from here.
EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
#: Nearly everybody has another value; an index of the database finds whom is meant at once.
OWN: Final = frozenset({"contact_id", "external_id", "messaging_id", "email", "phone"})
#: Words about an address: with the key of the address they become unreadable and no event of the contact says so.
UNSAID: Final = frozenset({"reason", "source"})
LISTS: Final = FIELDS["lists"]


class Unanswerable(Exception):
    """Not from memory; SQL can."""


class Values(msgspec.Struct, frozen=True):
    """A field of every contact, or only whether it is set."""

    field: Field
    is_set: bool = False


class Happened(msgspec.Struct, frozen=True):
    """Activities of a kind under conditions, whose days are those of `time_zone` where any are meant."""

    kind: str
    where: tuple[Where, ...] = ()
    time_zone: str = ""


Column: TypeAlias = Values | Happened


def asked(wanted: Filter, node: Node | None) -> Node:
    """All that is asked of a contact, as one filter. Raises Unanswerable."""
    if wanted.terms:
        raise Unanswerable
    items: list[Node] = [FieldLeaf(field=FIELDS["deleted_at"], op="exists", value=wanted.deleted)]
    for name, status in (("email_status", wanted.email_status), ("phone_status", wanted.phone_status)):
        if status == "all":
            items.append(FieldLeaf(field=FIELDS[name], op="exists", value=True))
        elif status is not None:
            items.append(FieldLeaf(field=FIELDS[name], op="eq", value=status))
    return All((*items, *([] if node is None else [node])))


def columns_of(node: Node, moment: Moment, definitions: Mapping[UUID, Node]) -> frozenset[Column]:
    """All that an answer needs. Raises Unanswerable."""
    used = (definitions[each] for each in reachable(node, definitions) if each in definitions)
    leaves = (leaf for each in (node, *used) for leaf in leaves_of(each))
    return frozenset(_column(leaf, moment) for leaf in leaves if not isinstance(leaf, SegmentLeaf))


def _column(leaf: Leaf, moment: Moment) -> Column:
    if isinstance(leaf, ListLeaf):
        return Values(LISTS)
    if isinstance(leaf, ActivityLeaf):
        if any(isinstance(each.value, timedelta) for each in leaf.where):
            raise Unanswerable
        return Happened(leaf.kind, leaf.where, moment.time_zone if leaf.where else "")
    if not isinstance(leaf, FieldLeaf):
        raise Unanswerable
    field = leaf.field
    if field.column == "extras" and len(field.path) > 1 and field.path[1] in UNSAID:
        raise Unanswerable
    is_set = leaf.op == "exists"
    if not is_set and (field.column in OWN or _is_by_contact(leaf)):
        raise Unanswerable
    return Values(field, is_set)


def _is_by_contact(leaf: FieldLeaf) -> bool:
    """Whether everybody is compared with an instant or a day of their own."""
    value = leaf.value
    if leaf.time_zone != CONTACT:
        return False
    if isinstance(value, Range):
        return any(isinstance(end, datetime) and end.tzinfo is None for end in (value.low, value.high))
    return isinstance(value, timedelta) and leaf.field.type == "date"


class Answering:
    """One question put to one copy. `members` are the slots of absorbed contacts and of those that stand for them."""

    def __init__(
        self, columns: Mapping[Column, Codes | Ordered | Events], size: int, members: tuple[Ints, Ints], moment: Moment,
        definitions: Mapping[UUID, Node],
    ) -> None:  # fmt: skip
        self._columns = columns
        self._size = size
        self._members = members
        self._moment = moment
        self._definitions = definitions

    def where(self, node: Node) -> Mask:
        """Raises Unanswerable for a number that no float says exactly."""
        if isinstance(node, All):
            return reduce(np.logical_and, map(self.where, node.items), np.ones(self._size, np.bool_))
        if isinstance(node, Any):
            return reduce(np.logical_or, map(self.where, node.items), np.zeros(self._size, np.bool_))
        if isinstance(node, Not):
            return ~self.where(node.item)
        if isinstance(node, SegmentLeaf):
            definition = self._definitions.get(node.segment_id)
            return np.zeros(self._size, np.bool_) if definition is None else self.where(definition)
        return self._leaf(node)

    def _leaf(self, leaf: Leaf) -> Mask:
        column = self._columns[_column(leaf, self._moment)]
        if isinstance(leaf, ActivityLeaf):
            assert isinstance(column, Events)
            return self._happened(leaf, column)
        if isinstance(leaf, ListLeaf):
            leaf = FieldLeaf(field=LISTS, op="has_any", value=(leaf.list_id,))
        assert isinstance(leaf, FieldLeaf)
        at = clock(self._moment, leaf.time_zone, None)
        if isinstance(column, Ordered):
            return _compared(leaf, column, at)
        assert isinstance(column, Codes)
        if leaf.op == "exists":
            return column.where(("exists", leaf.value), lambda known: known == leaf.value)
        return column.where(
            (leaf.op, leaf.value), lambda known: compares(leaf.field.type, known, leaf.op, leaf.value, at)
        )

    def _happened(self, leaf: ActivityLeaf, column: Events) -> Mask:
        now = self._moment.now
        window = None if leaf.window is None else (micros(now - leaf.window), micros(now))
        counted = column.counted(self._size, window)
        children, roots = self._members
        np.add.at(counted, roots, counted[children])
        return _are_wanted(counted, leaf.count)


def _are_wanted(found: Ints, count: Count) -> Mask:
    value, op = count.value, count.op
    if isinstance(value, tuple):
        if op == "between":
            return (found >= value[0]) & (found <= value[1])
        return np.isin(found, value, invert=op == "not_in")
    compare = {
        "eq": np.equal, "ne": np.not_equal, "lt": np.less, "lte": np.less_equal, "gt": np.greater,
        "gte": np.greater_equal,
    }[op]  # fmt: skip
    held: Mask = compare(found, value)
    return held


def _compared(leaf: FieldLeaf, column: Ordered, at: Clock) -> Mask:
    value, op = leaf.value, leaf.op
    if isinstance(value, Range):
        low, high = (None if end is None else _place(end, at) for end in (value.low, value.high))
        held = column.between(low, high, low_open=value.low_open, high_open=value.high_open)
        held = ~held if value.outside else held
    elif isinstance(value, timedelta):
        now: Bound = today(at.now, at.zone) if leaf.field.type == "date" else at.now
        held = column.between(_place(now - value, at), _place(now, at), low_open=True, high_open=False)  # type: ignore[operator]
        held = ~held if op == "not_within_last" else held
    else:
        wanted = [_place(each, at) for each in (value if isinstance(value, tuple) else (value,))]  # type: ignore[arg-type]
        held = column.among(wanted)
        held = ~held if op in ("ne", "not_in") else held
    return held & column.is_set


def _place(bound: Bound, at: Clock) -> float:
    """Among the values of a column."""
    if isinstance(bound, datetime):
        return micros(at.instant(bound))
    if isinstance(bound, date):
        return (bound - EPOCH.date()).days
    if Decimal(repr(bound)) != Decimal(repr(float(bound))):
        raise Unanswerable
    return float(bound)


def micros(instant: datetime) -> int:
    return (instant - EPOCH) // timedelta(microseconds=1)
