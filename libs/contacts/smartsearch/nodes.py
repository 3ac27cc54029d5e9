"""What a filter is made of once it was parsed: typed, normalised, immutable. Nothing is parsed or run here.

A `Field` has names of the schema, and parameters in `path`. Values are folded as columns are.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Final, Literal, TypeAlias
from uuid import UUID

import msgspec

FieldType: TypeAlias = Literal[
    "text", "email", "phone", "code", "number", "boolean", "instant", "date", "id", "texts", "ids", "any"
]
#: Types of fields that hold several values; `any` is a property of which is asked only whether it is there.
SETS: Final[frozenset[FieldType]] = frozenset({"texts", "ids"})

Op: TypeAlias = Literal[
    "eq", "ne", "in", "not_in", "lt", "lte", "gt", "gte", "between", "contains", "starts_with", "ends_with", "exists",
    "has_any", "has_all", "has_none", "is_empty", "before", "after", "within_last", "not_within_last",
]  # fmt: skip

#: An instant in UTC, a local time without zone (whose zone the leaf says), a day, or a number.
Bound: TypeAlias = datetime | date | int | float


class Range(msgspec.Struct, frozen=True, kw_only=True):
    """What `lt`, `between`, `before` … come to: between two ends, each open or closed; None is no end."""

    low: Bound | None = None
    high: Bound | None = None
    low_open: bool = False
    high_open: bool = False
    #: Everything but that (`ne`).
    outside: bool = False


#: Folded text, number, boolean or id; several of them, sorted; a range; a length of time; True or False of `exists`.
Value: TypeAlias = str | int | float | bool | UUID | tuple[str | int | float | UUID, ...] | Range | timedelta

#: Whose days and local times are meant: a name of the IANA database can stand there as well.
WORKSPACE: Final = "workspace"
CONTACT: Final = "contact"


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """Something that contacts have and filters can ask for."""

    #: As callers write it.
    name: str
    type: FieldType
    #: Column of the read model.
    column: str
    #: Where in the column, if that holds JSON.
    path: tuple[str, ...] = ()
    #: `own_contact`, or the engagement of the same contact.
    place: Literal["contact", "engagement"] = "contact"
    #: What counts where nothing is said; None means unset.
    default: str | None = None
    #: How equal values are written (a name in `literals.CODES`).
    code: str | None = None
    #: Values there can be, where they are few.
    options: tuple[str, ...] = ()
    #: Where the folded form stands if it is not the column's own (`contact.extras`).
    folded_path: tuple[str, ...] = ()
    sortable: bool = False
    #: Comes from a JSON that was not checked against the type: what does not fit counts as unset.
    unchecked: bool = False


class FieldLeaf(msgspec.Struct, frozen=True, kw_only=True, tag="field"):
    """A comparison with a field. False where the field is unset, whatever the comparison, `exists` apart."""

    field: Field
    op: Op
    value: Value
    time_zone: str = WORKSPACE


class Property(msgspec.Struct, frozen=True, kw_only=True):
    """Something in the data of an activity, as `path` leads to it. `type` is what it is compared as."""

    name: str
    type: FieldType
    path: tuple[str, ...]
    code: str | None = None


class Where(msgspec.Struct, frozen=True, kw_only=True):
    """A condition on one activity. False where the data has no such property, or one of another type."""

    property: Property
    op: Op
    value: Value


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """How many there must be. `value` has two ends for `between`, several values for `in` and `not_in`."""

    op: Literal["eq", "ne", "lt", "lte", "gt", "gte", "between", "in", "not_in"] = "gte"
    value: int | tuple[int, ...] = 1


class ActivityLeaf(msgspec.Struct, frozen=True, kw_only=True, tag="activity"):
    """So many activities of a kind (`message.clicked`) or family (`message.*`) in a window that ends now."""

    kind: str
    where: tuple[Where, ...] = ()
    #: None is all time, the near future included.
    window: timedelta | None = None
    count: Count = Count()


class OrderLeaf(msgspec.Struct, frozen=True, kw_only=True, tag="order"):
    """A comparison with the orders of a contact: how many, what they come to, when the last one was.

    Events with the same external id are one order: its time is that of the first, its data that of the last.
    """

    aggregate: Literal["count", "sum", "last"]
    #: Of `sum`, or of `last` where its data is asked for; None for times and numbers.
    property: Property | None
    op: Op
    value: Value
    #: Of the order's time.
    window: timedelta | None = None
    where: tuple[Where, ...] = ()
    time_zone: str = WORKSPACE


class SegmentLeaf(msgspec.Struct, frozen=True, kw_only=True, tag="segment"):
    """Whatever the definition of the segment says; it is looked up when the filter is compiled or evaluated."""

    segment_id: UUID


class ListLeaf(msgspec.Struct, frozen=True, kw_only=True, tag="list"):
    """On a static list."""

    list_id: UUID


class All(msgspec.Struct, frozen=True, tag="all"):
    """Every one of them; true where there is none."""

    items: tuple[Node, ...]


class Any(msgspec.Struct, frozen=True, tag="any"):
    """At least one of them; false where there is none."""

    items: tuple[Node, ...]


class Not(msgspec.Struct, frozen=True, tag="not"):
    """The exact complement."""

    item: Node


Leaf: TypeAlias = FieldLeaf | ActivityLeaf | OrderLeaf | SegmentLeaf | ListLeaf
Node: TypeAlias = All | Any | Not | FieldLeaf | ActivityLeaf | OrderLeaf | SegmentLeaf | ListLeaf
