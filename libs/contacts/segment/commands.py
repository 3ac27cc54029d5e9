"""What one can ask of a segment. Names and filters were checked (`segment/input.py`); ids come from outside."""

from __future__ import annotations

from typing import Any, TypeAlias
from uuid import UUID

import msgspec


class _Command(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Shared shape of commands: which segment of which workspace."""

    workspace_id: UUID
    segment_id: UUID


class CreateSegment(_Command, frozen=True, kw_only=True):
    """A new segment with a new id. Refused: SegmentAlreadyExists, and as ChangeSegment for its filter."""

    name: str
    filter: Any


class ChangeSegment(_Command, frozen=True, kw_only=True):
    """Another name, another filter, or both; None is not spoken of.

    Refused: SegmentNotFound, SegmentIsArchived where it gets another filter, SegmentNotFound and SegmentCycle for what
    the filter refers to.
    """

    name: str | None = None
    filter: Any | None = None


class ArchiveSegment(_Command, frozen=True, kw_only=True):
    """A repeat changes nothing. Refused: SegmentNotFound."""


class RestoreSegment(_Command, frozen=True, kw_only=True):
    """A repeat changes nothing. Refused: SegmentNotFound."""


SegmentCommand: TypeAlias = CreateSegment | ChangeSegment | ArchiveSegment | RestoreSegment
