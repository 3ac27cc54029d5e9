"""Values of custom attributes, parsed by the type of their definition. Pure; definitions come from the workspace."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any, Final, TypeAlias, cast
from urllib.parse import urlsplit

import msgspec

from contacts.emails import parse_email
from contacts.errors import InvalidValue
from contacts.phones import parse_phone
from contacts.values import AttributeType, AttributeValue, Country, parse_instant, parse_text

#: What JSON can bring for an attribute.
RawAttributeValue: TypeAlias = str | bool | int | float | list[str]

# Limits in characters or items.
TEXT_MAX: Final = 10_000
URL_MAX: Final = 2_048
OPTION_MAX: Final = 255
OPTIONS_MAX: Final = 1_000
KEY_MAX: Final = 100
#: Largest integer that every JSON reader keeps exact.
INTEGER_MAX: Final = 2**53 - 1

_KEY: Final = re.compile(r"[a-z][a-z0-9_]*")
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_DATETIME: Final = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:[Zz]|[+-]\d{2}:\d{2})", re.ASCII
)


class AttributeDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """A custom attribute of a workspace. `key` is stored with every value; `name` is for people."""

    key: str
    name: str
    type: AttributeType
    #: What `select` and `multi_select` can choose from, in display order.
    options: tuple[str, ...] = ()
    #: `contact`, or `conversation`: filled from conversation events and read-only here.
    level: str = "contact"
    #: Takes no new values.
    archived: bool = False


def parse_attribute_key(text: str) -> str:
    if len(text) > KEY_MAX or not _KEY.fullmatch(text):
        raise InvalidValue(
            "is not an attribute key", f"a lower-case letter, then letters, digits and _, at most {KEY_MAX} in all"
        )
    return text


def parse_attribute(
    definition: AttributeDefinition, value: RawAttributeValue, region: Country | None
) -> AttributeValue | None:
    """The one stored form of `value`; None for an empty multi-select, which is the same as none."""
    return _PARSERS[definition.type](value, definition, region)


def _text(value: RawAttributeValue, _definition: AttributeDefinition, _region: Country | None) -> str:
    return parse_text(_string(value, "text"), TEXT_MAX, lines=True)


def _string(value: RawAttributeValue, what: str) -> str:
    if not isinstance(value, str):
        raise InvalidValue(f"is {_kind_of(value)}", what)
    return value


def _kind_of(value: RawAttributeValue) -> str:
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    return "text" if isinstance(value, str) else "a list"


def _number(value: RawAttributeValue, _definition: AttributeDefinition, _region: Country | None) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidValue(f"is {_kind_of(value)}", "a number, like 12 or 1.5")
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidValue("is not a finite number", "a number, like 12 or 1.5")
        # 3.0 and 3 are the same number to every caller, so they are stored the same way.
        return int(value) if value.is_integer() and abs(value) <= INTEGER_MAX else value
    if abs(value) > INTEGER_MAX:
        raise InvalidValue("is too large to be kept exactly", f"a whole number from -{INTEGER_MAX} to {INTEGER_MAX}")
    return value


def _boolean(value: RawAttributeValue, _definition: AttributeDefinition, _region: Country | None) -> bool:
    if not isinstance(value, bool):
        raise InvalidValue(f"is {_kind_of(value)}", "true or false")
    return value


def _date(value: RawAttributeValue, _definition: AttributeDefinition, _region: Country | None) -> str:
    text = _string(value, "a date like 2026-01-31").strip()
    try:
        if _DATE.fullmatch(text):
            return date.fromisoformat(text).isoformat()
    except ValueError:
        raise InvalidValue("is not a day of the calendar", "a date like 2026-01-31") from None
    raise InvalidValue("is not a date", "a date like 2026-01-31")


def _datetime(value: RawAttributeValue, _definition: AttributeDefinition, _region: Country | None) -> str:
    expected = "an RFC 3339 instant like 2026-01-31T12:00:00Z"
    text = _string(value, expected).strip()
    if not _DATETIME.fullmatch(text):
        raise InvalidValue("is not an instant with an offset from UTC", expected)
    try:
        instant = datetime.fromisoformat(text.upper())
    except ValueError:
        raise InvalidValue("is not a time of the calendar", expected) from None
    return parse_instant(instant).astimezone(UTC).isoformat().replace("+00:00", "Z")


def _url(value: RawAttributeValue, _definition: AttributeDefinition, _region: Country | None) -> str:
    return parse_url(_string(value, "a URL like https://example.com/page"))


def parse_url(text: str) -> str:
    """http and https only, so that a link shown to people can never run code."""
    expected = "a URL like https://example.com/page"
    url = parse_text(text, URL_MAX)
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        raise InvalidValue("is not a URL", expected) from None
    if parts.scheme not in ("http", "https") or not host:
        raise InvalidValue("is not an http or https URL", expected)
    if any(character.isspace() for character in url):
        raise InvalidValue("holds white space", expected)
    return url


def _email(value: RawAttributeValue, _definition: AttributeDefinition, _region: Country | None) -> str:
    return parse_email(_string(value, "an address like name@example.com"))


def _phone(value: RawAttributeValue, _definition: AttributeDefinition, region: Country | None) -> str:
    return parse_phone(_string(value, "a number like +4930901820"), region)


def _select(value: RawAttributeValue, definition: AttributeDefinition, _region: Country | None) -> str:
    return _option(_string(value, "one of its options"), definition)


def _option(value: str, definition: AttributeDefinition) -> str:
    if value not in definition.options:
        shown = ", ".join(definition.options[:10]) + (", …" if len(definition.options) > 10 else "")
        raise InvalidValue("is not one of the options", f"one of {shown}")
    return value


def _multi_select(
    value: RawAttributeValue, definition: AttributeDefinition, _region: Country | None
) -> tuple[str, ...] | None:
    if not isinstance(value, list | tuple):
        raise InvalidValue(f"is {_kind_of(value)}", "a list of its options")
    chosen = {_option(item, definition) for item in value}
    return tuple(option for option in definition.options if option in chosen) or None


_Parser: TypeAlias = Callable[[Any, AttributeDefinition, "Country | None"], "AttributeValue | None"]
_PARSERS: Final = cast(
    "dict[AttributeType, _Parser]",
    {
        "text": _text,
        "number": _number,
        "boolean": _boolean,
        "date": _date,
        "datetime": _datetime,
        "url": _url,
        "email": _email,
        "phone": _phone,
        "select": _select,
        "multi_select": _multi_select,
    },
)
