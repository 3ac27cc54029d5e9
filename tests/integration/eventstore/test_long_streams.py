"""Streams that grew long have snapshots before anybody loads them, whichever way they were written."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from eventstore.aggregate import SNAPSHOT_EVERY, Aggregates, SnapshotCodec
from eventstore.envelope import RecordedEvent, Stream
from eventstore.longstreams import LongStreams
from eventstore.states import read_states
from eventstore.store import EventStore
from tests.support.sample import CATEGORY, Counted, stream_of, write


def following(store: EventStore) -> LongStreams:
    def evolve(count: int, event: RecordedEvent[Any]) -> int:
        return count + 1

    codec = SnapshotCodec[int](schema_version=1, encode=encode, decode=decode, subject_of=lambda _: None)
    aggregates = Aggregates(
        store, category=CATEGORY, initial=lambda _: 0, evolve=evolve, snapshots=codec, cache_size=0
    )  # fmt: skip
    return LongStreams(store, [aggregates])


def encode(count: int) -> bytes:
    return count.to_bytes(4)


def decode(payload: bytes) -> int:
    return int.from_bytes(payload)


async def snapshots(store: EventStore, *streams: Stream) -> list[int]:
    """The version of each, 0 where there is none."""
    found = await read_states(store, dict.fromkeys(streams, 0), 1, decode)
    assert all(since.base is None or since.base[0] == since.base[1] for since in found.values())
    return [since.base[1] if since.base else 0 for since in found.values()]


def numbers(count: int) -> list[Counted]:
    return [Counted(n) for n in range(count)]


async def test_streams_that_grew_long_have_snapshots_and_others_have_none(store: EventStore, workspace: UUID) -> None:
    at = await store.head(0)
    bulk, live, short = (stream_of(workspace) for _ in range(3))
    foreign = Stream(workspace, "other", bulk.id)
    await store.append_bulk([write(bulk, *numbers(SNAPSHOT_EVERY + 7), expected=0)])
    await store.append(write(short, *numbers(SNAPSHOT_EVERY - 1)))
    await store.append(write(foreign, *numbers(SNAPSHOT_EVERY)))
    await store.append(write(live, *numbers(SNAPSHOT_EVERY - 1)))
    long_streams = following(store)
    at = await long_streams.follow(0, at)
    assert await snapshots(store, bulk, live, short, foreign) == [SNAPSHOT_EVERY + 7, 0, 0, 0]
    await store.append(write(live, Counted(1), expected=SNAPSHOT_EVERY - 1))
    assert await long_streams.follow(0, at) == await store.head(0)
    assert await snapshots(store, bulk, live, short, foreign) == [SNAPSHOT_EVERY + 7, SNAPSHOT_EVERY, 0, 0]


async def test_a_stream_that_goes_on_growing_gets_newer_ones(store: EventStore, workspace: UUID) -> None:
    at, long_streams, stream = await store.head(0), following(store), stream_of(workspace)
    for length in (SNAPSHOT_EVERY, 2 * SNAPSHOT_EVERY):
        await store.append(write(stream, *numbers(SNAPSHOT_EVERY), expected=length - SNAPSHOT_EVERY))
        at = await long_streams.follow(0, at)
        assert await snapshots(store, stream) == [length]
