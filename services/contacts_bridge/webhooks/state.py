"""What the bridge keeps of deliveries, and what it reads for them: where each webhook stands, each attempt, the log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from contacts.webhook.projection import decode
from contacts.webhook.queries import Outcome
from contacts.webhook.state import Webhook
from eventstore.envelope import RecordedEvent
from eventstore.sql import load
from eventstore.store import EventStore

SQL: Final = load("contacts_bridge.webhooks", "state.sql")
STRETCH: Final = 2_000
"""Positions of the lane that are looked through at once."""
KEPT: Final = timedelta(days=7)
KEPT_OF_ONE: Final = 10_000
"""Attempts of one webhook, beyond which the oldest go."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """One webhook to deliver to, without its secrets."""

    workspace_id: UUID
    webhook_id: UUID
    lane: int
    start_version: int
    start_position: int
    webhook: Webhook

    @property
    def choice(self) -> tuple[Any, ...]:
        """What deliveries depend on: with another one they begin anew from where they stand."""
        webhook = self.webhook
        return self.start_version, webhook.url, webhook.events, webhook.old_until


class Attempt(msgspec.Struct, frozen=True):
    """One try to deliver one event."""

    event_id: UUID
    type: str
    position: int
    attempt: int
    outcome: Outcome
    status: int | None
    reason: str | None
    duration_ms: int
    at: datetime


class DeliveryState:
    """Safe to use concurrently. The store's sessions are of rollbook_projector, who owns the tables."""

    def __init__(self, store: EventStore) -> None:
        self._store = store

    async def enabled(self, connection: Any) -> list[Target]:
        """Every webhook that wants deliveries."""
        return [
            Target(
                workspace_id=row["workspace_id"],
                webhook_id=row["webhook_id"],
                lane=row["lane"],
                start_version=row["start_version"],
                start_position=row["start_position"],
                webhook=decode(row["state"]),
            )
            for row in await connection.fetch(SQL["enabled"])
        ]

    async def begin(self, target: Target) -> tuple[int, datetime | None]:
        """(position up to which all is delivered, since when it fails)."""
        row = await self._store.pool.fetchrow(
            SQL["begin"], target.workspace_id, target.webhook_id, target.start_version, target.start_position
        )
        assert row is not None
        return row["position"], row["failing_since"]

    async def save(
        self, target: Target, position: int, failing_since: datetime | None, attempts: Sequence[Attempt]
    ) -> None:
        """Both or neither; the position only while no later start was asked for."""
        async with self._store.pool.acquire() as connection, connection.transaction():
            await connection.execute(
                SQL["save"], target.workspace_id, target.webhook_id, target.start_version, position, failing_since
            )
            if attempts:
                columns = [list(column) for column in zip(*(_row(each) for each in attempts), strict=True)]
                await connection.execute(SQL["record"], target.workspace_id, target.webhook_id, *columns)

    async def sweep(self, now: datetime) -> None:
        """Forgets attempts that are older or more than what is kept."""
        await self._store.pool.execute(SQL["sweep"], now - KEPT, KEPT_OF_ONE)

    async def read(
        self, lane: int, workspace_id: UUID, *, after: int, types: Sequence[str] | None
    ) -> tuple[list[RecordedEvent[Any]], int]:
        """(the events of a workspace behind a position, the position they go up to: `after` where the lane ends).

        Raises whatever decoding raises.
        """
        upto = min(after + STRETCH, await self._store.head(lane))
        if upto <= after:
            return [], after
        rows = await self._store.pool.fetch(SQL["events"], lane, after, upto, workspace_id, types)
        return self._store.decode(rows), upto


def _row(attempt: Attempt) -> tuple[Any, ...]:
    return tuple(getattr(attempt, name) for name in attempt.__struct_fields__)


#: What a busy, starting or lost database raises here.
DATABASE_ERRORS: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)
