"""Tells which streams of a workspace came to have events, without a look at what those say. Nothing is decrypted."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID

from eventstore.sql import load

if TYPE_CHECKING:
    from eventstore.store import EventStore

SQL: Final = load("eventstore", "changed.sql")


class Changed(NamedTuple):
    """A stream, and a type of events that it has in the stretch asked about."""

    category: str
    stream_id: UUID
    type: str


async def find_changed(
    store: EventStore, workspace_id: UUID, *, after: int, to_position: int, categories: Collection[str]
) -> list[Changed]:
    """In no order. It reads past the events of all workspaces of the lane, so the stretch should be short."""
    rows = await store.pool.fetch(
        SQL["changed"], store.lane_of(workspace_id), after, to_position, workspace_id, list(categories)
    )
    return [Changed(*row) for row in rows]
