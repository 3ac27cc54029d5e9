"""Questions about webhooks and their deliveries. Writes nothing and waits for nothing."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal, TypeAlias
from uuid import UUID

import asyncpg
import msgspec

from contacts.reading import reading
from contacts.webhook.projection import decode
from contacts.webhook.state import Webhook
from eventstore.sql import load

SQL: Final = load("contacts.webhook", "queries.sql")
#: Whoever delivers first makes the tables.
NOT_MADE_YET: Final = (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError)
Outcome: TypeAlias = Literal["delivered", "failed", "given_up"]


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt."""

    number: int
    event_id: UUID
    type: str
    position: int
    attempt: int
    outcome: Outcome
    status: int | None
    reason: str | None
    duration_ms: int
    at: datetime


class WebhookQueries:
    """Safe to use concurrently. `pool` has sessions of rollbook_reader."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def list(self, workspace_id: UUID) -> tuple[Webhook, ...]:
        """All of a workspace, without their secrets."""
        async with reading(self._pool, workspace_id) as connection:
            rows = await connection.fetch(SQL["list"], workspace_id)
        return tuple(decode(row["state"]) for row in rows)

    async def deliveries(
        self, workspace_id: UUID, webhook_id: UUID, *, outcome: Outcome | None, before: int | None, limit: int
    ) -> tuple[Delivery, ...]:
        """Newest first; none where nobody has begun to deliver."""
        try:
            async with reading(self._pool, workspace_id) as connection:
                rows = await connection.fetch(SQL["deliveries"], workspace_id, webhook_id, before, outcome, limit)
        except NOT_MADE_YET:
            return ()
        return tuple(Delivery(**row) for row in rows)

    async def standing(self, workspace_id: UUID, webhook_id: UUID) -> tuple[int | None, datetime | None]:
        """(position up to which all is delivered, since when it fails); nothing where nobody began to deliver."""
        try:
            async with reading(self._pool, workspace_id) as connection:
                row = await connection.fetchrow(SQL["standing"], workspace_id, webhook_id)
        except NOT_MADE_YET:
            return None, None
        return (row["position"], row["failing_since"]) if row else (None, None)
