"""The leaves of a filter, read from JSON: comparisons with fields, activity, orders, segments, lists. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final, TypeVar, get_args

from contacts.errors import InvalidField, InvalidInput, InvalidValue
from contacts.faults import Faults
from contacts.smartsearch import literals
from contacts.smartsearch.fields import Schema, resolve
from contacts.smartsearch.names import expected_name, pointer_part, shown_name
from contacts.smartsearch.nodes import (
    CONTACT,
    WORKSPACE,
    ActivityLeaf,
    Count,
    FieldLeaf,
    FieldType,
    Leaf,
    ListLeaf,
    Op,
    OrderLeaf,
    Property,
    SegmentLeaf,
    Value,
    Where,
)
from contacts.smartsearch.properties import ORDERS, parse_kinds, resolve_property
from contacts.smartsearch.segments import leads_to
from contacts.values import parse_time_zone

T = TypeVar("T")
Raw = Mapping[str, object]

#: Members of each kind of leaf beside the one that names it.
LEAVES: Final[dict[str, tuple[str, ...]]] = {
    "field": ("op", "value", "time_zone"),
    "activity": ("where", "within", "count"),
    "order": ("op", "value", "within", "where", "time_zone"),
    "segment": (),
    "list": (),
}
#: Conditions on one activity.
WHERE_MAX: Final = 20
COUNT_MAX: Final = 1_000_000

_AGGREGATES: Final = ("count", "sum", "last")
_COUNT_OPS: Final = ("eq", "ne", "lt", "lte", "gt", "gte", "between", "in", "not_in")
_OF_SETS: Final = ("has_any", "has_all", "has_none", "is_empty")
_ZONE_EXPECTED: Final = "workspace, contact, or a name of the IANA database, like Europe/Berlin"


def refused(at: str, reason: str, expected: str) -> InvalidInput:
    return InvalidInput([InvalidField(at, reason, expected)])


class Leaves:
    """Reads leaves; the first thing that is wrong with one is raised as InvalidInput, some others go to `fault`."""

    def __init__(self, schema: Schema, fault: Faults) -> None:
        self._schema = schema
        self._fault = fault
        self._readers: dict[str, Callable[[Raw, str], Leaf]] = {
            "field": self._field,
            "activity": self._activity,
            "order": self._order,
            "segment": self._segment,
            "list": self._list,
        }

    def read(self, name: str, raw: Raw, at: str) -> Leaf:
        return self._readers[name](raw, at)

    def _field(self, raw: Raw, at: str) -> Leaf:
        name = raw["field"]
        if not isinstance(name, str):
            raise refused(f"{at}/field", f"is {literals.kind_of(name)}", "the name of a field")
        field = _parsed(f"{at}/field", lambda: resolve(name, self._schema))
        op = _op(field.name, field.type, raw, at)
        zone = _zone(raw, field.type, at)
        value = self._value(field.type, field.code, field.options, op, raw, at)
        return FieldLeaf(field=field, op=op, value=value, time_zone=zone)

    def _activity(self, raw: Raw, at: str) -> Leaf:
        kind = _parsed(f"{at}/activity", lambda: parse_kinds(raw["activity"]))
        where, window = self._wheres(kind, raw, f"{at}/where"), _window(raw, at)
        count = Count() if raw.get("count") is None else _count(raw["count"], f"{at}/count")
        return ActivityLeaf(kind=kind, where=where, window=window, count=count)

    def _order(self, raw: Raw, at: str) -> Leaf:
        sent = _members(raw["order"], ("aggregate", "property"), f"{at}/order")
        aggregate = sent.get("aggregate")
        if aggregate not in _AGGREGATES:
            raise refused(f"{at}/order/aggregate", "is no aggregate", "one of " + ", ".join(_AGGREGATES))
        property_ = _aggregated(str(aggregate), sent.get("property"), raw, f"{at}/order/property")
        type_: FieldType = "number"
        if aggregate == "last":
            type_ = property_.type if property_ else "instant"
        op = _op(f"the {aggregate} of orders", type_, raw, at)
        return OrderLeaf(
            aggregate=aggregate,
            property=property_,
            op=op,
            value=self._value(type_, property_.code if property_ else None, (), op, raw, at),
            window=_window(raw, at),
            where=self._wheres(ORDERS, raw, f"{at}/where"),
            time_zone=_zone(raw, type_, at),
        )

    def _segment(self, raw: Raw, at: str) -> Leaf:
        schema, at = self._schema, f"{at}/segment"
        segment_id = _parsed(at, lambda: literals.parse_id(raw["segment"]))
        if segment_id != schema.defining and segment_id not in schema.segments:
            raise refused(at, "is no segment of this workspace", "the id of a segment")
        if schema.defining is not None and leads_to(segment_id, schema.defining, schema.segments):
            raise refused(at, "leads back to the segment itself", "a segment that does not use it")
        return SegmentLeaf(segment_id=segment_id)

    def _list(self, raw: Raw, at: str) -> Leaf:
        at = f"{at}/list"
        list_id = _parsed(at, lambda: literals.parse_id(raw["list"]))
        if self._schema.lists is not None and list_id not in self._schema.lists:
            raise refused(at, "is no list of this workspace", "the id of a list")
        return ListLeaf(list_id=list_id)

    # -- parts that need the workspace --------------------------------------------------------------------------------

    def _value(
        self, type_: FieldType, code: str | None, options: tuple[str, ...], op: Op, raw: Raw, at: str
    ) -> Value:  # fmt: skip
        if op not in literals.FLAGS and raw.get("value") is None:
            raise refused(f"{at}/value", "is missing", "what to compare with; what is unset is asked for by exists")

        def one(single: object) -> Value:
            parsed = literals.parse_one(type_, code, single, self._schema.region)
            if options and parsed not in options:
                raise InvalidValue("is none of the values there are", expected_name(str(single), options))
            return parsed

        return _parsed(f"{at}/value", lambda: literals.parse_value(type_, op, raw.get("value"), one))

    def _wheres(self, kind: str, raw: Raw, at: str) -> tuple[Where, ...]:
        sent = raw.get("where")
        if sent is None:
            return ()
        if not isinstance(sent, list):
            raise refused(at, f"is {literals.kind_of(sent)}", "a list of conditions on properties")
        if len(sent) > WHERE_MAX:
            raise refused(at, f"has {len(sent)} conditions", f"at most {WHERE_MAX} conditions")
        found: list[Where] = []
        for n, each in enumerate(sent):
            try:
                found.append(self._where(kind, each, f"{at}/{n}"))
            except InvalidInput as invalid:
                self._fault.add_all(invalid)
        return tuple(found)

    def _where(self, kind: str, sent: object, at: str) -> Where:
        raw = _members(sent, ("property", "op", "value"), at)
        compared_as = _type_of(raw.get("value"), raw.get("op"))
        found = _parsed(f"{at}/property", lambda: resolve_property(kind, raw.get("property"), compared_as))
        op = _op(found.name, found.type, raw, at)
        return Where(property=found, op=op, value=self._value(found.type, found.code, (), op, raw, at))


def _parsed(at: str, reading: Callable[[], T]) -> T:
    try:
        return reading()
    except InvalidValue as error:
        raise refused(at, error.reason, error.expected) from None


def _members(raw: object, known: tuple[str, ...], at: str) -> Raw:
    if not isinstance(raw, dict):
        raise refused(at, f"is {literals.kind_of(raw)}", "an object with " + ", ".join(known))
    for key in raw:
        if key not in known:
            raise refused(f"{at}/{pointer_part(key)}", f"{shown_name(key)} is unknown", expected_name(key, known))
    return raw


def _op(what: str, type_: FieldType, raw: Raw, at: str) -> Op:
    op, known, at = raw.get("op"), literals.OPS[type_], f"{at}/op"
    if isinstance(op, str) and op in known:
        return op
    if not isinstance(op, str):
        reason = "is missing" if op is None else f"is {literals.kind_of(op)}"
        raise refused(at, reason, "one of " + ", ".join(known))
    if op in get_args(Op):
        raise refused(at, f"cannot be asked of {what}", "one of " + ", ".join(known))
    raise refused(at, f"{shown_name(op)} is no comparison", expected_name(op, known))


def _zone(raw: Raw, type_: FieldType, at: str) -> str:
    zone, at = raw.get("time_zone"), f"{at}/time_zone"
    if zone is None or zone == WORKSPACE:
        return WORKSPACE
    if type_ not in literals.TIMES:
        raise refused(at, "is for days and times only", "no time zone")
    if not isinstance(zone, str) or len(zone) > 100:
        raise refused(at, "is not a time zone", _ZONE_EXPECTED)
    if zone == CONTACT:
        return CONTACT
    try:
        return parse_time_zone(zone)
    except InvalidValue as error:
        raise refused(at, error.reason, _ZONE_EXPECTED) from None


def _window(raw: Raw, at: str) -> timedelta | None:
    within = raw.get("within")
    return None if within is None else _parsed(f"{at}/within", lambda: literals.parse_duration(within))


def _aggregated(aggregate: str, name: object, raw: Raw, at: str) -> Property | None:
    if name is None and aggregate != "sum":
        return None
    if aggregate == "count":
        raise refused(at, "says nothing where orders are counted", "no property")
    compared_as: FieldType = "number" if aggregate == "sum" else _type_of(raw.get("value"), raw.get("op"))
    found = _parsed(at, lambda: resolve_property(ORDERS, "amount" if name is None else name, compared_as))
    if aggregate == "sum" and found.type != "number":
        raise refused(at, "is no number", "a property that can be summed up, like amount")
    return found


def _count(sent: object, at: str) -> Count:
    raw = _members(sent, ("op", "value"), at)
    op, value = raw.get("op", "gte"), raw.get("value")
    if op not in _COUNT_OPS:
        raise refused(f"{at}/op", "is no comparison of counts", "one of " + ", ".join(_COUNT_OPS))
    listed = op in ("between", "in", "not_in")
    numbers: list[Any] = value if isinstance(value, list) else [value]
    if isinstance(value, list) != listed or not all(map(_is_count, numbers)):
        expected = "a list of whole numbers" if listed else "a whole number"
        raise refused(f"{at}/value", "is no count", f"{expected} from 0 to {COUNT_MAX}")
    if not 1 <= len(numbers) <= literals.ITEMS_MAX or (op == "between" and len(numbers) != 2):
        raise refused(f"{at}/value", "is no list of counts", f"two for between, else 1 to {literals.ITEMS_MAX}")
    return Count(op=op, value=tuple(numbers) if listed else numbers[0])


def _is_count(raw: object) -> bool:
    return isinstance(raw, int) and not isinstance(raw, bool) and 0 <= raw <= COUNT_MAX


def _type_of(value: object, op: object) -> FieldType:
    """What something untyped is compared as."""
    if op == "exists":
        return "any"
    if op in _OF_SETS:
        return "texts"
    first: object = value[0] if isinstance(value, list) and value else value
    if isinstance(first, bool):
        return "boolean"
    return "number" if isinstance(first, int | float) else "text"
