"""Questions to the suppression read model, each answered from one snapshot. Writes nothing and waits for nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec

from contacts.contact.cursor import After, Cursors, Total
from contacts.errors import SuppressionNotFound
from contacts.reading import reading
from contacts.suppression.entry import Entry
from contacts.suppression.state import Suppressed
from eventstore.sql import load

if TYPE_CHECKING:
    import asyncpg

SQL: Final = load("contacts.suppression", "queries.sql")
_decode: Final = msgspec.msgpack.Decoder(Suppressed).decode


class Page(msgspec.Struct, frozen=True):
    """A part of a blacklist, newest first."""

    items: tuple[Entry, ...]
    #: For the next page; None on the last one.
    next_cursor: str | None
    total: Total


class SuppressionQueries:
    """Safe to use concurrently. `pool` has sessions of rollbook_reader; `cursor_key` is as `Cursors` wants it."""

    def __init__(self, pool: asyncpg.Pool, cursor_key: bytes) -> None:
        self._pool = pool
        self._cursors = Cursors(cursor_key)

    async def get(self, workspace_id: UUID, suppression_id: UUID) -> Entry:
        """Raises SuppressionNotFound, also for an entry that was lifted or is another workspace's."""
        async with reading(self._pool, workspace_id) as connection:
            row = await connection.fetchrow(SQL["get"], workspace_id, suppression_id)
        if row is None:
            raise SuppressionNotFound(suppression_id)
        return _entry(row)

    async def list(
        self, workspace_id: UUID, *, channel: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> Page:
        """The entries of this workspace, newest first. Raises InvalidInput for a cursor of another list."""
        identity = msgspec.msgpack.encode(["suppressions", workspace_id, channel])
        after = None if cursor is None else self._cursors.open(cursor, identity)
        place = (None, None) if after is None else (after.instant, after.contact_id)
        async with reading(self._pool, workspace_id) as connection:
            # One more than asked for tells whether there is another page.
            rows = await connection.fetch(SQL["page"], workspace_id, channel, *place, limit + 1)
            total = Total(await connection.fetchval(SQL["count"], workspace_id, channel), exact=True)
        next_cursor = None
        if len(rows) > limit:
            last = rows[limit - 1]
            next_cursor = self._cursors.seal(After(last["suppression_id"], last["since"], None, total), identity)
        return Page(tuple(map(_entry, rows[:limit])), next_cursor, total)


def _entry(row: Any) -> Entry:
    state = _decode(row["state"])
    listed = state.blacklisting
    assert listed is not None
    return Entry(
        id=state.id,
        channel=state.family,
        address=row["address"],
        since=listed.since,
        cause=listed.cause,
        reason=row["reason"],
        source=listed.source,
        actor=listed.actor,
        contact_id=listed.contact_id,
    )
