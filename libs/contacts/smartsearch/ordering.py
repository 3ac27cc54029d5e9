"""Orders of search results: every field that has an order, the ones with an index and all others. Runs nothing."""

from __future__ import annotations

from typing import Final, Literal

from msgspec.structs import replace

from contacts.contact.filtering import Parameters
from contacts.contact.ordering import INDEXED, Sort, parse_sort
from contacts.errors import InvalidField, InvalidInput, InvalidValue
from contacts.smartsearch.compile_field import expression_of
from contacts.smartsearch.fields import Schema, resolve, sortable_names
from contacts.smartsearch.moment import Moment
from contacts.smartsearch.names import expected_name, shown_name
from contacts.smartsearch.nodes import Field, FieldType
from contacts.smartsearch.placing import Placing

#: Orders that have an index beside those of every list.
MORE_INDEXED: Final = {"phone": Sort("phone", "ASC", type="text", optional=True)}
#: Other names of orders that have an index.
ALIASES: Final = {"conversation.last_interaction_at": "last_interaction_at"}
NAME_MAX: Final = 120


def parse_any_sort(text: str, schema: Schema, *, deleted: bool, moment: Moment) -> Sort:
    """Ascending, or descending with a `-` before the name. Raises InvalidInput."""
    sign, name = ("-", text[1:]) if text.startswith("-") else ("", text)
    name = ALIASES.get(name, name)
    if name in INDEXED:
        return parse_sort(sign + name, deleted=deleted)
    if name in MORE_INDEXED:
        return replace(MORE_INDEXED[name], direction="DESC" if sign else "ASC")
    try:
        field = resolve(name, schema)
    except InvalidValue:
        expected = expected_name(name, sortable_names(schema)) + ", with - for descending"
        raise InvalidInput([InvalidField("/sort", f"{shown_name(name)} is no order of contacts", expected)]) from None
    if not field.sortable:
        raise InvalidInput([InvalidField("/sort", "has no order", "a field with one value that is more or less")])
    return made(field, moment, direction="DESC" if sign else "ASC")


def made(field: Field, moment: Moment, *, direction: Literal["ASC", "DESC"]) -> Sort:
    """An order by what has no index: all that match are sorted."""

    def key(parameters: Parameters) -> str:
        return _key(field, Placing(moment, parameters))

    return Sort(field.name, direction, type=_TYPES.get(field.type, "text"), optional=True, made=key)


_TYPES: Final[dict[FieldType, Literal["timestamptz", "text", "double precision"]]] = {
    "instant": "timestamptz",
    "number": "double precision",
}


def _key(field: Field, placing: Placing) -> str:
    expression = f"({expression_of(field, placing)})"
    if field.type == "number":
        # Ends of pages are remembered as floats.
        expression = f"{expression}::double precision"
    elif field.type != "instant":
        expression = f'{expression} COLLATE "C"'
    return placing.engagement_value(expression) if field.place == "engagement" else expression
