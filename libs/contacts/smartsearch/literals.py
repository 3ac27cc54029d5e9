"""Values in a filter: what callers send, checked by the type of what it is compared with, and normalised like that.

Every function raises InvalidValue, which says what was wrong and what would be right, and never repeats a value.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, TypeAlias, cast
from uuid import UUID

from contacts import values
from contacts.attributes import INTEGER_MAX
from contacts.emails import email_normal, parse_email
from contacts.errors import InvalidValue
from contacts.folding import fold
from contacts.phones import parse_phone
from contacts.smartsearch.moment import YEAR_MAX, YEAR_MIN
from contacts.smartsearch.nodes import Bound, FieldType, Op, Range, Value
from contacts.values import Country

#: Characters of a text, items of a list.
TEXT_MAX: Final = 1_000
ITEMS_MAX: Final = 1_000
#: Longest window, in days.
DAYS_MAX: Final = 36_500

#: What can be asked of each type.
OPS: Final[dict[FieldType, tuple[Op, ...]]] = {
    "text": ("eq", "ne", "in", "not_in", "contains", "starts_with", "ends_with", "exists"),
    "email": ("eq", "ne", "in", "not_in", "contains", "starts_with", "ends_with", "exists"),
    "phone": ("eq", "ne", "in", "not_in", "contains", "starts_with", "ends_with", "exists"),
    "code": ("eq", "ne", "in", "not_in", "contains", "starts_with", "ends_with", "exists"),
    "number": ("eq", "ne", "in", "not_in", "lt", "lte", "gt", "gte", "between", "exists"),
    "boolean": ("eq", "ne", "exists"),
    "instant": (
        "eq", "ne", "lt", "lte", "gt", "gte", "between", "before", "after", "within_last", "not_within_last", "exists",
    ),
    "date": (
        "eq", "ne", "lt", "lte", "gt", "gte", "between", "before", "after", "within_last", "not_within_last", "exists",
    ),
    "id": ("eq", "ne", "in", "not_in", "exists"),
    "texts": ("has_any", "has_all", "has_none", "contains", "eq", "ne", "in", "not_in", "exists", "is_empty"),
    "any": ("exists",),
    "ids": ("has_any", "has_all", "has_none", "contains", "eq", "ne", "in", "not_in", "exists", "is_empty"),
}  # fmt: skip
#: Ops that take a list of values.
LISTED: Final = frozenset({"in", "not_in", "has_any", "has_all", "has_none"})
PATTERNS: Final = frozenset({"contains", "starts_with", "ends_with"})
#: Ops whose value may be left out: it is true then.
FLAGS: Final = frozenset({"exists", "is_empty"})
WINDOWS: Final = frozenset({"within_last", "not_within_last"})
TIMES: Final[frozenset[FieldType]] = frozenset({"instant", "date"})

_DURATION: Final = re.compile(r"([0-9]{1,9}) ?(min|h|d|w|y)", re.ASCII)
_DURATION_EXPECTED: Final = "a number and a unit: min, h, d (24 hours), w (7 days) or y (365 days), like 30d"
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_TIME: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?)([Zz]|[+-]\d{2}:\d{2})?", re.ASCII
)
_TIME_EXPECTED: Final = (
    "a day like 2026-01-31, a local time like 2026-01-31T12:00, or an instant like 2026-01-31T12:00:00Z"
)
_UNITS: Final = {
    "min": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(days=7),
    "y": timedelta(days=365),
}


#: Parses one value that is compared for equality.
One: TypeAlias = Callable[[object], Value]


def parse_value(type_: FieldType, op: Op, raw: object, one: One) -> Value:
    """The value of a comparison."""
    if op in FLAGS:
        return _flag(raw)
    if op in WINDOWS:
        return parse_duration(raw, whole_days=type_ == "date")
    if op in LISTED:
        return _listed(raw, one)
    if op in PATTERNS and type_ not in ("texts", "ids"):
        return parse_pattern(type_, raw)
    if op == "between":
        return _between(type_, raw)
    if type_ in TIMES or op in ("lt", "lte", "gt", "gte"):
        return _range(type_, op, raw)
    return one(raw)


def _flag(raw: object) -> bool:
    if raw is None:
        return True
    if not isinstance(raw, bool):
        raise InvalidValue(f"is {kind_of(raw)}", "true, false, or no value at all")
    return raw


def _listed(raw: object, one: One) -> tuple[str | int | float | UUID, ...]:
    if not isinstance(raw, list):
        raise InvalidValue(f"is {kind_of(raw)}", "a list of values")
    if not raw:
        raise InvalidValue("is an empty list", "a list of at least one value")
    if len(raw) > ITEMS_MAX:
        raise InvalidValue(f"has {len(raw)} values", f"at most {ITEMS_MAX} values")
    parsed: set[Any] = set()
    for n, item in enumerate(raw, 1):
        try:
            parsed.add(one(item))
        except InvalidValue as error:
            raise InvalidValue(f"has a value that {error.reason} (number {n})", error.expected) from None
    return tuple(sorted(parsed))


# -- single values ----------------------------------------------------------------------------------------------------


def parse_one(type_: FieldType, code: str | None, raw: object, region: Country | None) -> Value:
    """One value to be equal to, in the form in which the read model has it."""
    if type_ == "number":
        return parse_number(raw)
    if type_ == "boolean":
        if not isinstance(raw, bool):
            raise InvalidValue(f"is {kind_of(raw)}", "true or false")
        return raw
    if type_ in ("id", "ids"):
        return parse_id(raw)
    text = parse_text(raw)
    if type_ == "email":
        return email_normal(parse_email(text))
    if type_ == "phone":
        return parse_phone(text, region)
    return CODES[code](text) if code else fold(text)


#: Codes have one way to be written.
CODES: Final[dict[str, Callable[[str], str]]] = {
    "country": values.parse_country,
    "language": values.parse_language,
    "time_zone": values.parse_time_zone,
    "source": values.parse_source,
    "kind": values.parse_kind,
    "lower": lambda text: text.strip().lower(),
    "upper": lambda text: text.strip().upper(),
}


def parse_text(raw: object) -> str:
    if not isinstance(raw, str):
        raise InvalidValue(f"is {kind_of(raw)}", "text")
    return values.parse_text(raw, TEXT_MAX, lines=True)


def parse_number(raw: object) -> int | float:
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        raise InvalidValue(f"is {kind_of(raw)}", "a number, like 12 or 1.5")
    if isinstance(raw, int) and abs(raw) > INTEGER_MAX:
        raise InvalidValue("is too large to be compared exactly", f"a number from -{INTEGER_MAX} to {INTEGER_MAX}")
    if not math.isfinite(raw):
        raise InvalidValue("is not a finite number", "a number, like 12 or 1.5")
    return raw


def parse_id(raw: object) -> UUID:
    expected = "an id, like 01932d5e-4a10-7c3e-8b1f-2a6d9e0c4f57"
    if not isinstance(raw, str):
        raise InvalidValue(f"is {kind_of(raw)}", expected)
    try:
        if len(raw) == 36:
            return UUID(raw)
    except ValueError:
        pass
    raise InvalidValue("is not an id", expected)


def parse_pattern(type_: FieldType, raw: object) -> str:
    """Part of a text. White space at its ends counts, except in numbers of phones, where only digits do."""
    if not isinstance(raw, str):
        raise InvalidValue(f"is {kind_of(raw)}", "text")
    if len(raw) > TEXT_MAX:
        raise InvalidValue(f"has {len(raw)} characters", f"at most {TEXT_MAX} characters")
    if any(character == "\0" or "\ud800" <= character <= "\udfff" for character in raw):
        raise InvalidValue("holds a character that is not text", "text without NUL and lone surrogates")
    pattern = _digits(raw) if type_ == "phone" else fold(unicodedata.normalize("NFC", raw))
    if not pattern:
        raise InvalidValue("has no digit" if type_ == "phone" else "is empty", "what to look for")
    return pattern


def _digits(text: str) -> str:
    plain = "".join(str(unicodedata.decimal(character, "")) or character for character in text)
    digits = re.sub("[^0-9]", "", plain)
    return f"+{digits}" if digits and plain.lstrip(" (").startswith("+") else digits


# -- times ------------------------------------------------------------------------------------------------------------


def parse_duration(raw: object, *, whole_days: bool = False) -> timedelta:
    """Of fixed length: a day has 24 hours, a year 365 days."""
    if not isinstance(raw, str):
        raise InvalidValue(f"is {kind_of(raw)}", _DURATION_EXPECTED)
    match = _DURATION.fullmatch(raw.strip()) if len(raw) < 20 else None
    if match is None:
        raise InvalidValue("is no duration", _DURATION_EXPECTED)
    length, unit = int(match[1]), _UNITS[match[2]]
    if not length:
        raise InvalidValue("is no time at all", "a duration of at least 1min")
    if length * unit.total_seconds() > DAYS_MAX * 86_400:
        raise InvalidValue("is too long", f"at most {DAYS_MAX} days")
    if whole_days and unit < timedelta(days=1):
        raise InvalidValue("is no number of days", "d, w or y for what has days only")
    return length * unit


def _between(type_: FieldType, raw: object) -> Range:
    if not isinstance(raw, list) or len(raw) != 2:
        raise InvalidValue("is no list of two values", "the lower and the upper end; both belong to it")
    low, high = (_ends(type_, each) for each in raw)
    if _comparable(low[0], high[0]) and cast("Any", low[0]) > cast("Any", high[0]):
        raise InvalidValue("ends before it begins", "the lower end first")
    return Range(low=low[0], high=high[1], high_open=high[2])


def _comparable(low: Bound, high: Bound) -> bool:
    """A local time and an instant are not, as long as the zone is not known."""
    if isinstance(low, datetime) and isinstance(high, datetime):
        return (low.tzinfo is None) == (high.tzinfo is None)
    return True


def _range(type_: FieldType, op: Op, raw: object) -> Range:
    start, end, end_open = _ends(type_, raw)
    if op in ("eq", "ne"):
        return Range(low=start, high=end, high_open=end_open, outside=op == "ne")
    if op in ("lt", "before"):
        return Range(high=start, high_open=True)
    if op == "lte":
        return Range(high=end, high_open=end_open)
    if op in ("gt", "after"):
        # What is after a day begins with the next one.
        return Range(low=end, low_open=not end_open)
    return Range(low=start)


def _ends(type_: FieldType, raw: object) -> tuple[Bound, Bound, bool]:
    """Where a value begins and ends, and whether the end is outside of it, as it is of a day among instants."""
    if type_ == "number":
        number = parse_number(raw)
        return number, number, False
    if type_ == "date":
        day = parse_day(raw)
        return day, day, False
    if isinstance(raw, str) and _DAY.fullmatch(raw.strip()):
        day = parse_day(raw)
        start = datetime(day.year, day.month, day.day)  # noqa: DTZ001  (a local time; the leaf says whose)
        return start, start + timedelta(days=1), True
    instant = _parse_time(raw)
    return instant, instant, False


def parse_day(raw: object) -> date:
    expected = "a day like 2026-01-31"
    if not isinstance(raw, str):
        raise InvalidValue(f"is {kind_of(raw)}", expected)
    if not _DAY.fullmatch(raw.strip()):
        raise InvalidValue("is no day", expected)
    try:
        day = date.fromisoformat(raw.strip())
    except ValueError:
        raise InvalidValue("is not a day of the calendar", expected) from None
    return _in_range(day)


def _parse_time(raw: object) -> datetime:
    if not isinstance(raw, str):
        raise InvalidValue(f"is {kind_of(raw)}", _TIME_EXPECTED)
    match = _TIME.fullmatch(raw.strip()) if len(raw) < 50 else None
    if match is None:
        raise InvalidValue("is no day or time", _TIME_EXPECTED)
    day, clock, offset = match.groups()
    try:
        found = datetime.fromisoformat(f"{day}T{clock}{(offset or '').upper()}")
    except ValueError:
        raise InvalidValue("is not a time of the calendar", _TIME_EXPECTED) from None
    _in_range(found.date())
    return found if found.tzinfo is None else found.astimezone(UTC)


def _in_range(day: date) -> date:
    if not YEAR_MIN <= day.year <= YEAR_MAX:
        raise InvalidValue("is out of range", f"a year from {YEAR_MIN} to {YEAR_MAX}")
    return day


def kind_of(raw: object) -> str:
    """What a JSON value is, in words."""
    if raw is None:
        return "null"
    if isinstance(raw, bool):
        return "a boolean"
    if isinstance(raw, int | float):
        return "a number"
    if isinstance(raw, str):
        return "text"
    return "a list" if isinstance(raw, list) else "an object"
