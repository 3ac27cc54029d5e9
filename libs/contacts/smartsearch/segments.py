"""What segments stand for: how large a filter becomes with their definitions, and whether one leads back to itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from uuid import UUID

import msgspec

from contacts.smartsearch.nodes import ActivityLeaf, All, Any, Leaf, Node, Not, OrderLeaf, SegmentLeaf


def leaves_of(node: Node) -> Iterator[Leaf]:
    """All leaves of a filter, segments as they are."""
    if isinstance(node, All | Any):
        for item in node.items:
            yield from leaves_of(item)
    elif isinstance(node, Not):
        yield from leaves_of(node.item)
    else:
        yield node


def segments_of(node: Node) -> frozenset[UUID]:
    """The segments that a filter names itself."""
    return frozenset(leaf.segment_id for leaf in leaves_of(node) if isinstance(leaf, SegmentLeaf))


def leads_to(start: UUID, goal: UUID, definitions: Mapping[UUID, Node]) -> bool:
    """Whether the definition of `start` uses `goal`, or is it."""
    seen: set[UUID] = set()
    ahead = [start]
    while ahead:
        segment_id = ahead.pop()
        if segment_id == goal:
            return True
        if segment_id not in seen and segment_id in definitions:
            seen.add(segment_id)
            ahead += segments_of(definitions[segment_id])
    return False


def reachable(node: Node, definitions: Mapping[UUID, Node]) -> frozenset[UUID]:
    """All segments that a filter depends on."""
    seen: set[UUID] = set()
    ahead = list(segments_of(node))
    while ahead:
        segment_id = ahead.pop()
        if segment_id not in seen:
            seen.add(segment_id)
            ahead += segments_of(definitions[segment_id]) if segment_id in definitions else ()
    return frozenset(seen)


class Size(msgspec.Struct, frozen=True):
    """How large a filter is with the definitions of its segments in their places."""

    leaves: int
    #: Those of them that ask for what happened.
    happened: int
    depth: int


def expanded_size(node: Node, definitions: Mapping[UUID, Node]) -> Size:
    """There must be no cycle."""
    known: dict[UUID, Size] = {}

    def size(each: Node) -> Size:
        if isinstance(each, All | Any):
            sizes = [size(item) for item in each.items] or [Size(0, 0, 0)]
            leaves, happened = sum(s.leaves for s in sizes), sum(s.happened for s in sizes)
            return Size(leaves, happened, 1 + max(s.depth for s in sizes))
        if isinstance(each, Not):
            inner = size(each.item)
            return Size(inner.leaves, inner.happened, inner.depth + 1)
        if isinstance(each, SegmentLeaf) and each.segment_id in definitions:
            if each.segment_id not in known:
                known[each.segment_id] = size(definitions[each.segment_id])
            return known[each.segment_id]
        return Size(1, int(isinstance(each, ActivityLeaf | OrderLeaf)), 1)

    return size(node)
