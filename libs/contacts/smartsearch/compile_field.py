"""Comparisons with fields of a contact or of its engagement, as SQL."""

from __future__ import annotations

from datetime import timedelta
from typing import Final
from uuid import UUID

import msgspec

from contacts.smartsearch.compile_value import PATTERNS, compare, compare_set
from contacts.smartsearch.nodes import SETS, Field, FieldLeaf, Op, Range, Value
from contacts.smartsearch.placing import Placing
from contacts.smartsearch.unchecked import sql_of_day, sql_of_instant

#: What an op on a set is the complement of.
COMPLEMENTS: Final[dict[Op, Op]] = {"ne": "eq", "not_in": "in", "has_none": "has_any"}
_json: Final = msgspec.json.Encoder().encode


def compile_field(leaf: FieldLeaf, placing: Placing) -> str:
    field, op, value = leaf.field, leaf.op, leaf.value
    if op == "exists":
        if never_unset(field):
            return "TRUE" if value else "FALSE"
        return _complement(_placed(field, _present(field, placing), placing), wanted=bool(value))
    if op == "is_empty":
        return _complement(_placed(field, _filled(field, placing), placing), wanted=not value)
    if field.type in SETS and never_unset(field) and op in COMPLEMENTS:
        held = _placed(field, _compared(field, COMPLEMENTS[op], value, leaf.time_zone, placing), placing)
        return _complement(held, wanted=False)
    return _placed(field, _compared(field, op, value, leaf.time_zone, placing), placing)


def never_unset(field: Field) -> bool:
    """Sets are at least empty, but for the custom attributes among them; some fields have a default."""
    return field.default is not None or (field.type in SETS and field.column != "attributes")


def _complement(condition: str, *, wanted: bool) -> str:
    return condition if wanted else f"({condition}) IS NOT TRUE"


def _placed(field: Field, condition: str, placing: Placing) -> str:
    return placing.engaged(condition) if field.place == "engagement" else condition


def _compared(field: Field, op: Op, value: Value, zone: str, placing: Placing) -> str:
    if field.type in SETS:
        return compare_set(set_of(field, placing), op, value, placing, json=bool(field.path), ids=field.type == "ids")
    if op == "eq" and field.column == "attributes" and not isinstance(value, Range | timedelta | UUID):
        # What has an index and statistics of its own.
        return f"c.attributes @> {placing.add(_json({field.path[0]: value}).decode(), 'jsonb')}"
    expression = _folded(field, placing) if op in PATTERNS else expression_of(field, placing)
    return compare(field.type, expression, op, value, zone, placing, exact=bool(field.path))


def expression_of(field: Field, placing: Placing) -> str:
    """The value of a field that holds one, as its SQL type; lists are sorted by it."""
    column = f"{'e' if field.place == 'engagement' else 'c'}.{field.column}"
    if field.folded_path and field.type == "text":
        return f"COALESCE(c.extras #>> {placing.path(field.folded_path)}, lower({column}))"
    if not field.path:
        return column
    json, text = f"({column} #> {placing.path(field.path)})", f"({column} #>> {placing.path(field.path)})"
    if field.type in ("number", "boolean"):
        typed = f"{json}::{'numeric' if field.type == 'number' else 'boolean'}"
        return f"CASE WHEN jsonb_typeof({json}) = '{field.type}' THEN {typed} END" if field.unchecked else typed
    if field.unchecked:
        string = f"(CASE WHEN jsonb_typeof({json}) = 'string' THEN {text} END)"
        made = {"date": sql_of_day, "instant": sql_of_instant}.get(field.type)
        return string if made is None else made(string)
    if field.type == "instant":
        return f"{text}::timestamptz"
    return f"COALESCE({text}, '{_default(field)}')" if field.default is not None else text


def _default(field: Field) -> str:
    assert field.default == "not_subscribed"
    return field.default


def _folded(field: Field, placing: Placing) -> str:
    """The text in which parts are looked for."""
    expression = expression_of(field, placing)
    if field.type == "email" and field.folded_path:
        return f"COALESCE(c.extras #>> {placing.path(field.folded_path)}, {expression})"
    return f"lower({expression})" if field.type == "code" else expression


def set_of(field: Field, placing: Placing) -> str:
    """The values of a field that holds several: an array, or a list in JSON."""
    if field.path:
        json = f"(c.{field.column} #> {placing.path(field.path)})"
        return f"COALESCE({json}, '[]')" if never_unset(field) else json
    column = f"{'e' if field.place == 'engagement' else 'c'}.{field.column}"
    return f"COALESCE({column}, '{{}}')" if field.column == "absorbed" else column


def _present(field: Field, placing: Placing) -> str:
    if field.type in SETS:
        return f"{set_of(field, placing)} IS NOT NULL"
    return f"({expression_of(field, placing)}) IS NOT NULL"


def _filled(field: Field, placing: Placing) -> str:
    values = set_of(field, placing)
    return f"jsonb_array_length({values}) > 0" if field.path else f"cardinality({values}) > 0"
