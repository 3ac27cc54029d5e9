"""What every public message is made of: the row of the table, and how fields of an event are named outside."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

Changed = Annotated[
    tuple[str, ...],
    Meta(description="Names of the fields that got another value, custom ones as `attributes.<key>`.", min_length=1),
]
Values = (
    Annotated[
        dict[str, Any],
        Meta(description="The values themselves. Only where the workspace's settings ask for personal data."),
    ]
    | UnsetType
)


class Data(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Shared shape of public data."""


class PublicMessage(msgspec.Struct, frozen=True):
    """One row of the table: a domain event, its public data and how the one becomes the other."""

    name: str
    summary: str
    data_type: type[msgspec.Struct]
    convert: Callable[[Any, bool], msgspec.Struct]
    version: int = 1

    @property
    def type(self) -> str:
        """The `type` attribute of its CloudEvents."""
        return f"rollbook.{self.name}.v{self.version}"


def same_fields(data: type[Data]) -> Callable[[Any, bool], Data]:
    """For data whose fields all stand in the event by the same names; a merge stands there as `merge_id`."""
    names = {name: "merge_id" if name == "merge" else name for name in data.__struct_fields__}
    return lambda event, _: data(**{name: getattr(event, field) for name, field in names.items()})


#: Ways of saying the same field in a domain event. What is not about the person's data is not a field of theirs.
_FIELD: Final = {
    "lists_added": "lists",
    "lists_removed": "lists",
    "categories_added": "categories",
    "categories_removed": "categories",
}
_NOT_FIELDS: Final = frozenset({"source", "consent_attested"})


def names(fields: dict[str, Any]) -> tuple[str, ...]:
    return tuple(sorted(set(_field_names(fields))))


def _field_names(fields: dict[str, Any]) -> Iterator[str]:
    for name, value in fields.items():
        if name == "attributes":
            yield from (f"attributes.{key}" for key in value)
        elif name not in _NOT_FIELDS:
            yield _FIELD.get(name, name)


def cleared(fields: dict[str, Any]) -> Iterator[str]:
    for name, value in fields.items():
        if value is None:
            yield name
        elif name == "attributes":
            yield from (f"attributes.{key}" for key in value if value[key] is None)


def values(fields: dict[str, Any], with_values: bool) -> dict[str, Any] | UnsetType:
    return fields if with_values else UNSET


def all_values(event: msgspec.Struct, with_values: bool) -> dict[str, Any] | UnsetType:
    return msgspec.to_builtins(event) if with_values else UNSET
