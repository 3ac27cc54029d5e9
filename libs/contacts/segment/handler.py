"""Segment commands on the log, and definitions as the log has them. Rules are in the decider.

Two redefinitions at the same time could make a cycle that neither sees. So an append also names the versions of all
segments that the new filter refers to, at any depth, without adding to them: of two that would close a cycle together,
each names the stream that the other one writes, and the later one looks again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from contacts.execution import NOTHING_BESIDE, Besides, Executed, Execution, Request
from contacts.segment.commands import ChangeSegment, CreateSegment, SegmentCommand
from contacts.segment.decider import Segment, decide, evolve, fold, initial
from contacts.segment.events import CATEGORY, SegmentCreated, SegmentEvent, SegmentRedefined
from contacts.segment.references import referenced
from contacts.segment.refusals import SegmentCycle, SegmentNotFound
from eventstore.aggregate import Aggregates
from eventstore.envelope import Claim, Metadata, RecordedEvent, Stream, StreamWrite
from eventstore.store import EventStore

CACHE_SIZE: Final = 10_000


class SegmentHandler:
    """One per process; safe to use concurrently."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        aggregates = Aggregates(store, category=CATEGORY, initial=initial, evolve=fold, cache_size=CACHE_SIZE)
        self._execution = Execution(store, SegmentRules(), aggregates, beside=self._beside)

    async def execute(
        self,
        command: SegmentCommand,
        *,
        metadata: Metadata,
        idempotency_key: str | None = None,
        request_hash: bytes = b"",
        expected_version: int | None = None,
    ) -> Executed[Segment]:
        """Durable when it returns. A repeat with the same key and hash answers what the first time did, for ever.

        Raises:
            Refusal: as the command names, VersionMismatch, TooContended, IdempotencyKeyReused.
            StoreUnavailable, Overloaded: repeat with the same key.
        """
        request = Request(
            metadata=metadata, idempotency_key=idempotency_key, digest=request_hash, expected_version=expected_version
        )
        stream = Stream(command.workspace_id, CATEGORY, command.segment_id)
        return await self._execution.execute(command, stream, request, new=isinstance(command, CreateSegment))

    async def get(self, workspace_id: UUID, segment_id: UUID) -> Segment:
        """As it is now. Raises SegmentNotFound."""
        segment, _ = await self._execution.load(Stream(workspace_id, CATEGORY, segment_id), fresh=True)
        if not segment.exists:
            raise SegmentNotFound(segment_id)
        return segment

    async def get_at(self, workspace_id: UUID, segment_id: UUID, position: int) -> Segment:
        """As it was at a position. Raises SegmentNotFound where it did not exist yet."""
        segment = initial(segment_id)
        stream = Stream(workspace_id, CATEGORY, segment_id)
        for recorded in await self._store.read_stream(stream, to_position=position):
            segment = fold(segment, recorded)
        if not segment.exists:
            raise SegmentNotFound(segment_id)
        return segment

    async def met_by(
        self, workspace_id: UUID, filter_: Any, *, position: int | None = None, missing_ok: bool = False
    ) -> dict[UUID, Segment]:
        """All segments that a filter refers to, at any depth, by id; as they were at `position`, or as they are.

        Raises SegmentNotFound for one that does not exist, unless `missing_ok`, which leaves it out.
        """
        found: dict[UUID, Segment] = {}
        waiting = set(referenced(filter_))
        while waiting:
            segment_id = waiting.pop()
            try:
                if position is None:
                    segment = await self.get(workspace_id, segment_id)
                else:
                    segment = await self.get_at(workspace_id, segment_id, position)
            except SegmentNotFound:
                if not missing_ok:
                    raise
                continue
            found[segment_id] = segment
            waiting |= referenced(segment.filter) - found.keys()
        return found

    async def _beside(
        self, command: SegmentCommand, before: Segment, events: Sequence[SegmentEvent], *, fresh: bool
    ) -> Besides:
        filters = [event.filter for event in events if isinstance(event, SegmentCreated | SegmentRedefined)]
        if not filters or not isinstance(command, CreateSegment | ChangeSegment):
            return NOTHING_BESIDE
        met = await self.met_by(command.workspace_id, filters[-1])
        if before.id in met:
            raise SegmentCycle(before.id)
        return Besides(tuple(_unchanged(command.workspace_id, segment) for segment in met.values()))


def _unchanged(workspace_id: UUID, segment: Segment) -> StreamWrite:
    stream = Stream(workspace_id, CATEGORY, segment.id)
    return StreamWrite(stream=stream, expected_version=segment.version, events=())


class SegmentRules:
    """The decider as `Execution` wants it; a segment claims nothing."""

    category: str = CATEGORY

    def initial(self, id_: UUID) -> Segment:
        return initial(id_)

    def decide(self, command: SegmentCommand, state: Segment) -> list[SegmentEvent]:
        return decide(command, state)

    def fold(self, state: Segment, recorded: RecordedEvent[Any]) -> Segment:
        return fold(state, recorded)

    def evolve(self, state: Segment, event: SegmentEvent, at: datetime) -> Segment:
        return evolve(state, event, at)

    def show(self, state: Segment, _others: Mapping[UUID, Segment]) -> Segment:
        return state

    def claims(self, _before: Segment, _after: Segment, _others: Mapping[UUID, Segment]) -> Iterable[Claim]:
        return ()
