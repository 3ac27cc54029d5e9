"""Comparisons of one value with a value of a filter, as the compiled SQL makes them. Pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from contacts.folding import fold
from contacts.smartsearch.moment import Moment, day_start, to_instant, today, zones
from contacts.smartsearch.nodes import CONTACT, WORKSPACE, Bound, Count, FieldType, Op, Range, Value
from contacts.smartsearch.subject import Known

_ZONES: Final = frozenset(zones())


class Clock(msgspec.Struct, frozen=True):
    """Now, in the time zone that a leaf means."""

    now: datetime
    zone: str

    def instant(self, bound: Bound) -> datetime:
        assert isinstance(bound, datetime)
        return bound if bound.tzinfo is not None else to_instant(bound, self.zone)


def clock(moment: Moment, zone: str, contact_zone: str | None) -> Clock:
    """Of a leaf with this `time_zone`. A contact without a zone, or in one nobody knows, is in the workspace's."""
    if zone == CONTACT and contact_zone is not None and contact_zone in _ZONES:
        return Clock(moment.now, contact_zone)
    return Clock(moment.now, moment.time_zone if zone in (WORKSPACE, CONTACT) else zone)


def compares(type_: FieldType, known: Known, op: Op, value: Value, at: Clock) -> bool:
    """False where nothing is known, but for `exists` and `is_empty`."""
    if op == "exists":
        return (known is not None) == value
    if op == "is_empty":
        return (not known) == value
    if known is None:
        return False
    if isinstance(known, frozenset):
        return _set(known, op, value)
    if isinstance(known, Decimal):
        value = _exactly(value)
    if isinstance(value, Range):
        return _ranged(known, value, at)
    if isinstance(value, timedelta):
        return _is_recent(known, value, at) == (op == "within_last")
    if op in _PATTERNS:
        return _PATTERNS[op](_searched(type_, str(known)), str(value))
    if isinstance(value, tuple):
        return (known in value) == (op == "in")
    return (known == value) == (op == "eq")


def _exactly(value: Any) -> Any:
    """Numbers as JSON writes them, which is what is summed up."""
    if isinstance(value, Range):
        low, high = _exactly(value.low), _exactly(value.high)
        return replace(value, low=low, high=high)
    if isinstance(value, tuple):
        return tuple(map(_exactly, value))
    return Decimal(repr(value)) if isinstance(value, int | float) else value


def is_wanted(found: int, count: Count) -> bool:
    """Whether so many are as many as there must be."""
    value, op = count.value, count.op
    if isinstance(value, tuple):
        return value[0] <= found <= value[1] if op == "between" else (found in value) == (op == "in")
    return {
        "eq": found == value,
        "ne": found != value,
        "lt": found < value,
        "lte": found <= value,
        "gt": found > value,
        "gte": found >= value,
    }[op]


def changes_at(known: Known, value: Value, at: Clock) -> datetime | None:
    """When next a comparison may turn out otherwise, because time passes. None: never."""
    if not isinstance(value, timedelta) or not isinstance(known, date):
        return None
    if isinstance(known, datetime):
        return next_of((known, known + value), at.now)
    return next_of((day_start(known, at.zone), day_start(known + value, at.zone)), at.now)


def next_of(instants: tuple[datetime, ...], now: datetime) -> datetime | None:
    return min((instant for instant in instants if instant > now), default=None)


_PATTERNS: Final[dict[Op, Callable[[str, str], bool]]] = {
    "contains": str.__contains__,
    "starts_with": str.startswith,
    "ends_with": str.endswith,
}


def _searched(type_: FieldType, known: str) -> str:
    if type_ == "email":
        return fold(known)
    return known.lower() if type_ == "code" else known


def _set(known: frozenset[Any], op: Op, value: Value) -> bool:
    wanted = set(value) if isinstance(value, tuple) else {value}
    if op in ("has_any", "in"):
        return not known.isdisjoint(wanted)
    if op in ("has_none", "not_in", "ne"):
        return known.isdisjoint(wanted)
    return wanted <= known


def _ranged(known: Any, wanted: Range, at: Clock) -> bool:
    inside = True
    if wanted.low is not None:
        low: Any = _end(wanted.low, at)
        inside = known > low if wanted.low_open else known >= low
    if inside and wanted.high is not None:
        high: Any = _end(wanted.high, at)
        inside = known < high if wanted.high_open else known <= high
    return inside != wanted.outside


def _end(bound: Bound, at: Clock) -> Bound:
    return at.instant(bound) if isinstance(bound, datetime) else bound


def _is_recent(known: Any, window: timedelta, at: Clock) -> bool:
    if isinstance(known, datetime):
        return at.now - window < known <= at.now
    day = today(at.now, at.zone)
    return bool(day - window < known <= day)
