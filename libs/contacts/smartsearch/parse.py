"""From the JSON of a filter to its nodes. What is wrong is told at once, with where it stands. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from contacts.errors import InvalidField, InvalidInput, InvalidValue
from contacts.faults import Faults
from contacts.smartsearch.fields import Schema
from contacts.smartsearch.leaves import LEAVES, Leaves, refused
from contacts.smartsearch.literals import kind_of
from contacts.smartsearch.names import expected_name, pointer_part, shown_name
from contacts.smartsearch.nodes import All, Any, Node, Not
from contacts.smartsearch.segments import expanded_size

DEPTH_MAX: Final = 32
LEAVES_MAX: Final = 500
#: With all that segments stand for.
EXPANDED_LEAVES_MAX: Final = 2_000
EXPANDED_DEPTH_MAX: Final = 100
#: Conditions on activity and orders, those of segments too: each is planned for every month there is.
HAPPENED_MAX: Final = 100

#: What says what a node is, and what can stand beside it.
MEMBERS: Final[dict[str, tuple[str, ...]]] = {"all": (), "any": (), "not": (), **LEAVES}
_EXPECTED: Final = "an object with one of " + ", ".join(MEMBERS)


def parse(raw: object, schema: Schema, *, pointer: str = "/filter") -> Node:
    """Raises InvalidInput."""
    reader = _Reader(schema)
    node = reader.node(raw, pointer, 1)
    reader.fault.raise_if_any()
    assert node is not None
    size = expanded_size(node, schema.segments)
    if size.happened > HAPPENED_MAX:
        raise refused(
            pointer, "asks too much of what happened", f"at most {HAPPENED_MAX} conditions on activity, orders"
        )
    if size.leaves > EXPANDED_LEAVES_MAX or size.depth > EXPANDED_DEPTH_MAX:
        reason = "comes to too many conditions with those of its segments"
        raise refused(pointer, reason, f"at most {EXPANDED_LEAVES_MAX} conditions, {EXPANDED_DEPTH_MAX} levels deep")
    return node


class _TooManyLeaves(InvalidInput):
    """Ends the reading: nobody can use more complaints."""


class _Reader:
    """One per filter; what it finds wrong is in `fault`."""

    def __init__(self, schema: Schema) -> None:
        self.fault = Faults()
        self._leaves = Leaves(schema, self.fault)
        self._read = 0

    def node(self, raw: object, at: str, depth: int) -> Node | None:
        """None where anything in it was refused."""
        try:
            return self._node(raw, at, depth)
        except _TooManyLeaves:
            raise
        except InvalidInput as invalid:
            self.fault.add_all(invalid)
            return None

    def _node(self, raw: object, at: str, depth: int) -> Node | None:
        if depth > DEPTH_MAX:
            raise refused(at, "is nested too deeply", f"at most {DEPTH_MAX} levels")
        if not isinstance(raw, dict):
            raise refused(at, f"is {kind_of(raw)}", _EXPECTED)
        named = [name for name in MEMBERS if name in raw]
        if len(named) != 1:
            raise refused(at, f"has {' and '.join(named)} at once" if named else "is no condition", _meant(raw, named))
        name = named[0]
        self._check_members(raw, (name, *MEMBERS[name]), at)
        if name == "not":
            item = self.node(raw["not"], f"{at}/not", depth + 1)
            return None if item is None else Not(item)
        if name in ("all", "any"):
            return self._group(name, raw[name], f"{at}/{name}", depth)
        self._read += 1
        if self._read > LEAVES_MAX:
            raise _TooManyLeaves([InvalidField(at, "is one condition too many", f"at most {LEAVES_MAX} conditions")])
        return self._leaves.read(name, raw, at)

    def _group(self, name: str, raw: object, at: str, depth: int) -> Node:
        if not isinstance(raw, list):
            raise refused(at, f"is {kind_of(raw)}", "a list of conditions")
        items = [self.node(each, f"{at}/{n}", depth + 1) for n, each in enumerate(raw)]
        found = tuple(item for item in items if item is not None)
        return All(found) if name == "all" else Any(found)

    def _check_members(self, raw: Mapping[str, object], known: tuple[str, ...], at: str) -> None:
        for key in raw:
            if key not in known:
                reason = f"{shown_name(key)} is no part of this condition"
                self.fault.add(f"{at}/{pointer_part(key)}", InvalidValue(reason, expected_name(key, known)))


def _meant(raw: Mapping[str, object], named: list[str]) -> str:
    if named:
        return _EXPECTED
    near = [expected_name(key, MEMBERS) for key in list(raw)[:5]]
    return next((each for each in near if each.startswith("perhaps")), _EXPECTED)
