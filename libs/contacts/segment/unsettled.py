"""Of whom time alone may yet change whether a filter holds: another filter, which is true of them and of few others.

A window moves what lies in it, or ahead of it, and nothing that is behind it already; and nobody moves whom something
else keeps in or out. So of a segment with a window most contacts need not be looked at one by one. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from contacts.smartsearch.dependencies import reads
from contacts.smartsearch.nodes import ActivityLeaf, All, FieldLeaf, Leaf, Node, Not, OrderLeaf, Range, SegmentLeaf
from contacts.smartsearch.nodes import Any as AnyOf
from contacts.smartsearch.properties import ORDERS

#: Activity can be a day ahead of the clock, and a day begins up to a day earlier or later elsewhere.
MARGIN: Final = timedelta(days=2)
NOBODY: Final = AnyOf(())


def unsettled(nodes: Iterable[Node], definitions: Mapping[UUID, Node], now: datetime) -> Node:
    """To be asked as of `now` and `MARGIN`, so that its own windows end there."""
    return AnyOf(tuple(_Unsettled(definitions, now).of(node) for node in nodes))


class _Unsettled:
    def __init__(self, definitions: Mapping[UUID, Node], now: datetime) -> None:
        self._definitions = definitions
        self._now = now

    def of(self, node: Node) -> Node:
        """True of nobody where time decides nothing."""
        if isinstance(node, All | AnyOf):
            return self._of_items(node)
        if isinstance(node, Not):
            return self.of(node.item)
        if isinstance(node, SegmentLeaf):
            definition = self._definitions.get(node.segment_id)
            return NOBODY if definition is None else self.of(definition)
        return AnyOf(tuple(self._of_leaf(node)))

    def _of_items(self, node: All | AnyOf) -> Node:
        """What does not change by time decides alone where it fails one of all, or is one of any."""
        moving = [item for item in node.items if reads(item, self._definitions).by_time]
        if not moving:
            return NOBODY
        lasting = [item for item in node.items if item not in moving]
        if isinstance(node, AnyOf):
            lasting = [Not(item) for item in lasting]
        return All((AnyOf(tuple(map(self.of, moving))), *lasting))

    def _of_leaf(self, leaf: Leaf) -> Iterator[Node]:
        now = self._now
        if isinstance(leaf, FieldLeaf) and isinstance(leaf.value, timedelta):
            yield _later_than(leaf, now - leaf.value)
        elif isinstance(leaf, ActivityLeaf):
            if any(isinstance(each.value, timedelta) for each in leaf.where):
                # What is compared may be any instant that an activity holds.
                yield ActivityLeaf(kind=leaf.kind)
            elif leaf.window is not None:
                yield ActivityLeaf(kind=leaf.kind, where=leaf.where, window=leaf.window + MARGIN)
        elif isinstance(leaf, OrderLeaf):
            if any(isinstance(each.value, timedelta) for each in leaf.where):
                yield ActivityLeaf(kind=ORDERS)
            if leaf.window is not None:
                yield ActivityLeaf(kind=ORDERS, window=leaf.window + MARGIN)
            if isinstance(leaf.value, timedelta):
                # The same of an order.
                yield ActivityLeaf(kind=ORDERS, window=leaf.value + MARGIN if leaf.property is None else None)


def _later_than(leaf: FieldLeaf, instant: datetime) -> Node:
    low = (instant - MARGIN).date() if leaf.field.type == "date" else instant
    return FieldLeaf(field=leaf.field, op="after", value=Range(low=low, low_open=True), time_zone=leaf.time_zone)
