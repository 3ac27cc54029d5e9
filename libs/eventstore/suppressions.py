"""Reads what may not be sent to which address, as the last commit left it. Written by the append; no rule is here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec

from eventstore.appender import SQL

if TYPE_CHECKING:
    from eventstore.store import EventStore


class SuppressionRow(msgspec.Struct, frozen=True, gc=False):
    """One row of `log.suppression`; what its fields mean stands at `envelope.Suppression`."""

    #: Which of the addresses asked for, counting from 1.
    number: int
    kind: str
    channel: str
    topic: str
    holder_id: UUID
    status: str | None
    cause: str | None
    since: datetime | None
    #: Of the append that wrote it, in the lane of its holder.
    position: int


class Suppressions(msgspec.Struct, frozen=True):
    """All rows of the addresses asked for, in one snapshot of the log."""

    #: Where the lane of the workspace stood in that snapshot.
    position: int
    rows: list[SuppressionRow]


async def find_suppressions(
    store: EventStore, workspace_id: UUID, everybody: UUID, addresses: Sequence[bytes]
) -> Suppressions:
    """Rows that bind the workspace or `everybody`. Right for whatever was acknowledged before the call."""
    lane = store.lane_of(workspace_id)
    place, *found = await store.pool.fetch(SQL["suppressions"], lane, workspace_id, everybody, addresses)
    return Suppressions(place["position"] or 0, [SuppressionRow(*row) for row in found])
