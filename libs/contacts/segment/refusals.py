"""Why a command about a segment was refused."""

from __future__ import annotations

from uuid import UUID

from contacts.errors import Refusal


class SegmentNotFound(Refusal):
    """No such segment in this workspace; also the answer for a segment of another workspace."""

    def __init__(self, segment_id: UUID) -> None:
        super().__init__(f"segment {segment_id} does not exist")
        self.segment_id = segment_id


class SegmentAlreadyExists(Refusal):
    """The id of a new segment is in use."""

    def __init__(self, segment_id: UUID) -> None:
        super().__init__(f"segment {segment_id} exists already")
        self.segment_id = segment_id


class SegmentIsArchived(Refusal):
    """An archived segment gets no other filter."""

    def __init__(self, segment_id: UUID) -> None:
        super().__init__(f"segment {segment_id} is archived; restore it first")
        self.segment_id = segment_id


class SegmentCycle(Refusal):
    """A filter refers to the segment that it defines, by way of others or at once."""

    def __init__(self, segment_id: UUID) -> None:
        super().__init__(f"segment {segment_id} would be defined by itself")
        self.segment_id = segment_id
