"""Facts by the thousand: each its own verdict, in one chain with everything else, once whatever happens."""

from __future__ import annotations

import asyncio
import random
from itertools import chain
from uuid import UUID, uuid4

import pytest

from eventstore.adding import Verdict, add_each, is_addable
from eventstore.envelope import ANY_VERSION, Appended, Metadata, Stream, StreamWrite, Write
from eventstore.errors import DuplicateAppend, StoreUnavailable, SubjectErased, WrongExpectedVersion
from eventstore.store import EventStore
from tests.integration.eventstore.appending import assert_whole
from tests.integration.eventstore.conftest import OpenStore
from tests.support.sample import Counted


async def person(store: EventStore, workspace: UUID) -> Stream:
    """Somebody with a stream of their own at version 1, and a data key."""
    stream = Stream(workspace, "note", uuid4())
    made = StreamWrite(
        stream=stream, expected_version=0, events=(Counted(0),), subject_id=stream.id, new_subject=True
    )  # fmt: skip
    await store.append(Write(workspace_id=workspace, streams=(made,)))
    return stream


def fact(about: Stream, key: str, *numbers: int, seen: int = 1, request: bytes = b"one") -> Write:
    """Facts about somebody who was seen at a version."""
    facts = StreamWrite(
        stream=Stream(about.workspace_id, "fact", about.id),
        expected_version=ANY_VERSION,
        events=tuple(map(Counted, numbers)),
        subject_id=about.id,
    )
    look = StreamWrite(stream=about, expected_version=seen, events=())
    return Write(
        workspace_id=about.workspace_id, streams=(facts, look), metadata=Metadata(source="test"),
        idempotency_key=key, request_hash=request,
    )  # fmt: skip


async def numbers(store: EventStore, about: Stream) -> list[int]:
    events = await store.read_stream(Stream(about.workspace_id, "fact", about.id))
    assert [event.version for event in events] == list(range(1, len(events) + 1))
    return [event.event.number for event in events]


async def test_each_write_has_a_verdict_of_its_own(store: EventStore, workspace: UUID) -> None:
    anna, ben = await person(store, workspace), await person(store, workspace)
    foreign = await person(store, uuid4())
    stolen = Stream(workspace, foreign.category, foreign.id)
    first, again, other, moved, second, both, theirs = await add_each(
        store,
        [
            fact(anna, "a", 1),
            fact(anna, "a", 1),
            fact(anna, "a", 2, request=b"other"),
            fact(ben, "b", 3, seen=2),
            fact(anna, "c", 4, 5),
            fact(ben, "d", 6),
            fact(stolen, "e", 7),
        ],
    )
    assert isinstance(first, Appended)
    assert isinstance(again, DuplicateAppend)
    assert (again.original, again.same_request) == (first, True)
    assert isinstance(other, DuplicateAppend)
    assert not other.same_request
    assert isinstance(moved, WrongExpectedVersion)
    assert (moved.stream, moved.actual) == (ben, 1)
    assert isinstance(second, Appended)
    assert second.event_count == 2
    assert isinstance(both, Appended)
    assert isinstance(theirs, WrongExpectedVersion)
    assert await numbers(store, anna) == [1, 4, 5]
    assert await numbers(store, ben) == [6]
    await assert_whole(store)


async def test_what_was_appended_is_not_added_again_and_the_other_way_round(store: EventStore, workspace: UUID) -> None:
    anna = await person(store, workspace)
    appended = await store.append(fact(anna, "k", 1))
    (repeat,) = await add_each(store, [fact(anna, "k", 1)])
    assert isinstance(repeat, DuplicateAppend)
    assert repeat.original == appended
    (added,) = await add_each(store, [fact(anna, "l", 2)])
    with pytest.raises(DuplicateAppend) as duplicate:
        await store.append(fact(anna, "l", 2))
    assert duplicate.value.original == added


async def test_many_processes_that_add_and_append_the_same_facts_record_each_once(
    open_store: OpenStore, workspace: UUID
) -> None:
    stores = [await open_store(pool_size=3) for _ in range(3)]
    people = [await person(stores[0], workspace) for _ in range(20)]
    pick = random.Random(7)
    writes = [fact(pick.choice(people), f"k-{n}", n) for n in range(1_500)]

    async def send(store: EventStore, seed: int) -> list[Verdict]:
        order = random.Random(seed).sample(writes, len(writes))
        verdicts: list[Verdict] = []
        for start in range(0, len(order), 300):
            verdicts += await add_each(store, order[start : start + 300])
        return verdicts

    async def append(store: EventStore) -> list[Appended | BaseException]:
        return await asyncio.gather(*map(store.append, writes[::10]), return_exceptions=True)

    adding, appending = await asyncio.gather(
        asyncio.gather(*(send(store, n) for n, store in enumerate(stores))), append(stores[1])
    )
    verdicts = [*appending, *(verdict for each in adding for verdict in each)]
    assert sum(isinstance(verdict, Appended) for verdict in verdicts) == len(writes)
    assert all(isinstance(verdict, Appended | DuplicateAppend) for verdict in verdicts)
    assert sorted(chain.from_iterable([await numbers(stores[0], each) for each in people])) == list(range(1_500))
    await assert_whole(stores[0])


async def test_nothing_is_added_for_somebody_whose_key_is_destroyed(open_store: OpenStore, workspace: UUID) -> None:
    store, other = await open_store(), await open_store()
    anna = await person(store, workspace)
    await add_each(store, [fact(anna, "before", 1)])
    erased = StreamWrite(stream=anna, expected_version=1, events=(Counted(9),))
    await other.append(Write(workspace_id=workspace, streams=(erased,), destroy_subjects=(anna.id,)))
    moved, gone = await add_each(store, [fact(anna, "after", 2), fact(anna, "later", 3)])
    assert isinstance(moved, WrongExpectedVersion)
    assert isinstance(gone, WrongExpectedVersion)
    (told,) = await add_each(store, [fact(anna, "later", 3, seen=2)])
    assert isinstance(told, SubjectErased)


async def test_only_keyed_facts_beside_a_look_can_be_added(store: EventStore, workspace: UUID) -> None:
    anna = await person(store, workspace)
    facts, look = fact(anna, "k", 1).streams
    unkeyed = Write(workspace_id=workspace, streams=(facts, look))
    unguarded = Write(workspace_id=workspace, streams=(facts,), idempotency_key="k")
    for write in (unkeyed, unguarded):
        assert not is_addable(write)
        with pytest.raises(ValueError, match="keyed facts"):
            await add_each(store, [write])


async def test_a_database_that_is_away_is_said_so_and_nothing_is_half_added(
    open_store: OpenStore, workspace: UUID
) -> None:
    store = await open_store()
    people = [await person(store, workspace) for _ in range(3)]
    writes = [fact(each, f"k-{n}", n) for n in range(2_000) for each in people[n % 3 : n % 3 + 1]]
    adding = asyncio.create_task(add_each(store, writes))
    await asyncio.sleep(0)
    store.pool.terminate()
    with pytest.raises(StoreUnavailable):
        await adding
    other = await open_store()
    verdicts = await add_each(other, writes)
    assert all(isinstance(verdict, Appended | DuplicateAppend) for verdict in verdicts)
    assert sorted(chain.from_iterable([await numbers(other, each) for each in people])) == list(range(2_000))
    await assert_whole(other)
