"""Folded aggregates: coalesced loads, an LRU of states as a baseline, snapshots of long streams. No rules."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

import msgspec

from eventstore.envelope import RecordedEvent, Stream
from eventstore.gathering import Gathering
from eventstore.states import Since, read_states
from eventstore.store import EventStore

S = TypeVar("S")

LOADS_MAX: Final = 256
"""Streams asked for in one query."""
SNAPSHOT_EVERY: Final = 200
"""Events folded since the last snapshot before a new one is kept: to read and fold so many takes two milliseconds."""


class SnapshotCodec(msgspec.Struct, Generic[S], frozen=True, kw_only=True):
    """How a state is kept as a snapshot. Raise `schema_version` whenever the state or the fold changes."""

    schema_version: int
    encode: Callable[[S], bytes]
    decode: Callable[[bytes], S]
    #: Whose data key encrypts the snapshot of a stream; None for states without personal data.
    subject_of: Callable[[Stream], UUID | None]


class Aggregates(Generic[S]):
    """States of one category by stream. A cached state only saves reading: appends still check the version."""

    def __init__(
        self,
        store: EventStore,
        *,
        category: str,
        initial: Callable[[UUID], S],
        evolve: Callable[[S, RecordedEvent[Any]], S],
        snapshots: SnapshotCodec[S] | None = None,
        cache_size: int = 100_000,
    ) -> None:
        self._store = store
        self.category = category
        self._initial = initial
        self._evolve = evolve
        self._snapshots = snapshots
        self._cache_size = cache_size
        self._cache: dict[Stream, tuple[S, int]] = {}
        self._loads = Gathering(self._load, most=LOADS_MAX)

    async def load(self, stream: Stream, *, fresh: bool = False) -> tuple[S, int]:
        """(state, version); version 0 for a stream that never existed.

        From the cache where possible: it may lag behind other processes, which an append with the version finds out.
        `fresh` reads what was committed since, for answers that no append will check.
        """
        if not fresh and (cached := self._cache.pop(stream, None)) is not None:
            self._cache[stream] = cached  # most recently used last
            return cached
        return await self._loads.ask(stream)

    def remember(self, stream: Stream, state: S, version: int) -> None:
        """Keep a state that the caller folded from what it appended itself."""
        known = self._cache.pop(stream, None)
        self._cache[stream] = known if known is not None and known[1] > version else (state, version)
        if len(self._cache) > self._cache_size:
            del self._cache[next(iter(self._cache))]

    def forget(self, stream: Stream) -> None:
        self._cache.pop(stream, None)

    async def _load(self, streams: list[Stream]) -> dict[Stream, tuple[S, int]]:
        states = await self._read(streams)
        for stream, (state, version) in states.items():
            if version:
                self.remember(stream, state, version)
        return states

    async def _read(self, streams: list[Stream]) -> dict[Stream, tuple[S, int]]:
        known = {stream: self._cache.get(stream) or (self._initial(stream.id), 0) for stream in streams}
        found = await self._find({stream: version for stream, (_, version) in known.items()})
        states: dict[Stream, tuple[S, int]] = {}
        for stream, since in found.items():
            state, version = since.base or known[stream]
            for event in since.events:
                state = self._evolve(state, event)
                version = event.version
            states[stream] = state, version
            if self._snapshots is not None and len(since.events) >= SNAPSHOT_EVERY:
                self._keep(self._snapshots, stream, state, version)
        return states

    async def _find(self, after_versions: dict[Stream, int]) -> dict[Stream, Since[S]]:
        if self._snapshots is not None:
            codec = self._snapshots
            return await read_states(self._store, after_versions, codec.schema_version, codec.decode)
        read = await self._store.read_streams(list(after_versions), list(after_versions.values()))
        return {stream: Since(None, events) for stream, events in read.items()}

    def _keep(self, codec: SnapshotCodec[S], stream: Stream, state: S, version: int) -> None:
        self._store.snapshots.keep(
            stream,
            self._store.lane_of(stream.workspace_id),
            version=version,
            schema_version=codec.schema_version,
            subject_id=codec.subject_of(stream),
            encode=partial(codec.encode, state),
        )
