"""What can change the answer of a filter: the fields, kinds of activity and segments it reads, and time itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from uuid import UUID

import msgspec

from contacts.smartsearch.literals import WINDOWS
from contacts.smartsearch.nodes import CONTACT, ActivityLeaf, FieldLeaf, Leaf, ListLeaf, Node, OrderLeaf
from contacts.smartsearch.properties import ORDERS
from contacts.smartsearch.segments import leaves_of, reachable


class Reads(msgspec.Struct, frozen=True, kw_only=True):
    """Of a filter with all the segments it uses."""

    #: Names of fields, as `fields.FIELDS` has them; `lists` where a list is asked for.
    fields: frozenset[str] = frozenset()
    #: Kinds of activity (`message.clicked`) and families (`order.*`).
    kinds: frozenset[str] = frozenset()
    #: It may change when nothing happens.
    by_time: bool = False
    #: Some of its fields come from the engagement read model.
    engagement: bool = False
    segments: frozenset[UUID] = frozenset()

    def reads_kind(self, kind: str) -> bool:
        """Whether an activity of this kind can change it, other than through engagement."""
        return kind in self.kinds or f"{kind.partition('.')[0]}.*" in self.kinds


NOTHING_READ: Final = Reads()


def reads(node: Node, definitions: Mapping[UUID, Node]) -> Reads:
    """`definitions` hold every segment it uses."""
    segments = reachable(node, definitions)
    leaves: list[Leaf] = list(leaves_of(node))
    for segment_id in segments:
        leaves += leaves_of(definitions[segment_id])
    of_fields = [leaf for leaf in leaves if isinstance(leaf, FieldLeaf)]
    names = {leaf.field.name for leaf in of_fields}
    # Whose days are meant decides as well.
    if any(leaf.time_zone == CONTACT for leaf in leaves if isinstance(leaf, FieldLeaf | OrderLeaf)):
        names.add("time_zone")
    if any(isinstance(leaf, ListLeaf) for leaf in leaves):
        names.add("lists")
    kinds = {leaf.kind for leaf in leaves if isinstance(leaf, ActivityLeaf)}
    if any(isinstance(leaf, OrderLeaf) for leaf in leaves):
        kinds.add(ORDERS)
    return Reads(
        fields=frozenset(names),
        kinds=frozenset(kinds),
        by_time=any(map(_by_time, leaves)),
        engagement=any(leaf.field.place == "engagement" for leaf in of_fields),
        segments=segments,
    )


def _by_time(leaf: Leaf) -> bool:
    if isinstance(leaf, ActivityLeaf | OrderLeaf) and (
        leaf.window is not None or any(each.op in WINDOWS for each in leaf.where)
    ):
        return True
    return isinstance(leaf, FieldLeaf | OrderLeaf) and leaf.op in WINDOWS
