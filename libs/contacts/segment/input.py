"""What callers send for a segment, and its way into commands. What a filter may say: `smartsearch.parse`. No I/O."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from contacts.lists.input import parse_name
from contacts.segment.commands import ChangeSegment, CreateSegment


class SegmentInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A name, and the smart search that says who is in it."""

    name: str
    filter: dict[str, Any]


class SegmentPatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Another name, another filter, or both."""

    name: str | UnsetType = UNSET
    filter: dict[str, Any] | UnsetType = UNSET


def create_segment(sent: SegmentInput, workspace_id: UUID, segment_id: UUID) -> CreateSegment:
    """Raises InvalidInput. The filter was parsed already."""
    return CreateSegment(
        workspace_id=workspace_id, segment_id=segment_id, name=parse_name(sent.name), filter=sent.filter
    )


def change_segment(sent: SegmentPatch, workspace_id: UUID, segment_id: UUID) -> ChangeSegment:
    """Raises InvalidInput. The filter was parsed already."""
    return ChangeSegment(
        workspace_id=workspace_id,
        segment_id=segment_id,
        name=None if sent.name is UNSET else parse_name(sent.name),
        filter=None if sent.filter is UNSET else sent.filter,
    )
