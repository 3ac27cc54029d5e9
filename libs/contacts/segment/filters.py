"""Filters as callers send them, read with what their workspace has: its attributes, lists and other segments."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

import msgspec

from contacts.lists.handler import ListHandler
from contacts.lists.refusals import ListNotFound
from contacts.segment.decider import Segment
from contacts.segment.handler import SegmentHandler
from contacts.segment.kept import Defined, Scope, parse_all
from contacts.segment.references import listed
from contacts.smartsearch.fields import Schema
from contacts.smartsearch.nodes import Node
from contacts.smartsearch.parse import parse
from contacts.workspace.state import Workspace


class Parsed(msgspec.Struct, frozen=True):
    """A filter, and the definitions of all segments it uses, as they are or were."""

    node: Node
    definitions: Mapping[UUID, Node]
    #: The same as they were sent.
    raw: Mapping[UUID, Any]


class Filters:
    """One per process; safe to use concurrently. What segments mean is read from the log, so that nothing is behind."""

    def __init__(self, segments: SegmentHandler, lists: ListHandler) -> None:
        self._segments = segments
        self._lists = lists

    async def parse(
        self, raw: Any, workspace: Workspace, *, defining: UUID | None = None, position: int | None = None,
        pointer: str = "/filter",
    ) -> Parsed:  # fmt: skip
        """With the segments it uses as they are, or as they were at `position`. Raises InvalidInput."""
        met = await self._segments.met_by(workspace.id, raw, position=position, missing_ok=True)
        scope = Scope(region=workspace.settings.default_region, attributes=workspace.attributes)
        definitions = parse_all(scope, [_defined(segment, scope) for segment in met.values()])
        schema = Schema(
            attributes=workspace.attributes,
            region=scope.region,
            segments=definitions,
            defining=defining,
            lists=await self._known_lists(workspace.id, listed(raw)),
        )
        node = parse(raw, schema, pointer=pointer)
        return Parsed(node, definitions, {segment_id: segment.filter for segment_id, segment in met.items()})

    async def _known_lists(self, workspace_id: UUID, list_ids: Iterable[UUID]) -> frozenset[UUID]:
        wanted = list(list_ids)
        found = await asyncio.gather(*(self._lists.get(workspace_id, each) for each in wanted), return_exceptions=True)
        known = []
        for list_id, each in zip(wanted, found, strict=True):
            if isinstance(each, BaseException) and not isinstance(each, ListNotFound):
                raise each
            if not isinstance(each, BaseException):
                known.append(list_id)
        return frozenset(known)


def _defined(segment: Segment, scope: Scope) -> Defined:
    return Defined(
        segment_id=segment.id, is_list=False, is_kept=True, filter=segment.filter, region=scope.region
    )  # fmt: skip
