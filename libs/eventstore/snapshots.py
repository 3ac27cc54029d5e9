"""Writes snapshots of streams in the background, encrypted like their events. Reading them is in `states`.

When to take one is the aggregates' business. One that is missing or cannot be read costs time and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final
from uuid import UUID

import asyncpg
import msgspec

from eventstore.cipher import SubjectCipher
from eventstore.connection import CONNECTION_ERRORS
from eventstore.envelope import Stream
from eventstore.sql import load

SQL = load("eventstore", "queries.sql")
#: Written in one statement.
WRITTEN_MAX: Final = 64
#: Those that come in while so many are waiting are left to the next load.
WAITING_MAX: Final = 1_000


def context(stream_id: UUID) -> bytes:
    """What a snapshot is bound to: taken for another stream's or for an event, it does not decrypt."""
    return b"snapshot" + stream_id.bytes


class Waiting(msgspec.Struct, frozen=True):
    """A snapshot on its way into the database."""

    lane: int
    version: int
    schema_version: int
    subject_id: UUID | None
    encode: Callable[[], bytes]


class SnapshotWriter:
    """Writes snapshots one statement after the other, while those that come in gather. For one event loop."""

    def __init__(self, pool: asyncpg.Pool, cipher: SubjectCipher) -> None:
        self._pool = pool
        self._cipher = cipher
        self._waiting: dict[Stream, Waiting] = {}
        self._writing: asyncio.Task[None] | None = None

    def keep(
        self, stream: Stream, lane: int, *, version: int, schema_version: int, subject_id: UUID | None,
        encode: Callable[[], bytes],
    ) -> None:  # fmt: skip
        """Soon, unless a newer one is kept or the subject is erased. A database that cannot write it goes without."""
        known = self._waiting.get(stream)
        if len(self._waiting) >= WAITING_MAX or (known is not None and known.version > version):
            return
        self._waiting[stream] = Waiting(lane, version, schema_version, subject_id, encode)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())

    async def settled(self) -> None:
        """Returns when what was handed over is written, or was given up."""
        while self._writing is not None:
            await asyncio.shield(self._writing)

    async def close(self) -> None:
        """Gives up what is not written yet."""
        self._waiting.clear()
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)

    async def _write(self) -> None:
        try:
            while self._waiting:
                streams = list(self._waiting)[:WRITTEN_MAX]
                try:
                    await self._save([(stream, self._waiting.pop(stream)) for stream in streams])
                except CONNECTION_ERRORS:
                    # Full disk, read-only server, lost connection: the next load folds again and tries again.
                    continue
        finally:
            self._writing = None

    async def _save(self, taken: Sequence[tuple[Stream, Waiting]]) -> None:
        rows = list(self._sealed(taken, await self._keys(each.subject_id for _, each in taken)))
        if rows:
            await self._pool.execute(SQL["save_snapshots"], *map(list, zip(*rows, strict=True)))

    async def _keys(self, subjects: Iterable[UUID | None]) -> dict[UUID, bytes]:
        wanted = [subject_id for subject_id in subjects if subject_id is not None]
        rows = await self._pool.fetch(SQL["subject_keys"], wanted) if wanted else ()
        return {row["subject_id"]: row["wrapped"] for row in rows}

    def _sealed(self, taken: Sequence[tuple[Stream, Waiting]], keys: dict[UUID, bytes]) -> Iterable[tuple[object, ...]]:
        for stream, each in taken:
            wrapped = None if each.subject_id is None else keys.get(each.subject_id)
            payload = each.encode()
            if each.subject_id is not None:
                if wrapped is None:
                    continue
                payload = self._cipher.encrypt(each.subject_id, wrapped, payload, context(stream.id))
            yield (
                each.lane, stream.id, stream.category, each.version, each.schema_version, each.subject_id, wrapped,
                payload,
            )  # fmt: skip
