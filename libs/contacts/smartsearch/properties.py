"""What the data of activities can be asked for: fields of the kind, and whatever senders put into `properties`."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any, Final, get_type_hints

import msgspec

from contacts.activity.kinds import FAMILIES, Data, data_type, parse_kind
from contacts.errors import InvalidValue
from contacts.smartsearch.names import expected_name, shown_name
from contacts.smartsearch.nodes import FieldType, Property

#: What stands for all kinds of a family: `message.*`.
ALL_OF: Final = "*"
PROPERTIES: Final = "properties."
KEY_MAX: Final = 100
ORDERS: Final = "order.*"


def parse_kinds(text: object) -> str:
    """A kind (`message.clicked`) or a family (`message.*`). Raises InvalidValue."""
    if not isinstance(text, str):
        raise InvalidValue("is no kind of activity", "text like message.clicked or message.*")
    family, _, name = text.partition(".")
    if family in FAMILIES and name == ALL_OF:
        return text
    try:
        return parse_kind(text)
    except InvalidValue as error:
        near = expected_name(text, known_kinds()) if len(text) <= KEY_MAX else error.expected
        raise InvalidValue(error.reason, near if near.startswith("perhaps") else error.expected) from None


def known_kinds() -> list[str]:
    named = [f"{family}.{name}" for family, each in FAMILIES.items() for name in each.kinds]
    return named + [f"{family}.{ALL_OF}" for family in FAMILIES]


def resolve_property(kind: str, name: object, compared_as: FieldType) -> Property:
    """`compared_as` is what the value is compared as where the sender alone knows the type. Raises InvalidValue."""
    if not isinstance(name, str):
        raise InvalidValue("is no property", "the name of one, like message_name")
    if name.startswith(PROPERTIES):
        key = name.removeprefix(PROPERTIES)
        if not key or len(key) > KEY_MAX or not key.isprintable():
            raise InvalidValue("is no property", f"properties. and a key of at most {KEY_MAX} characters")
        return Property(name=name, type=compared_as, path=("properties", key))
    known = fields_of(kind)
    if name not in known:
        expected = expected_name(name, known) + "; what senders add is properties.<key>"
        raise InvalidValue(f"{shown_name(name)} is no property of {kind}", expected)
    code = _CODES.get(name)
    return Property(name=name, type="code" if code else known[name], path=(name,), code=code)


#: Properties that are written in one way only.
_CODES: Final = {"channel": "kind", "currency": "upper", "bounce": "lower", "language": "language"}


@cache
def fields_of(kind: str) -> dict[str, FieldType]:
    """What the data of a kind, or of any kind of a family, can hold."""
    family, _, name = kind.partition(".")
    each = FAMILIES[family]
    every = (*each.kinds.values(), *([each.other] if each.other else []))
    types = every if name == ALL_OF else (data_type(kind),)
    return {key: type_ for each_type in types for key, type_ in _fields_of(each_type).items()}


def _fields_of(data: type[Data]) -> dict[str, FieldType]:
    found = {name: _field_type(annotation) for name, annotation in get_type_hints(data).items()}
    return {name: type_ for name, type_ in found.items() if type_ is not None}


def _field_type(annotation: Any) -> FieldType | None:
    """None for objects and lists of them, which no condition can be about."""
    shape = msgspec.inspect.type_info(annotation)
    shapes = shape.types if isinstance(shape, msgspec.inspect.UnionType) else (shape,)
    if any(isinstance(each, msgspec.inspect.StrType) for each in shapes):
        return "text"
    if any(isinstance(each, msgspec.inspect.IntType | msgspec.inspect.FloatType) for each in shapes):
        return "number"
    if annotation in (datetime, datetime | None) or any(
        isinstance(each, msgspec.inspect.DateTimeType) for each in shapes
    ):
        return "instant"
    lists = [each for each in shapes if isinstance(each, msgspec.inspect.ListType)]
    if lists and isinstance(lists[0].item_type, msgspec.inspect.StrType):
        return "texts"
    return None
