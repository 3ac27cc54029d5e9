"""The library's events in and out of the log's streams, between its versions and ours. No threads, no recorder."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from eventsourcing.persistence import DataError, IntegrityError, StoredEvent, Tracking

from eventstore.envelope import NO_STREAM, Appended, Metadata, RecordedEvent, Stream, StreamWrite, Write
from eventstore.errors import WrongExpectedVersion
from eventstore.facade.log import ApplicationLog
from eventstore.facade.raw import from_library, to_library
from eventstore.facade.store import SQL, ApplicationStore
from eventstore.store import VERSION_MAX

KNOWN_FIRST_VERSIONS_MAX: Final = 100_000
METADATA: Final = Metadata(source="eventsourcing")

Runs = dict[UUID, list[StoredEvent]]


class LibraryStreams:
    """Inserts and selects for one application.

    The log's versions are 1, 2, 3 …; the library lets an aggregate begin at any. Here it begins at 0 or 1 and leaves no
    hole: the first event tells which, and is looked up where this process has not seen the stream yet.
    """

    def __init__(self, log: ApplicationLog) -> None:
        self._log = log
        self._first_versions: dict[UUID, int] = {}

    async def insert(
        self, store: ApplicationStore, events: Sequence[StoredEvent], tracking: Tracking | None = None
    ) -> list[int]:
        """Positions in the order of `events`. Raises WrongExpectedVersion or the library's IntegrityError."""
        runs = _runs(events)
        unknown = [id_ for id_, run in runs.items() if run[0].originator_version > 1]
        await self._look_up(store, unknown)
        try:
            appended = await self._append(store, runs, tracking)
        except WrongExpectedVersion:
            # A run that begins at 1 was taken for a new aggregate; it may be the second event of one that began at 0.
            if not await self._look_up(store, [id_ for id_, run in runs.items() if run[0].originator_version == 1]):
                raise
            appended = await self._append(store, runs, tracking)
        for id_, run in runs.items():
            self._remember(id_, self._first_version(id_, run))
        return _positions(events, runs, appended)

    async def select(
        self, store: ApplicationStore, id_: UUID, gt: int | None, lte: int | None, desc: bool, limit: int | None
    ) -> list[StoredEvent]:
        """By the library's versions. Where they count from 0 ours are one higher, so one more is read at either end."""
        after = max(gt or 0, 0)
        to = VERSION_MAX if lte is None else lte + 1
        if limit is not None and not desc:
            to = min(to, after + limit + 1)
        found: list[StoredEvent] = []
        for stream, events in (await self._read(store, id_, after, to, limit if desc else None)).items():
            own = stream.category == self._log.own_category
            found = [to_library(event, own=own) for event in events]
            if found and own:
                self._remember(id_, found[0].originator_version - events[0].version + 1)
            if found:
                break
        low, high = -1 if gt is None else gt, VERSION_MAX if lte is None else lte
        found = [event for event in found if low < event.originator_version <= high]
        return (found[::-1] if desc else found)[:limit]

    async def _read(
        self, store: ApplicationStore, id_: UUID, after: int, to: int, newest: int | None
    ) -> dict[Stream, list[RecordedEvent[Any]]]:
        streams = [Stream(self._log.workspace_id, category, id_) for category in self._log.categories]

        async def read(stream: Stream) -> list[RecordedEvent[Any]]:
            start = after
            if newest is not None:
                last = await store.pool.fetchval(SQL["last_version"], store.lane, stream.id, stream.category) or 0
                start = max(after, min(last, to) - newest - 1)
            return await store.read_stream(stream, after_version=start, to_version=to)

        return dict(zip(streams, await asyncio.gather(*map(read, streams)), strict=True))

    async def _append(self, store: ApplicationStore, runs: Runs, tracking: Tracking | None) -> Appended:
        write = Write(
            workspace_id=self._log.workspace_id,
            streams=tuple(
                StreamWrite(
                    stream=self._log.own_stream(id_),
                    expected_version=self._expected_version(id_, run),
                    events=tuple(map(from_library, run)),
                )
                for id_, run in runs.items()
            ),
            metadata=METADATA,
        )
        if tracking is None:
            return await store.append(write)
        return await store.append_tracked(write, self._log.application, tracking)

    def _expected_version(self, id_: UUID, run: list[StoredEvent]) -> int:
        expected = run[0].originator_version - self._first_version(id_, run)
        if expected < NO_STREAM:
            raise IntegrityError(f"{id_} begins at version 1, so there is no place for version 0")
        return expected

    def _first_version(self, id_: UUID, run: list[StoredEvent]) -> int:
        return self._first_versions.get(id_, min(run[0].originator_version, 1))

    async def _look_up(self, store: ApplicationStore, ids: Sequence[UUID]) -> bool:
        """Whether something was learned that this process did not know."""
        learned = False
        for id_ in ids:
            if id_ in self._first_versions:
                continue
            first = await store.read_stream(self._log.own_stream(id_), to_version=1)
            if first:
                self._remember(id_, to_library(first[0], own=True).originator_version)
                learned = True
        return learned

    def _remember(self, id_: UUID, first_version: int) -> None:
        if len(self._first_versions) >= KNOWN_FIRST_VERSIONS_MAX:
            self._first_versions.clear()
        self._first_versions[id_] = first_version


def _runs(events: Sequence[StoredEvent]) -> Runs:
    """Events by aggregate, each run of them without holes or repeats."""
    runs: Runs = {}
    for event in events:
        id_ = event.originator_id
        if not isinstance(id_, UUID):
            raise DataError(f"aggregate ids are UUIDs in this log, not {type(id_).__name__}")
        run = runs.setdefault(id_, [])
        if run and event.originator_version != run[-1].originator_version + 1:
            raise IntegrityError(f"{id_}: {event.originator_version} cannot follow {run[-1].originator_version}")
        if not run and event.originator_version < 0:
            raise IntegrityError(f"{id_}: versions begin at 0 or 1, not {event.originator_version}")
        run.append(event)
    return runs


def _positions(events: Sequence[StoredEvent], runs: Runs, appended: Appended) -> list[int]:
    """The log holds the runs one after the other; the caller gets positions in the order that it gave the events."""
    place = appended.first_position
    following: dict[UUID | str, int] = {}
    for id_, run in runs.items():
        following[id_] = place
        place += len(run)
    positions: list[int] = []
    for event in events:
        positions.append(following[event.originator_id])
        following[event.originator_id] += 1
    return positions
