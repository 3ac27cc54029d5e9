"""Facts by the thousand: COPY in short chunks, and yet each write has an idempotency key and a verdict of its own.

For what streams in and takes any version: `EventStore.append` decides a hundred such writes at once, and its price is
one look into the index for each; here a chunk is looked up as a whole and copied. The log cannot tell which way an
event came: same lane, same lock, same chain, same rows beside it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from uuid import UUID

import msgspec

from eventstore.appender import lost, not_now
from eventstore.bulk import EVENT_COLUMNS, event_digest
from eventstore.bulk import SQL as BULK_SQL
from eventstore.envelope import ANY_VERSION, Appended, Stream, StreamWrite, Write, slice_of
from eventstore.errors import DuplicateAppend, StoreUnavailable, SubjectErased, WrongExpectedVersion
from eventstore.rows import EventRow, encode_metadata
from eventstore.sql import AnyConnection, load

if TYPE_CHECKING:
    from asyncpg import Record

    from eventstore.store import EventStore

Verdict: TypeAlias = Appended | DuplicateAppend | WrongExpectedVersion | SubjectErased

CHUNK_EVENTS_MAX: Final = 500
"""Holds the lane for some ten milliseconds; live commands wait that long at most."""
KEY_COLUMNS: Final = (
    "workspace_id", "key", "request_hash", "last_position", "recorded_at", "event_count", "lane",
)  # fmt: skip
SQL: Final = load("eventstore", "adding.sql")


def is_addable(write: Write) -> bool:
    """Whether `add_each` takes it: a key, facts at any version, and at least one look at a stream."""
    adds = [part for part in write.streams if part.events]
    looks = [part for part in write.streams if not part.events]
    return (
        write.idempotency_key is not None
        and not (write.claims or write.suppressions or write.destroy_subjects)
        and all(part.expected_version == ANY_VERSION and not part.new_subject for part in adds)
        and bool(looks)
        and all(part.expected_version > 0 for part in looks)
        and all(part.stream.workspace_id == write.workspace_id for part in write.streams)
    )


async def add_each(store: EventStore, writes: Sequence[Write]) -> list[Verdict]:
    """What became of each write, all durable when it returns; one that is refused stops no other.

    A subject's data key is not looked for again: the stream that a write looks at has to move when it is destroyed.
    Writes of one key are decided one after the other.

    Raises:
        ValueError: a write is not addable.
        StoreUnavailable: any of them may have been added; send all again.
    """
    if not all(map(is_addable, writes)):
        raise ValueError("only keyed facts at any version, beside looks at streams, can be added")
    verdicts: dict[int, Verdict] = {}
    prepared: dict[int, _Encoded] = {}
    for n, write in enumerate(writes):
        try:
            prepared[n] = await _encode(store, write)
        except SubjectErased as erased:
            verdicts[n] = erased
    while waiting := [n for n in prepared if n not in verdicts]:
        for lane, chunk in _chunks(store, prepared, waiting).items():
            decided = await _add(store, lane, [prepared[n] for n in chunk])
            verdicts.update(zip(chunk, decided, strict=True))
            # The event loop belongs to others as well.
            await asyncio.sleep(0)
    return [verdicts[n] for n in range(len(writes))]


class _Encoded(msgspec.Struct, frozen=True, gc=False):
    """A write with its rows, stream by stream."""

    write: Write
    event_rows: list[list[EventRow]]
    event_count: int


async def _encode(store: EventStore, write: Write) -> _Encoded:
    metadata = encode_metadata(write.metadata)
    event_rows: list[list[EventRow]] = []
    count = 0
    for part in write.streams:
        wrapped = await store._subject_key(part, []) if part.events and part.subject_id is not None else None
        event_rows.append(store._rows.encode(part, wrapped, metadata) if part.events else [])
        count += len(part.events)
    return _Encoded(write, event_rows, count)


def _chunks(store: EventStore, prepared: Mapping[int, _Encoded], waiting: Iterable[int]) -> dict[int, list[int]]:
    """The next of each lane, in order, no key twice."""
    chunks: dict[int, list[int]] = {}
    events: dict[int, int] = {}
    keys: set[tuple[UUID, str | None]] = set()
    for n in waiting:
        write = prepared[n].write
        lane = store.lane_of(write.workspace_id)
        key = write.workspace_id, write.idempotency_key
        if key not in keys and events.get(lane, 0) < CHUNK_EVENTS_MAX:
            keys.add(key)
            chunks.setdefault(lane, []).append(n)
            events[lane] = events.get(lane, 0) + prepared[n].event_count
    return chunks


async def _add(store: EventStore, lane: int, commands: Sequence[_Encoded]) -> list[Verdict]:
    started = time.perf_counter()
    sent = False
    try:
        async with store.pool.acquire() as connection:
            sent = True
            async with connection.transaction():
                verdicts = await _decide(connection, lane, commands)
    except Exception as error:
        if lost(error) or not_now(error):
            raise StoreUnavailable(type(error).__name__, outcome_unknown=sent and lost(error)) from error
        raise
    added = [verdict for verdict in verdicts if isinstance(verdict, Appended)]
    store._forget_keys(
        part.subject_id
        for command, verdict in zip(commands, verdicts, strict=True)
        if isinstance(verdict, WrongExpectedVersion)
        for part in command.write.streams
    )
    if added:
        store._appender(lane).announce(added[-1].last_position)
        if store._observer is not None:
            events = sum(each.event_count for each in added)
            seconds = time.perf_counter() - started
            store._observer.committed(lane, len(commands), events, seconds, added[-1].last_position)
    return verdicts


async def _decide(connection: AnyConnection, lane: int, commands: Sequence[_Encoded]) -> list[Verdict]:
    await connection.execute(BULK_SQL["lock_lane"], lane)
    duplicates = await _duplicates(connection, commands)
    ends = await _ends(connection, lane, commands)
    end = await connection.fetchrow(BULK_SQL["lane_end"], lane)
    head, chain, recorded_at = (
        (0, b"", await connection.fetchval("SELECT clock_timestamp()")) if end is None else tuple(end)
    )
    batch = _Batch(lane, head, recorded_at, ends)
    verdicts = [duplicates.get(n) or batch.add(command) for n, command in enumerate(commands, 1)]
    await batch.write(connection, chain)
    return verdicts


async def _duplicates(connection: AnyConnection, commands: Sequence[_Encoded]) -> dict[int, Verdict]:
    writes = [command.write for command in commands]
    rows = await connection.fetch(
        SQL["used_keys"], [w.workspace_id for w in writes], [w.idempotency_key for w in writes]
    )  # fmt: skip
    return {row["n"]: _duplicate(row, writes[row["n"] - 1]) for row in rows}


def _duplicate(row: Record, write: Write) -> DuplicateAppend:
    original = Appended(
        lane=row["lane"],
        last_position=row["last_position"],
        event_count=row["event_count"],
        recorded_at=row["recorded_at"],
    )
    return DuplicateAppend(original, same_request=row["request_hash"] == write.request_hash)


async def _ends(connection: AnyConnection, lane: int, commands: Sequence[_Encoded]) -> dict[Stream, int]:
    """How far every stream is that the commands name; one of another workspace is at -1, where nobody expects it."""
    streams = list(dict.fromkeys(part.stream for command in commands for part in command.write.streams))
    ends = dict.fromkeys(streams, 0)
    rows = await connection.fetch(
        SQL["stream_ends"], lane, [stream.id for stream in streams], [stream.category for stream in streams]
    )
    for row in rows:
        stream = streams[row["n"] - 1]
        ends[stream] = row["version"] if row["workspace_id"] == stream.workspace_id else -1
    return ends


class _Batch:
    """The rows of one chunk while its commands are decided."""

    def __init__(self, lane: int, head: int, recorded_at: datetime, ends: dict[Stream, int]) -> None:
        self._lane = lane
        self._head = self._position = head
        self._recorded_at = recorded_at
        self._ends = ends
        self._events: list[tuple[Any, ...]] = []
        self._keys: list[tuple[Any, ...]] = []
        self._digests: list[bytes] = []

    def add(self, command: _Encoded) -> Verdict:
        for part in command.write.streams:
            actual = self._ends[part.stream]
            if actual < 0 or part.expected_version not in (ANY_VERSION, actual):
                return WrongExpectedVersion(part.stream, part.expected_version, max(0, actual))
        for part, rows in zip(command.write.streams, command.event_rows, strict=True):
            self._add_events(part, rows)
        write = command.write
        self._keys.append(
            (
                write.workspace_id,
                write.idempotency_key,
                write.request_hash,
                self._position,
                self._recorded_at,
                command.event_count,
                self._lane,
            )
        )
        return Appended(
            lane=self._lane,
            last_position=self._position,
            event_count=command.event_count,
            recorded_at=self._recorded_at,
        )

    def _add_events(self, part: StreamWrite, rows: Sequence[Any]) -> None:
        stream, subject_id = part.stream, part.subject_id
        slice_ = slice_of(stream.id)
        for row in rows:
            event_id, type_, schema_version, metadata, payload = row
            self._position += 1
            version = self._ends[stream] = self._ends[stream] + 1
            self._events.append(
                (
                    self._position,
                    self._recorded_at,
                    version,
                    self._lane,
                    slice_,
                    schema_version,
                    stream.workspace_id,
                    stream.id,
                    event_id,
                    subject_id,
                    stream.category,
                    type_,
                    metadata,
                    payload,
                )
            )
            self._digests.append(event_digest(stream, version, subject_id, row))

    async def write(self, connection: AnyConnection, chain: bytes) -> None:
        if self._events:
            await connection.copy_records_to_table(
                "events", schema_name="log", records=self._events, columns=EVENT_COLUMNS
            )
            await connection.execute(
                BULK_SQL["insert_batch"], self._lane, self._position, self._head + 1, self._recorded_at, chain,
                b"".join(self._digests), b"".join(digest[:8] for digest in self._digests),
            )  # fmt: skip
        if self._keys:
            await connection.copy_records_to_table(
                "idempotency", schema_name="log", records=self._keys, columns=KEY_COLUMNS
            )
