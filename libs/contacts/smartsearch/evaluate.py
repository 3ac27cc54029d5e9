"""A filter asked of one contact: whether it holds, and why. The same answer as the compiled SQL gives. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

import msgspec

from contacts.smartsearch.compare import Clock, changes_at, clock, compares, is_wanted
from contacts.smartsearch.happened import first, happened, orders_of
from contacts.smartsearch.moment import Moment
from contacts.smartsearch.nodes import (
    WORKSPACE,
    ActivityLeaf,
    All,
    Any,
    Field,
    FieldLeaf,
    FieldType,
    ListLeaf,
    Node,
    Not,
    OrderLeaf,
    SegmentLeaf,
)
from contacts.smartsearch.subject import ActivityFact, Known, Subject, value_of

#: Of so many events an explanation names the positions: the latest.
BECAUSE_MAX: Final = 100


class Truth(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a node holds, and why."""

    true: bool
    node: Node
    #: What the contact has, for a comparison; how many or how much, for what happened.
    value: Known = None
    #: Positions of the events that made it so, ascending; the latest, where they are many.
    because: tuple[int, ...] = ()
    #: Until when it cannot change by time alone; None is for ever.
    until: datetime | None = None
    #: Of the nodes below it, in their order; of a segment its definition.
    items: tuple[Truth, ...] = ()


def holds(node: Node, subject: Subject, moment: Moment, definitions: Mapping[UUID, Node]) -> bool:
    """The answer alone. A segment that has no definition has no members."""
    return _Evaluation(subject, moment, definitions).holds(node)


def evaluate(node: Node, subject: Subject, moment: Moment, definitions: Mapping[UUID, Node]) -> Truth:
    """The answer of every node. Which events set the value of a field is known from `subject.versions` only."""
    return _Evaluation(subject, moment, definitions).truth(node)


class _Evaluation:
    def __init__(self, subject: Subject, moment: Moment, definitions: Mapping[UUID, Node]) -> None:
        self._subject = subject
        self._moment = moment
        self._definitions = definitions
        position = moment.position
        self._activities: Sequence[ActivityFact] = subject.activities
        if position is not None:
            self._activities = [fact for fact in subject.activities if fact.position <= position]

    def holds(self, node: Node) -> bool:
        if isinstance(node, All):
            return all(map(self.holds, node.items))
        if isinstance(node, Any):
            return any(map(self.holds, node.items))
        if isinstance(node, Not):
            return not self.holds(node.item)
        if isinstance(node, SegmentLeaf):
            definition = self._definitions.get(node.segment_id)
            return definition is not None and self.holds(definition)
        return self._leaf(node, explained=False).true

    def truth(self, node: Node) -> Truth:
        if isinstance(node, All | Any):
            items = tuple(map(self.truth, node.items))
            all_of = isinstance(node, All)
            true = (all if all_of else any)(item.true for item in items)
            return Truth(true=true, node=node, until=_until(items, all_of=all_of), items=items)
        if isinstance(node, Not):
            item = self.truth(node.item)
            return Truth(true=not item.true, node=node, until=item.until, items=(item,))
        if isinstance(node, SegmentLeaf):
            definition = self._definitions.get(node.segment_id)
            items = () if definition is None else (self.truth(definition),)
            return Truth(true=any(i.true for i in items), node=node, until=first(i.until for i in items), items=items)
        return self._leaf(node, explained=True)

    # -- leaves -------------------------------------------------------------------------------------------------------

    def _leaf(self, leaf: FieldLeaf | ActivityLeaf | OrderLeaf | ListLeaf, *, explained: bool) -> Truth:
        if isinstance(leaf, FieldLeaf):
            return self._field(leaf, explained=explained)
        if isinstance(leaf, ActivityLeaf):
            return self._activity(leaf)
        if isinstance(leaf, OrderLeaf):
            return self._order(leaf)
        known = value_of(_LISTS, self._subject.contact, None)
        assert isinstance(known, frozenset)
        because = self._set_by(_LISTS) if explained else ()
        return Truth(true=leaf.list_id in known, node=leaf, value=known, because=because)

    def _field(self, leaf: FieldLeaf, *, explained: bool) -> Truth:
        subject, field = self._subject, leaf.field
        known = value_of(field, subject.contact, subject.engagement)
        at = self._clock(leaf.time_zone)
        return Truth(
            true=compares(field.type, known, leaf.op, leaf.value, at),
            node=leaf,
            value=known,
            because=self._set_by(field) if explained else (),
            until=changes_at(known, leaf.value, at),
        )

    def _clock(self, zone: str) -> Clock:
        return clock(self._moment, zone, self._subject.contact.time_zone)

    def _set_by(self, field: Field) -> tuple[int, ...]:
        """The event after which the field was for the first time what it is now, without a break."""
        versions = self._subject.versions
        found: tuple[int, ...] = ()
        now = value_of(field, self._subject.contact, self._subject.engagement)
        for version in reversed(versions):
            if value_of(field, version.contact, version.engagement) != now:
                return found
            found = (version.position,)
        return found if self._subject.is_whole else ()

    def _activity(self, leaf: ActivityLeaf) -> Truth:
        found = happened(leaf, self._activities, self._clock(WORKSPACE))
        return Truth(
            true=is_wanted(len(found.counted), leaf.count),
            node=leaf,
            value=len(found.counted),
            because=_latest(fact.position for fact in found.counted),
            until=found.until,
        )

    def _order(self, leaf: OrderLeaf) -> Truth:
        at = self._clock(leaf.time_zone)
        orders = orders_of(self._activities, leaf, at)
        known = orders.value(leaf)
        type_: FieldType = "number"
        if leaf.aggregate == "last":
            type_ = leaf.property.type if leaf.property else "instant"
        until = (orders.until(leaf, at.now), changes_at(known, leaf.value, at))
        return Truth(
            true=compares(type_, known, leaf.op, leaf.value, at),
            node=leaf,
            value=_plain(known),
            because=_latest(orders.positions),
            until=first(until),
        )


_LISTS: Final = Field(name="lists", type="ids", column="lists")


def _until(items: Sequence[Truth], *, all_of: bool) -> datetime | None:
    """While items decide the group (false ones where all must hold, true ones of any), all of those must change."""
    deciding = [item.until for item in items if item.true != all_of]
    if not deciding:
        return first(item.until for item in items)
    known = [until for until in deciding if until is not None]
    return max(known) if len(known) == len(deciding) else None


def _plain(known: Known) -> Known:
    """A sum as JSON shows it."""
    if not isinstance(known, Decimal):
        return known
    return int(known) if known == known.to_integral_value() else float(known)


def _latest(positions: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted(positions)[-BECAUSE_MAX:])
