"""The event store: appends by group commit or COPY, reads streams and lanes. Projections and rules are elsewhere."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Self
from uuid import UUID

import asyncpg

from eventstore import bulk
from eventstore.appender import SQL, Appender, AppendObserver, lost, not_now
from eventstore.batch import KeyRow, Prepared
from eventstore.cipher import SubjectCipher
from eventstore.connection import CONNECT_TIMEOUT_S, learn_types, open_pool, session_settings
from eventstore.envelope import (
    ALL_SLICES,
    ANY_VERSION,
    Appended,
    LaneBatch,
    RecordedEvent,
    Stream,
    StreamWrite,
    Write,
    slice_of,
)
from eventstore.errors import PositionGap, StoreUnavailable, SubjectErased, WrongExpectedVersion
from eventstore.rows import EventRow, RowCodec, encode_metadata
from eventstore.snapshots import SnapshotWriter

if TYPE_CHECKING:
    from eventstore.cipher import Keyring
    from eventstore.codec import Codec

VERSION_MAX: Final = 2**31 - 1
POSITION_MAX: Final = 2**63 - 1
SUBJECT_KEYS_MAX: Final = 200_000
STATEMENT_TIMEOUT_S: Final = 30
READ_TIMEOUT_S: Final = 60
CLOSE_TIMEOUT_S: Final = 3.0
APPEND_SETTINGS: Final = {"plan_cache_mode": "force_generic_plan"}
"""Every plan of an append is right for any batch; left to itself, PostgreSQL makes a new one for each long array."""


class EventStore:
    """Opened once per process on one event loop; every method may be called concurrently."""

    def __init__(
        self, dsn: str, pool: asyncpg.Pool, codec: Codec, keyring: Keyring, role: str | None,
        observer: AppendObserver | None,
    ) -> None:  # fmt: skip
        self.codec = codec
        self.keyring = keyring
        #: For reads of the log; appends have connections of their own.
        self.pool = pool
        self.lanes: tuple[int, ...] = ()
        self._dsn = dsn
        self._settings = session_settings(role)
        self.cipher = SubjectCipher(keyring)
        #: Of the states of aggregates.
        self.snapshots = SnapshotWriter(pool, self.cipher)
        self._rows = RowCodec(codec, self.cipher)
        self._observer = observer
        self._appenders: dict[int, Appender] = {}
        self._slice_lanes: list[int] = []
        self._subject_keys: dict[UUID, bytes] = {}
        self._closing = False

    @classmethod
    async def open(
        cls, dsn: str, *, codec: Codec, keyring: Keyring, role: str | None = "rollbook_writer", pool_size: int = 8,
        observer: AppendObserver | None = None,
    ) -> Self:  # fmt: skip
        """Connects, as `role` where one is given; the schema must be migrated."""
        pool = await open_pool(dsn, settings=session_settings(role), size=pool_size, timeout_s=READ_TIMEOUT_S)
        store = cls(dsn, pool, codec, keyring, role, observer)
        await store._read_lanes()
        return store

    async def close(self) -> None:
        """Commits what is queued, then disconnects; a database that does not answer is not waited for long."""
        self._closing = True
        await asyncio.gather(*(appender.close() for appender in self._appenders.values()))
        await self.snapshots.close()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self.pool.close()
        except TimeoutError:
            self.pool.terminate()

    def lane_of(self, workspace_id: UUID) -> int:
        return self._slice_lanes[slice_of(workspace_id)]

    async def append(self, write: Write) -> Appended:
        """Appends all of a write or nothing, durable when it returns; waits for its commit batch.

        Raises:
            WrongExpectedVersion: a stream is not at its expected version.
            ClaimTaken: another stream holds a claimed value.
            DuplicateAppend: the idempotency key has had its effect; tells what it wrote.
            SubjectErased: a subject has no data key.
            StoreUnavailable: PostgreSQL stayed away; repeat with the same idempotency key.
            Overloaded: too many appends are waiting; nothing was written.
        """
        self._refuse_when_closing()
        command = await self._prepare(write)
        try:
            return await self._appender(self.lane_of(write.workspace_id)).append(command)
        except (SubjectErased, WrongExpectedVersion):
            # Whatever moved on may have been erased: the next attempt asks for the keys again.
            self._forget_keys(part.subject_id for part in write.streams)
            raise
        finally:
            self._forget_keys(write.destroy_subjects)

    async def append_bulk(self, writes: Sequence[Write]) -> list[Appended]:
        """Appends many writes by COPY in chunks of up to 1,000 events, each chunk a commit of its own.

        Writes of one call share no stream, claim or idempotency key, and name their expected versions. Between chunks
        live commands get their turn. Raises like `append` for the first refused write: its chunk is undone as a whole,
        earlier chunks stand (repeat with the same idempotency keys, or send the chunk's writes through `append`).
        """
        self._refuse_when_closing()
        if any(part.expected_version < 0 for write in writes for part in write.streams):
            raise ValueError("the bulk path needs expected versions")
        if any(write.destroy_subjects for write in writes):
            raise ValueError("the bulk path destroys no data keys")
        answers: list[Appended] = []
        for lane in sorted({self.lane_of(write.workspace_id) for write in writes}):
            commands = [await self._prepare(w) for w in writes if self.lane_of(w.workspace_id) == lane]
            appender = self._appender(lane)
            for chunk in bulk.chunks(commands):
                started = time.perf_counter()
                appended = await self._copy(lane, chunk)
                appender.announce(appended[-1].last_position)
                for subject_id, wrapped in (row for command in chunk for row in command.key_rows):
                    self._remember_key(subject_id, wrapped)  # what is written next is often about the same people
                if self._observer is not None:
                    events = sum(command.event_count for command in chunk)
                    seconds = time.perf_counter() - started
                    self._observer.committed(lane, len(chunk), events, seconds, appended[-1].last_position)
                answers.extend(appended)
        return answers

    async def _copy(self, lane: int, chunk: Sequence[Prepared]) -> list[Appended]:
        sent = False
        try:
            async with self.pool.acquire() as connection:
                sent = True
                return await bulk.copy_chunk(connection, lane, chunk)
        except Exception as error:
            if lost(error) or not_now(error):
                raise StoreUnavailable(type(error).__name__, outcome_unknown=sent and lost(error)) from error
            raise

    async def read_stream(
        self, stream: Stream, *, after_version: int = 0, to_version: int = VERSION_MAX,
        to_position: int = POSITION_MAX, to_time: datetime | None = None,
    ) -> list[RecordedEvent[Any]]:  # fmt: skip
        """Events in version order, all bounds inclusive but `after_version`; empty for an unknown stream."""
        lane = self.lane_of(stream.workspace_id)
        if to_time is not None:
            to_position = min(to_position, await self.position_at(lane, to_time))
        rows = await self.pool.fetch(
            SQL["read_stream"], lane, stream.id, stream.category, stream.workspace_id, after_version, to_version,
            to_position,
        )  # fmt: skip
        return self.decode_streams(rows)

    async def read_streams(
        self, streams: Sequence[Stream], after_versions: Sequence[int] | None = None
    ) -> dict[Stream, list[RecordedEvent[Any]]]:
        """Several streams of one lane in one round trip; an unknown one answers an empty list."""
        found: dict[Stream, list[RecordedEvent[Any]]] = {stream: [] for stream in streams}
        for lane in {self.lane_of(stream.workspace_id) for stream in streams}:
            wanted = [n for n, stream in enumerate(streams) if self.lane_of(stream.workspace_id) == lane]
            rows = await self.pool.fetch(
                SQL["read_streams"],
                lane,
                [streams[n].id for n in wanted],
                [streams[n].category for n in wanted],
                [streams[n].workspace_id for n in wanted],
                [after_versions[n] if after_versions else 0 for n in wanted],
            )
            for event in self.decode_streams(rows):
                found[event.stream].append(event)
        return found

    async def read_lane(
        self, lane: int, *, after: int, limit: int, types: frozenset[str] | None = None,
        slices: tuple[int, int] = ALL_SLICES,
    ) -> LaneBatch:  # fmt: skip
        """The next `limit` positions of a lane, asserting that none is missing.

        Events of other types and slices are read past without being fetched or decoded. Raises PositionGap.
        """
        if types is None and slices == ALL_SLICES:
            rows = await self.pool.fetch(SQL["read_lane"], lane, after, limit)
            wanted = rows
        else:
            rows = await self.pool.fetch(SQL["read_lane_filtered"], lane, after, limit, _list(types), *slices)
            wanted = [row for row in rows if row["payload"] is not None]
        self.assert_dense(lane, after, rows)
        return LaneBatch(lane=lane, after=after, last=after + len(rows), events=self._rows.decode_all(wanted))

    @staticmethod
    def assert_dense(lane: int, after: int, rows: Sequence[asyncpg.Record]) -> None:
        """Raises PositionGap unless the rows hold the positions right after `after`, one by one."""
        if rows and rows[-1]["position"] == after + len(rows) and rows[0]["position"] == after + 1:
            return
        for expected, row in enumerate(rows, after + 1):
            if row["position"] != expected:
                raise PositionGap(lane, expected, row["position"])

    def decode(self, rows: Sequence[asyncpg.Record]) -> list[RecordedEvent[Any]]:
        """Decrypts and decodes rows with the columns of `read_lane`, from a query of the caller's own.

        Raises UnknownEventType, InvalidTag or DecodeError for a row that this code cannot read.
        """
        return self._rows.decode_all(rows)

    def decode_streams(self, rows: Sequence[asyncpg.Record]) -> list[RecordedEvent[Any]]:
        """As `decode`. Keeps the data keys as well: what is loaded is about to be written to."""
        subject_id: UUID | None = None
        for row in rows:
            if row["subject_id"] == subject_id:
                continue
            subject_id = row["subject_id"]
            if row["wrapped"] is not None:
                self._remember_key(row["subject_id"], row["wrapped"])
            else:
                self._forget_keys([subject_id])
        return self._rows.decode_all(rows)

    async def head(self, lane: int) -> int:
        """Last committed position; 0 for an empty lane."""
        return await self.pool.fetchval(SQL["head"], lane) or 0

    async def position_at(self, lane: int, time: datetime) -> int:
        """Last position recorded at or before `time`; 0 before the first."""
        return await self.pool.fetchval(SQL["position_at"], lane, time) or 0

    async def find_claim(self, workspace_id: UUID, kind: str, value: str) -> UUID | None:
        """The stream that holds a claim now, as the last commit left it."""
        holder: UUID | None = await self.pool.fetchval(
            SQL["find_claim"], workspace_id, kind, self._claim_hmac(workspace_id, kind, value)
        )
        return holder

    async def find_claims(self, workspace_id: UUID, claims: Iterable[tuple[str, str]]) -> dict[tuple[str, str], UUID]:
        """The streams that hold claims (kind, value) now, in one round trip; those that nobody holds are left out."""
        by_hmac = {(kind, self._claim_hmac(workspace_id, kind, value)): (kind, value) for kind, value in claims}
        kinds, values = zip(*by_hmac, strict=True) if by_hmac else ((), ())
        rows = await self.pool.fetch(SQL["find_claims"], workspace_id, kinds, values)
        return {by_hmac[row["kind"], row["value_hmac"]]: row["holder"] for row in rows}

    async def find_idempotent(self, workspace_id: UUID, key: str) -> tuple[Appended, bytes] | None:
        """What an idempotency key wrote, and the digest of its request."""
        row = await self.pool.fetchrow(SQL["find_idempotent"], workspace_id, key)
        if row is None:
            return None
        appended = Appended(
            lane=row["lane"],
            last_position=row["last_position"],
            event_count=row["event_count"],
            recorded_at=row["recorded_at"],
        )
        return appended, row["request_hash"]

    async def connect(self) -> asyncpg.Connection:
        """A connection outside the pool with the store's role, for appenders and listeners."""
        connection = await asyncpg.connect(
            self._dsn, server_settings=self._settings | APPEND_SETTINGS, command_timeout=STATEMENT_TIMEOUT_S,
            timeout=CONNECT_TIMEOUT_S,
        )  # fmt: skip
        try:
            await learn_types(connection)
            await connection.fetch(SQL["row_types"], [], [], [], [], [])
        except BaseException:
            connection.terminate()
            raise
        return connection

    def _appender(self, lane: int) -> Appender:
        if (appender := self._appenders.get(lane)) is None:
            self._refuse_when_closing()
            appender = self._appenders[lane] = Appender(lane, self.connect, self._observer)
        return appender

    async def _read_lanes(self) -> None:
        rows = await self.pool.fetch(SQL["lanes"])
        self.lanes = tuple(row["lane"] for row in rows)
        self._slice_lanes = [
            next(row["lane"] for row in rows if row["slice_from"] <= slice_ <= row["slice_to"])
            for slice_ in range(ALL_SLICES[1] + 1)
        ]

    async def _prepare(self, write: Write) -> Prepared:
        metadata = encode_metadata(write.metadata)
        event_rows: list[list[EventRow]] = []
        key_rows: list[KeyRow] = []
        for stream_write in write.streams:
            _check(write, stream_write)
            wrapped = None
            if stream_write.subject_id is not None and stream_write.events:
                wrapped = await self._subject_key(stream_write, key_rows)
            event_rows.append(self._rows.encode(stream_write, wrapped, metadata))
        claim_rows = [
            (c.kind, self._claim_hmac(write.workspace_id, c.kind, c.value), c.holder, c.take)
            for c in dict.fromkeys(write.claims)
        ]
        return Prepared(write, event_rows, claim_rows, key_rows)

    async def _subject_key(self, write: StreamWrite, key_rows: list[KeyRow]) -> bytes:
        subject_id = write.subject_id
        assert subject_id is not None
        if write.new_subject:
            wrapped = self.cipher.create_key(subject_id)
            key_rows.append((subject_id, wrapped))
            return wrapped
        known = self._subject_keys.get(subject_id)
        if known is None:
            known = await self._fetch_key(subject_id)
            self._remember_key(subject_id, known)
        return known

    async def _fetch_key(self, subject_id: UUID) -> bytes:
        try:
            wrapped: bytes | None = await self.pool.fetchval(SQL["subject_key"], subject_id)
        except Exception as error:
            if lost(error) or not_now(error):
                raise StoreUnavailable(type(error).__name__, outcome_unknown=False) from error
            raise
        if wrapped is None:
            raise SubjectErased(subject_id)
        return wrapped

    def _refuse_when_closing(self) -> None:
        if self._closing:
            raise StoreUnavailable("the event store is closing", outcome_unknown=False)

    def _remember_key(self, subject_id: UUID, wrapped: bytes) -> None:
        if len(self._subject_keys) >= SUBJECT_KEYS_MAX:
            self._subject_keys.clear()
        self._subject_keys[subject_id] = wrapped

    def _forget_keys(self, subjects: Iterable[UUID | None]) -> None:
        for subject_id in subjects:
            if subject_id is not None:
                self._subject_keys.pop(subject_id, None)

    def _claim_hmac(self, workspace_id: UUID, kind: str, value: str) -> bytes:
        # The workspace is in the HMAC, so that equal values of two workspaces cannot be told to be equal.
        return self.keyring.hmac("claim", f"{workspace_id.hex}/{kind}/{value}")


def _check(write: Write, stream_write: StreamWrite) -> None:
    if stream_write.stream.workspace_id != write.workspace_id:
        raise ValueError(f"{stream_write.stream} is not of workspace {write.workspace_id}")
    if stream_write.expected_version < ANY_VERSION:
        raise ValueError(f"{stream_write.stream}: no version is {stream_write.expected_version}")
    if stream_write.expected_version == ANY_VERSION and write.idempotency_key is None:
        # Without a version there is nothing else by which a lost answer could be told from a lost write.
        raise ValueError(f"{stream_write.stream}: appending at any version needs an idempotency key")


def _list(types: frozenset[str] | None) -> list[str] | None:
    return None if types is None else sorted(types)
