"""Which segments and lists a filter refers to, found in it as it was sent. Judges nothing else about it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID


def referenced(filter_: Any) -> frozenset[UUID]:
    """Ids in `{"segment": …}` leaves, at any depth. What is no filter refers to nothing."""
    return frozenset(_references(filter_, "segment"))


def listed(filter_: Any) -> frozenset[UUID]:
    """The same of `{"list": …}`."""
    return frozenset(_references(filter_, "list"))


def _references(filter_: Any, kind: str) -> Iterator[UUID]:
    # No recursion: what was sent may be nested deeper than any filter.
    waiting = [filter_]
    while waiting:
        node = waiting.pop()
        if not isinstance(node, dict):
            continue
        for group in (node.get("all"), node.get("any")):
            waiting += group if isinstance(group, list) else []
        waiting.append(node.get("not"))
        try:
            yield UUID(node.get(kind))
        except (TypeError, ValueError, AttributeError):
            continue
