"""Snapshots: equal to the full fold, encrypted like their stream, and never needed."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from eventstore.aggregate import SNAPSHOT_EVERY, Aggregates, SnapshotCodec
from eventstore.envelope import RecordedEvent, Stream, Unreadable
from eventstore.snapshots import WRITTEN_MAX
from eventstore.states import Since, read_states
from eventstore.store import EventStore
from tests.integration.eventstore.conftest import OpenStore, superuser
from tests.support.sample import CATEGORY, Counted, stream_of, write

LENGTH = SNAPSHOT_EVERY + 50


class Tally(msgspec.Struct, frozen=True):
    """Every number in order, and what could not be read."""

    id: UUID
    numbers: tuple[int, ...] = ()
    unreadable: int = 0


def evolve(state: Tally, event: RecordedEvent[Any]) -> Tally:
    if isinstance(event.event, Unreadable):
        return msgspec.structs.replace(state, unreadable=state.unreadable + 1)
    return msgspec.structs.replace(state, numbers=(*state.numbers, event.event.number))


class Rig:
    """Aggregates whose folding can be counted, as a process that has just started."""

    def __init__(self, store: EventStore, *, schema_version: int = 1, plain: bool = False) -> None:
        self.folded = 0
        self._store = store
        self._aggregates = Aggregates(
            store, category=CATEGORY, initial=Tally, evolve=self._evolve, cache_size=0,
            snapshots=SnapshotCodec(
                schema_version=schema_version, encode=msgspec.msgpack.encode,
                decode=msgspec.msgpack.Decoder(Tally).decode,
                subject_of=(lambda _: None) if plain else (lambda stream: stream.id),
            ),
        )  # fmt: skip

    async def load(self, stream: Stream) -> tuple[Tally, int]:
        self.folded = 0
        loaded = await self._aggregates.load(stream, fresh=True)
        await self._store.snapshots.settled()
        return loaded

    def _evolve(self, state: Tally, event: RecordedEvent[Any]) -> Tally:
        self.folded += 1
        return evolve(state, event)


def keep(store: EventStore, stream: Stream, version: int, payload: bytes) -> None:
    store.snapshots.keep(stream, 0, version=version, schema_version=1, subject_id=stream.id, encode=lambda: payload)


async def kept(store: EventStore, stream: Stream) -> tuple[bytes, int] | None:
    return (await read_states(store, {stream: 0}, 1, bytes))[stream].base


@pytest.fixture
async def long_stream(store: EventStore, workspace: UUID) -> Stream:
    stream = stream_of(workspace)
    await store.append(write(stream, *(Counted(n) for n in range(LENGTH)), subject=stream.id, new_subject=True))
    return stream


async def more(store: EventStore, stream: Stream, expected: int, number: int) -> None:
    await store.append(write(stream, Counted(number), expected=expected, subject=stream.id))


async def test_a_snapshot_and_the_rest_equal_the_full_fold(store: EventStore, long_stream: Stream) -> None:
    full = Tally(long_stream.id, tuple(range(LENGTH)))
    rig = Rig(store)
    assert await rig.load(long_stream) == (full, LENGTH)
    assert rig.folded == LENGTH
    assert await Rig(store).load(long_stream) == (full, LENGTH)
    await more(store, long_stream, LENGTH, -1)
    rig = Rig(store)
    assert await rig.load(long_stream) == (Tally(long_stream.id, (*range(LENGTH), -1)), LENGTH + 1)
    assert rig.folded == 1


async def test_a_short_stream_has_no_snapshot(store: EventStore, workspace: UUID) -> None:
    stream = stream_of(workspace)
    await store.append(write(stream, *(Counted(n) for n in range(SNAPSHOT_EVERY - 1))))
    await Rig(store, plain=True).load(stream)
    assert await kept(store, stream) is None


async def test_snapshots_are_disposable(store: EventStore, long_stream: Stream, module_database: str) -> None:
    await Rig(store).load(long_stream)
    async with superuser(module_database) as connection:
        await connection.execute("DELETE FROM log.snapshots")
    rig = Rig(store)
    assert (await rig.load(long_stream))[1] == LENGTH
    assert rig.folded == LENGTH


async def test_a_snapshot_of_another_schema_version_is_ignored_and_replaced(
    store: EventStore, long_stream: Stream
) -> None:
    await Rig(store).load(long_stream)
    newer = Rig(store, schema_version=2)
    assert (await newer.load(long_stream))[0].numbers == tuple(range(LENGTH))
    assert newer.folded == LENGTH
    again = Rig(store, schema_version=2)
    await again.load(long_stream)
    assert again.folded == 0


async def test_the_newer_of_two_snapshots_stays(store: EventStore, long_stream: Stream) -> None:
    for version, payload in ((20, b"newer"), (10, b"older")):
        keep(store, long_stream, version, payload)
        await store.snapshots.settled()
    assert await kept(store, long_stream) == (b"newer", 20)


async def test_of_two_that_wait_the_newer_is_written(store: EventStore, long_stream: Stream) -> None:
    for version, payload in ((20, b"newer"), (10, b"older")):
        keep(store, long_stream, version, payload)
    await store.snapshots.settled()
    assert await kept(store, long_stream) == (b"newer", 20)


async def test_snapshots_of_many_streams_are_written_and_read_in_one_statement_each(
    store: EventStore, workspace: UUID
) -> None:
    """More than one statement writes, so that all are taken."""
    streams = [stream_of(workspace) for _ in range(WRITTEN_MAX + 6)]
    for stream in streams:
        await store.append(write(stream, Counted(1), Counted(2), subject=stream.id, new_subject=True))
        keep(store, stream, 1, stream.id.bytes)
    await store.snapshots.settled()
    found = await read_states(store, dict.fromkeys(streams, 0), 1, bytes)
    assert {stream: since.base for stream, since in found.items()} == {s: (s.id.bytes, 1) for s in streams}
    assert all([event.version for event in since.events] == [2] for since in found.values())


async def test_a_snapshot_is_encrypted_and_gone_with_its_subject(
    store: EventStore, long_stream: Stream, module_database: str
) -> None:
    rig = Rig(store)
    await rig.load(long_stream)
    async with superuser(module_database) as connection:
        stored = await connection.fetchval("SELECT payload FROM log.snapshots WHERE stream_id = $1", long_stream.id)
        assert b"numbers" not in stored
        await connection.execute("DELETE FROM keys.subject_keys WHERE subject_id = $1", long_stream.id)
        assert await Rig(store).load(long_stream) == (Tally(long_stream.id, (), LENGTH), LENGTH)
        # And no readable one is made of what is left.
        await connection.execute("DELETE FROM log.snapshots")
        await Rig(store).load(long_stream)
        assert await connection.fetchval("SELECT count(*) FROM log.snapshots") == 0


async def test_a_foreign_workspace_gets_no_snapshot_by_id(store: EventStore, long_stream: Stream) -> None:
    await Rig(store).load(long_stream)
    foreign = Stream(uuid4(), long_stream.category, long_stream.id)
    found = await read_states(store, {foreign: 0, long_stream: 0}, 1, bytes)
    assert found[foreign] == Since(None, [])
    assert found[long_stream].base is not None
    assert await Rig(store).load(foreign) == (Tally(long_stream.id), 0)


async def test_a_snapshot_from_beyond_the_end_of_a_restored_log_is_not_believed(
    database: str, open_store: OpenStore, workspace: UUID
) -> None:
    """After a restore to an earlier moment, states of events that no longer are must not come back."""
    store = await open_store(database)
    stream = stream_of(workspace)
    await store.append(write(stream, *(Counted(n) for n in range(LENGTH))))
    await Rig(store, plain=True).load(stream)
    async with superuser(database) as connection:
        await connection.execute("DELETE FROM log.events WHERE position > 100")
    assert await Rig(store, plain=True).load(stream) == (Tally(stream.id, tuple(range(100))), 100)


@pytest.mark.parametrize("payload", [b"", b"\xff\xff", b"\x00" * 100])
@pytest.mark.parametrize("plain", [True, False])
async def test_a_snapshot_that_cannot_be_read_is_as_good_as_none(
    store: EventStore, workspace: UUID, module_database: str, payload: bytes, plain: bool
) -> None:
    stream = stream_of(workspace)
    subject = None if plain else stream.id
    await store.append(
        write(stream, *(Counted(n) for n in range(LENGTH)), subject=subject, new_subject=subject is not None)
    )
    await Rig(store, plain=plain).load(stream)
    async with superuser(module_database) as connection:
        await connection.execute("UPDATE log.snapshots SET payload = $2 WHERE stream_id = $1", stream.id, payload)
    assert await Rig(store, plain=plain).load(stream) == (Tally(stream.id, tuple(range(LENGTH))), LENGTH)


async def test_loading_goes_on_where_no_snapshot_can_be_kept(
    database: str, open_store: OpenStore, workspace: UUID
) -> None:
    store = await open_store(database)
    stream = stream_of(workspace)
    await store.append(write(stream, *(Counted(n) for n in range(LENGTH))))
    async with superuser(database) as connection:
        await connection.execute("REVOKE INSERT, UPDATE ON log.snapshots FROM rollbook_writer")
        assert await Rig(store, plain=True).load(stream) == (Tally(stream.id, tuple(range(LENGTH))), LENGTH)
        await connection.execute("GRANT INSERT, UPDATE ON log.snapshots TO rollbook_writer")
