"""Builds of the history and the contact read model on real PostgreSQL, fed by hand from a log."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg

from contacts.catalog import CODEC
from contacts.contact.projection import ContactProjection
from contacts.contact.row import COLUMNS
from contacts.history.projection import HistoryProjection
from eventstore import builds
from eventstore.envelope import RecordedEvent
from eventstore.projection import Projection
from tests.support.people import KEYRING, Process

#: All but which event wrote a row last.
COMPARED: Final = tuple(column for column in COLUMNS if column != "position")
TABLES: Final = ("contact_history", "history_member", "history_kin", "history_gone", "history_room", "address_record",
                 "contact_address", "contact_quota")  # fmt: skip
FOREVER: Final = 2**63 - 1

Events = Sequence[RecordedEvent[Any]]
Row = dict[str, Any]


class Past:
    """One connection of the projector and any number of schemas."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection
        self.history = HistoryProjection(CODEC).bound(KEYRING)
        self.contact = ContactProjection().bound(KEYRING)

    async def build(self, schema: str, projection: Projection | None = None) -> str:
        await self.connection.execute(f"CREATE SCHEMA {schema}")
        async with self.connection.transaction():
            await builds.use_schema(self.connection, schema)
            await self.connection.execute((projection or self.history).schema_sql)
        return schema

    async def apply(
        self, schema: str, events: Events, *, batch: int = 1_000, fresh: bool = False,
        projection: Projection | None = None,
    ) -> None:  # fmt: skip
        await apply_to(self.connection, schema, projection or self.history, events, batch=batch, fresh=fresh)

    async def rows(self, schema: str, table: str = "contact_history") -> list[Row]:
        rows = await self.connection.fetch(f"SELECT * FROM {schema}.{table} AS t ORDER BY t::text")
        return [dict(row) for row in rows]

    async def content(self, schema: str) -> dict[str, list[Row]]:
        return {table: await self.rows(schema, table) for table in TABLES}

    async def at(self, schema: str, position: int) -> list[Row]:
        """What was valid at a position, as rows of `contact`."""
        rows = await self.connection.fetch(
            f"SELECT {', '.join(COMPARED)} FROM {schema}.contact_history"
            " WHERE from_position <= $1 AND to_position > $1 ORDER BY contact_id",
            position,
        )
        return [dict(row) for row in rows]

    async def present(self, schema: str) -> list[Row]:
        """Rows of a build of the contact read model."""
        rows = await self.connection.fetch(f"SELECT {', '.join(COMPARED)} FROM {schema}.contact ORDER BY contact_id")
        return [dict(row) for row in rows]


async def apply_to(
    connection: asyncpg.Connection, schema: str, projection: Projection, events: Events, *, batch: int = 1_000,
    fresh: bool = False,
) -> None:  # fmt: skip
    for start in range(0, len(events), batch):
        async with connection.transaction():
            await builds.use_schema(connection, schema)
            await projection.apply(connection, events[start : start + batch], fresh=fresh and start == 0)


@asynccontextmanager
async def open_past(database: str) -> AsyncIterator[Past]:
    connection = await asyncpg.connect(database, server_settings={"role": "rollbook_projector", "jit": "off"})
    try:
        yield Past(connection)
    finally:
        await connection.close()


async def lane(process: Process) -> list[RecordedEvent[Any]]:
    batch = await process.store.read_lane(0, after=0, limit=1_000_000, types=HistoryProjection.types)
    return list(batch.events)
