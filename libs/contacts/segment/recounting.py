"""Who is in segments that mean something else from an event on: everybody of the workspace is asked once.

Who is in is one compiled statement per segment. When time will change that has to be known as well: so those whom time
can change at all are looked at one by one, a chunk after the other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from contacts.contact.filtering import Parameters
from contacts.engagement.state import Engagement
from contacts.segment.kept import Kept, KeptSegment
from contacts.segment.lives import SQL, cause_of, decode_contact, decode_engagement, load_activities, load_members
from contacts.segment.membership import Cause, Life, redefine
from contacts.segment.unsettled import MARGIN, unsettled
from contacts.segment.writing import Writing
from contacts.smartsearch.compile import compile_node
from contacts.smartsearch.moment import Moment

if TYPE_CHECKING:
    from eventstore.envelope import RecordedEvent
    from eventstore.projection import Connection

CHUNK: Final = 2_000


async def recount(
    connection: Connection, event: RecordedEvent[Any], kept: Kept, segment_ids: Collection[UUID]
) -> None:  # fmt: skip
    """As of the event, whose definitions `kept` has."""
    segments = [kept.segments[segment_id] for segment_id in sorted(segment_ids)]
    await connection.execute(SQL["forget_watches"], event.workspace_id, list(segment_ids))
    # What compiled conditions look in shows one workspace only.
    await connection.execute("SELECT set_config('rollbook.workspace_id', $1, true)", str(event.workspace_id))
    for segment in segments:
        await _recount(connection, event, kept, segment)
    by_time = [segment for segment in segments if segment.reads.by_time]
    if by_time:
        await _watch(connection, event, kept, by_time)


async def empty(connection: Connection, event: RecordedEvent[Any]) -> None:
    """Everybody leaves the segment of the event."""
    place, cause = (event.workspace_id, event.stream_id), cause_of(event)
    await connection.execute(SQL["forget_watches"], event.workspace_id, [event.stream_id])
    await connection.execute(
        SQL["empty"], *place, event.recorded_at, event.position, cause.type, cause.event_id, event.lane
    )


async def _recount(
    connection: Connection, event: RecordedEvent[Any], kept: Kept, segment: KeptSegment
) -> None:  # fmt: skip
    parameters = Parameters(first=8)
    moment = Moment(now=event.recorded_at, time_zone=kept.time_zone, position=event.position)
    condition = compile_node(segment.node, moment=moment, parameters=parameters, definitions=kept.nodes, workspace="$1")
    await connection.execute(
        SQL["recount"].format(condition=condition), event.workspace_id, segment.segment_id, event.recorded_at,
        event.position, event.type, event.event_id, event.lane, *parameters.values,
    )  # fmt: skip


async def _watch(
    connection: Connection, event: RecordedEvent[Any], kept: Kept, segments: Collection[KeptSegment]
) -> None:  # fmt: skip
    at, position = event.recorded_at, event.position
    parameters = Parameters(first=3)
    node = unsettled([segment.node for segment in segments], kept.nodes, at)
    moment = Moment(now=at + MARGIN, time_zone=kept.time_zone, position=position)
    condition = compile_node(
        node, moment=moment, parameters=parameters, definitions=kept.nodes, workspace="$1"
    )  # fmt: skip
    statement = SQL["unsettled"].format(condition=condition)
    cursor = await connection.cursor(statement, event.workspace_id, position, *parameters.values)
    segment_ids = [segment.segment_id for segment in segments]
    while rows := await cursor.fetch(CHUNK):
        contacts = {row["contact_id"]: decode_contact(row["state"]) for row in rows}
        wanted = dict.fromkeys(contacts, event.workspace_id)
        engagements = await _engagements(connection, wanted, kept, event.position)
        shown = {contact_id: [contact] for contact_id, contact in contacts.items()}
        by_workspace = {event.workspace_id: kept}
        activities = await load_activities(connection, wanted, shown, by_workspace, event.position)
        lives = {
            contact_id: Life(event.workspace_id, contact_id, contact, engagements.get(contact_id), [], activities)
            for contact_id, contact in contacts.items()
        }
        await load_members(connection, lives)
        await _redefine(connection, event, kept, lives, segment_ids)


async def _redefine(
    connection: Connection, event: RecordedEvent[Any], kept: Kept, lives: Mapping[UUID, Life],
    segment_ids: Collection[UUID],
) -> None:  # fmt: skip
    writing = Writing(event.lane)
    cause: Cause = cause_of(event)
    for life in lives.values():
        flips = dict(life.flips)
        changes = redefine(life, kept, segment_ids, event.recorded_at, cause)
        writing.changed(event.workspace_id, changes, kept.lists)
        writing.watched(event.workspace_id, life.contact_id, flips, life.flips)
    await writing.write(connection)


async def _engagements(
    connection: Connection, wanted: Mapping[UUID, UUID], kept: Kept, position: int
) -> dict[UUID, Engagement]:
    if not kept.reads_engagement:
        return {}
    rows = await connection.fetch(SQL["engagements"], list(wanted.values()), list(wanted), position + 1, position)
    return {row["contact_id"]: decode_engagement(row["shown"]) for row in rows}
