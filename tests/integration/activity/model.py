"""An activity read model on real PostgreSQL, fed by hand: a log in memory that gives versions, positions and times."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg

from contacts.activity.events import ActivityRecorded, AddressedAs
from contacts.activity.identity import IdentityProjection
from contacts.activity.projection import ActivityProjection
from contacts.activity.queries import Activity, ActivityQueries, Timeline
from contacts.catalog import CODEC
from eventstore import builds
from eventstore.envelope import Metadata, RecordedEvent, Unreadable, new_id
from eventstore.projection import Projection

START: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
LIVE: Final = "rm_activity"
TABLES: Final = {"activity": ("activity", "activity_month"), "identity": ("identity",)}
DATA: Final[dict[str, dict[str, Any]]] = {
    "message.clicked": {"channel": "email"},
    "order.placed": {"external_id": "o-1", "amount": 12.5},
    "web.viewed": {"name": "prices"},
    "conversation.message_in": {"preview": "hello"},
}


def recorded(activity_id: str, occurred_at: datetime, kind: str = "message.clicked", **fields: Any) -> ActivityRecorded:
    given: dict[str, Any] = {
        "source": "mailer", "addressed_as": AddressedAs(by="external_id", value="c-1"), "data": DATA.get(kind, {}),
    }  # fmt: skip
    return ActivityRecorded(activity_id=activity_id, kind=kind, occurred_at=occurred_at, **{**given, **fields})


class Log:
    """Records events as the store would, one second after the other."""

    def __init__(self) -> None:
        self.events: list[RecordedEvent[Any]] = []
        self._versions: dict[tuple[str, UUID], int] = {}

    def record(self, workspace_id: UUID, contact_id: UUID, *events: Any) -> None:
        for event in events:
            type_ = event.type if isinstance(event, Unreadable) else CODEC.encode(event)[0]
            self._append(workspace_id, contact_id, event, type_)

    def _append(self, workspace_id: UUID, contact_id: UUID, event: object, type_: str) -> None:
        category = type_.partition(".")[0]
        version = self._versions[category, contact_id] = self._versions.get((category, contact_id), 0) + 1
        position = len(self.events) + 1
        self.events.append(
            RecordedEvent(
                lane=0,
                position=position,
                workspace_id=workspace_id,
                category=category,
                stream_id=contact_id,
                version=version,
                event_id=new_id(),
                type=type_,
                schema_version=1,
                recorded_at=START + timedelta(seconds=position),
                metadata=Metadata(),
                event=event,
            )
        )


class Model:
    """The live builds and, beside them, builds to compare with."""

    def __init__(self, projector: asyncpg.Connection, readers: asyncpg.Pool) -> None:
        self.projector = projector
        self.readers = readers
        self.activity: Projection = ActivityProjection()
        self.identity: Projection = IdentityProjection()
        self.queries = ActivityQueries(readers, b"sixteen bytes ok")

    async def apply(
        self, events: Sequence[RecordedEvent[Any]], *, fresh: bool = False, batch: int = 1_000, schema: str = LIVE,
        projection: Projection | None = None,
    ) -> None:  # fmt: skip
        projection = projection or self.activity
        wanted = [event for event in events if event.type in projection.types]
        for start in range(0, len(wanted), batch):
            async with self.projector.transaction():
                await builds.use_schema(self.projector, schema)
                await projection.apply(self.projector, wanted[start : start + batch], fresh=fresh)

    async def add_build(self, schema: str, projection: Projection | None = None) -> None:
        await self.projector.execute(f"CREATE SCHEMA {schema}")
        async with self.projector.transaction():
            await builds.use_schema(self.projector, schema)
            await self.projector.execute((projection or self.activity).schema_sql)

    async def clear(self, *schemas: str) -> None:
        for schema in schemas:
            await self.projector.execute(f"TRUNCATE {schema}.activity, {schema}.activity_month")

    async def content(self, schema: str = LIVE, tables: Sequence[str] = TABLES["activity"]) -> dict[str, list[Any]]:
        """Everything the projector sees, in a fixed order."""
        found = {}
        for table in tables:
            rows = await self.projector.fetch(f"SELECT t FROM {schema}.{table} AS t ORDER BY t::text")
            found[table] = [tuple(row["t"]) for row in rows]
        return found

    async def timeline(self, workspace_id: UUID, *members: UUID, limit: int = 1_000, **wanted: Any) -> list[Activity]:
        timeline = Timeline(workspace_id=workspace_id, contact_id=members[0], members=members, **wanted)
        return list((await self.queries.page(timeline, limit=limit)).items)

    async def ids(self, workspace_id: UUID, *members: UUID, **wanted: Any) -> list[str]:
        return [activity.activity_id for activity in await self.timeline(workspace_id, *members, **wanted)]


@asynccontextmanager
async def open_model(database: str) -> AsyncIterator[Model]:
    """With the roles that really write and read."""
    projector = await asyncpg.connect(database, server_settings={"role": "rollbook_projector", "jit": "off"})
    readers = await asyncpg.create_pool(
        database, min_size=1, max_size=3, server_settings={"role": "rollbook_reader", "jit": "off"}
    )
    try:
        await builds.ensure_builds(projector, [ActivityProjection(), IdentityProjection()])
        yield Model(projector, readers)
    finally:
        await readers.close()
        await projector.close()
