"""What is to be told next, out of the tables of changes: changes in their order, first ones where there is room."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

from msgspec.structs import replace

from contacts_bridge.fenced import MAX_BATCH
from contacts_bridge.segments.feed import Tail
from contacts_bridge.segments.message import Change, FirstPlace, Place
from eventstore.sql import load

if TYPE_CHECKING:
    import asyncpg
    from asyncpg import Record

SQL: Final = load("contacts_bridge.segments", "changes.sql")
#: First changes in one batch: few, because the next change of somebody else waits for it.
FIRST_MAX: Final = 200
#: How long nobody looks for first changes after there were none.
LOOK_EVERY_S: Final = 0.5
#: Where nothing is being filled: behind everything.
END: Final = datetime(9999, 1, 1, tzinfo=UTC), 2**63 - 1, UUID(int=2**128 - 1)


class Changes:
    """Of some lanes. `pool` has sessions of rollbook_projector."""

    def __init__(self, pool: asyncpg.Pool, lanes: Sequence[int]) -> None:
        self._pool = pool
        self._lanes = lanes
        #: By lane first changes that were looked at; those behind the tail were carried.
        self._passed: dict[int, FirstPlace] = {}
        #: By lane when there was none to be told.
        self._none_at: dict[int, float] = {}

    def forget(self) -> None:
        """Of a tail that is not where it was: what was passed may have to be told after all."""
        self._passed.clear()
        self._none_at.clear()

    async def next_batch(self, tail: Tail) -> list[Change]:
        """What comes behind the tail, in the order in which it has to be told."""
        share = max(1, (MAX_BATCH - FIRST_MAX) // len(self._lanes))
        batch: list[Change] = []
        for lane in self._lanes:
            changes = await self._next(lane, tail.place(lane), share)
            batch += await self._with_carried(lane, changes, tail.first(lane))
            if len(changes) < share and time.monotonic() - self._none_at.get(lane, -LOOK_EVERY_S) > LOOK_EVERY_S:
                told = changes[-1].place if changes else tail.place(lane)
                batch += await self._firsts(lane, tail.first(lane), told, max(1, FIRST_MAX // len(self._lanes)))
        return batch

    async def _next(self, lane: int, place: Place, limit: int) -> list[Change]:
        rows = await self._pool.fetch(
            SQL["next"], lane, place.at, place.position, place.segment_id, place.contact_id, limit
        )
        return [_change(lane, row) for row in rows]

    async def _with_carried(self, lane: int, changes: list[Change], first: FirstPlace) -> list[Change]:
        """Changes, and ahead of each the first ones that it carries."""
        if not changes:
            return changes
        places = [change.place for change in changes]
        rows = await self._pool.fetch(
            SQL["carried"], lane, [each.segment_id for each in places], [each.contact_id for each in places],
            [each.at for each in places], [each.position for each in places], first.defined_at, first.defined_position,
            first.contact_id, first.segment_id, first.at,
        )  # fmt: skip
        carried: dict[int, list[Change]] = {}
        for row in rows:
            carried.setdefault(row["number"], []).append(replace(_first(lane, row), is_carried=True))
        return [each for number, change in enumerate(changes, 1) for each in (*carried.get(number, ()), change)]

    async def _firsts(self, lane: int, first: FirstPlace, told: Place, limit: int) -> list[Change]:
        frontier = await self._pool.fetchrow(SQL["frontier"], lane) or END
        passed = max(first, self._passed.get(lane, first))
        rows = await self._pool.fetch(
            SQL["next_first"], lane, passed.defined_at, passed.defined_position, passed.contact_id, passed.segment_id,
            passed.at, *frontier, told.at, told.position, told.segment_id, told.contact_id, limit,
        )  # fmt: skip
        found = [_first(lane, row) for row in rows if not row["is_carried"]]
        if not rows:
            self._none_at[lane] = time.monotonic()
        if rows and rows[-1]["is_carried"]:
            last = _first(lane, rows[-1]).first
            assert last is not None
            self._passed[lane] = last
        return found


def _change(lane: int, row: Record) -> Change:
    return Change(
        lane=lane,
        place=Place(row["at"], row["position"], row["segment_id"], row["contact_id"]),
        workspace_id=row["workspace_id"],
        entered=row["entered"],
        cause=row["cause"],
        event_id=row["event_id"],
    )


def _first(lane: int, row: Record) -> Change:
    place = FirstPlace(
        row["defined_at"], row["defined_position"], row["contact_id"], row["segment_id"], row["at"]
    )  # fmt: skip
    return replace(_change(lane, row), first=place)
