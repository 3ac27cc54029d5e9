"""Erased contacts in the segment read model: nothing is kept of them. That they left is told to whoever listens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from contacts.segment.kept import Kept
from contacts.segment.lives import SQL, cause_of
from contacts.segment.membership import Change
from contacts.segment.writing import Writing

if TYPE_CHECKING:
    from eventstore.envelope import RecordedEvent
    from eventstore.projection import Connection

ERASED: Final = "contact.erased"


async def forget_erased(
    connection: Connection, events: Sequence[RecordedEvent[Any]], kept: Mapping[UUID, Kept]
) -> None:
    """They leave whatever they are in with the last event of theirs, and then their memberships were never."""
    erased = {event.stream_id: event for event in events if event.type == ERASED}
    if not erased:
        return
    places = [event.workspace_id for event in erased.values()], list(erased)
    writing = Writing(events[0].lane)
    for row in await connection.fetch(SQL["memberships"], *places):
        event = erased[row["contact_id"]]
        change = Change(row["segment_id"], event.stream_id, False, event.recorded_at, cause_of(event))
        lists = kept[event.workspace_id].lists if event.workspace_id in kept else frozenset[UUID]()
        writing.changed(event.workspace_id, [change], lists)
    await writing.write(connection)
    await connection.execute(SQL["forget"], *places)
