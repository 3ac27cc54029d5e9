"""What a copy reads: which SQL a column is, and rows of COPY as arrays. Keeps nothing.

Every row has the same length, so that none is decoded one by one.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec
import numpy as np
import numpy.typing as npt

from contacts.contact.filtering import Parameters
from contacts.facet.columns import Codes, Ordered
from contacts.facet.questions import EPOCH, Happened, Values
from contacts.smartsearch.compile_activity import meant
from contacts.smartsearch.compile_field import expression_of, never_unset, set_of
from contacts.smartsearch.moment import Moment
from contacts.smartsearch.nodes import SETS, ActivityLeaf, FieldType
from contacts.smartsearch.placing import Placing
from contacts.smartsearch.subject import Known
from eventstore.sql import load

if TYPE_CHECKING:
    from eventstore.sql import AnyConnection

SQL: Final = load("contacts.facet", "facet.sql")
ENGAGEMENT: Final = (
    " LEFT JOIN rm_engagement.own_engagement AS e ON e.workspace_id = c.workspace_id AND e.contact_id = c.contact_id"
)
#: Nobody can foresee which values would share a hash.
_SEED: Final = secrets.randbits(62)
_ORDERED: Final[frozenset[FieldType]] = frozenset({"number", "instant", "date"})
#: Bytes that are turned into rows at once.
_CHUNK: Final = 4_000_000
_HEADER: Final = 19

Rows = npt.NDArray[Any]


def new_column(column: Values) -> Codes | Ordered:
    if column.is_set or column.field.type not in _ORDERED:
        return Codes()
    return Ordered(floats=column.field.type == "number")


async def fetch_contacts(
    connection: AnyConnection, workspace_id: UUID, columns: Sequence[Values], only: Sequence[UUID] | None
) -> Rows:  # fmt: skip
    """Fields `high` and `low` are the id, `v0` … the columns: a hash where those are `Codes`."""
    placing, parameters = _placing(2)
    which = "" if only is None else f" AND c.contact_id = ANY ({parameters.add(list(only), 'uuid[]')})"
    expressions = "".join(f", {_eight_bytes(column, placing)}" for column in columns)
    statement = SQL["contacts"].format(columns=expressions, engagement=_joined(columns), only=which)
    fields = [">f8" if column.field.type == "number" and not column.is_set else ">i8" for column in columns]
    found: list[Rows] = []
    await _copy(connection, statement, (workspace_id, *parameters.values), fields, found.append)
    return await asyncio.to_thread(np.concatenate, found) if found else np.zeros(0, _row(fields))


async def fetch_values(
    connection: AnyConnection, workspace_id: UUID, column: Values, ids: Sequence[UUID]
) -> list[tuple[int, Known]]:  # fmt: skip
    """What stands behind the hashes that these contacts have."""
    placing, parameters = _placing(3)
    expressions = f"{_hash(column, placing)} AS hash, {_text(column, placing)} AS text"
    statement = SQL["values"].format(columns=expressions, engagement=_joined([column]))
    rows = await connection.fetch(statement, workspace_id, list(ids), *parameters.values)
    return [(row["hash"], _known(column, row["text"])) for row in rows if row["text"] is not None]


async def fetch_events(
    connection: AnyConnection, workspace_id: UUID, column: Happened, only: Sequence[UUID] | None,
    take: Callable[[Rows], None],
) -> None:  # fmt: skip
    """Fields `high` and `low` are the id, `v0` is when it happened; `take` gets them piece by piece in a thread."""
    parameters = Parameters(first=2)
    placing = Placing(Moment(now=EPOCH, time_zone=column.time_zone or "UTC"), parameters)
    condition = meant(ActivityLeaf(kind=column.kind, where=column.where), placing)
    which = "" if only is None else f" AND a.contact_id = ANY ({parameters.add(list(only), 'uuid[]')})"
    statement = SQL["events"].format(wanted=condition, only=which)
    await _copy(connection, statement, (workspace_id, *parameters.values), [">i8"], take)


def ids_of(rows: Rows) -> list[UUID]:
    return [UUID(int=high << 64 | low) for high, low in zip(rows["high"].tolist(), rows["low"].tolist(), strict=True)]


# -- expressions ------------------------------------------------------------------------------------------------------


def _placing(first: int) -> tuple[Placing, Parameters]:
    """Of columns, which ask for no moment."""
    parameters = Parameters(first=first)
    return Placing(Moment(now=EPOCH, time_zone="UTC"), parameters), parameters


def _joined(columns: Sequence[Values]) -> str:
    return ENGAGEMENT if any(column.field.place == "engagement" for column in columns) else ""


def _eight_bytes(column: Values, placing: Placing) -> str:
    type_ = column.field.type
    if column.is_set or type_ not in _ORDERED:
        return _hash(column, placing)
    value = expression_of(column.field, placing)
    if type_ == "instant":
        return f"COALESCE({value}, '-infinity'::timestamptz)"
    if type_ == "date":
        return f"COALESCE((({value})::date - '2000-01-01'::date)::bigint, (-9223372036854775808)::bigint)"
    if not column.field.path:
        return f"COALESCE(({value})::double precision, 'infinity')"
    # What is not equal to how it would be written as a float, or would be none at all, cannot be compared as one.
    return (
        f"CASE WHEN ({value}) IS NULL THEN 'infinity'::double precision"
        f" WHEN ({value}) <> 0 AND abs({value}) NOT BETWEEN 1e-300 AND 1e300 THEN 'NaN'"
        f" WHEN ({value})::double precision::text::numeric = ({value}) THEN ({value})::double precision ELSE 'NaN' END"
    )


def _hash(column: Values, placing: Placing) -> str:
    return f"COALESCE(hashtextextended({_text(column, placing)}, {_SEED}), 0)"


def _text(column: Values, placing: Placing) -> str:
    field = column.field
    if column.is_set:
        if never_unset(field):
            return "'true'::text"
        value = set_of(field, placing) if field.type in SETS else expression_of(field, placing)
        return f"(({value}) IS NOT NULL)::text"
    if field.type not in SETS:
        return f"({expression_of(field, placing)})::text"
    text = f"to_jsonb({set_of(field, placing)})::text"
    return f"COALESCE({text}, '[]')" if never_unset(field) else text


def _known(column: Values, text: str) -> Known:
    if column.is_set or column.field.type == "boolean":
        return text == "true"
    if column.field.type == "ids":
        return frozenset(msgspec.json.decode(text, type=list[UUID]))
    return frozenset(msgspec.json.decode(text)) if column.field.type == "texts" else text


# -- rows -------------------------------------------------------------------------------------------------------------


def _row(fields: Sequence[str]) -> np.dtype[Any]:
    """Of the binary format of COPY: how many fields, then the length of each before it."""
    row = [("fields", ">i2"), ("id_length", ">i4"), ("high", ">u8"), ("low", ">u8")]
    return np.dtype(row + [part for n, type_ in enumerate(fields) for part in ((f"l{n}", ">i4"), (f"v{n}", type_))])


async def _copy(
    connection: AnyConnection, statement: str, values: tuple[object, ...], fields: Sequence[str],
    take: Callable[[Rows], None],
) -> None:  # fmt: skip
    row = _row(fields)
    held = bytearray()
    to_skip = _HEADER

    async def collect(data: bytes) -> None:
        nonlocal to_skip
        held.extend(data)
        if to_skip and len(held) >= to_skip:
            del held[:to_skip]
            to_skip = 0
        if len(held) >= _CHUNK:
            await hand_on()

    async def hand_on() -> None:
        whole = len(held) // row.itemsize * row.itemsize
        rows = np.frombuffer(bytes(held[:whole]), row)
        del held[:whole]
        await asyncio.to_thread(take, rows)

    await connection.copy_from_query(statement, *values, output=collect, format="binary")
    await hand_on()
