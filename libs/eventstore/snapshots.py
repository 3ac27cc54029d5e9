"""Reads and writes snapshots of streams, encrypted like their events. When to take one is the aggregates' business."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import asyncpg
from cryptography.exceptions import InvalidTag

from eventstore.cipher import SubjectCipher
from eventstore.envelope import Stream
from eventstore.sql import load

SQL = load("eventstore", "queries.sql")
_CONTEXT = b"snapshot"


async def load_snapshots(
    pool: asyncpg.Pool, cipher: SubjectCipher, lane: int, streams: Sequence[Stream], schema_version: int
) -> dict[Stream, tuple[int, bytes]]:
    """(version, payload) of the streams that have a snapshot of this schema version and a key to read it."""
    rows = await pool.fetch(
        SQL["load_snapshots"], lane, [s.id for s in streams], [s.category for s in streams],
        [s.workspace_id for s in streams], schema_version,
    )  # fmt: skip
    found: dict[Stream, tuple[int, bytes]] = {}
    for row in rows:
        payload, subject_id = row["payload"], row["subject_id"]
        if subject_id is not None:
            if row["wrapped"] is None:
                continue  # erased: the stream itself tells
            try:
                payload = cipher.decrypt(subject_id, row["wrapped"], payload, _CONTEXT + row["stream_id"].bytes)
            except (InvalidTag, ValueError):
                continue  # as good as none
        stream = Stream(row["workspace_id"], row["category"], row["stream_id"])
        found[stream] = row["version"], payload
    return found


async def save_snapshot(
    pool: asyncpg.Pool,
    cipher: SubjectCipher,
    lane: int,
    stream: Stream,
    *,
    version: int,
    schema_version: int,
    payload: bytes,
    subject_id: UUID | None,
) -> None:
    """Keeps the newer of this and what is there. Nothing is kept for an erased subject."""
    if subject_id is not None:
        wrapped = await pool.fetchval(SQL["subject_key"], subject_id)
        if wrapped is None:
            return
        payload = cipher.encrypt(subject_id, wrapped, payload, _CONTEXT + stream.id.bytes)
    await pool.execute(
        SQL["save_snapshot"], lane, stream.id, stream.category, version, schema_version, subject_id, payload
    )
