"""How lists of contacts are sorted, and where in that order a page begins, as conditions of SQL. Runs nothing.

A contact without what the list is sorted by comes after all that have it, in both directions. The contact id breaks
ties, so the order is total and a page can begin after any contact, even one that has gone meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, TypeAlias, get_args

import msgspec

from contacts.contact.cursor import After
from contacts.contact.filtering import Parameters
from contacts.errors import InvalidField, InvalidInput

SortField: TypeAlias = Literal[
    "created_at",
    "changed_at",
    "deleted_at",
    "full_name",
    "last_name",
    "email",
    "external_id",
    "last_interaction_at",
    "email_rating",
]
Table: TypeAlias = Literal["rm_contact.contact", "rm_contact.contact_recency", "rm_engagement.engagement"]
DEFAULT_SORT: Final = "-changed_at"
ENGAGEMENT: Final = "rm_engagement.engagement"


class Sort(msgspec.Struct, frozen=True):
    """One order of a list. `column` and `table` are names of the schema, never what a caller sent."""

    column: str
    direction: Literal["ASC", "DESC"]
    #: Where the index of the order is.
    table: Table = "rm_contact.contact"
    type: Literal["timestamptz", "text", "double precision"] = "timestamptz"
    #: Contacts can be without it.
    optional: bool = False
    #: Of what has no index: adds its parameters, and is an expression of `c`.
    made: Callable[[Parameters], str] | None = None

    @property
    def beyond(self) -> str:
        return ">" if self.direction == "ASC" else "<"

    @property
    def shared(self) -> bool:
        """Whether the present and the deleted are together in the index, so that some are passed over."""
        return self.table == ENGAGEMENT

    def gathered(self, parameters: Parameters) -> str:
        """What `c`, a row of `own_contact`, is sorted by; the workspace is the first parameter."""
        if self.made is not None:
            return self.made(parameters)
        if self.table != ENGAGEMENT:
            return f"c.{self.column}"
        row = f"FROM {ENGAGEMENT} AS e WHERE e.workspace_id = $1 AND e.contact_id = c.contact_id"
        return f"(SELECT e.{self.column} {row})"

    def walked(self, *, has_key: bool) -> tuple[str, str]:
        """The table `s` that leads through one part of the list, and what stands in it for what the list is sorted by.

        Most contacts have no row of engagement, so those without are found among the contacts themselves.
        """
        if self.table == ENGAGEMENT and not has_key:
            return "rm_contact.contact", f"NULL::{self.type}"
        return self.table, f"s.{self.column}"


_FIELDS: Final[dict[str, Sort]] = {
    "created_at": Sort("created_at", "ASC"),
    "changed_at": Sort("changed_at", "ASC", table="rm_contact.contact_recency"),
    "deleted_at": Sort("deleted_at", "ASC"),
    "full_name": Sort("full_name", "ASC", type="text", optional=True),
    "last_name": Sort("filed_name", "ASC", type="text", optional=True),
    "email": Sort("email", "ASC", type="text", optional=True),
    "external_id": Sort("external_id", "ASC", type="text", optional=True),
    "last_interaction_at": Sort("last_interaction_at", "ASC", table=ENGAGEMENT, optional=True),
    "email_rating": Sort("email_rating", "ASC", table=ENGAGEMENT, type="double precision", optional=True),
}


#: Orders that have an index.
INDEXED: Final = frozenset(_FIELDS)


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
    table, _ = sort.walked(has_key=has_key)
    conditions = []
    if table == "rm_contact.contact_recency":
        conditions.append("s.deleted" if deleted else "NOT s.deleted")
    elif table == "rm_contact.contact":
        conditions.append(f"s.deleted_at IS {'NOT ' if deleted else ''}NULL")
    if table != sort.table:
        row = f"FROM {sort.table} AS e WHERE e.workspace_id = $1 AND e.contact_id = s.contact_id"
        conditions.append(f"NOT EXISTS (SELECT {row} AND e.{sort.column} IS NOT NULL)")
    else:
        conditions += _has_key(sort, has_key=has_key)
    return " AND ".join([*conditions, *_behind_in_part(sort, after, parameters, has_key=has_key)])


def place_in_part(sort: Sort, after: After | None, parameters: Parameters, *, deleted: bool, has_key: bool) -> str:
    """The same on `s`, a version of a contact in the history."""
    conditions = [f"s.deleted_at IS {'NOT ' if deleted else ''}NULL", *_has_key(sort, has_key=has_key)]
    return " AND ".join([*conditions, *_behind_in_part(sort, after, parameters, has_key=has_key)])


def _has_key(sort: Sort, *, has_key: bool) -> list[str]:
    return [f"s.{sort.column} IS {'NOT ' if has_key else ''}NULL"] if sort.optional else []


def _behind_in_part(sort: Sort, after: After | None, parameters: Parameters, *, has_key: bool) -> list[str]:
    if after is None or (after.key is not None) != has_key:
        return []
    return [_behind(sort, sort.column, after, parameters)]


def place_in_gathered(sort: Sort, after: After | None, parameters: Parameters) -> str:
    """A condition on `s`, a row with its `sort_key`: behind `after`."""
    if after is None:
        return "TRUE"
    behind = _behind(sort, "sort_key", after, parameters)
    return f"(s.sort_key IS NULL AND {behind})" if after.key is None else f"(s.sort_key IS NULL OR {behind})"


def _behind(sort: Sort, column: str, after: After, parameters: Parameters) -> str:
    if after.key is None:
        return f"s.contact_id {sort.beyond} {parameters.add(after.contact_id, 'uuid')}"
    # A number travels in the cursor as text.
    value = float(after.text) if sort.type == "double precision" and after.text is not None else after.key
    key = parameters.add(value, sort.type)
    return f"(s.{column}, s.contact_id) {sort.beyond} ({key}, {parameters.add(after.contact_id, 'uuid')})"
