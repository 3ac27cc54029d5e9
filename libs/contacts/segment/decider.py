"""Segment rules: (command, state) -> events, and the fold. No I/O, no clock. What filters mean is in `smartsearch`."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import replace

from contacts.segment import commands as c
from contacts.segment import events as e
from contacts.segment.references import referenced
from contacts.segment.refusals import SegmentAlreadyExists, SegmentCycle, SegmentIsArchived, SegmentNotFound
from eventstore.envelope import RecordedEvent


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """What a segment's own stream says of it. Version 0: it was never created."""

    id: UUID
    version: int = 0
    name: str = ""
    filter: Any = None
    created_at: datetime | None = None
    changed_at: datetime | None = None
    archived_at: datetime | None = None

    @property
    def exists(self) -> bool:
        return self.version > 0

    @property
    def archived(self) -> bool:
        return self.archived_at is not None


def initial(segment_id: UUID) -> Segment:
    """The state before the first event."""
    return Segment(id=segment_id)


def decide(command: c.SegmentCommand, segment: Segment) -> list[e.SegmentEvent]:
    """The events `command` causes; none where everything is as wanted already. Raises as each command names.

    Cycles through other segments are found where their definitions are at hand (`segment/handler.py`).
    """
    if isinstance(command, c.CreateSegment):
        if segment.exists:
            raise SegmentAlreadyExists(segment.id)
        _require_other(command.filter, segment.id)
        return [e.SegmentCreated(name=command.name, filter=command.filter)]
    if not segment.exists:
        raise SegmentNotFound(segment.id)
    match command:
        case c.ChangeSegment():
            return _change(command, segment)
        case c.ArchiveSegment():
            return [] if segment.archived else [e.SegmentArchived()]
        case c.RestoreSegment():
            return [e.SegmentRestored()] if segment.archived else []


def _change(command: c.ChangeSegment, segment: Segment) -> list[e.SegmentEvent]:
    events: list[e.SegmentEvent] = []
    if command.name is not None and command.name != segment.name:
        events.append(e.SegmentRenamed(name=command.name))
    if command.filter is not None and not _is_same(command.filter, segment.filter):
        if segment.archived:
            raise SegmentIsArchived(segment.id)
        _require_other(command.filter, segment.id)
        events.append(e.SegmentRedefined(filter=command.filter))
    return events


def _is_same(filter_: Any, other: Any) -> bool:
    # As JSON: to Python True is 1, and 1 is 1.0.
    encode = msgspec.json.Encoder(order="deterministic").encode
    return encode(filter_) == encode(other)


def _require_other(filter_: Any, segment_id: UUID) -> None:
    if segment_id in referenced(filter_):
        raise SegmentCycle(segment_id)


def evolve(segment: Segment, event: e.SegmentEvent, at: datetime) -> Segment:
    """The state after `event`, recorded `at`. Total: any event can follow any state."""
    after = replace(segment, version=segment.version + 1, changed_at=at)
    match event:
        case e.SegmentCreated():
            return replace(after, name=event.name, filter=event.filter, created_at=at)
        case e.SegmentRenamed(name=name):
            return replace(after, name=name)
        case e.SegmentRedefined():
            return replace(after, filter=event.filter)
        case e.SegmentArchived():
            return replace(after, archived_at=at)
        case e.SegmentRestored():
            return replace(after, archived_at=None)


def fold(segment: Segment, recorded: RecordedEvent[Any]) -> Segment:
    """`evolve` for an event as the log holds it."""
    return evolve(segment, recorded.event, recorded.recorded_at)
