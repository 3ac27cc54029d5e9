"""Conditions on what happened, as SQL: how many activities of a kind, and what the orders come to."""

from __future__ import annotations

from typing import Final

from contacts.activity.kinds import FAMILIES
from contacts.smartsearch.compile_value import PATTERNS, compare, compare_set
from contacts.smartsearch.nodes import ActivityLeaf, Count, OrderLeaf, Property, Where
from contacts.smartsearch.placing import Placing
from contacts.smartsearch.properties import ALL_OF

_SIGNS: Final = {"eq": "=", "ne": "<>", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}


def compile_activity(leaf: ActivityLeaf, placing: Placing) -> str:
    family, _, name = leaf.kind.partition(".")
    source = placing.activity(FAMILIES[family].category)
    if name == ALL_OF:
        source += f" AND starts_with(a.kind, {placing.add(f'{family}.', 'text')})"
    else:
        source += f" AND a.kind = {placing.add(leaf.kind, 'text')}"
    if leaf.window is not None:
        now = placing.moment.now
        source += f" AND a.occurred_at > {placing.add(now - leaf.window, 'timestamptz')}"
        source += f" AND a.occurred_at <= {placing.add(now, 'timestamptz')}"
    source += "".join(f" AND {_where(each, 'a', placing)}" for each in leaf.where)
    return _counted(leaf.count, source, placing)


def _counted(count: Count, source: str, placing: Placing) -> str:
    if (count.op, count.value) in (("gte", 1), ("gt", 0), ("ne", 0)):
        return f"EXISTS (SELECT {source})"
    if (count.op, count.value) in (("eq", 0), ("lte", 0), ("lt", 1)):
        return f"NOT EXISTS (SELECT {source})"
    value = count.value
    # More than that make no difference.
    enough = placing.add((max(value) if isinstance(value, tuple) else value) + 1, "bigint")
    counted = f"(SELECT count(*) FROM (SELECT {source} LIMIT {enough}) AS n)"
    if not isinstance(value, tuple):
        return f"{counted} {_SIGNS[count.op]} {placing.add(value, 'bigint')}"
    if count.op == "between":
        return f"{counted} BETWEEN {placing.add(value[0], 'bigint')} AND {placing.add(value[1], 'bigint')}"
    values = placing.add(list(value), "bigint[]")
    return f"{counted} = ANY ({values})" if count.op == "in" else f"{counted} <> ALL ({values})"


def compile_order(leaf: OrderLeaf, placing: Placing) -> str:
    conditions = []
    if leaf.window is not None:
        now = placing.moment.now
        conditions.append(f"o.ordered_at > {placing.add(now - leaf.window, 'timestamptz')}")
        conditions.append(f"o.ordered_at <= {placing.add(now, 'timestamptz')}")
    conditions += [_where(each, "o", placing) for each in leaf.where]
    source = f"FROM ({_orders(placing)}) AS o"
    if conditions:
        source += " WHERE " + " AND ".join(conditions)
    if leaf.aggregate == "count":
        return compare("number", f"(SELECT count(*) {source})", leaf.op, leaf.value, leaf.time_zone, placing)
    property_ = leaf.property
    if leaf.aggregate == "sum":
        assert property_ is not None
        total = f"(SELECT COALESCE(sum({_value(property_, 'o', placing)}), 0) {source})"
        return compare("number", total, leaf.op, leaf.value, leaf.time_zone, placing)
    if property_ is None:
        return compare(
            "instant", f"(SELECT max(o.ordered_at) {source})", leaf.op, leaf.value, leaf.time_zone, placing
        )  # fmt: skip
    last = f"(SELECT o.data, o.folded {source} ORDER BY o.ordered_at DESC, o.position DESC LIMIT 1)"
    # Who has no order has nothing of it, so what asks for nothing is turned round.
    absent = (leaf.op == "exists" and not leaf.value) or (leaf.op == "is_empty" and bool(leaf.value))
    wanted = Where(property=property_, op=leaf.op, value=not leaf.value if absent else leaf.value)
    held = f"EXISTS (SELECT FROM {last} AS o WHERE {_where(wanted, 'o', placing, leaf.time_zone)})"
    return f"NOT {held}" if absent else held


def _orders(placing: Placing) -> str:
    """One row per order: when its first event was, and what its last one says."""
    number = "a.data ->> 'external_id'"
    return (
        f"SELECT DISTINCT ON ({number}) a.data, a.folded, a.position,"
        f" min(a.occurred_at) OVER (PARTITION BY {number}) AS ordered_at"
        f" {placing.activity('orders')} ORDER BY {number}, a.occurred_at DESC, a.position DESC"
    )


# -- properties -------------------------------------------------------------------------------------------------------


def _where(where: Where, alias: str, placing: Placing, zone: str = "workspace") -> str:
    property_, op = where.property, where.op
    value = _value(property_, alias, placing)
    if property_.type == "texts":
        if op == "exists":
            return f"{value} IS {'NOT ' if where.value else ''}NULL"
        if op == "is_empty":
            return f"COALESCE(jsonb_array_length({value}), 0) {'=' if where.value else '>'} 0"
        return compare_set(value, op, where.value, placing, json=True, ids=False)
    if op in PATTERNS and property_.type == "code":
        value = f"lower({value})"
    return compare(property_.type, value, op, where.value, zone, placing)


def _value(property_: Property, alias: str, placing: Placing) -> str:
    """Folded, of its type; NULL where the data has no such thing."""
    path = placing.path(property_.path)
    json, text = f"({alias}.data #> {path})", f"({alias}.data #>> {path})"
    if property_.type in ("code", "any"):
        return text
    if property_.type == "instant":
        return f"{text}::timestamptz"
    unchecked = property_.path[0] == "properties"
    if property_.type in ("number", "boolean"):
        typed = f"{json}::{'numeric' if property_.type == 'number' else 'boolean'}"
        return f"CASE WHEN jsonb_typeof({json}) = '{property_.type}' THEN {typed} END" if unchecked else typed
    folded = f"{alias}.folded {'#>' if property_.type == 'texts' else '#>>'} {path}"
    found = f"COALESCE({folded}, {json if property_.type == 'texts' else text})"
    if not unchecked:
        return found
    return f"CASE WHEN {_is_fitting(property_, json)} THEN {found} END"


def _is_fitting(property_: Property, json: str) -> str:
    if property_.type == "text":
        return f"jsonb_typeof({json}) = 'string'"
    texts = f"jsonb_path_exists({json}, '$[*] ? (@.type() != \"string\")')"
    return f"jsonb_typeof({json}) = 'array' AND NOT {texts}"
