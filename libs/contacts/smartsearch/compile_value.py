"""Comparisons of one expression of SQL with a value of a filter: of a column, or of something in JSON."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from contacts.smartsearch.nodes import FieldType, Op, Range, Value
from contacts.smartsearch.placing import Bounds, Placing, in_range

#: Ops that look for a part of a text.
PATTERNS: Final = frozenset({"contains", "starts_with", "ends_with"})
_SQL_TYPES: Final[dict[FieldType, str]] = {"number": "numeric", "boolean": "boolean", "id": "uuid"}


def compare(
    type_: FieldType, expression: str, op: Op, value: Value, zone: str, placing: Placing, *, exact: bool = True
) -> str:  # fmt: skip
    """NULL where the expression is; `exact` numbers are compared as decimals, others as floats."""
    if op == "exists":
        return f"({expression}) IS {'NOT ' if value else ''}NULL"
    if isinstance(value, Range):
        return in_range(_ordered(type_, expression), value, _bounds(type_, zone, placing, exact=exact))
    if isinstance(value, timedelta):
        return _recent(type_, expression, op, value, zone, placing)
    if op in PATTERNS:
        return _pattern(expression, op, str(value), placing)
    sql_type = _SQL_TYPES.get(type_, "text") if exact or type_ != "number" else "double precision"
    if isinstance(value, tuple):
        values = placing.add([_plain(each, sql_type) for each in value], f"{sql_type}[]")
        return f"{expression} = ANY ({values})" if op == "in" else f"{expression} <> ALL ({values})"
    return f"{expression} {'=' if op == 'eq' else '<>'} {placing.add(_plain(value, sql_type), sql_type)}"


def _plain(value: Any, sql_type: str) -> object:
    if sql_type == "numeric":
        return decimal_of(value)
    return float(value) if sql_type == "double precision" else value


def decimal_of(number: float) -> Decimal:
    """What JSON says when it is written."""
    return Decimal(repr(number))


def _bounds(type_: FieldType, zone: str, placing: Placing, *, exact: bool) -> Bounds:
    if type_ == "instant":
        return placing.instants(zone)
    if type_ == "date":
        return placing.days(zone)
    return placing.numerics if exact else placing.floats


def _ordered(type_: FieldType, expression: str) -> str:
    return f'({expression} COLLATE "C")' if type_ == "date" else expression


def _recent(type_: FieldType, expression: str, op: Op, window: timedelta, zone: str, placing: Placing) -> str:
    if type_ == "date":
        expression = _ordered(type_, expression)
        start = placing.day_before_now(zone, lambda day: day - window)
        inside = f"{expression} > {start} AND {expression} <= {placing.day_before_now(zone, lambda day: day)}"
    else:
        now = placing.moment.now
        start = placing.add(now - window, "timestamptz")
        inside = f"{expression} > {start} AND {expression} <= {placing.add(now, 'timestamptz')}"
    return f"({inside})" if op == "within_last" else f"NOT ({inside})"


def _pattern(expression: str, op: Op, pattern: str, placing: Placing) -> str:
    part = placing.add(pattern, "text")
    if op == "contains":
        return f"strpos({expression}, {part}) > 0"
    if op == "starts_with":
        return f"starts_with({expression}, {part})"
    return f"right({expression}, {len(pattern)}) = {part}"


def compare_set(values: str, op: Op, value: Value, placing: Placing, *, json: bool, ids: bool) -> str:
    """NULL where `values` is; an array, or a list of texts in `json`."""
    wanted = list(value) if isinstance(value, tuple) else [value]
    array = placing.add(wanted, "uuid[]" if ids else "text[]")
    some = op in ("has_any", "in", "has_none", "not_in")
    operator = ("?|" if some else "?&") if json else ("&&" if some else "@>")
    found = f"{values} {operator} {array}"
    return f"NOT ({found})" if op in ("has_none", "not_in", "ne") else found
