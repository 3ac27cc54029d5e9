"""Conditions on what happened, as SQL: how many activities of a kind, and what the orders come to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from contacts.activity.kinds import FAMILIES
from contacts.smartsearch.compare import clock, compares, is_wanted
from contacts.smartsearch.compile_value import PATTERNS, compare, compare_set
from contacts.smartsearch.nodes import CONTACT, ActivityLeaf, Count, FieldType, OrderLeaf, Property, Where
from contacts.smartsearch.placing import ABSORBED, ALL_OF_IT, OWN, Placing
from contacts.smartsearch.properties import ALL_OF, ORDERS

#: What events of one order have in common.
_NUMBER: Final = "a.data ->> 'external_id'"
_SIGNS: Final = {"eq": "=", "ne": "<>", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}


def compile_activity(leaf: ActivityLeaf, placing: Placing) -> str:
    count = leaf.count
    if placing.workspace is not None:
        source = f"{placing.whose} AS whose {placing.everything()} AND {meant(leaf, placing)}"
        held = _is_counted("count(*)", count, placing)
        return _of_everybody(
            source, held, lambda: _counted_of_one(leaf, placing), placing, holds_of_none=is_wanted(0, count)
        )
    if (count.op, count.value) in _SOME:
        return _happened(leaf, placing)
    if (count.op, count.value) in _NONE:
        return f"NOT {_happened(leaf, placing)}"
    return _counted_of_one(leaf, placing)


def _of_everybody(source: str, held: str, of_one: Callable[[], str], placing: Placing, *, holds_of_none: bool) -> str:
    """Asked of everybody, it is quicker to find all whom it is true of, or all of whom it is not."""
    is_past = placing.moment.position is not None
    if holds_of_none:
        among = f"c.contact_id NOT IN (SELECT {source} GROUP BY 1 HAVING NOT ({held}))"
        # Who was part of whom in the past is known of each contact alone.
        return f"CASE WHEN c.absorbed IS NULL THEN {among} ELSE {of_one()} END" if is_past else among
    found = f"SELECT {source} GROUP BY 1 HAVING {held}"
    if not is_past:
        return f"c.contact_id IN ({found})"
    # Put so that the planner can begin with those who are found, and with the few who absorbed anybody.
    return f"(c.contact_id IN ({found} UNION ALL {placing.composed()}) AND (c.absorbed IS NULL OR {of_one()}))"


def _source(leaf: ActivityLeaf, whose: str, placing: Placing) -> str:
    """FROM and WHERE of the activities that are meant."""
    category = placing.add(FAMILIES[leaf.kind.partition(".")[0]].category, "text")
    return f"{placing.activity(whose)} AND a.category = {category} AND {meant(leaf, placing)}"


def meant(leaf: ActivityLeaf, placing: Placing) -> str:
    """Which activities are counted, as a condition on `a`."""
    conditions = [_of_kind(leaf.kind, placing)]
    if leaf.window is not None:
        now = placing.moment.now
        conditions.append(f"a.occurred_at > {placing.add(now - leaf.window, 'timestamptz')}")
        conditions.append(f"a.occurred_at <= {placing.add(now, 'timestamptz')}")
    return " AND ".join([*conditions, *(_where(each, "a", placing) for each in leaf.where)])


def _of_kind(kind: str, placing: Placing) -> str:
    family, _, name = kind.partition(".")
    if name != ALL_OF:
        return f"a.kind = {placing.add(kind, 'text')}"
    # The character after the dot is the slash.
    return f"a.kind >= {placing.add(f'{family}.', 'text')} AND a.kind < {placing.add(f'{family}/', 'text')}"


_SOME: Final = (("gte", 1), ("gt", 0), ("ne", 0))
_NONE: Final = (("eq", 0), ("lte", 0), ("lt", 1))


def _happened(leaf: ActivityLeaf, placing: Placing) -> str:
    # Nearly nobody absorbed anybody. Apart from those it is an equality, of which the planner can make a hash table of
    # all whom it happened to, where many are asked; as a part of an OR it is never made a join, which it misjudges.
    own, absorbed = (f"EXISTS (SELECT {_source(leaf, whose, placing)})" for whose in (OWN, ABSORBED))
    return f"({own} OR (c.absorbed IS NOT NULL AND {absorbed}))"


def _counted_of_one(leaf: ActivityLeaf, placing: Placing) -> str:
    value = leaf.count.value
    # More than that make no difference.
    enough = placing.add((max(value) if isinstance(value, tuple) else value) + 1, "bigint")
    return _is_counted(
        f"(SELECT count(*) FROM (SELECT {_source(leaf, ALL_OF_IT, placing)} LIMIT {enough}) AS n)", leaf.count, placing
    )


def _is_counted(counted: str, count: Count, placing: Placing) -> str:
    value = count.value
    if not isinstance(value, tuple):
        return f"{counted} {_SIGNS[count.op]} {placing.add(value, 'bigint')}"
    if count.op == "between":
        return f"{counted} BETWEEN {placing.add(value[0], 'bigint')} AND {placing.add(value[1], 'bigint')}"
    values = placing.add(list(value), "bigint[]")
    return f"{counted} = ANY ({values})" if count.op == "in" else f"{counted} <> ALL ({values})"


def compile_order(leaf: OrderLeaf, placing: Placing) -> str:
    if leaf.aggregate == "last" and leaf.property is not None:
        return _last_property(leaf, leaf.property, placing)
    type_, aggregate = _aggregate(leaf, placing)

    def compared(total: str) -> str:
        return compare(type_, total, leaf.op, leaf.value, leaf.time_zone, placing)

    def of_one() -> str:
        return compared(f"(SELECT {aggregate} {_own_orders(leaf, placing)})")

    if placing.workspace is None or leaf.time_zone == CONTACT:
        return of_one()
    every = f"{placing.everything()} AND {_of_kind(ORDERS, placing)}"
    source = f"o.whose FROM ({_orders(every, f'{placing.whose}, {_NUMBER}', placing)}) AS o{_which(leaf, placing)}"
    of_none = None if leaf.aggregate == "last" else 0
    holds_of_none = compares(type_, of_none, leaf.op, leaf.value, clock(placing.moment, leaf.time_zone, None))
    return _of_everybody(source, compared(aggregate), of_one, placing, holds_of_none=holds_of_none)


def _own_orders(leaf: OrderLeaf, placing: Placing) -> str:
    """FROM and WHERE of the orders of one contact that are meant."""
    own = f"{placing.activity(ALL_OF_IT)} AND a.category = {placing.add('orders', 'text')}"
    return f"FROM ({_orders(own, _NUMBER, placing)}) AS o{_which(leaf, placing)}"


def _which(leaf: OrderLeaf, placing: Placing) -> str:
    conditions = []
    if leaf.window is not None:
        now = placing.moment.now
        conditions.append(f"o.ordered_at > {placing.add(now - leaf.window, 'timestamptz')}")
        conditions.append(f"o.ordered_at <= {placing.add(now, 'timestamptz')}")
    conditions += [_where(each, "o", placing) for each in leaf.where]
    return " WHERE " + " AND ".join(conditions) if conditions else ""


def _aggregate(leaf: OrderLeaf, placing: Placing) -> tuple[FieldType, str]:
    if leaf.aggregate == "count":
        return "number", "count(*)"
    if leaf.property is None:
        return "instant", "max(o.ordered_at)"
    return "number", f"COALESCE(sum({_value(leaf.property, 'o', placing)}), 0)"


def _last_property(leaf: OrderLeaf, property_: Property, placing: Placing) -> str:
    source = _own_orders(leaf, placing)
    last = f"(SELECT o.data, o.folded {source} ORDER BY o.ordered_at DESC, o.position DESC LIMIT 1)"
    # Who has no order has nothing of it, so what asks for nothing is turned round.
    absent = (leaf.op == "exists" and not leaf.value) or (leaf.op == "is_empty" and bool(leaf.value))
    wanted = Where(property=property_, op=leaf.op, value=not leaf.value if absent else leaf.value)
    held = f"EXISTS (SELECT FROM {last} AS o WHERE {_where(wanted, 'o', placing, leaf.time_zone)})"
    return f"NOT {held}" if absent else held


def _orders(source: str, order: str, placing: Placing) -> str:
    """One row per order: when its first event was, and what its last one says."""
    whose = f"{placing.whose} AS whose, " if order != _NUMBER else ""
    return (
        f"SELECT DISTINCT ON ({order}) {whose}a.data, a.folded, a.position,"
        f" min(a.occurred_at) OVER (PARTITION BY {order}) AS ordered_at"
        f" {source} ORDER BY {order}, a.occurred_at DESC, a.position DESC"
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
