"""Questions to the engagement read model: what is shown of many profiles at once. Writes nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final
from uuid import UUID

from contacts.engagement.row import decode_engagement
from contacts.engagement.state import Engagement
from contacts.reading import reading
from eventstore.sql import load

if TYPE_CHECKING:
    import asyncpg

SQL: Final = load("contacts.engagement", "queries.sql")
NONE: Final[Mapping[UUID, Engagement]] = MappingProxyType({})


class EngagementQueries:
    """Safe to use concurrently. `pool` has sessions of rollbook_reader."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def present(self, workspace_id: UUID, contacts: Collection[UUID]) -> Mapping[UUID, Engagement]:
        """By contact that stands for a profile; those that nothing is known of are left out."""
        if not contacts:
            return NONE
        async with reading(self._pool, workspace_id) as connection:
            rows = await connection.fetch(SQL["present"], workspace_id, list(contacts))
        return {row["contact_id"]: decode_engagement(row["shown"]) for row in rows}

    async def past(self, workspace_id: UUID, contacts: Collection[UUID], position: int) -> Mapping[UUID, Engagement]:
        """The same right after the event at `position`. Waits for nothing."""
        if not contacts:
            return NONE
        async with reading(self._pool, workspace_id) as connection:
            rows = await connection.fetch(SQL["past"], workspace_id, list(contacts), position)
        return {row["contact_id"]: decode_engagement(row["shown"]) for row in rows}
