"""How lists of contacts are sorted, and where in that order a page begins, as conditions of SQL. Runs nothing.

A contact without what the list is sorted by comes after all that have it, in both directions. The contact id breaks
ties, so the order is total and a page can begin after any contact, even one that has gone meanwhile.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

import msgspec

from contacts.contact.cursor import After
from contacts.contact.filtering import Parameters
from contacts.errors import InvalidField, InvalidInput

SortField: TypeAlias = Literal[
    "created_at", "changed_at", "deleted_at", "full_name", "last_name", "email", "external_id"
]
DEFAULT_SORT: Final = "-changed_at"


class Sort(msgspec.Struct, frozen=True):
    """One order of a list. `column` and `table` are names of the schema, never what a caller sent."""

    column: str
    direction: Literal["ASC", "DESC"]
    #: Where the index of the order is.
    table: Literal["contact", "contact_recency"] = "contact"
    #: Contacts can be without it.
    optional: bool = False

    @property
    def beyond(self) -> str:
        return ">" if self.direction == "ASC" else "<"


_FIELDS: Final[dict[str, Sort]] = {
    "created_at": Sort("created_at", "ASC"),
    "changed_at": Sort("changed_at", "ASC", table="contact_recency"),
    "deleted_at": Sort("deleted_at", "ASC"),
    "full_name": Sort("full_name", "ASC", optional=True),
    "last_name": Sort("filed_name", "ASC", optional=True),
    "email": Sort("email", "ASC", optional=True),
    "external_id": Sort("external_id", "ASC", optional=True),
}


def parse_sort(text: str, *, deleted: bool) -> Sort:
    """The order of `created_at` (ascending) or `-created_at` (descending). Raises InvalidInput for any other text."""
    field = text.removeprefix("-")
    sort = _FIELDS.get(field)
    if sort is None:
        expected = "one of " + ", ".join(get_args(SortField)) + ", with - for descending"
        raise InvalidInput([InvalidField("/sort", "is no order of contacts", expected)])
    if field == "deleted_at" and not deleted:
        raise InvalidInput([InvalidField("/sort", "is for deleted contacts", "deleted_at only with deleted=true")])
    return msgspec.structs.replace(sort, direction="DESC") if text.startswith("-") else sort


def parts_of(sort: Sort, after: After | None) -> tuple[bool, ...]:
    """Which parts of the list are at or behind `after`: those that have what it is sorted by (True), those without."""
    if not sort.optional:
        return (True,)
    return (True, False) if after is None or after.key is not None else (False,)


def place_in_index(sort: Sort, after: After | None, parameters: Parameters, *, deleted: bool, has_key: bool) -> str:
    """A condition on `s`, a row of the table of the order: in this part of the list and behind `after`."""
    if sort.table == "contact_recency":
        conditions = ["s.deleted" if deleted else "NOT s.deleted"]
    else:
        conditions = [f"s.deleted_at IS {'NOT ' if deleted else ''}NULL"]
    if sort.optional:
        conditions.append(f"s.{sort.column} IS {'NOT ' if has_key else ''}NULL")
    if after is not None and (after.key is not None) == has_key:
        conditions.append(_behind(sort, sort.column, after, parameters))
    return " AND ".join(conditions)


def place_in_gathered(sort: Sort, after: After | None, parameters: Parameters) -> str:
    """A condition on `s`, a row with its `sort_key`: behind `after`."""
    if after is None:
        return "TRUE"
    behind = _behind(sort, "sort_key", after, parameters)
    return f"(s.sort_key IS NULL AND {behind})" if after.key is None else f"(s.sort_key IS NULL OR {behind})"


def _behind(sort: Sort, column: str, after: After, parameters: Parameters) -> str:
    if after.key is None:
        return f"s.contact_id {sort.beyond} {parameters.add(after.contact_id, 'uuid')}"
    key = parameters.add(after.key, "text" if isinstance(after.key, str) else "timestamptz")
    return f"(s.{column}, s.contact_id) {sort.beyond} ({key}, {parameters.add(after.contact_id, 'uuid')})"
