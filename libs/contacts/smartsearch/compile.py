"""A filter as one condition of SQL and its parameters, for a row `c` of `own_contact` or its history. Runs nothing.

Nothing that a caller sent is part of the text: names come from `fields`, everything else is a parameter. A condition is
NULL or false where it does not hold, so that `not` is `IS NOT TRUE` and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from contacts.contact.filtering import Parameters
from contacts.smartsearch.compile_activity import compile_activity, compile_order
from contacts.smartsearch.compile_field import compile_field
from contacts.smartsearch.moment import Moment
from contacts.smartsearch.nodes import (
    ActivityLeaf,
    All,
    Any,
    FieldLeaf,
    ListLeaf,
    Node,
    Not,
    OrderLeaf,
    SegmentLeaf,
)
from contacts.smartsearch.placing import Placing

TRUE: Final = "TRUE"
FALSE: Final = "FALSE"


def compile_node(
    node: Node,
    *,
    moment: Moment,
    parameters: Parameters,
    definitions: Mapping[UUID, Node],
    workspace: str | None = None,
) -> str:
    """One condition on the alias `c`. A segment that has no definition has no members.

    With a position in `moment`, `c` must be a row of the history that was shown at that position. With `workspace`, the
    name of a parameter, the condition is quicker for everybody in it, and slower for some.
    """
    return _Compiler(Placing(moment, parameters, workspace), definitions).compile(node)


class _Compiler:
    def __init__(self, placing: Placing, definitions: Mapping[UUID, Node]) -> None:
        self._placing = placing
        self._definitions = definitions

    def compile(self, node: Node) -> str:
        if isinstance(node, All):
            return self._joined(node.items, " AND ", TRUE)
        if isinstance(node, Any):
            return self._joined(node.items, " OR ", FALSE)
        if isinstance(node, Not):
            return f"({self.compile(node.item)}) IS NOT TRUE"
        if isinstance(node, SegmentLeaf):
            definition = self._definitions.get(node.segment_id)
            return FALSE if definition is None else self.compile(definition)
        if isinstance(node, ListLeaf):
            return f"c.lists @> {self._placing.add([node.list_id], 'uuid[]')}"
        if isinstance(node, FieldLeaf):
            return compile_field(node, self._placing)
        if isinstance(node, ActivityLeaf):
            return compile_activity(node, self._placing)
        return compile_order(node, self._placing)

    def _joined(self, items: tuple[Node, ...], operator: str, empty: str) -> str:
        if not items:
            return empty
        # Of what is joined by OR the cheap is asked first; with AND the planner sees to it itself.
        ordered = sorted(items, key=self._cost)
        return "(" + operator.join(self.compile(item) for item in ordered) + ")"

    def _cost(self, node: Node) -> int:
        if isinstance(node, All | Any):
            return max(map(self._cost, node.items), default=0)
        if isinstance(node, Not):
            return self._cost(node.item)
        if isinstance(node, SegmentLeaf):
            definition = self._definitions.get(node.segment_id)
            return 0 if definition is None else self._cost(definition)
        if isinstance(node, FieldLeaf):
            return 1 if node.field.place == "engagement" else 0
        return {ActivityLeaf: 2, OrderLeaf: 3}.get(type(node), 0)
