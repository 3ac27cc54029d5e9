"""The segments of a workspace as they are kept: parsed filters, and what each of them reads. Pure.

Parsing is dear and definitions change rarely, so what came of it is remembered by workspace and revision: the position
of the last event after which any filter of the workspace may mean something else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final
from uuid import UUID

import msgspec

from contacts.attributes import AttributeDefinition
from contacts.smartsearch.dependencies import Reads, reads
from contacts.smartsearch.fields import FIELDS, Schema
from contacts.smartsearch.nodes import Any as AnyOf
from contacts.smartsearch.nodes import Field, FieldLeaf, Node
from contacts.smartsearch.parse import parse
from contacts.smartsearch.segments import leaves_of
from contacts.values import Country

CACHE_SIZE: Final = 1_000
#: Stands for a segment that is referred to and is not there: nobody is in it.
NOBODY: Final = AnyOf(())


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """What the filters of a workspace are read with, besides one another."""

    time_zone: str = "UTC"
    region: Country | None = None
    attributes: dict[str, AttributeDefinition] = {}


class Defined(msgspec.Struct, frozen=True, kw_only=True):
    """A segment or list as it is defined at one position."""

    segment_id: UUID
    is_list: bool
    #: False while archived.
    is_kept: bool
    filter: Any = None
    region: Country | None = None


class KeptSegment(msgspec.Struct, frozen=True):
    """One whose members are kept."""

    segment_id: UUID
    node: Node
    reads: Reads


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """All of one workspace."""

    time_zone: str
    #: Those whose members are kept, in the order of their ids.
    segments: Mapping[UUID, KeptSegment]
    #: Definitions of all, archived ones too.
    nodes: Mapping[UUID, Node]
    lists: frozenset[UUID]
    #: Every field that a kept segment reads.
    fields: Mapping[str, Field]

    @property
    def is_empty(self) -> bool:
        return not self.segments and not self.lists

    @property
    def kinds(self) -> frozenset[str]:
        """Kinds and families of activity that are asked for."""
        return frozenset(kind for segment in self.segments.values() for kind in segment.reads.kinds)

    @property
    def reads_engagement(self) -> bool:
        return any(segment.reads.engagement for segment in self.segments.values())

    def concerned_by(self, segment_id: UUID) -> list[UUID]:
        """Kept segments whose members depend on its definition, itself among them."""
        return [
            each.segment_id
            for each in self.segments.values()
            if each.segment_id == segment_id or segment_id in each.reads.segments
        ]


def keep(scope: Scope, defined: Iterable[Defined]) -> Kept:
    """Raises InvalidInput for a filter that `smartsearch.parse` does not take any more."""
    all_ = sorted(defined, key=lambda each: each.segment_id)
    nodes = parse_all(scope, [each for each in all_ if not each.is_list])
    segments = {
        each.segment_id: KeptSegment(each.segment_id, nodes[each.segment_id], reads(nodes[each.segment_id], nodes))
        for each in all_
        if each.is_kept and not each.is_list
    }
    names = {name for segment in segments.values() for name in segment.reads.fields}
    leaves = (leaf for node in nodes.values() for leaf in leaves_of(node))
    fields = {leaf.field.name: leaf.field for leaf in leaves if isinstance(leaf, FieldLeaf)}
    return Kept(
        time_zone=scope.time_zone,
        segments=segments,
        nodes=nodes,
        lists=frozenset(each.segment_id for each in all_ if each.is_list),
        fields={name: fields.get(name) or FIELDS[name] for name in sorted(names)},
    )


def parse_all(scope: Scope, defined: Iterable[Defined]) -> dict[UUID, Node]:
    """By id. They were checked when they were defined, so here they may name one another in any order."""
    waiting = list(defined)
    known: dict[UUID, Node] = {each.segment_id: NOBODY for each in waiting}
    return {each.segment_id: parse(each.filter, _schema(scope, each, known)) for each in waiting}


def _schema(scope: Scope, each: Defined, known: Mapping[UUID, Node]) -> Schema:
    return Schema(attributes=scope.attributes, region=each.region, segments=known)


class Remembered:
    """What was parsed lately, by workspace and revision."""

    def __init__(self) -> None:
        self._kept: dict[tuple[UUID, int], Kept] = {}

    def get(self, workspace_id: UUID, revision: int) -> Kept | None:
        return self._kept.get((workspace_id, revision))

    def put(self, workspace_id: UUID, revision: int, kept: Kept) -> None:
        self._kept[workspace_id, revision] = kept
        if len(self._kept) > CACHE_SIZE:
            del self._kept[next(iter(self._kept))]
