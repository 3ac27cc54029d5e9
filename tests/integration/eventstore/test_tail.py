"""The tail of a process: read once for all units, equal to the log wherever one begins, and silent on no bad event."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventstore import tail as tails
from eventstore.envelope import ALL_SLICES, LaneBatch
from eventstore.errors import UnknownEventType
from eventstore.store import EventStore
from eventstore.tail import LogTail
from tests.integration.eventstore.conftest import OpenStore, superuser
from tests.support.sample import Counted, Noted, stream_of, write

NOTED = frozenset({"test.noted"})
COUNTED = frozenset({"test.counted"})


class Watched(EventStore):
    """Counts its reads, and can hold them up."""

    def watch(self) -> None:
        self.reads = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.begun = asyncio.Event()

    async def read_lane(self, lane: int, **how: Any) -> LaneBatch:
        self.reads += 1
        batch = await super().read_lane(lane, **how)
        self.begun.set()
        await self.gate.wait()
        return batch


@pytest.fixture
async def store(database: str, open_store: OpenStore) -> Watched:
    store = await open_store(database)
    store.__class__ = Watched
    assert isinstance(store, Watched)
    store.watch()
    return store


async def _fill(store: EventStore, workspace: UUID, count: int) -> None:
    for number in range(count):
        event = Counted(number) if number % 3 else Noted(str(number))
        await store.append(write(stream_of(workspace), event))


def _positions(batch: LaneBatch) -> list[int]:
    return [event.position for event in batch.events]


async def test_units_at_the_head_share_one_read(store: Watched, workspace: UUID) -> None:
    await _fill(store, workspace, 6)
    tail = LogTail(store, [NOTED, COUNTED])
    batches = await asyncio.gather(
        *(tail.read_lane(0, after=0, limit=100, types=types) for types in (NOTED, COUNTED, NOTED | COUNTED))
    )
    assert store.reads == 1
    assert [_positions(batch) for batch in batches] == [[1, 4], [2, 3, 5, 6], [1, 2, 3, 4, 5, 6]]
    assert {batch.last for batch in batches} == {6}
    assert _positions(await tail.read_lane(0, after=2, limit=2, types=NOTED)) == [4]
    assert store.reads == 1


async def test_who_asks_after_a_commit_never_gets_an_answer_from_before_it(store: Watched, workspace: UUID) -> None:
    tail = LogTail(store, [NOTED])
    store.gate.clear()
    early = asyncio.create_task(tail.read_lane(0, after=0, limit=100, types=NOTED))
    await store.begun.wait()
    await store.append(write(stream_of(workspace), Noted("late")))
    asked_after = asyncio.create_task(tail.read_lane(0, after=0, limit=100, types=NOTED))
    await asyncio.sleep(0)
    store.gate.set()
    assert _positions(await early) == []
    assert _positions(await asked_after) == [1]


async def test_a_waiter_that_goes_away_stops_no_other(store: Watched, workspace: UUID) -> None:
    await _fill(store, workspace, 1)
    tail = LogTail(store, [NOTED])
    store.gate.clear()
    first, second = (asyncio.create_task(tail.read_lane(0, after=0, limit=9, types=NOTED)) for _ in range(2))
    await store.begun.wait()
    first.cancel()
    store.gate.set()
    assert _positions(await second) == [1]


async def test_an_event_that_cannot_be_decoded_is_met_by_whoever_wants_it(
    store: Watched, database: str, workspace: UUID
) -> None:
    await _fill(store, workspace, 3)
    async with superuser(database) as connection:
        await connection.execute("UPDATE log.events SET schema_version = 9 WHERE position = 2")
    tail = LogTail(store, [NOTED, COUNTED])
    with pytest.raises(UnknownEventType):
        await tail.read_lane(0, after=0, limit=100, types=COUNTED)
    assert _positions(await tail.read_lane(0, after=0, limit=100, types=NOTED)) == [1]
    assert _positions(await tail.read_lane(0, after=2, limit=100, types=COUNTED)) == [3]


async def test_it_reads_as_the_log_does_from_anywhere_in_any_order(
    store: Watched, workspace: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tails, "KEPT_MAX", 12)
    monkeypatch.setattr(tails, "READ_MAX", 5)
    await _fill(store, workspace, 40)
    loop = asyncio.get_running_loop()
    wanted = st.sampled_from([NOTED, COUNTED, NOTED | COUNTED])
    slices = st.sampled_from([ALL_SLICES, (0, 511), (512, 1023)])
    reads = st.lists(st.tuples(st.integers(0, 42), st.integers(1, 30), wanted, slices), min_size=1, max_size=12)

    async def check(asked: list[tuple[int, int, frozenset[str], tuple[int, int]]]) -> None:
        tail = LogTail(store, [NOTED, COUNTED])
        for after, limit, types, within in asked:
            got = await tail.read_lane(0, after=after, limit=limit, types=types, slices=within)
            length = max(1, got.last - after)
            assert got.last > after or after >= 40
            assert got.last - after <= limit
            assert got == await EventStore.read_lane(store, 0, after=after, limit=length, types=types, slices=within)

    @settings(max_examples=40, suppress_health_check=list(HealthCheck))
    @given(reads)
    def search(asked: list[tuple[int, int, frozenset[str], tuple[int, int]]]) -> None:
        asyncio.run_coroutine_threadsafe(check(asked), loop).result()

    await asyncio.to_thread(search)


async def test_a_read_that_has_just_ended_is_no_answer_to_a_later_question(store: Watched, workspace: UUID) -> None:
    tail = LogTail(store, [NOTED])
    store.gate.clear()
    first = asyncio.create_task(tail.read_lane(0, after=0, limit=10, types=NOTED))
    await store.begun.wait()
    await store.append(write(stream_of(workspace), Noted("meanwhile")))
    reading = tail._lanes[0]._reading
    assert reading is not None
    store.gate.set()
    while not reading.done():
        await asyncio.sleep(0)
    assert _positions(await tail.read_lane(0, after=0, limit=10, types=NOTED)) == [1]
    await first
