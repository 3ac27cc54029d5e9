"""Proves that a lane is whole: dense positions and versions, a hash chain that fits the stored events. Reads only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

import asyncpg
import msgspec

from eventstore.bulk import event_digest
from eventstore.envelope import Stream, slice_of
from eventstore.sql import load

SQL = load("eventstore", "queries.sql")
BATCHES_READ: Final = 2_000
POSITION_MIN: Final = -(2**63)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class ChainReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a verification found. `first_bad_position` is None for a whole lane."""

    lane: int
    batches: int
    events: int
    #: The chain at the end: compare it with one exported earlier to find a rewritten tail.
    head: bytes
    first_bad_position: int | None = None
    reason: str | None = None


Progress = Callable[[int], None]
"""Told the position reached."""


class _Broken(Exception):
    def __init__(self, position: int, reason: str) -> None:
        super().__init__(reason)
        self.position = position
        self.reason = reason


async def verify_chain(pool: asyncpg.Pool, lane: int, progress: Progress | None = None) -> ChainReport:
    """Walk a lane from its first batch; stops at the first thing that does not fit."""
    chain, expected, batches = b"", 1, 0
    try:
        first = await pool.fetchval(SQL["first_event_after"], lane, POSITION_MIN)
        if first is not None and first < 1:
            raise _Broken(first, "an event stands before the first position")
        async for batch in _batches(pool, lane):
            if batch["first_position"] != expected:
                raise _Broken(expected, f"a batch begins at {batch['first_position']}")
            chain = await _verify_batch(pool, lane, batch, chain)
            expected = batch["last_position"] + 1
            batches += 1
            if progress is not None:
                progress(batch["last_position"])
        if (stray := await pool.fetchval(SQL["first_event_after"], lane, expected - 1)) is not None:
            raise _Broken(stray, "an event stands behind the last batch")
        if (position := await pool.fetchval(SQL["first_version_gap"], lane)) is not None:
            raise _Broken(position, "the versions of its stream are not 1, 2, 3 …")
    except _Broken as broken:
        return ChainReport(
            lane=lane, batches=batches, events=expected - 1, head=chain, first_bad_position=broken.position,
            reason=broken.reason,
        )  # fmt: skip
    return ChainReport(lane=lane, batches=batches, events=expected - 1, head=chain)


async def _batches(pool: asyncpg.Pool, lane: int) -> AsyncIterator[asyncpg.Record]:
    after = 0
    while rows := await pool.fetch(SQL["read_batches"], lane, after, BATCHES_READ):
        for row in rows:
            yield row
        after = rows[-1]["last_position"]


async def _verify_batch(pool: asyncpg.Pool, lane: int, batch: asyncpg.Record, previous: bytes) -> bytes:
    first, last, recorded_at = batch["first_position"], batch["last_position"], batch["recorded_at"]
    rows = await pool.fetch(SQL["read_raw"], lane, first, last)
    digests: list[bytes] = []
    for position in range(first, last + 1):
        row = rows[position - first] if position - first < len(rows) else None
        if row is None or row["position"] != position:
            raise _Broken(position, "no event stands here")
        digest = event_digest(
            Stream(row["workspace_id"], row["category"], row["stream_id"]), row["version"], row["subject_id"],
            (row["event_id"], row["type"], row["schema_version"], row["metadata"], row["payload"]),
        )  # fmt: skip
        offset = (position - first) * 8
        if digest[:8] != batch["digests"][offset : offset + 8]:
            raise _Broken(position, "the event is not the one that was written")
        if row["recorded_at"] != recorded_at:
            raise _Broken(position, "its time is not that of its batch")
        if row["slice"] != slice_of(row["stream_id"]):
            raise _Broken(position, "its slice is not that of its stream")
        digests.append(digest)
    chain = _link(previous, first, last, recorded_at, b"".join(digests))
    if chain != batch["chain"]:
        raise _Broken(first, f"the chain does not fit the batch of positions {first} to {last}")
    return chain


def _link(previous: bytes, first: int, last: int, recorded_at: datetime, digests: bytes) -> bytes:
    """The same link as the SQL function log.chain."""
    elapsed = recorded_at - EPOCH
    micros = (elapsed.days * 86_400 + elapsed.seconds) * 1_000_000 + elapsed.microseconds
    numbers = b"".join(number.to_bytes(8, "big", signed=True) for number in (first, last, micros))
    return sha256(previous + numbers + digests).digest()
