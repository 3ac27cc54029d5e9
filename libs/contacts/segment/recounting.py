"""Who is in segments that mean something else from an event on: everybody is asked, or a stretch of all ids.

Who is in is one compiled statement for all segments. When time will change that has to be known as well: so those whom
time can change at all are looked at one by one, a chunk after the other.
"""

from __future__ import annotations

from collections.abc import Mapping
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
from contacts.smartsearch.nodes import Node

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
    first, positions = going[0], [each.position for each in going]
    upto, contacts = await _upto(connection, first, versions)
    await recount(connection, going, Stretch(first.mark, upto), await horizon(connection, first.lane))
    await connection.execute(SQL["move_marks"], first.workspace_id, positions, upto, contacts, upto == LAST)
    if upto == LAST:
        await connection.execute(SQL["forget_early"], first.workspace_id, positions)


async def _upto(connection: Connection, filling: Filling, versions: int | None) -> tuple[UUID, int]:
    """Where the next stretch ends, and how many contacts are in it; of all that are left nobody wants to know."""
    if versions is None:
        return LAST, 0
    row = await connection.fetchrow(SQL["stretch"], filling.workspace_id, filling.mark, versions)
    assert row is not None
    return row["contact_id"] if row["is_full"] else LAST, row["contacts"]


async def recount(connection: Connection, fillings: Sequence[Filling], stretch: Stretch, until: datetime) -> None:
    """As of the events of the fillings, of one workspace and no segment twice, and by time alone up to `until`."""
    workspace_id = fillings[0].workspace_id
    places = [(segment_id, filling) for filling in fillings for segment_id in filling.segment_ids]
    segments, positions = [each for each, _ in places], [filling.position for _, filling in places]
    await connection.execute(SQL["clear_watches"], workspace_id, segments, positions, *stretch)
    # What compiled conditions look in shows one workspace only.
    await connection.execute("SELECT set_config('rollbook.workspace_id', $1, true)", str(workspace_id))
    statement, values = _counting(places, stretch)
    causes = [filling.cause for _, filling in places]
    await connection.execute(
        statement, workspace_id, *stretch, fillings[0].lane, fillings[-1].position, fillings[0].is_large, segments,
        positions, [filling.at for _, filling in places], [cause.type for cause in causes],
        [cause.event_id for cause in causes], *values,
    )  # fmt: skip
    moving = [each for each in map(_moved_by_time, fillings) if each.segment_ids]
    if moving:
        await _watch(connection, moving, stretch, until)


def _asked_of(stretch: Stretch) -> str | None:
    """How conditions are compiled: for everybody of a workspace, or for some."""
    return "$1" if stretch == EVERYBODY else None


def _counting(places: Sequence[tuple[UUID, Filling]], stretch: Stretch) -> tuple[str, list[object]]:
    parameters = Parameters(first=12)
    parts = []
    for segment_id, filling in places:
        segment = filling.kept.segments.get(segment_id)
        # Nobody is in what is archived.
        condition = FALSE if segment is None else _compiled(segment.node, filling, filling.at, parameters, stretch)
        parts.append(SQL["matching"].format(segment=parameters.add(segment_id, "uuid"), condition=condition))
    # A few rows are kept for all conditions; of everybody each looks for its own.
    materialized = "NOT MATERIALIZED" if stretch == EVERYBODY else "MATERIALIZED"
    return SQL["recount"].format(materialized=materialized, matching=" UNION ALL ".join(parts)), parameters.values


def _compiled(node: Node, filling: Filling, now: datetime, parameters: Parameters, stretch: Stretch) -> str:
    kept = filling.kept
    moment = Moment(now=now, time_zone=kept.time_zone, position=filling.position)
    return compile_node(
        node, moment=moment, parameters=parameters, definitions=kept.nodes, workspace=_asked_of(stretch)
    )  # fmt: skip


def _moved_by_time(filling: Filling) -> Filling:
    """Of its segments those of which time may change the members; nothing but these is asked for."""
    segments = {
        each: filling.kept.segments[each]
        for each in filling.segment_ids
        if each in filling.kept.segments and filling.kept.segments[each].reads.by_time
    }
    return replace(filling, segment_ids=list(segments), kept=replace(filling.kept, segments=segments))


async def _watch(
    connection: Connection, fillings: Sequence[Filling], stretch: Stretch, until: datetime
) -> None:  # fmt: skip
    parameters = Parameters(first=5)
    conditions = []
    for filling in fillings:
        kept = filling.kept
        node = unsettled([segment.node for segment in kept.segments.values()], kept.nodes, filling.at)
        condition = _compiled(node, filling, filling.at + MARGIN, parameters, stretch)
        conditions.append(f"COALESCE({condition}, FALSE)")
    workspace_id, positions = fillings[0].workspace_id, [each.position for each in fillings]
    rows = await connection.fetch(SQL["early_in"], workspace_id, positions, *stretch)
    early = {(row["position"], row["contact_id"]) for row in rows}
    cursor = await connection.cursor(
        SQL["unsettled"].format(conditions=", ".join(conditions)), workspace_id, positions[-1], *stretch,
        *parameters.values,
    )  # fmt: skip
    while rows := await cursor.fetch(CHUNK):
        asked = {
            row["contact_id"]: [
                filling
                for filling, is_asked in zip(fillings, row["asked"], strict=True)
                if is_asked and (filling.position, row["contact_id"]) not in early
            ]
            for row in rows
        }
        await _refill(connection, asked, await _lives(connection, fillings, rows), until)


async def _lives(connection: Connection, fillings: Sequence[Filling], rows: Sequence[Record]) -> dict[UUID, Life]:
    workspace_id, position = fillings[0].workspace_id, fillings[-1].position
    contacts = {row["contact_id"]: decode_contact(row["state"]) for row in rows}
    wanted = dict.fromkeys(contacts, workspace_id)
    engagements: dict[UUID, Engagement] = {}
    if any(filling.kept.reads_engagement for filling in fillings):
        found = await connection.fetch(
            LIVES["engagements"], list(wanted.values()), list(wanted), position + 1, position
        )
        engagements = {row["contact_id"]: decode_engagement(row["shown"]) for row in found}
    shown = {contact_id: [contact] for contact_id, contact in contacts.items()}
    kinds = frozenset[str]().union(*(filling.kept.kinds for filling in fillings))
    activities = await load_activities(connection, wanted, shown, {workspace_id: kinds}, position)
    lives = {
        contact_id: Life(workspace_id, contact_id, contact, engagements.get(contact_id), [], activities)
        for contact_id, contact in contacts.items()
    }
    await load_members(connection, lives)
    return lives


async def _refill(
    connection: Connection, asked: Mapping[UUID, Sequence[Filling]], lives: Mapping[UUID, Life], until: datetime
) -> None:
    writing = Writing(next(each[0].lane for each in asked.values() if each)) if any(asked.values()) else None
    if writing is None:
        return
    for contact_id, fillings in asked.items():
        life = lives[contact_id]
        flips = dict(life.flips)
        for filling in fillings:
            changes = refill(
                life, filling.kept, filling.segment_ids, filling.at, filling.cause, ends=filling.ends, until=until
            )
            defined = (filling.at, filling.position) if filling.is_large else None
            writing.changed(life.workspace_id, changes, filling.kept.lists, defined)
        writing.watched(life.workspace_id, life.contact_id, flips, life.flips)
    await writing.write(connection)
