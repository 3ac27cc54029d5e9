"""The event store as one library application sees it: everything in one lane, tracking in the append's transaction."""

from __future__ import annotations

from operator import itemgetter
from typing import Final, Self, TypeAlias
from uuid import UUID

import asyncpg
from asyncpg.pool import PoolConnectionProxy
from eventsourcing.persistence import IntegrityError, Tracking

from eventstore import batch
from eventstore.appender import SQL as STORE_SQL
from eventstore.cipher import Keyring
from eventstore.envelope import Appended, Write
from eventstore.errors import WrongExpectedVersion
from eventstore.facade.raw import RawCodec
from eventstore.sql import load
from eventstore.store import EventStore

SQL: Final = load("eventstore.facade", "queries.sql")

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"


class ApplicationStore(EventStore):
    """Its codec passes events through undecoded; the library's mapper decodes them."""

    #: Positions of this lane are the application's notification ids.
    lane: int

    @classmethod
    async def in_own_lane(cls, dsn: str, keyring: Keyring, application: str) -> Self:
        """The application's lane is given out at its first start and kept for ever."""
        store = await cls.open(dsn, codec=RawCodec(), keyring=keyring)
        try:
            store.lane = await store.pool.fetchval(SQL["application_lane"], application)
        except BaseException:
            await store.close()
            raise
        return store

    @classmethod
    async def in_lane_of(cls, dsn: str, keyring: Keyring, workspace_id: UUID) -> Self:
        store = await cls.open(dsn, codec=RawCodec(), keyring=keyring)
        store.lane = EventStore.lane_of(store, workspace_id)
        return store

    def lane_of(self, workspace_id: UUID) -> int:
        return self.lane

    async def append_tracked(self, write: Write, tracker: str, tracking: Tracking) -> Appended:
        """Append and move the tracking in one transaction, outside of the group commit.

        Raises WrongExpectedVersion, or the library's IntegrityError where the notification was processed before.
        """
        command = await self._prepare(write)
        async with self.pool.acquire() as connection:
            async with connection.transaction():
                await track(connection, tracker, tracking)
                # The lane lock is taken in here, after the row of the tracking: appenders hold no other lock.
                rows = await connection.fetch(STORE_SQL["append_checked"], *batch.arrays(self.lane, [command]))
                written, *refused = sorted(rows, key=itemgetter("command"))
                if refused:
                    first = write.streams[0]
                    raise WrongExpectedVersion(first.stream, first.expected_version, refused[0]["amount"])
            last = written["at_position"] + command.event_count
            await connection.execute(STORE_SQL["notify"], f"{self.lane} {last}")
        return Appended(
            lane=self.lane, last_position=last, event_count=command.event_count, recorded_at=written["at_time"]
        )

    async def _prepare(self, write: Write) -> batch.Prepared:
        command = await super()._prepare(write)
        # A caller of the library may name a version that nobody read. Unchecked, one beyond the end leaves a hole.
        command.needs_check = True
        return command


async def track(connection: Connection, tracker: str, tracking: Tracking) -> None:
    """Raises the library's IntegrityError where the notification, or a later one, was processed before."""
    moved = await connection.fetchval(SQL["track"], tracker, tracking.application_name, tracking.notification_id)
    if moved is None:
        name, id_ = tracking.application_name, tracking.notification_id
        raise IntegrityError(f"{tracker} has processed notification {id_} of {name}, or a later one, already")
