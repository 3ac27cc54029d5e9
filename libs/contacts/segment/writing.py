"""Writes who entered and left, and when time may change that next, in one set-based write of each kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

from contacts.segment.lives import SQL, positions_before
from contacts.segment.membership import Change

if TYPE_CHECKING:
    from eventstore.projection import Connection

FOREVER: Final = 2**63 - 1
MEMBERSHIP_COLUMNS: Final = (
    "workspace_id", "segment_id", "contact_id", "from_at", "from_position", "from_cause", "from_event", "to_at",
    "to_position", "to_cause", "to_event",
)  # fmt: skip
OPEN_COLUMNS: Final = MEMBERSHIP_COLUMNS[:7]
CHANGE_COLUMNS: Final = (
    "lane", "at", "position", "segment_id", "contact_id", "workspace_id", "entered", "cause", "event_id",
)  # fmt: skip
FIRST_CHANGE_COLUMNS: Final = ("defined_at", "defined_position", *CHANGE_COLUMNS)
Row = tuple[object, ...]
Watch = tuple[UUID, UUID, UUID, datetime]
"""Workspace, segment, contact and when."""
Defined = tuple[datetime, int]
"""When a filling began, and its position."""


class Writing:
    """Collects what one run of events changed; `write` comes last."""

    def __init__(self, lane: int) -> None:
        self._lane = lane
        self._changes: list[tuple[UUID, Change, bool, Defined | None]] = []
        self._watched: list[Watch] = []
        self._unwatched: list[tuple[UUID, UUID, UUID]] = []

    def changed(
        self, workspace_id: UUID, changes: Iterable[Change], lists: frozenset[UUID], defined: Defined | None = None
    ) -> None:
        """Of one contact, in the order in which it happened; who joins a list is told elsewhere.

        What comes of a filling that is told apart says of which.
        """
        self._changes += ((workspace_id, each, each.segment_id in lists, defined) for each in changes)

    def watched(
        self, workspace_id: UUID, contact_id: UUID, before: dict[UUID, datetime], after: dict[UUID, datetime]
    ) -> None:
        """When time alone may next move a contact, by segment."""
        self._watched += (
            (workspace_id, segment_id, contact_id, at)
            for segment_id, at in after.items()
            if before.get(segment_id) != at
        )
        self._unwatched += ((workspace_id, segment_id, contact_id) for segment_id in before if segment_id not in after)

    async def write(self, connection: Connection) -> None:
        if self._changes:
            await self._write_changes(connection)
        if self._unwatched:
            await connection.execute(SQL["drop_watches"], *_columns(self._unwatched))
        if self._watched:
            await connection.execute(SQL["save_watches"], *_columns(self._watched), self._lane)

    async def _write_changes(self, connection: Connection) -> None:
        clock = (change.at for _, change, _, _ in self._changes if change.cause.position is None)
        before = await positions_before(connection, self._lane, clock)
        intervals = _Intervals()
        told: list[Row] = []
        told_first: list[Row] = []
        counts: Counter[tuple[UUID, UUID]] = Counter()
        for workspace_id, change, is_list, defined in self._changes:
            position = change.cause.position
            position = before[change.at] if position is None else position
            intervals.take(workspace_id, change, position)
            counts[workspace_id, change.segment_id] += 1 if change.entered else -1
            if is_list:
                continue
            row = _change_row(self._lane, workspace_id, change, position)
            if defined is None:
                told.append(row)
            else:
                told_first.append((*defined, *row))
        await intervals.write(connection)
        moved = sorted((*place, by) for place, by in counts.items() if by)
        if moved:
            await connection.execute(SQL["count"], *_columns(moved))
        if told:
            await connection.copy_records_to_table("change", records=told, columns=CHANGE_COLUMNS)
        if told_first:
            await connection.copy_records_to_table("first_change", records=told_first, columns=FIRST_CHANGE_COLUMNS)


class _Intervals:
    """Memberships that begin and end in one run; those that began before it are rows already."""

    def __init__(self) -> None:
        self._begun: dict[tuple[UUID, UUID], Row] = {}
        self._over: list[Row] = []
        self._ended: list[Row] = []

    def take(self, workspace_id: UUID, change: Change, position: int) -> None:
        key = change.segment_id, change.contact_id
        when = change.at, position, change.cause.type, change.cause.event_id
        if change.entered:
            self._begun[key] = (workspace_id, *key, *when)
        elif key in self._begun:
            self._over.append((*self._begun.pop(key), *when))
        else:
            self._ended.append((workspace_id, *key, *when))

    async def write(self, connection: Connection) -> None:
        if self._ended:
            await connection.execute(SQL["close"], *_columns(self._ended))
        if self._over:
            await connection.copy_records_to_table("membership", records=self._over, columns=MEMBERSHIP_COLUMNS)
        if self._begun:
            await connection.copy_records_to_table(
                "membership", records=list(self._begun.values()), columns=OPEN_COLUMNS
            )


def _change_row(lane: int, workspace_id: UUID, change: Change, position: int) -> Row:
    cause = change.cause
    return (
        lane, change.at, position, change.segment_id, change.contact_id, workspace_id, change.entered, cause.type,
        cause.event_id,
    )  # fmt: skip


def _columns(rows: Sequence[Row]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]
