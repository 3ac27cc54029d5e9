"""Folded aggregates: one query for many loads, a cache that is a baseline, failures that stay with their stream."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from eventstore.aggregate import Aggregates
from eventstore.envelope import RecordedEvent, Stream
from eventstore.errors import UnknownEventType
from eventstore.store import EventStore
from tests.integration.eventstore.conftest import OpenStore, superuser
from tests.support.sample import CATEGORY, CODEC, Counted, Noted, keyring, stream_of, write
from tests.support.waiting import until


class Sum(msgspec.Struct, frozen=True):
    """Of the numbers of a stream; adding one twice shows."""

    id: UUID
    total: int = 0
    words: int = 0


class Unfoldable(Exception):
    """Raised by the fold itself."""


def evolve(state: Sum, event: RecordedEvent[Any]) -> Sum:
    match event.event:
        case Counted(number):
            return msgspec.structs.replace(state, total=state.total + number)
        case Noted("unfoldable"):
            raise Unfoldable
    return msgspec.structs.replace(state, words=state.words + 1)


class CountingStore(EventStore):
    """Counts its queries, and waits before each while `held` is set."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.asked: list[list[Stream]] = []
        self.going_on = asyncio.Event()
        self.going_on.set()

    async def read_streams(
        self, streams: Sequence[Stream], after_versions: Sequence[int] | None = None
    ) -> dict[Stream, list[RecordedEvent[Any]]]:
        self.asked.append(list(streams))
        await self.going_on.wait()
        return await super().read_streams(streams, after_versions)


@pytest.fixture
async def counting(module_database: str) -> Any:
    store = await CountingStore.open(module_database, codec=CODEC, keyring=keyring())
    yield store
    await store.close()


def sums(store: EventStore, **options: Any) -> Aggregates[Sum]:
    return Aggregates(store, category=CATEGORY, initial=Sum, evolve=evolve, **options)


async def counted(store: EventStore, stream: Stream, *numbers: int, expected: int = 0) -> None:
    await store.append(write(stream, *map(Counted, numbers), expected=expected))


async def test_a_stream_is_folded_to_its_state_and_version(counting: CountingStore, workspace: UUID) -> None:
    stream = stream_of(workspace)
    await counted(counting, stream, 1, 2, 3)
    assert await sums(counting).load(stream) == (Sum(stream.id, 6), 3)


async def test_a_stream_that_never_existed_has_version_0(counting: CountingStore, workspace: UUID) -> None:
    stream = stream_of(workspace)
    aggregates = sums(counting)
    assert await aggregates.load(stream) == (Sum(stream.id), 0)
    await counted(counting, stream, 1)
    assert await aggregates.load(stream) == (Sum(stream.id, 1), 1)  # absence is not cached


async def test_loads_at_once_are_one_query(counting: CountingStore, workspace: UUID) -> None:
    streams = [stream_of(workspace) for _ in range(100)]
    await asyncio.gather(*(counted(counting, stream, n) for n, stream in enumerate(streams)))
    aggregates = sums(counting)
    loaded = await asyncio.gather(*(aggregates.load(stream) for stream in streams for _ in range(3)))
    assert [state.total for state, _ in loaded] == [n for n in range(100) for _ in range(3)]
    assert [len(asked) for asked in counting.asked] == [100]


async def test_loads_gather_while_a_query_runs(counting: CountingStore, workspace: UUID) -> None:
    streams = [stream_of(workspace) for _ in range(300)]
    aggregates = sums(counting)
    counting.going_on.clear()
    first = asyncio.create_task(aggregates.load(streams[0]))
    await until(lambda: counting.asked, what="the first query")
    others = [asyncio.create_task(aggregates.load(stream)) for stream in streams]
    await asyncio.sleep(0)
    counting.going_on.set()
    await asyncio.gather(first, *others)
    # One stream again: it was asked for after its query had begun, and may have changed since. 256 is the most at once.
    assert [len(asked) for asked in counting.asked] == [1, 256, 44]


async def test_a_loaded_state_is_cached(counting: CountingStore, workspace: UUID) -> None:
    stream = stream_of(workspace)
    await counted(counting, stream, 1)
    aggregates = sums(counting)
    for _ in range(3):
        assert await aggregates.load(stream) == (Sum(stream.id, 1), 1)
    assert len(counting.asked) == 1
    aggregates.forget(stream)
    await aggregates.load(stream)
    assert len(counting.asked) == 2


async def test_a_fresh_load_sees_what_others_wrote_and_folds_only_that(
    counting: CountingStore, open_store: OpenStore, workspace: UUID
) -> None:
    stream = stream_of(workspace)
    await counted(counting, stream, 1, 2)
    aggregates = sums(counting)
    await aggregates.load(stream)
    await counted(await open_store(), stream, 10, expected=2)
    assert await aggregates.load(stream) == (Sum(stream.id, 3), 2)
    assert await aggregates.load(stream, fresh=True) == (Sum(stream.id, 13), 3)
    assert await aggregates.load(stream) == (Sum(stream.id, 13), 3)


async def test_a_fresh_load_does_not_join_a_query_that_began_before_it(
    counting: CountingStore, open_store: OpenStore, workspace: UUID
) -> None:
    stream = stream_of(workspace)
    other = await open_store()
    aggregates = sums(counting)

    async def slow(
        streams: Sequence[Stream], after_versions: Sequence[int] | None = None
    ) -> dict[Stream, list[RecordedEvent[Any]]]:
        found = await EventStore.read_streams(counting, streams, after_versions)
        counting.asked.append(list(streams))
        await counting.going_on.wait()
        return found

    counting.read_streams = slow  # type: ignore[method-assign]
    counting.going_on.clear()
    early = asyncio.create_task(aggregates.load(stream))
    await until(lambda: counting.asked, what="the early query has its answer")
    await counted(other, stream, 5)
    late = asyncio.create_task(aggregates.load(stream, fresh=True))
    await asyncio.sleep(0)
    counting.going_on.set()
    assert await early == (Sum(stream.id), 0)
    assert await late == (Sum(stream.id, 5), 1)


async def test_the_newer_of_two_remembered_states_stays(counting: CountingStore, workspace: UUID) -> None:
    stream = stream_of(workspace)
    aggregates = sums(counting)
    aggregates.remember(stream, Sum(stream.id, 5), 5)
    aggregates.remember(stream, Sum(stream.id, 3), 3)
    assert await aggregates.load(stream) == (Sum(stream.id, 5), 5)
    assert counting.asked == []


async def test_a_load_does_not_replace_what_was_remembered_while_it_ran(
    counting: CountingStore, workspace: UUID
) -> None:
    stream = stream_of(workspace)
    await counted(counting, stream, 1)
    aggregates = sums(counting)
    counting.going_on.clear()
    loading = asyncio.create_task(aggregates.load(stream))
    await until(lambda: counting.asked, what="the query")
    aggregates.remember(stream, Sum(stream.id, 100), 7)
    counting.going_on.set()
    await loading
    assert await aggregates.load(stream) == (Sum(stream.id, 100), 7)


async def test_the_least_recently_used_states_are_dropped(counting: CountingStore, workspace: UUID) -> None:
    streams = [stream_of(workspace) for _ in range(4)]
    for stream in streams:
        await counted(counting, stream, 1)
    aggregates = sums(counting, cache_size=3)
    for stream in streams[:3]:
        await aggregates.load(stream)
    await aggregates.load(streams[0])
    await aggregates.load(streams[3])  # drops the second
    counting.asked.clear()
    for stream in (streams[0], streams[2], streams[3]):
        await aggregates.load(stream)
    assert counting.asked == []
    await aggregates.load(streams[1])
    assert counting.asked == [[streams[1]]]


async def test_one_stream_that_cannot_be_folded_fails_alone(
    counting: CountingStore, workspace: UUID, module_database: str
) -> None:
    good = [stream_of(workspace) for _ in range(20)]
    unfoldable, undecodable = stream_of(workspace), stream_of(workspace)
    for stream in good:
        await counted(counting, stream, 1)
    await counting.append(write(unfoldable, Noted("unfoldable")))
    await counted(counting, undecodable, 1)
    async with superuser(module_database) as connection:
        await connection.execute("UPDATE log.events SET type = 'x' WHERE stream_id = $1", undecodable.id)
    aggregates = sums(counting)
    streams = [*good[:10], unfoldable, undecodable, *good[10:]]
    loaded = await asyncio.gather(*(aggregates.load(stream) for stream in streams), return_exceptions=True)
    assert isinstance(loaded.pop(11), UnknownEventType)
    assert isinstance(loaded.pop(10), Unfoldable)
    assert loaded == [(Sum(stream.id, 1), 1) for stream in good]
    with pytest.raises(Unfoldable):
        await aggregates.load(unfoldable)


async def test_a_caller_that_goes_away_leaves_the_load_to_the_others(counting: CountingStore, workspace: UUID) -> None:
    stream = stream_of(workspace)
    await counted(counting, stream, 1)
    aggregates = sums(counting)
    counting.going_on.clear()
    callers = [asyncio.create_task(aggregates.load(stream)) for _ in range(3)]
    await until(lambda: counting.asked, what="the query")
    callers[0].cancel()
    counting.going_on.set()
    answers = await asyncio.gather(*callers, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert answers[1:] == [(Sum(stream.id, 1), 1)] * 2


async def test_loading_works_again_after_the_database_was_away(counting: CountingStore, workspace: UUID) -> None:
    streams = [stream_of(workspace) for _ in range(50)]
    await asyncio.gather(*(counted(counting, stream, 1) for stream in streams))
    aggregates = sums(counting)
    counting.going_on.clear()
    loading = [asyncio.create_task(aggregates.load(stream)) for stream in streams]
    await until(lambda: counting.asked, what="the query")
    real, counting.pool = counting.pool, _Broken()  # type: ignore[assignment]
    counting.going_on.set()
    async with asyncio.timeout(5):
        answers = await asyncio.gather(*loading, return_exceptions=True)
    counting.pool = real
    assert all(isinstance(answer, OSError) for answer in answers)
    assert len(counting.asked) == 1  # not once more for each of them
    assert await aggregates.load(streams[0]) == (Sum(streams[0].id, 1), 1)


class _Broken:
    """A pool whose database is away."""

    async def fetch(self, *_: object) -> None:
        raise ConnectionRefusedError


@pytest.mark.parametrize("owner_first", [True, False])
async def test_a_foreign_workspace_loading_the_same_id_changes_nobodys_state(
    counting: CountingStore, workspace: UUID, owner_first: bool
) -> None:
    own = stream_of(workspace)
    foreign = Stream(uuid4(), own.category, own.id)
    aggregates = sums(counting)
    await counted(counting, own, 1, 2)
    order = (own, foreign) if owner_first else (foreign, own)
    for total, version in ((3, 2), (13, 3)):
        loaded = await asyncio.gather(*(aggregates.load(stream, fresh=True) for stream in order))
        assert dict(zip(order, loaded, strict=True)) == {own: (Sum(own.id, total), version), foreign: (Sum(own.id), 0)}
        await counted(counting, own, 10, expected=version)
