"""Who is in segments that mean something else from an event on: everybody is asked, or a stretch of all ids.

Who is in is one compiled statement per segment. When time will change that has to be known as well: so those whom time
can change at all are looked at one by one, a chunk after the other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID

from msgspec.structs import replace

from contacts.contact.filtering import Parameters
from contacts.engagement.state import Engagement
from contacts.segment.filling import FIRST, LAST, SQL, Filling, horizon, together
from contacts.segment.lives import SQL as LIVES
from contacts.segment.lives import decode_contact, decode_engagement, load_activities, load_members
from contacts.segment.membership import Life, refill
from contacts.segment.unsettled import MARGIN, unsettled
from contacts.segment.writing import Writing
from contacts.smartsearch.compile import FALSE, compile_node
from contacts.smartsearch.moment import Moment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncpg import Record

    from eventstore.projection import Connection

CHUNK: Final = 2_000


class Stretch(NamedTuple):
    """Contacts by their ids: behind the one, up to the other."""

    after: UUID
    upto: UUID


EVERYBODY: Final = Stretch(FIRST, LAST)


async def fill_on(connection: Connection, fillings: Sequence[Filling], versions: int | None) -> None:
    """Asks the next contacts of a workspace, of about so many versions, or all that are left.

    `fillings` are all that are under way in it.
    """
    going = together(fillings)
    upto, contacts = await _upto(connection, going[0], versions)
    until = await horizon(connection, going[0].lane)
    for filling in going:
        await recount(connection, filling, Stretch(filling.mark, upto), until)
        await connection.execute(
            SQL["move_mark"], filling.workspace_id, filling.position, upto, contacts, upto == LAST
        )  # fmt: skip
        if upto == LAST:
            await connection.execute(SQL["forget_early"], filling.workspace_id, filling.position)


async def _upto(connection: Connection, filling: Filling, versions: int | None) -> tuple[UUID, int]:
    """Where the next stretch ends, and how many contacts are in it; of all that are left nobody wants to know."""
    if versions is None:
        return LAST, 0
    row = await connection.fetchrow(SQL["stretch"], filling.workspace_id, filling.mark, versions)
    assert row is not None
    return row["contact_id"] if row["is_full"] else LAST, row["contacts"]


async def recount(connection: Connection, filling: Filling, stretch: Stretch, until: datetime) -> None:
    """As of the event of the filling, and by time alone up to `until`."""
    await connection.execute(
        SQL["clear_watches"], filling.workspace_id, filling.position, filling.segment_ids, *stretch
    )
    # What compiled conditions look in shows one workspace only.
    await connection.execute("SELECT set_config('rollbook.workspace_id', $1, true)", str(filling.workspace_id))
    for segment_id in filling.segment_ids:
        await _recount(connection, filling, segment_id, stretch)
    kept = filling.kept.segments
    by_time = [each for each in filling.segment_ids if each in kept and kept[each].reads.by_time]
    if by_time:
        await _watch(connection, filling, by_time, stretch, until)


def _asked_of(stretch: Stretch) -> str | None:
    """How conditions are compiled: for everybody of a workspace, or for some."""
    return "$1" if stretch == EVERYBODY else None


async def _recount(connection: Connection, filling: Filling, segment_id: UUID, stretch: Stretch) -> None:
    parameters = Parameters(first=11)
    moment = Moment(now=filling.at, time_zone=filling.kept.time_zone, position=filling.position)
    segment = filling.kept.segments.get(segment_id)
    condition = FALSE
    if segment is not None:
        condition = compile_node(
            segment.node, moment=moment, parameters=parameters, definitions=filling.kept.nodes,
            workspace=_asked_of(stretch),
        )  # fmt: skip
    cause = filling.cause
    await connection.execute(
        SQL["recount"].format(condition=condition), filling.workspace_id, segment_id, filling.at, filling.position,
        cause.type, cause.event_id, filling.lane, *stretch, filling.is_large, *parameters.values,
    )  # fmt: skip


async def _watch(
    connection: Connection, filling: Filling, segment_ids: Collection[UUID], stretch: Stretch, until: datetime
) -> None:  # fmt: skip
    parameters = Parameters(first=5)
    # Nothing but these segments is asked for.
    segments = {segment_id: filling.kept.segments[segment_id] for segment_id in segment_ids}
    filling = replace(filling, kept=replace(filling.kept, segments=segments))
    kept = filling.kept
    node = unsettled([segment.node for segment in segments.values()], kept.nodes, filling.at)
    moment = Moment(now=filling.at + MARGIN, time_zone=kept.time_zone, position=filling.position)
    condition = compile_node(
        node, moment=moment, parameters=parameters, definitions=kept.nodes, workspace=_asked_of(stretch)
    )
    statement = SQL["unsettled"].format(condition=condition)
    cursor = await connection.cursor(statement, filling.workspace_id, filling.position, *stretch, *parameters.values)
    while rows := await cursor.fetch(CHUNK):
        await _refill(connection, filling, await _lives(connection, filling, rows), until)


async def _lives(connection: Connection, filling: Filling, rows: Sequence[Record]) -> dict[UUID, Life]:
    workspace_id, position, kept = filling.workspace_id, filling.position, filling.kept
    contacts = {row["contact_id"]: decode_contact(row["state"]) for row in rows}
    wanted = dict.fromkeys(contacts, workspace_id)
    engagements = await _engagements(connection, filling, wanted)
    shown = {contact_id: [contact] for contact_id, contact in contacts.items()}
    activities = await load_activities(connection, wanted, shown, {workspace_id: kept.kinds}, position)
    lives = {
        contact_id: Life(workspace_id, contact_id, contact, engagements.get(contact_id), [], activities)
        for contact_id, contact in contacts.items()
    }
    await load_members(connection, lives)
    return lives


async def _refill(connection: Connection, filling: Filling, lives: Mapping[UUID, Life], until: datetime) -> None:
    writing = Writing(filling.lane)
    kept = filling.kept
    defined = (filling.at, filling.position) if filling.is_large else None
    for life in lives.values():
        flips = dict(life.flips)
        changes = refill(
            life, kept, kept.segments, filling.at, filling.cause, ends=filling.ends, until=until
        )  # fmt: skip
        writing.changed(life.workspace_id, changes, kept.lists, defined)
        writing.watched(life.workspace_id, life.contact_id, flips, life.flips)
    await writing.write(connection)


async def _engagements(
    connection: Connection, filling: Filling, wanted: Mapping[UUID, UUID]
) -> dict[UUID, Engagement]:  # fmt: skip
    if not filling.kept.reads_engagement:
        return {}
    position = filling.position
    rows = await connection.fetch(LIVES["engagements"], list(wanted.values()), list(wanted), position + 1, position)
    return {row["contact_id"]: decode_engagement(row["shown"]) for row in rows}
