"""The JSON of lists and segments: what they are, who is in them, who entered and left, and why."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from contacts.lists.decider import ContactList
from contacts.segment.decider import Segment
from contacts.segment.explaining import Explained, Explanation, Reason
from contacts.segment.queries import Cause, Counting, Definition, In, Moved
from contacts_api.views import Total, View


class ListView(View, frozen=True, kw_only=True):
    """A static list."""

    id: UUID
    name: str
    version: int
    #: Who is on it now; null right after a change that the read model does not show yet.
    members: int | None
    created_at: datetime | None
    changed_at: datetime | None
    archived_at: datetime | None


class CountingView(View, frozen=True):
    """How far a new definition was asked of the contacts of a large workspace; until then members are those so far."""

    #: Contacts that were asked.
    counted: int
    #: How many there are.
    of: int


class SegmentView(View, frozen=True, kw_only=True):
    """A dynamic segment."""

    id: UUID
    name: str
    #: As it was sent.
    filter: dict[str, Any]
    version: int
    #: Who is in it now; null right after a change that the read model does not show yet.
    members: int | None
    #: While its first members are still looked for; null once all are known.
    counting: CountingView | None
    created_at: datetime | None
    changed_at: datetime | None
    archived_at: datetime | None


class ListPage(View, frozen=True):
    """One page of lists."""

    items: tuple[ListView, ...]
    next_cursor: str | None
    total: Total


class SegmentPage(View, frozen=True):
    """One page of segments."""

    items: tuple[SegmentView, ...]
    next_cursor: str | None
    total: Total


class CountView(View, frozen=True):
    """How many are in it. Exact."""

    count: int


class RefusedMemberView(View, frozen=True):
    """A contact that was not added or removed, and why."""

    contact_id: UUID
    #: Type of the problem, as in the refusal of a single request.
    type: str
    detail: str


class MembersChangedView(View, frozen=True, kw_only=True):
    """What became of many contacts; the counts add up to those that were named, each once."""

    changed: int
    unchanged: int
    refused: int
    refusals: tuple[RefusedMemberView, ...]


class CauseView(View, frozen=True):
    """What moved a contact: the type and id of an event, or `clock` and null."""

    type: str
    event_id: UUID | None


class MovedView(View, frozen=True, kw_only=True):
    """A contact that is in at one of two moments only."""

    contact_id: UUID
    change: Literal["entered", "left"]
    #: When it did, the last time where it moved several times.
    at: datetime
    position: str
    cause: CauseView


class SegmentDiffView(View, frozen=True, kw_only=True):
    """Who is in at the later moment and was not at the earlier one, and the other way round."""

    #: How many in all.
    entered: int
    left: int
    items: tuple[MovedView, ...]
    next_cursor: str | None


class ReasonView(View, frozen=True, kw_only=True):
    """An event that made a condition so."""

    event_id: UUID
    type: str
    position: str
    recorded_at: datetime
    #: Of an activity: what it was, and when it happened.
    kind: str | None
    occurred_at: datetime | None


class TruthView(View, frozen=True, kw_only=True):
    """One part of a filter: whether it is true, what the contact has, and since which events."""

    true: bool
    filter: dict[str, Any]
    value: str | int | float | bool | tuple[str, ...] | None
    because: tuple[ReasonView, ...]
    #: Time alone cannot change it before; null where it never can.
    until: datetime | None
    #: Of the parts below it; of a segment its definition.
    items: tuple[TruthView, ...]


class ExplanationView(View, frozen=True, kw_only=True):
    """Whether a contact is in, and why."""

    contact_id: UUID
    member: bool
    #: Nobody deleted is in anything.
    deleted: bool
    until: datetime | None
    truth: TruthView


class InView(View, frozen=True, kw_only=True):
    """Something that a contact is in."""

    id: UUID
    kind: Literal["segment", "list"]
    name: str
    since: datetime


class MembershipsView(View, frozen=True):
    """All that a contact is in."""

    items: tuple[InView, ...]


def list_view(shown: Definition | ContactList, members: int | None = None) -> ListView:
    return ListView(
        id=shown.id,
        name=shown.name,
        version=shown.version,
        members=shown.members if isinstance(shown, Definition) else members,
        created_at=shown.created_at,
        changed_at=shown.changed_at,
        archived_at=shown.archived_at,
    )


def segment_view(
    shown: Segment | Definition, members: int | None = None, counting: Counting | None = None
) -> SegmentView:
    if isinstance(shown, Definition):
        members, counting = shown.members, shown.counting
    return SegmentView(
        id=shown.id,
        name=shown.name,
        filter=shown.filter or {},
        version=shown.version,
        members=members,
        counting=None if counting is None else CountingView(counting.contacts, counting.of),
        created_at=shown.created_at,
        changed_at=shown.changed_at,
        archived_at=shown.archived_at,
    )


def moved_view(moved: Moved, lane: int) -> MovedView:
    return MovedView(
        contact_id=moved.contact_id,
        change="entered" if moved.entered else "left",
        at=moved.at,
        position=f"{lane}.{moved.position}",
        cause=cause_view(moved.cause),
    )


def cause_view(cause: Cause) -> CauseView:
    return CauseView(cause.type, cause.event_id)


def explanation_view(found: Explanation, lane: int) -> ExplanationView:
    return ExplanationView(
        contact_id=found.contact_id,
        member=found.matches,
        deleted=found.deleted,
        until=found.truth.until,
        truth=truth_view(found.truth, lane),
    )


def truth_view(truth: Explained, lane: int) -> TruthView:
    return TruthView(
        true=truth.true,
        filter=truth.filter,
        value=truth.value,
        because=tuple(_reason_view(each, lane) for each in truth.because),
        until=truth.until,
        items=tuple(truth_view(each, lane) for each in truth.items),
    )


def in_view(found: In) -> InView:
    return InView(id=found.id, kind="list" if found.is_list else "segment", name=found.name, since=found.since)


def _reason_view(reason: Reason, lane: int) -> ReasonView:
    return ReasonView(
        event_id=reason.event_id,
        type=reason.type,
        position=f"{lane}.{reason.position}",
        recorded_at=reason.recorded_at,
        kind=reason.kind,
        occurred_at=reason.occurred_at,
    )
