"""Of whom time alone may yet change whether a filter holds: another filter, which is true of them and of few others.

A window moves what lies in it, or ahead of it, and nothing that is behind it already. So of a segment with a window
most contacts need not be looked at one by one. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from contacts.smartsearch.nodes import ActivityLeaf, Any, FieldLeaf, Node, OrderLeaf, Range
from contacts.smartsearch.properties import ORDERS
from contacts.smartsearch.segments import leaves_of, reachable

#: Activity can be a day ahead of the clock, and a day begins up to a day earlier or later elsewhere.
MARGIN: Final = timedelta(days=2)


def unsettled(nodes: Iterable[Node], definitions: Mapping[UUID, Node], now: datetime) -> Node:
    """To be asked as of `now` and `MARGIN`, so that its own windows end there."""
    return Any(tuple(part for node in nodes for part in _parts(node, definitions, now)))


def _parts(node: Node, definitions: Mapping[UUID, Node], now: datetime) -> Iterator[Node]:
    used = (definitions[each] for each in reachable(node, definitions) if each in definitions)
    for leaf in (leaf for each in (node, *used) for leaf in leaves_of(each)):
        if isinstance(leaf, FieldLeaf) and isinstance(leaf.value, timedelta):
            yield _later_than(leaf, now - leaf.value)
        elif isinstance(leaf, ActivityLeaf) and leaf.window is not None:
            yield ActivityLeaf(kind=leaf.kind, where=leaf.where, window=leaf.window + MARGIN)
        elif isinstance(leaf, OrderLeaf):
            if leaf.window is not None:
                yield ActivityLeaf(kind=ORDERS, window=leaf.window + MARGIN)
            if isinstance(leaf.value, timedelta):
                # What is compared may be any instant that an order holds.
                yield ActivityLeaf(kind=ORDERS, window=leaf.value + MARGIN if leaf.property is None else None)


def _later_than(leaf: FieldLeaf, instant: datetime) -> Node:
    low = (instant - MARGIN).date() if leaf.field.type == "date" else instant
    return FieldLeaf(field=leaf.field, op="after", value=Range(low=low, low_open=True), time_zone=leaf.time_zone)
