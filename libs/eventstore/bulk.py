"""The COPY path for imports and seeds: same lane, same chain, in short chunks so that live commands keep their pace."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import accumulate
from typing import Any, Final
from uuid import UUID

import asyncpg

from eventstore.batch import Prepared
from eventstore.envelope import NO_STREAM, Appended, Stream, StreamWrite, slice_of
from eventstore.errors import ClaimTaken, DuplicateAppend, WrongExpectedVersion
from eventstore.rows import EventRow
from eventstore.sql import AnyConnection, load

SQL = load("eventstore", "queries.sql")

CHUNK_EVENTS_MAX: Final = 1_000
"""Holds the lane for about 10 to 20 ms; live commands wait that long at most."""
EVENT_COLUMNS: Final = (
    "position", "recorded_at", "version", "lane", "slice", "schema_version", "workspace_id", "stream_id", "event_id",
    "subject_id", "category", "type", "metadata", "payload",
)  # fmt: skip


def chunks(commands: Sequence[Prepared]) -> Iterator[list[Prepared]]:
    """In order, each up to CHUNK_EVENTS_MAX events or one larger command alone."""
    chunk: list[Prepared] = []
    events = 0
    for command in commands:
        if chunk and events + command.event_count > CHUNK_EVENTS_MAX:
            yield chunk
            chunk, events = [], 0
        chunk.append(command)
        events += command.event_count
    if chunk:
        yield chunk


async def copy_chunk(connection: AnyConnection, lane: int, commands: Sequence[Prepared]) -> list[Appended]:
    """Append the commands in one transaction: all or none.

    Raises:
        DuplicateAppend, WrongExpectedVersion, ClaimTaken: for the first command refused; the whole chunk is undone.
    """
    try:
        return await _copy(connection, lane, commands)
    except asyncpg.UniqueViolationError:
        await _check_versions(connection, lane, [s for c in commands for s in c.write.streams])
        raise


async def _copy(connection: AnyConnection, lane: int, commands: Sequence[Prepared]) -> list[Appended]:
    async with connection.transaction():
        await connection.execute(SQL["lock_lane"], lane)
        await _check(connection, lane, commands)
        end = await connection.fetchrow(SQL["lane_end"], lane)
        head, chain, recorded_at = (0, b"", await connection.fetchval("SELECT clock_timestamp()"))
        if end is not None:
            head, chain, recorded_at = end
        rows, digests = _event_rows(lane, head, recorded_at, commands)
        if rows:
            await connection.copy_records_to_table("events", schema_name="log", records=rows, columns=EVENT_COLUMNS)
            await connection.execute(
                SQL["insert_batch"], lane, head + len(rows), head + 1, recorded_at, chain, b"".join(digests),
                b"".join(digest[:8] for digest in digests),
            )  # fmt: skip
        ends = [head + count for count in accumulate(command.event_count for command in commands)]
        await _write_beside(connection, lane, recorded_at, commands, ends)
    return [
        Appended(lane=lane, last_position=last, event_count=command.event_count, recorded_at=recorded_at)
        for command, last in zip(commands, ends, strict=True)
    ]


async def _check(connection: AnyConnection, lane: int, commands: Sequence[Prepared]) -> None:
    """Under the lane lock, so nothing changes any more: keys unused, versions as expected, claims free."""
    writes = [command.write for command in commands]
    keyed = [write for write in writes if write.idempotency_key is not None]
    if keyed:
        row = await connection.fetchrow(
            SQL["first_duplicate"], [w.workspace_id for w in keyed], [w.idempotency_key for w in keyed]
        )
        if row is not None:
            original = Appended(
                lane=row["lane"], last_position=row["last_position"], event_count=row["event_count"],
                recorded_at=row["recorded_at"],
            )  # fmt: skip
            raise DuplicateAppend(original, same_request=keyed[row["n"] - 1].request_hash == row["request_hash"])
    # Streams that are new get their version from the unique index; only the others need a look.
    await _check_versions(
        connection, lane, [s for w in writes for s in w.streams if s.expected_version != NO_STREAM or not s.events]
    )
    claims = _claims(commands, take=True)
    if claims:
        released = _claims(commands, take=False)
        row = await connection.fetchrow(SQL["first_claim_taken"], *_columns(claims, 4), *_columns(released, 4))
        if row is not None:
            raise ClaimTaken(row["kind"], row["holder"])


async def _check_versions(connection: AnyConnection, lane: int, parts: Sequence[StreamWrite]) -> None:
    if not parts:
        return
    row = await connection.fetchrow(
        SQL["first_conflict"], lane, [p.stream.id for p in parts], [p.stream.category for p in parts],
        [p.stream.workspace_id for p in parts], [p.expected_version for p in parts],
    )  # fmt: skip
    if row is not None:
        raise WrongExpectedVersion(parts[row["n"] - 1].stream, row["expected"], row["actual"])


def _event_rows(
    lane: int, head: int, recorded_at: Any, commands: Sequence[Prepared]
) -> tuple[list[tuple[Any, ...]], list[bytes]]:
    rows: list[tuple[Any, ...]] = []
    digests: list[bytes] = []
    position = head
    for command in commands:
        for stream_write, event_rows in zip(command.write.streams, command.event_rows, strict=True):
            stream, subject = stream_write.stream, stream_write.subject_id
            slice_ = slice_of(stream.id)
            for version, row in enumerate(event_rows, stream_write.expected_version + 1):
                event_id, type_, schema_version, metadata, payload = row
                position += 1
                rows.append(
                    (
                        position,
                        recorded_at,
                        version,
                        lane,
                        slice_,
                        schema_version,
                        stream.workspace_id,
                        stream.id,
                        event_id,
                        subject,
                        stream.category,
                        type_,
                        metadata,
                        payload,
                    )
                )
                digests.append(event_digest(stream, version, subject, row))
    return rows, digests


def event_digest(stream: Stream, version: int, subject_id: UUID | None, row: EventRow) -> bytes:
    """The same digest as the SQL function log.digest; a test compares the two."""
    event_id, type_, schema_version, metadata, payload = row
    parts = (
        stream.workspace_id.bytes, stream.category.encode(), b"\0", stream.id.bytes, struct.pack(">i", version),
        event_id.bytes, type_.encode(), b"\0", struct.pack(">h", schema_version),
        b"\1" + subject_id.bytes if subject_id else b"\0", struct.pack(">i", len(metadata)), metadata, payload,
    )  # fmt: skip
    return sha256(b"".join(parts)).digest()


async def _write_beside(
    connection: AnyConnection, lane: int, recorded_at: Any, commands: Sequence[Prepared], ends: Sequence[int]
) -> None:
    keyed = [
        (w.workspace_id, w.idempotency_key, w.request_hash, end, recorded_at, command.event_count, lane)
        for command, end in zip(commands, ends, strict=True)
        if (w := command.write).idempotency_key is not None
    ]
    if keyed:
        await connection.copy_records_to_table("idempotency", schema_name="log", records=keyed, columns=(
            "workspace_id", "key", "request_hash", "last_position", "recorded_at", "event_count", "lane",
        ))  # fmt: skip
    if released := _claims(commands, take=False):
        await connection.execute(SQL["release_claims"], *_columns(released, 4))
    if taken := _claims(commands, take=True):
        await connection.execute(SQL["take_claims"], *_columns(taken, 4))
    suppressions = [
        (
            x.scope_id, x.address, x.kind, x.channel, x.topic, x.holder_id, end,
            (x.since or recorded_at) if x.status is not None else None, x.status, x.cause,
        )
        for command, end in zip(commands, ends, strict=True)
        for x in command.write.suppressions
    ]  # fmt: skip
    if suppressions:
        await connection.execute(SQL["write_suppressions"], *_columns(suppressions, 10))
    keys = [(subject, c.write.workspace_id, wrapped) for c in commands for subject, wrapped in c.key_rows]
    if keys:
        await connection.copy_records_to_table(
            "subject_keys", schema_name="keys", records=keys, columns=("subject_id", "workspace_id", "wrapped")
        )


def _claims(commands: Sequence[Prepared], *, take: bool) -> list[tuple[Any, ...]]:
    return [
        (command.write.workspace_id, kind, value, holder)
        for command in commands
        for kind, value, holder, taken in command.claim_rows
        if taken is take
    ]


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    return [[row[n] for row in rows] for n in range(width)]
