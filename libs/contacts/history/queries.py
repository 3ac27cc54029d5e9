"""Questions about single contacts as they were at a position; lists are asked of `contacts.contact.queries`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final
from uuid import UUID

import msgspec

from contacts.contact.state import Contact
from contacts.history.listing import SQL
from contacts.reading import reading

if TYPE_CHECKING:
    import asyncpg

_decode: Final = msgspec.msgpack.Decoder(Contact).decode


class HistoryQueries:
    """Safe to use concurrently. `pool` has sessions of rollbook_reader. Waits for no position."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def get_many(self, workspace_id: UUID, contact_ids: Iterable[UUID], position: int) -> dict[UUID, Contact]:
        """As they were shown at a position, deleted ones too; those are left out that another one stood for."""
        async with reading(self._pool, workspace_id) as connection:
            rows = await connection.fetch(SQL["get_many"], workspace_id, list(set(contact_ids)), position)
        return {row["contact_id"]: _decode(row["state"]) for row in rows}
