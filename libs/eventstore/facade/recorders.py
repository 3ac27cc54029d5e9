"""The library's recorders over the log. What each must do is said by the library's own base classes and test suites."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar
from uuid import UUID

from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    DataError,
    Notification,
    ProcessRecorder,
    StoredEvent,
    Subscription,
    Tracking,
    TrackingRecorder,
)

from eventstore.envelope import RecordedEvent
from eventstore.facade.log import ApplicationLog
from eventstore.facade.raw import to_library
from eventstore.facade.store import SQL, ApplicationStore, Connection, track
from eventstore.facade.streams import LibraryStreams
from eventstore.facade.subscription import LogSubscription
from eventstore.store import VERSION_MAX

READ_AT_ONCE_MAX: Final = 5_000

T = TypeVar("T")


class LogAggregateRecorder(AggregateRecorder):
    """Aggregates' events, in the log but with no notification ids to show for it."""

    def __init__(self, log: ApplicationLog) -> None:
        self._log = log
        self._streams = LibraryStreams(log)

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        self._insert(stored_events)
        return None

    def select_events(
        self, originator_id: UUID | str, *, gt: int | None = None, lte: int | None = None, desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:  # fmt: skip
        id_ = _uuid(originator_id)
        return self._log.run(lambda store: self._streams.select(store, id_, gt, lte, desc, limit))

    def _insert(self, stored_events: Sequence[StoredEvent], tracking: Tracking | None = None) -> list[int]:
        if not stored_events:
            return []
        return self._log.run(lambda store: self._streams.insert(store, stored_events, tracking))


class LogSnapshotRecorder(AggregateRecorder):
    """Snapshots, several versions of each aggregate; beside the log, for they can be taken again at any time."""

    def __init__(self, log: ApplicationLog) -> None:
        self._log = log

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        columns = (
            [_uuid(event.originator_id) for event in stored_events],
            [event.originator_version for event in stored_events],
            [event.topic for event in stored_events],
            [event.state for event in stored_events],
        )

        async def insert(store: ApplicationStore) -> None:
            await store.pool.execute(SQL["insert_snapshots"], store.lane, *columns)

        self._log.run(insert)
        return None

    def select_events(
        self, originator_id: UUID | str, *, gt: int | None = None, lte: int | None = None, desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:  # fmt: skip
        id_ = _uuid(originator_id)
        statement = SQL["select_snapshots" if desc else "select_snapshots_ascending"]
        after, to = -1 if gt is None else gt, VERSION_MAX if lte is None else lte

        async def select(store: ApplicationStore) -> list[StoredEvent]:
            rows = await store.pool.fetch(statement, store.lane, id_, after, to, limit)
            return [StoredEvent(*row) for row in rows]

        return self._log.run(select)


class LogApplicationRecorder(LogAggregateRecorder, ApplicationRecorder):
    """Notification ids are positions of the application's lane: dense and in commit order where the lane is its own."""

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        return self._insert(stored_events)

    def select_notifications(
        self, start: int | None, limit: int, stop: int | None = None, topics: Sequence[str] = (), *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:  # fmt: skip
        after = max((start or 0) - inclusive_of_start, 0)
        types = frozenset(topics) or None
        return self._log.run(lambda store: self._notifications(store, after, limit, stop, types))

    def max_notification_id(self) -> int | None:
        async def last(store: ApplicationStore) -> int | None:
            log = self._log
            position: int | None = await store.pool.fetchval(
                SQL["last_position"], store.lane, log.workspace_id, log.categories
            )
            return position

        return self._log.run(last)

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> Subscription[ApplicationRecorder]:
        return LogSubscription(self, gt, topics, self._log.watch)

    async def _notifications(
        self, store: ApplicationStore, after: int, limit: int, stop: int | None, types: frozenset[str] | None
    ) -> list[Notification]:
        """Reads on past what is not wanted, in growing stretches, until `limit`, `stop` or the end of the lane."""
        found: list[Notification] = []
        stretch = limit
        while len(found) < limit and (stop is None or after < stop):
            stretch = min(stretch, READ_AT_ONCE_MAX)
            batch = await store.read_lane(store.lane, after=after, limit=stretch, types=types)
            found.extend(self._notification(event) for event in batch.events if self._wanted(event, stop))
            if batch.last < after + stretch:
                break
            after = batch.last
            stretch *= 2
        return found[:limit]

    def _wanted(self, event: RecordedEvent[Any], stop: int | None) -> bool:
        return (
            event.workspace_id == self._log.workspace_id
            and event.category in self._log.categories
            and (stop is None or event.position <= stop)
        )

    def _notification(self, event: RecordedEvent[Any]) -> Notification:
        stored = to_library(event, own=event.category == self._log.own_category)
        return Notification(
            stored.originator_id, stored.originator_version, stored.topic, stored.state, id=event.position
        )


class LogTrackingRecorder(TrackingRecorder):
    """How far this application has processed others. Views that the library projects into derive from it."""

    def __init__(self, log: ApplicationLog) -> None:
        self._log = log

    def insert_tracking(self, tracking: Tracking) -> None:
        self.track(tracking)

    def track(self, tracking: Tracking, work: Callable[[Connection], Awaitable[Any]] | None = None) -> None:
        """Record the tracking and do `work` on the same connection, in one transaction: both or neither.

        Raises the library's IntegrityError where the notification, or a later one, was processed before.
        """

        async def both(store: ApplicationStore) -> None:
            async with store.pool.acquire() as connection, connection.transaction():
                await track(connection, self._log.application, tracking)
                if work is not None:
                    await work(connection)

        self._log.run(both)

    def read(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """What `work` answers on a connection of the pool; for the queries of a view."""

        async def on_connection(store: ApplicationStore) -> T:
            async with store.pool.acquire() as connection:
                return await work(connection)

        return self._log.run(on_connection)

    def max_tracking_id(self, application_name: str) -> int | None:
        async def last(store: ApplicationStore) -> int | None:
            tracker = self._log.application
            reached: int | None = await store.pool.fetchval(SQL["max_tracking_id"], tracker, application_name)
            return reached

        return self._log.run(last)


class LogProcessRecorder(LogTrackingRecorder, LogApplicationRecorder, ProcessRecorder):
    """Events and the tracking of what caused them, in one transaction."""

    def __init__(self, log: ApplicationLog) -> None:
        LogApplicationRecorder.__init__(self, log)

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        tracking: Tracking | None = kwargs.get("tracking")
        if tracking is not None and not stored_events:
            self.insert_tracking(tracking)
        return self._insert(stored_events, tracking)


def _uuid(originator_id: UUID | str) -> UUID:
    if not isinstance(originator_id, UUID):
        raise DataError(f"aggregate ids are UUIDs in this log, not {type(originator_id).__name__}")
    return originator_id
