"""Keeps the activity read model: rows by month and totals, one set-based write each. Queries are in `queries`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from uuid import UUID

import msgspec

from contacts.activity.events import ActivityRecorded
from contacts.activity.folding import folded_texts
from contacts.activity.kinds import category_of
from eventstore.projection import Projection
from eventstore.sql import load

if TYPE_CHECKING:
    from eventstore.envelope import RecordedEvent
    from eventstore.projection import Connection

#: Columns of `activity` in the order of a row; `schema.sql` says what they mean.
COLUMNS: Final = (
    "workspace_id",
    "contact_id",
    "occurred_at",
    "recorded_at",
    "position",
    "category",
    "activity_id",
    "source",
    "kind",
    "addressed_as",
    "data",
    "folded",
)
#: A value for each of `COLUMNS`.
Row: TypeAlias = tuple[UUID, UUID, datetime, datetime, int, str, str, str, str, str, str, str | None]
#: Before it everything is in one partition.
FIRST_MONTH: Final = date(2020, 1, 1)
ERASED: Final = "contact.erased"

SQL: Final = load("contacts.activity", "projection.sql")
_json: Final = msgspec.json.Encoder().encode


class ActivityProjection(Projection):
    """Rows of `activity`, totals in `activity_month`. An erased contact has none.

    Applying events again changes nothing: what is there already is neither written nor counted. What is older than its
    workspace keeps is not written (`retention`).
    """

    name = "activity"
    version = 3
    stands_back_s = 0.01
    types = frozenset({"activity.recorded", ERASED})
    schema_sql = files("contacts.activity").joinpath("schema.sql").read_text(encoding="utf-8")
    index_sql = files("contacts.activity").joinpath("indexes.sql").read_text(encoding="utf-8")
    uncompared_tables = frozenset({"activity_cut"})

    async def apply(self, connection: Connection, events: Sequence[RecordedEvent[Any]], *, fresh: bool) -> None:
        # The last that is recorded of a contact: nothing can follow, for there is no key to write it with.
        erased = {event.stream_id: event.workspace_id for event in events if event.type == ERASED}
        rows = [
            _row(event, event.event)
            for event in events
            # What can no longer be read is as good as gone.
            if isinstance(event.event, ActivityRecorded) and event.stream_id not in erased
        ]
        if rows:
            cuts = await _cuts(connection, {row[0] for row in rows}, fresh=fresh)
            rows = [row for row in rows if row[0] not in cuts or row[2] >= cuts[row[0]]]
        if rows:
            await _ensure_months(connection, {_month(row[2]) for row in rows})
            await (_copy if fresh else _write)(connection, rows)
        if erased:
            await connection.execute(SQL["erase"], list(erased.values()), list(erased))


async def _cuts(connection: Connection, workspaces: Iterable[UUID], *, fresh: bool) -> dict[UUID, datetime]:
    """From when on activity is kept. They cannot move before the end of the transaction."""
    if fresh and await connection.fetchval(SQL["has_cuts"]):
        # A new build begins where the live one is, or it would bring back what was taken away there.
        await connection.execute(SQL["inherit_cuts"], list(workspaces))
    return {row["workspace_id"]: row["before"] for row in await connection.fetch(SQL["cuts"], list(workspaces))}


def _row(recorded: RecordedEvent[Any], event: ActivityRecorded) -> Row:
    return (
        recorded.workspace_id,
        recorded.stream_id,
        event.occurred_at,
        recorded.recorded_at,
        recorded.position,
        category_of(event.kind),
        event.activity_id,
        event.source,
        event.kind,
        _json(event.addressed_as).decode(),
        _json(event.data).decode(),
        _json(folded).decode() if (folded := folded_texts(event.data)) else None,
    )


def _month(instant: datetime) -> date:
    return instant.astimezone(UTC).date().replace(day=1)


async def _write(connection: Connection, rows: Iterable[Row]) -> None:
    columns = [list(column) for column in zip(*rows, strict=True)]
    await connection.execute(SQL["write"], *columns)


async def _copy(connection: Connection, rows: Sequence[Row]) -> None:
    """Takes contacts that have no row: twice as fast, and blind to what is there."""
    await connection.copy_records_to_table("activity", records=rows, columns=COLUMNS)
    counts = Counter((row[0], row[1], row[5], _month(row[2])) for row in rows)
    added = [(*counted, activities) for counted, activities in counts.items()]
    await connection.execute(SQL["count"], *map(list, zip(*added, strict=True)))


async def _ensure_months(connection: Connection, months: Iterable[date]) -> None:
    """Makes the partitions that are missing.

    Each is made apart and then attached: to be made as a partition, it would have to wait for whoever reads any other.
    """
    names = {f"activity_{month:%Y_%m}": month for month in months if month >= FIRST_MONTH}
    if not await connection.fetch(SQL["missing"], list(names)):
        return
    await connection.execute(SQL["lock_tables"])
    for (name,) in await connection.fetch(SQL["missing"], list(names)):
        start = names[name]
        end = date(start.year + start.month // 12, start.month % 12 + 1, 1)
        await connection.execute(
            f"CREATE TABLE {name} (LIKE activity INCLUDING DEFAULTS);"
            f"ALTER TABLE activity ATTACH PARTITION {name}"
            f" FOR VALUES FROM ('{start} 00:00:00+00') TO ('{end} 00:00:00+00')"
        )
