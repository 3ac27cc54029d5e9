"""Keeps the segment read model: definitions, who entered and left when and why, and what time will change next.

It is a fold of other read models as well as of the log: what contacts, their activity and their engagement were at each
position is read from `history`, `activity` and `engagement`, once these have come as far as the events at hand.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from importlib.resources import files
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from contacts.engagement.projection import EngagementProjection
from contacts.history.projection import HistoryProjection
from contacts.segment.defining import TYPES, define, load_kept
from contacts.segment.filling import SQL as FILLING
from contacts.segment.filling import Filling, ask_early, filling_of, horizon, is_large, load_fillings, open_filling
from contacts.segment.forgetting import forget_erased
from contacts.segment.kept import Kept, Remembered, Scope, keep
from contacts.segment.lives import FAR_REACHING, SQL, Wanted, concerned, load_lives
from contacts.segment.membership import Change, Life, live, refill
from contacts.segment.recounting import EVERYBODY, fill_on, recount
from contacts.segment.writing import Writing
from eventstore.projection import Projection

if TYPE_CHECKING:
    from eventstore.envelope import RecordedEvent
    from eventstore.projection import Connection

    Events = Sequence[RecordedEvent[Any]]

SOURCES: Final = ("history", "activity", "engagement")
#: Shorter than a lease: what is late longer than that is tried again from the start.
WAIT_MAX_S: Final = 5.0
POLL_MIN_S: Final = 0.005
POLL_MAX_S: Final = 0.1
#: Contacts whose time has come that are looked at together, and in one transaction of the clock.
DUE_MAX: Final = 2_000
PASSED_MAX: Final = 20_000
LARGE_FROM: Final = 5_000


class SourcesBehind(OSError):
    """The read models that membership is made of are not as far as the events at hand. Tried again, never skipped."""


class SegmentProjection(Projection):
    """Rows of all tables of the schema, but for the marks of fillings, which `fill` moves as well.

    An erased contact has no membership.
    """

    name = "segment"
    version = 2
    stands_back_s = 0.01
    types = HistoryProjection.types | EngagementProjection.types | TYPES | {"activity.recorded"}
    schema_sql = files("contacts.segment").joinpath("schema.sql").read_text(encoding="utf-8")
    index_sql = files("contacts.segment").joinpath("indexes.sql").read_text(encoding="utf-8")
    # A build that is not live knows nothing of the time since its last event, and is not filled bit by bit. What erased
    # contacts were in is known to none that was made later.
    uncompared_tables = frozenset(
        {"membership", "watch", "change", "segment_count", "filling", "filled_early", "first_change"}
    )

    def __init__(self, *, large_from: int = LARGE_FROM) -> None:
        """Workspaces with more contacts than `large_from` are filled bit by bit."""
        self._remembered = Remembered()
        self._large_from = large_from

    def key(self, event: RecordedEvent[Any]) -> UUID:
        """The stream. Said here anew, which keeps the lane in its order: members depend on many streams."""
        return event.stream_id

    async def apply(self, connection: Connection, events: Events, *, fresh: bool) -> None:
        if not await _is_concerned(connection, events):
            return
        await _wait_for_sources(connection, events[0].lane, events[-1].position)
        for run in _runs(events):
            if run[0].type in TYPES:
                await self._define(connection, run[0])
            else:
                await self._happen(connection, run)

    async def pass_time(self, connection: Connection, lane: int, position: int, until: datetime) -> bool:
        """Moves those whom time alone moves up to an instant, or many of them; answers whether that was all.

        `position` is the last that was applied, and no event that comes later is of before `until`.
        """
        bound = await connection.fetchval(SQL["bound"], lane, until, PASSED_MAX)
        await self._pass_time(connection, lane, position, until if bound is None else bound, {})
        return bound is None

    async def _pass_time(
        self, connection: Connection, lane: int, position: int, until: datetime, but: Wanted
    ) -> None:  # fmt: skip
        after = UUID(int=0)
        while due := await connection.fetch(SQL["due"], lane, until, list(but), after, DUE_MAX):
            after = due[-1]["contact_id"]
            wanted = {row["contact_id"]: row["workspace_id"] for row in due}
            kept = await load_kept(connection, wanted.values(), self._remembered)
            await self._live(connection, lane, wanted, kept, (), position, until)

    async def fill(self, connection: Connection, lane: int, versions: int) -> bool:
        """Asks the next contacts, of about so many versions, for what segments came to mean; whether there were any."""
        fillings = await load_fillings(connection, lane, self._remembered)
        if not fillings:
            return False
        await fill_on(connection, min(fillings.values(), key=lambda each: each[0].position), versions)
        return True

    async def _happen(self, connection: Connection, events: Events) -> None:
        """Events that change contacts, while every definition stays what it is."""
        workspaces = {event.workspace_id for event in events}
        if any(event.category in FAR_REACHING for event in events):
            workspaces |= {row["workspace_id"] for row in await connection.fetch(SQL["all_scopes"])}
        kept = await load_kept(connection, workspaces, self._remembered)
        await forget_erased(connection, events, kept)
        wanted = await concerned(connection, events, kept) if kept else {}
        lane, last = events[0].lane, events[-1]
        await self._pass_time(connection, lane, last.position, last.recorded_at, wanted)
        await self._live(connection, lane, wanted, kept, events, last.position, last.recorded_at)

    async def _define(self, connection: Connection, event: RecordedEvent[Any]) -> None:
        """An event after which segments may mean something else, or be called otherwise."""
        await self._pass_time(connection, event.lane, event.position, event.recorded_at, {})
        before = (await load_kept(connection, [event.workspace_id], self._remembered)).get(event.workspace_id)
        await define(connection, event)
        after = (await load_kept(connection, [event.workspace_id], self._remembered)).get(event.workspace_id)
        if concerned := _meaning_changed(event, before, after):
            await self._begin(connection, event, after or keep(Scope(), ()), concerned)
        elif event.type == "workspace.settings_changed":
            # It may have moved contacts beyond the limit of the plan, or back.
            await self._happen(connection, [event])

    async def _begin(
        self, connection: Connection, event: RecordedEvent[Any], kept: Kept, segment_ids: Collection[UUID]
    ) -> None:
        """Everybody is asked what the segments make of them from now on: at once, or by and by where they are many."""
        workspace_id, lane = event.workspace_id, event.lane
        large = await is_large(connection, event, self._large_from)
        filling = filling_of(event, kept, segment_ids, is_large=large)
        if filling.is_large:
            await open_filling(connection, filling)
            if await connection.fetchval(FILLING["is_live"]):
                return
        while fillings := await load_fillings(connection, lane, self._remembered, [workspace_id]):
            await fill_on(connection, fillings[workspace_id], None)
        if not filling.is_large:
            await recount(connection, [filling], EVERYBODY, event.recorded_at)

    async def _live(
        self, connection: Connection, lane: int, wanted: Wanted, kept: Mapping[UUID, Kept], events: Events, upto: int,
        until: datetime,
    ) -> None:  # fmt: skip
        """What happens to contacts in a run of events and by time, as rows."""
        if not wanted:
            return
        fillings = await load_fillings(connection, lane, self._remembered, kept)
        waiting = await ask_early(connection, wanted, fillings)
        told_until = await horizon(connection, lane) if waiting else until
        asking = {each: [of, *(filling.kept for filling in fillings.get(each, ()))] for each, of in kept.items()}
        writing = Writing(lane)
        for life in await load_lives(connection, wanted, asking, events, upto):
            of = kept[life.workspace_id]
            flips = dict(life.flips)
            for filling in waiting.get(life.contact_id, ()):
                changes = _asked_early(life, filling, told_until)
                writing.changed(life.workspace_id, changes, of.lists, (filling.at, filling.position))
            writing.changed(life.workspace_id, live(life, of, until), of.lists)
            writing.watched(life.workspace_id, life.contact_id, flips, life.flips)
        await writing.write(connection)


def _asked_early(life: Life, filling: Filling, until: datetime) -> list[Change]:
    for segment_id in filling.segment_ids:
        # Of what the segment meant before.
        life.flips.pop(segment_id, None)
    return refill(
        life, filling.kept, filling.segment_ids, filling.at, filling.cause, ends=filling.ends, until=until
    )  # fmt: skip


def _meaning_changed(event: RecordedEvent[Any], before: Kept | None, after: Kept | None) -> Collection[UUID]:
    """The segments of which other contacts may be members now."""
    if event.type == "segment.archived":
        return (event.stream_id,)
    if after is None:
        return ()
    if event.type in ("segment.created", "segment.redefined", "segment.restored"):
        return after.concerned_by(event.stream_id)
    # Days and local times are the workspace's.
    return after.segments.keys() if before is not None and before.time_zone != after.time_zone else ()


def _runs(events: Events) -> Iterator[Events]:
    """Events that define something one by one, all others as they come between them."""
    for defines, run in groupby(events, lambda event: event.type in TYPES):
        if defines:
            yield from ([event] for event in run)
        else:
            yield list(run)


async def _is_concerned(connection: Connection, events: Events) -> bool:
    """Whether anything is, or will be, kept of whoever the events can be about. Most installations need no more."""
    if any(event.type in TYPES for event in events):
        return True
    far = any(event.category in FAR_REACHING for event in events)
    workspaces = [] if far else list({event.workspace_id for event in events})
    concerned: bool = await connection.fetchval(SQL["keeps"], workspaces)
    return concerned


async def _wait_for_sources(connection: Connection, lane: int, position: int) -> None:
    """Raises SourcesBehind where one of them does not come to `position` in time."""
    deadline, pause_s = time.monotonic() + WAIT_MAX_S, POLL_MIN_S
    while True:
        rows = await connection.fetch(SQL["reached"], lane, SOURCES)
        if len(rows) == len(SOURCES) and all(row["position"] >= position for row in rows):
            return
        if time.monotonic() > deadline:
            raise SourcesBehind
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, POLL_MAX_S)
