"""Whom an upsert by e-mail or phone means, asked of a read model that has caught up. Decides nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID

if TYPE_CHECKING:
    from contacts.contact.commands import UpsertKind
    from contacts.contact.queries import ContactQueries
    from eventstore.progress import Progress

#: How long an upsert waits for the read model before it is refused as not yet possible.
CATCH_UP_TIMEOUT_S: Final = 5.0
PROJECTION: Final = "contact"


class CaughtUpFinder:
    """`FindContact` over the contact read model. Raises PositionTimeout where that stays behind."""

    def __init__(self, queries: ContactQueries, progress: Progress) -> None:
        self._queries = queries
        self._progress = progress

    async def __call__(self, workspace_id: UUID, by: UpsertKind, key: str, *, lane: int, position: int) -> UUID | None:
        await self._progress.wait(PROJECTION, lane, position, CATCH_UP_TIMEOUT_S)
        found = await self._queries.find_by(workspace_id, by, key)
        return found[0] if found else None
