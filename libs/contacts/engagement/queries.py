"""Questions to the engagement read model: what is shown of many profiles at once. Writes nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final
from uuid import UUID

import asyncpg
from msgspec.structs import replace

from contacts.engagement.profiles import content_of
from contacts.engagement.row import decode_engagement, decode_tally
from contacts.engagement.state import Engagement
from contacts.reading import reading
from eventstore.sql import load

if TYPE_CHECKING:
    from contacts.contact.state import Contact

SQL: Final = load("contacts.engagement", "queries.sql")
NONE: Final[Mapping[UUID, Engagement]] = MappingProxyType({})


class EngagementQueries:
    """Safe to use concurrently. `pool` has sessions of rollbook_reader."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def present(self, workspace_id: UUID, contacts: Collection[UUID]) -> Mapping[UUID, Engagement]:
        """By contact that stands for a profile; those that nothing is known of are left out."""
        return await self._fetch("present", workspace_id, contacts)

    async def past(self, workspace_id: UUID, contacts: Collection[UUID], position: int) -> Mapping[UUID, Engagement]:
        """The same right after the event at `position`. Waits for nothing."""
        return await self._fetch("past", workspace_id, contacts, position)

    async def with_engagement(
        self, workspace_id: UUID, contacts: Sequence[Contact], *, position: int | None = None
    ) -> list[Contact]:
        """The same contacts with what activity says of them: now, or right after the event at `position`."""
        ids = [contact.id for contact in contacts]
        if position is None:
            found = await self.present(workspace_id, ids)
        else:
            found = await self.past(workspace_id, ids, position)
        return [
            replace(contact, engagement=found[contact.id]) if contact.id in found else contact for contact in contacts
        ]

    async def merged(self, workspace_id: UUID, profiles: Sequence[UUID]) -> Engagement | None:
        """What activity would say of these profiles if they were one, under the first; None where nothing is known."""
        parts = await self._rows("parts", workspace_id, profiles)
        content = content_of(profiles[0], ((row["contact_id"], decode_tally(row["own"])) for row in parts))
        return None if content is None else content.shown

    async def apart(
        self, workspace_id: UUID, profile: UUID, parts: Sequence[Collection[UUID]]
    ) -> list[Engagement | None]:
        """What activity would say of parts of a profile if each were one of its own, under its first contact."""
        rows = await self._rows("parts", workspace_id, [profile])
        tallies = {row["contact_id"]: decode_tally(row["own"]) for row in rows}
        contents = (
            content_of(next(iter(part)), ((contact, tallies[contact]) for contact in part if contact in tallies))
            for part in parts
        )
        return [None if content is None else content.shown for content in contents]

    async def _fetch(
        self, statement: str, workspace_id: UUID, contacts: Collection[UUID], *parameters: object
    ) -> Mapping[UUID, Engagement]:
        rows = await self._rows(statement, workspace_id, contacts, *parameters)
        return {row["contact_id"]: decode_engagement(row["shown"]) for row in rows}

    async def _rows(
        self, statement: str, workspace_id: UUID, contacts: Collection[UUID], *parameters: object
    ) -> Sequence[asyncpg.Record]:
        if not contacts:
            return ()
        try:
            async with reading(self._pool, workspace_id) as connection:
                return await connection.fetch(SQL[statement], workspace_id, list(contacts), *parameters)
        except asyncpg.UndefinedTableError:
            # Beside a long log it takes a while until there is a first build; contacts are shown meanwhile.
            return ()
