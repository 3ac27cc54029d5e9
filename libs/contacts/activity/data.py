"""The data of one activity, parsed: plain JSON that any reader and database keeps as it is, in the fields of its kind.

Everything that is wrong with the values is collected; of the shape, the first thing. No I/O.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from contacts import values
from contacts.activity.kinds import data_type
from contacts.attributes import INTEGER_MAX
from contacts.errors import InvalidField, InvalidInput, InvalidValue
from contacts.faults import Faults

#: As JSON, in bytes.
DATA_BYTES_MAX: Final = 16 * 1024
#: Lists and objects in each other, the data itself among them.
DEPTH_MAX: Final = 6
TEXT_MAX: Final = 10_000
KEY_MAX: Final = 100

#: Controls but line breaks and tabs, and lone surrogates.
_UNPRINTABLE: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def parse_data(kind: str, data: dict[str, Any]) -> dict[str, Any]:
    """As it is stored. Raises InvalidInput with pointers from `/data` on."""
    fault = Faults()
    # Nearly all data is a handful of plain ASCII texts and small numbers, as which it can stay.
    plain = data if all(map(_is_plain, data, data.values())) else _plain(data, "/data", 1, fault)
    fault.raise_if_any()
    try:
        typed = msgspec.convert(plain, data_type(kind))
    except msgspec.ValidationError as error:
        raise InvalidInput([fault_of(str(error), "/data")]) from None
    fields: dict[str, Any] = msgspec.to_builtins(typed)
    for name, parser in _PARSERS.items():
        if isinstance(fields.get(name), str):
            fields[name] = fault.parse(f"/data/{name}", parser, fields[name])
    if len(msgspec.json.encode(fields)) > DATA_BYTES_MAX:
        fault.add("/data", InvalidValue("is too large", f"at most {DATA_BYTES_MAX} bytes of JSON"))
    fault.raise_if_any()
    return fields


def _parse_currency(text: str) -> str:
    code = text.strip().upper()
    if not re.fullmatch("[A-Z]{3}", code):
        raise InvalidValue("is no currency", "three letters of ISO 4217, like EUR")
    return code


def _parse_bounce(text: str) -> str:
    if text not in ("hard", "soft"):
        raise InvalidValue("is no bounce", "hard or soft")
    return text


#: Texts that have one form, in whichever kind they are.
_PARSERS: Final[dict[str, Callable[[str], str]]] = {
    "bounce": _parse_bounce,
    "channel": values.parse_kind,
    "currency": _parse_currency,
    "language": values.parse_language,
}


# -- values -----------------------------------------------------------------------------------------------------------


def _is_plain(key: str, value: Any) -> bool:
    """Whether there is nothing to be done about a member, or to be said."""
    if not (key.isascii() and key.isprintable() and len(key) <= KEY_MAX):
        return False
    if type(value) is str:
        return value.isascii() and value.isprintable() and len(value) <= TEXT_MAX
    return value is None or type(value) is bool or (type(value) is int and abs(value) <= INTEGER_MAX)


def _plain(value: Any, pointer: str, depth: int, fault: Faults) -> Any:
    """The same with its texts in NFC; None where it cannot be kept."""
    if value is None or isinstance(value, bool):
        return value
    try:
        if isinstance(value, str):
            return _plain_text(value, TEXT_MAX)
        if isinstance(value, int | float):
            return _plain_number(value)
        if depth > DEPTH_MAX:
            raise InvalidValue("is nested too deeply", f"at most {DEPTH_MAX} levels")
    except InvalidValue as error:
        fault.add(pointer, error)
        return None
    if isinstance(value, dict):
        return dict(_plain_members(value, pointer, depth, fault))
    return [_plain(item, f"{pointer}/{n}", depth + 1, fault) for n, item in enumerate(value)]


def _plain_members(
    members: dict[str, Any], pointer: str, depth: int, fault: Faults
) -> Iterator[tuple[str, Any]]:  # fmt: skip
    for key, value in members.items():
        try:
            plain_key = _plain_text(key, KEY_MAX)
        except InvalidValue as error:
            fault.add(pointer, InvalidValue(f"has a key that {error.reason}", error.expected))
        else:
            yield plain_key, _plain(value, f"{pointer}/{_escaped(plain_key)}", depth + 1, fault)


def _plain_text(text: str, limit: int) -> str:
    if not (text.isascii() and text.isprintable()):
        if found := _UNPRINTABLE.search(text):
            raise InvalidValue(f"holds U+{ord(found[0]):04X} at character {found.start() + 1}", "text without it")
        text = unicodedata.normalize("NFC", text)
    if len(text) > limit:
        raise InvalidValue(f"has {len(text)} characters", f"at most {limit} characters")
    return text


def _plain_number(number: float) -> float:
    if isinstance(number, int) and abs(number) > INTEGER_MAX:
        raise InvalidValue("is too large to be kept exactly", f"a whole number from -{INTEGER_MAX} to {INTEGER_MAX}")
    if not math.isfinite(number):
        raise InvalidValue("is not a finite number", "a number, like 12 or 1.5")
    return number


# -- shape ------------------------------------------------------------------------------------------------------------

_MESSAGE: Final = re.compile(r"^(?P<what>.*?)(?: - at `(?:key in `)?\$(?P<path>[^`]*)`)?$", re.DOTALL)
_STEP: Final = re.compile(r"\.([^.\[]+)|\[(\d+)\]")
_FIELD: Final = re.compile(r"^Object (?P<how>missing required|contains unknown) field `(?P<field>.*)`$", re.DOTALL)
_INSTANT: Final = "an RFC 3339 instant, like 2026-01-31T12:00:00Z"


def fault_of(message: str, base: str = "") -> InvalidField:
    """What msgspec says of the value at `base`: it names what it expected, and where as `$.items[0].price`."""
    match = _MESSAGE.match(message)
    # Of a member of an object it does not say which.
    what, path = (match["what"], (match["path"] or "").replace("[...]", "")) if match else (message, "")
    place = base + "".join(f"/{_escaped(name or index)}" for name, index in _STEP.findall(path))
    if field := _FIELD.match(what):
        place = f"{place}/{_escaped(field['field'])}"
        if field["how"] == "contains unknown":
            return InvalidField(place, "is no field of this kind", "one of its fields, or a member of `properties`")
        return InvalidField(place, "is missing", "a value")
    if "datetime" in what:
        return InvalidField(place, "is no instant", _INSTANT)
    expected, _, got = what.removeprefix("Expected ").partition(", got ")
    return InvalidField(place, f"is {got}" if got else "does not fit", expected)


def _escaped(key: str) -> str:
    # RFC 6901; a pointer that repeats a key of the caller's stays short.
    return key[:KEY_MAX].replace("~", "~0").replace("/", "~1")
