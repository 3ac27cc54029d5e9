"""Reads the log for one projection, going on over events that cannot be decoded. Applies nothing, waits for nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from eventstore.checkpoint import SQL, Unit
from eventstore.envelope import LaneBatch, Metadata, RecordedEvent, Unreadable
from eventstore.poison import describe, is_poison

if TYPE_CHECKING:
    from asyncpg import Record

    from eventstore.store import EventStore
    from eventstore.tail import LaneSource

# Reading single positions one by one beats reading past this many others.
NEARBY: Final = 200


class Read(msgspec.Struct, frozen=True):
    """A stretch of a lane. Where `undecodable` says why, it is one position, whose event carries `Unreadable`."""

    batch: LaneBatch
    undecodable: str | None = None


class UnitReader:
    """Reads the events one unit wants. Stateless, so a batch may be read ahead."""

    def __init__(
        self, store: EventStore, unit: Unit, types: frozenset[str], source: LaneSource | None = None
    ) -> None:  # fmt: skip
        """`source` is where lanes are read, the store by default."""
        self._store = store
        self._source = source or store
        self._unit = unit
        self._types = types

    @property
    def lane(self) -> int:
        return self._unit.lane

    async def read(self, after: int, limit: int) -> Read:
        """The next `limit` positions, or fewer up to an event that cannot be decoded, or that one alone.

        Raises PositionGap, and whatever the connection raises.
        """
        lane = self._unit.lane
        while True:
            try:
                batch = await self._source.read_lane(
                    lane, after=after, limit=limit, types=self._types, slices=self._unit.slices
                )
                return Read(batch)
            except Exception as error:
                if not is_poison(error):
                    raise
                if limit == 1:
                    event = await self._envelope(after + 1)
                    batch = LaneBatch(lane=lane, after=after, last=after + 1, events=[event])
                    return Read(batch, describe(error))
                limit = max(1, limit // 2)

    async def read_positions(self, positions: Sequence[int]) -> tuple[list[RecordedEvent[Any]], Read | None]:
        """The events at these ascending positions, up to the first that cannot be decoded, which comes apart."""
        wanted = set(positions)
        events: list[RecordedEvent[Any]] = []
        last = 0
        for number, position in enumerate(positions):
            if position <= last:
                continue
            near = sum(1 for other in positions[number : number + NEARBY] if other < position + NEARBY)
            read = await self.read(position - 1, NEARBY if near > 1 else 1)
            last = read.batch.last
            if read.undecodable is not None and last in wanted:
                return events, read
            events.extend(event for event in read.batch.events if event.position in wanted)
        return events, None

    async def _envelope(self, position: int) -> RecordedEvent[Any]:
        row = await self._store.pool.fetchrow(SQL["envelope"], self._unit.lane, position)
        assert row is not None  # it was just read, and the log forgets nothing
        return unreadable(row)


def unreadable(row: Record) -> RecordedEvent[Any]:
    """What is known of an event whose content cannot be read."""
    return RecordedEvent(
        lane=row["lane"],
        position=row["position"],
        workspace_id=row["workspace_id"],
        category=row["category"],
        stream_id=row["stream_id"],
        version=row["version"],
        event_id=row["event_id"],
        type=row["type"],
        schema_version=row["schema_version"],
        recorded_at=row["recorded_at"],
        metadata=Metadata(),
        event=Unreadable(type=row["type"]),
    )
