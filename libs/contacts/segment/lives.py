"""Loads what happened to contacts over a run of events, out of the read models that know it, and what they are in."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar
from uuid import UUID

import msgspec

from contacts.activity.events import ActivityRecorded
from contacts.contact.state import Contact
from contacts.engagement.state import Engagement
from contacts.merge.events import MergeCompleted, MergeReversed
from contacts.segment.kept import Kept
from contacts.segment.membership import Cause, Life, Step
from contacts.smartsearch.subject import ActivityFact
from eventstore.sql import load

if TYPE_CHECKING:
    from asyncpg import Record

    from eventstore.envelope import RecordedEvent
    from eventstore.projection import Connection

T = TypeVar("T")
SQL: Final = load("contacts.segment", "projection.sql")
#: Events that can change contacts other than those they name, of any workspace.
FAR_REACHING: Final = ("suppression", "consent", "proof", "workspace")

decode_contact: Final = msgspec.msgpack.Decoder(Contact).decode
decode_engagement: Final = msgspec.msgpack.Decoder(Engagement).decode
_decode_data: Final = msgspec.json.Decoder(dict[str, Any]).decode

#: Workspace by contact.
Wanted = dict[UUID, UUID]


class Span(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """Something that was so from one position to another, which is exclusive."""

    start: int
    end: int
    value: T


async def concerned(connection: Connection, events: Sequence[RecordedEvent[Any]], kept: Mapping[UUID, Kept]) -> Wanted:
    """Whom the events may be about, as far as their workspaces keep anything."""
    found: Wanted = {}
    for event in events:
        if event.category in ("contact", "activity"):
            found[event.stream_id] = event.workspace_id
        match event.event:
            case MergeCompleted(primary=primary, others=others):
                found |= dict.fromkeys((primary, *others), event.workspace_id)
            case MergeReversed(contacts=contacts, out_of=out_of):
                found |= dict.fromkeys((out_of, *contacts), event.workspace_id)
    if any(event.category in ("contact", *FAR_REACHING) for event in events):
        first, last = events[0].position, events[-1].position
        rows = await connection.fetch(SQL["replaced"], list(kept), first, last)
        found |= {row["contact_id"]: row["workspace_id"] for row in rows}
    return {contact_id: workspace_id for contact_id, workspace_id in found.items() if workspace_id in kept}


async def load_lives(
    connection: Connection, wanted: Wanted, asking: Mapping[UUID, Sequence[Kept]],
    events: Sequence[RecordedEvent[Any]], upto: int,
) -> list[Life]:  # fmt: skip
    """Of each contact what it was before `events` and what they made of it; `upto` is the last position applied.

    `asking` has by workspace whatever its contacts will be asked.
    """
    if not wanted:
        return []
    at = {event.position: event for event in events}
    first = events[0].position if events else upto + 1
    places = list(wanted.values()), list(wanted)
    rows = await connection.fetch(SQL["versions"], *places, first, upto)
    versions = _spans(rows, "state", decode_contact)
    engagements: dict[UUID, list[Span[Engagement]]] = {}
    if any(kept.reads_engagement for workspace_id in set(wanted.values()) for kept in asking[workspace_id]):
        rows = await connection.fetch(SQL["engagements"], *places, first, upto)
        engagements = _spans(rows, "shown", decode_engagement)
    shown = {each: [span.value for span in spans] for each, spans in versions.items()}
    asked = {
        workspace_id: frozenset().union(*(kept.kinds for kept in asking[workspace_id]))
        for workspace_id in set(wanted.values())
    }
    activities = await load_activities(connection, wanted, shown, asked, upto)
    kinds = _kinds_by_contact(events)
    lives = {
        contact_id: _life(
            wanted[contact_id], contact_id, versions.get(contact_id, ()), engagements.get(contact_id, ()),
            kinds.get(contact_id, {}), at, first,
        )
        for contact_id in sorted(wanted)
    }  # fmt: skip
    for life in lives.values():
        life.activities = activities
    await load_members(connection, lives)
    return list(lives.values())


async def load_members(connection: Connection, lives: Mapping[UUID, Life]) -> None:
    """Fills in what they are in, and when that may change."""
    places = [life.workspace_id for life in lives.values()], list(lives)
    for row in await connection.fetch(SQL["memberships"], *places):
        lives[row["contact_id"]].members.add(row["segment_id"])
    for row in await connection.fetch(SQL["watches"], *places):
        lives[row["contact_id"]].flips[row["segment_id"]] = row["flip_at"]


async def load_activities(
    connection: Connection,
    wanted: Wanted,
    shown: Mapping[UUID, Iterable[Contact]],
    kinds: Mapping[UUID, Collection[str]],
    upto: int,
) -> dict[UUID, list[ActivityFact]]:
    """Of all that the contacts are made of, what is asked for: by workspace kinds and families."""
    asked = {contact_id: workspace_id for contact_id, workspace_id in wanted.items() if kinds[workspace_id]}
    for contact_id, workspace_id in list(asked.items()):
        asked |= {each: workspace_id for contact in shown.get(contact_id, ()) for each in contact.absorbed}
    if not asked:
        return {}
    all_ = {kind for each in kinds.values() for kind in each}
    families = [kind.removesuffix(".*") for kind in all_ if kind.endswith(".*")]
    rows = await connection.fetch(SQL["activities"], list(asked.values()), list(asked), upto, list(all_), families)
    found: dict[UUID, list[ActivityFact]] = {}
    for row in rows:
        fact = ActivityFact(
            position=row["position"], kind=row["kind"], occurred_at=row["occurred_at"], data=_decode_data(row["data"])
        )
        found.setdefault(row["contact_id"], []).append(fact)
    return found


def _kinds_by_contact(events: Iterable[RecordedEvent[Any]]) -> dict[UUID, dict[int, str]]:
    """What the activity of each is, by position."""
    found: dict[UUID, dict[int, str]] = {}
    for event in events:
        if event.category == "activity" and isinstance(event.event, ActivityRecorded):
            found.setdefault(event.stream_id, {})[event.position] = event.event.kind
    return found


def _spans(rows: Iterable[Record], column: str, decode: Any) -> dict[UUID, list[Span[Any]]]:
    found: dict[UUID, list[Span[Any]]] = {}
    for row in rows:
        span = Span(row["from_position"], row["to_position"], decode(row[column]))
        found.setdefault(row["contact_id"], []).append(span)
    return found


def _life(
    workspace_id: UUID, contact_id: UUID, versions: Sequence[Span[Contact]], engagements: Sequence[Span[Engagement]],
    kinds: Mapping[int, str], at: Mapping[int, RecordedEvent[Any]], first: int,
) -> Life:  # fmt: skip
    spans: Iterable[Span[Any]] = (*versions, *engagements)
    turns = {turn for span in spans for turn in (span.start, span.end) if turn in at} | kinds.keys()
    steps = [
        Step(
            position=position,
            at=at[position].recorded_at,
            cause=cause_of(at[position]),
            contact=_value_at(versions, position),
            engagement=_value_at(engagements, position),
            kinds=frozenset({kinds[position]}) if position in kinds else frozenset(),
        )
        for position in sorted(turns)
    ]
    before = first - 1
    return Life(
        workspace_id=workspace_id,
        contact_id=contact_id,
        contact=_value_at(versions, before),
        engagement=_value_at(engagements, before),
        steps=steps,
        activities={},
    )


def cause_of(event: RecordedEvent[Any]) -> Cause:
    return Cause(type=event.type, event_id=event.event_id, position=event.position)


def _value_at(spans: Sequence[Span[T]], position: int) -> T | None:
    return next((span.value for span in spans if span.start <= position < span.end), None)


async def positions_before(connection: Connection, lane: int, instants: Iterable[datetime]) -> dict[datetime, int]:
    """The last position that was recorded before each instant."""
    wanted = sorted(set(instants))
    if not wanted:
        return {}
    return {row["at"]: row["position"] for row in await connection.fetch(SQL["before"], lane, wanted)}
