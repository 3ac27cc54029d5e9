"""Reads what states are folded from: the newest snapshot of each stream, and the events after it. Folds nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import msgspec
from cryptography.exceptions import InvalidTag

from eventstore.envelope import RecordedEvent, Stream
from eventstore.errors import KeyUnavailable
from eventstore.snapshots import context
from eventstore.sql import load

if TYPE_CHECKING:
    import asyncpg

    from eventstore.cipher import SubjectCipher
    from eventstore.store import EventStore

S = TypeVar("S")

SQL: Final = load("eventstore", "queries.sql")
#: The type of an event row that is a snapshot.
SNAPSHOT: Final = ""


class Since(msgspec.Struct, Generic[S], frozen=True):
    """What the log has of a stream after some version."""

    #: A state and its version, where there is a snapshot; only where everything was asked for.
    base: tuple[S, int] | None
    #: After the version asked for, or after that of the snapshot.
    events: list[RecordedEvent[Any]]


async def read_states(
    store: EventStore, after_versions: Mapping[Stream, int], schema_version: int, decode: Callable[[bytes], S]
) -> dict[Stream, Since[S]]:
    """Of several streams in one round trip. A snapshot that cannot be read costs another, and is as good as none."""
    found: dict[Stream, Since[S]] = {}
    unreadable: list[Stream] = []
    for lane in {store.lane_of(stream.workspace_id) for stream in after_versions}:
        wanted = {s: version for s, version in after_versions.items() if store.lane_of(s.workspace_id) == lane}
        rows = await _fetch(store, lane, wanted, schema_version)
        found |= {stream: Since(None, []) for stream in wanted}
        kept = [row for row in rows if row["type"] == SNAPSHOT]
        for row in kept:
            stream = Stream(row["workspace_id"], row["category"], row["stream_id"])
            state = _opened(store.cipher, row, decode)
            if state is None:
                unreadable.append(stream)
            found[stream] = Since(state, [])
        events = store.decode_streams([row for row in rows if row["type"] != SNAPSHOT] if kept else rows)
        for stream, own in by_stream(events):
            found[stream].events.extend(own)
    if unreadable:
        read = await store.read_streams(unreadable)
        found |= {stream: Since(None, events) for stream, events in read.items()}
    return found


def by_stream(events: Iterable[RecordedEvent[Any]]) -> Iterator[tuple[Stream, list[RecordedEvent[Any]]]]:
    """Runs of one stream each: of thousands of events, a stream is made for few."""
    for _, run in groupby(events, key=attrgetter("stream_id", "category", "workspace_id")):
        own = list(run)
        yield own[0].stream, own


async def _fetch(
    store: EventStore, lane: int, wanted: Mapping[Stream, int], schema_version: int
) -> list[asyncpg.Record]:  # fmt: skip
    return await store.pool.fetch(
        SQL["read_states"],
        lane,
        [stream.id for stream in wanted],
        [stream.category for stream in wanted],
        [stream.workspace_id for stream in wanted],
        list(wanted.values()),
        schema_version,
    )


def _opened(cipher: SubjectCipher, row: asyncpg.Record, decode: Callable[[bytes], S]) -> tuple[S, int] | None:
    payload, subject_id = row["payload"], row["subject_id"]
    try:
        if subject_id is not None:
            payload = cipher.decrypt(subject_id, row["wrapped"], payload, context(row["stream_id"]))
        return decode(payload), row["version"]
    except (InvalidTag, KeyUnavailable, msgspec.MsgspecError, ValueError):
        return None
