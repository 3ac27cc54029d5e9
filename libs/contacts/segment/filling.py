"""What segments mean from an event on, asked of all contacts of a workspace: at once, or of a large one bit by bit.

Nobody waits for a million contacts: a filling goes through them in the order of their ids, stretch by stretch, while
events go on. A contact that something happens to is asked early, before that; so whoever was not asked yet is still
what it was at the event of the filling, and the answer is the same whenever it is asked.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec

from contacts.segment.defining import kept_at
from contacts.segment.kept import Kept, Remembered
from contacts.segment.membership import Cause
from eventstore.sql import load

if TYPE_CHECKING:
    from eventstore.envelope import RecordedEvent
    from eventstore.projection import Connection

SQL: Final = load("contacts.segment", "filling.sql")
#: Fillings that go through the contacts together.
TOGETHER_MAX: Final = 25
FIRST: Final = UUID(int=0)
LAST: Final = UUID(int=2**128 - 1)
LONG_AGO: Final = datetime.fromtimestamp(0, UTC)


class Filling(msgspec.Struct, frozen=True, kw_only=True):
    """Segments that mean something else from an event on."""

    workspace_id: UUID
    lane: int
    position: int
    at: datetime
    cause: Cause
    segment_ids: Sequence[UUID]
    #: What all segments mean from then on.
    kept: Kept
    #: Its first changes are told apart from what happens meanwhile.
    is_large: bool
    #: Contacts up to it were asked.
    mark: UUID = FIRST
    #: When something later makes one of the segments mean something else again.
    ends: Mapping[UUID, datetime] = {}


def filling_of(event: RecordedEvent[Any], kept: Kept, segment_ids: Collection[UUID], *, is_large: bool) -> Filling:
    return Filling(
        workspace_id=event.workspace_id, lane=event.lane, position=event.position, at=event.recorded_at,
        cause=Cause(type=event.type, event_id=event.event_id, position=event.position),
        segment_ids=sorted(segment_ids), kept=kept, is_large=is_large,
    )  # fmt: skip


async def is_large(connection: Connection, event: RecordedEvent[Any], large_from: int) -> bool:
    """Whether the workspace had more contacts at an event: the same whenever it is asked."""
    large: bool = await connection.fetchval(SQL["is_large"], event.workspace_id, event.position, large_from)
    return large


async def open_filling(connection: Connection, filling: Filling) -> None:
    """To be gone on with by whoever has the time; `define` was there already."""
    await connection.execute(
        SQL["open_filling"], filling.workspace_id, filling.position, filling.at, filling.lane, filling.cause.type,
        filling.cause.event_id, filling.segment_ids,
    )  # fmt: skip


async def load_fillings(
    connection: Connection, lane: int, remembered: Remembered, workspaces: Collection[UUID] | None = None
) -> dict[UUID, list[Filling]]:
    """Those under way, by workspace, the oldest first."""
    found: dict[UUID, list[Filling]] = {}
    for row in reversed(await connection.fetch(SQL["fillings"], lane)):
        workspace_id = row["workspace_id"]
        if workspaces is not None and workspace_id not in workspaces:
            continue
        later = found.setdefault(workspace_id, [])
        ends: dict[UUID, datetime] = {}
        for each in later:
            ends |= dict.fromkeys(each.segment_ids, each.at)
        filling = Filling(
            workspace_id=workspace_id, lane=lane, position=row["position"], at=row["at"],
            cause=Cause(type=row["cause"], event_id=row["event_id"], position=row["position"]),
            segment_ids=sorted(row["segment_ids"]), is_large=True, mark=row["mark"], ends=ends,
            kept=await kept_at(connection, workspace_id, row["position"], row["scope"], remembered),
        )  # fmt: skip
        later.append(filling)
    return {workspace_id: fillings[::-1] for workspace_id, fillings in found.items()}


def together(fillings: Sequence[Filling]) -> list[Filling]:
    """Of the fillings of a workspace those that go through its contacts next; no segment is in two of them."""
    found: list[Filling] = []
    segments: set[UUID] = set()
    for each in fillings[:TOGETHER_MAX]:
        if each.mark != fillings[0].mark or not segments.isdisjoint(each.segment_ids):
            break
        found.append(each)
        segments.update(each.segment_ids)
    return found


async def ask_early(
    connection: Connection, wanted: Mapping[UUID, UUID], fillings: Mapping[UUID, Sequence[Filling]]
) -> dict[UUID, list[Filling]]:
    """By contact the fillings that have not asked it yet, the oldest first; remembers that they have from now on.

    `wanted` has the workspace of each contact.
    """
    among = {contact_id: workspace_id for contact_id, workspace_id in wanted.items() if workspace_id in fillings}
    if not among:
        return {}
    rows = await connection.fetch(SQL["early"], list(fillings), list(among))
    asked = {(row["position"], row["contact_id"]) for row in rows}
    found: dict[UUID, list[Filling]] = {}
    for contact_id, workspace_id in among.items():
        for each in fillings[workspace_id]:
            if contact_id > each.mark and (each.position, contact_id) not in asked:
                found.setdefault(contact_id, []).append(each)
    new = [(each.workspace_id, each.position, contact_id) for contact_id, waiting in found.items() for each in waiting]
    if new:
        await connection.execute(SQL["save_early"], *map(list, zip(*new, strict=True)))
    return found


async def horizon(connection: Connection, lane: int) -> datetime:
    """Up to when changes may have been told: what turns out to have changed before it is told with the first ones."""
    return await connection.fetchval(SQL["horizon"], lane) or LONG_AGO
