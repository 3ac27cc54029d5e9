"""A contact read model on real PostgreSQL, fed by hand: a log in memory that gives versions, positions and times."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg

from contacts.catalog import CODEC
from contacts.contact.events import ContactEvent
from contacts.contact.projection import ContactProjection
from contacts.contact.queries import ContactQueries
from contacts.engagement.projection import EngagementProjection
from eventstore import builds
from eventstore.cipher import Keyring
from eventstore.envelope import Metadata, RecordedEvent, Unreadable, new_id

START: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
LIVE: Final = "rm_contact"
TABLES: Final = (
    "contact", "contact_member", "contact_recency", "contact_count", "contact_address", "address_record",
    "contact_quota", "contact_over",
)  # fmt: skip
KEYRING: Final = Keyring.from_secret(b"a master secret of the tests, 32+ bytes")


class Log:
    """Records events as the store would, one second after the other."""

    def __init__(self) -> None:
        self.events: list[RecordedEvent[Any]] = []
        self._versions: dict[UUID, int] = {}

    def record(self, workspace_id: UUID, contact_id: UUID, *events: ContactEvent) -> list[RecordedEvent[Any]]:
        return [self._append(workspace_id, contact_id, event, CODEC.encode(event)[0]) for event in events]

    def record_unreadable(self, workspace_id: UUID, contact_id: UUID, type_: str) -> RecordedEvent[Any]:
        return self._append(workspace_id, contact_id, Unreadable(type=type_), type_)

    def _append(self, workspace_id: UUID, contact_id: UUID, event: object, type_: str) -> RecordedEvent[Any]:
        version = self._versions[contact_id] = self._versions.get(contact_id, 0) + 1
        position = len(self.events) + 1
        recorded = RecordedEvent(
            lane=0,
            position=position,
            workspace_id=workspace_id,
            category="contact",
            stream_id=contact_id,
            version=version,
            event_id=new_id(),
            type=type_,
            schema_version=1,
            recorded_at=START + timedelta(seconds=position),
            metadata=Metadata(),
            event=event,
        )
        self.events.append(recorded)
        return recorded


class Model:
    """The live build and, beside it, builds to compare it with."""

    def __init__(self, projector: asyncpg.Connection, readers: asyncpg.Pool) -> None:
        self.projector = projector
        self.readers = readers
        self.projection = ContactProjection().bound(KEYRING)
        self.queries = ContactQueries(readers, b"sixteen bytes ok")

    async def apply(
        self, events: Sequence[RecordedEvent[Any]], *, fresh: bool = False, batch: int = 1_000, schema: str = LIVE
    ) -> None:
        for start in range(0, len(events), batch):
            async with self.projector.transaction():
                await builds.use_schema(self.projector, schema)
                await self.projection.apply(self.projector, events[start : start + batch], fresh=fresh)

    async def add_build(self, schema: str) -> None:
        await self.projector.execute(f"CREATE SCHEMA {schema}")
        async with self.projector.transaction():
            await builds.use_schema(self.projector, schema)
            await self.projector.execute(self.projection.schema_sql)

    async def clear(self, *schemas: str) -> None:
        for schema in schemas:
            await self.projector.execute("TRUNCATE " + ", ".join(f"{schema}.{table}" for table in TABLES))

    async def rows(self, table: str = "contact", schema: str = LIVE) -> list[dict[str, Any]]:
        """Everything the projector sees, in a fixed order."""
        rows = await self.projector.fetch(f"SELECT * FROM {schema}.{table} AS t ORDER BY t::text")
        return [dict(row) for row in rows]

    async def content(self, schema: str = LIVE) -> dict[str, list[dict[str, Any]]]:
        return {table: await self.rows(table, schema) for table in TABLES}


@asynccontextmanager
async def open_model(database: str) -> AsyncIterator[Model]:
    """With the roles that really write and read."""
    projector = await asyncpg.connect(database, server_settings={"role": "rollbook_projector", "jit": "off"})
    readers = await asyncpg.create_pool(
        database, min_size=1, max_size=3, server_settings={"role": "rollbook_reader", "jit": "off"}
    )
    try:
        await builds.ensure_builds(projector, [ContactProjection(), EngagementProjection()])
        yield Model(projector, readers)
    finally:
        await readers.close()
        await projector.close()


def contacts_of(events: Iterable[RecordedEvent[Any]]) -> list[UUID]:
    return list(dict.fromkeys(event.stream_id for event in events))
