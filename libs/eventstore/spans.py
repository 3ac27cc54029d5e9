"""Tells how much streams hold and where, for whoever has to account for it. Nothing is decrypted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from eventstore.appender import SQL
from eventstore.envelope import Stream

if TYPE_CHECKING:
    from eventstore.store import EventStore


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """How many events a stream has, and the positions of its first and last; events of others stand between them."""

    events: int
    first_position: int
    last_position: int


async def find_spans(store: EventStore, streams: Sequence[Stream]) -> dict[Stream, Span]:
    """By stream, in the order given; all streams are of one workspace, and those without events are left out."""
    if not streams:
        return {}
    (workspace_id,) = {stream.workspace_id for stream in streams}
    rows = await store.pool.fetch(
        SQL["spans"], store.lane_of(workspace_id), [s.id for s in streams], [s.category for s in streams],
        [workspace_id] * len(streams),
    )  # fmt: skip
    found = {
        (row["stream_id"], row["category"]): Span(
            events=row["events"], first_position=row["first_position"], last_position=row["last_position"]
        )
        for row in rows
    }
    return {stream: found[key] for stream in streams if (key := (stream.id, stream.category)) in found}
