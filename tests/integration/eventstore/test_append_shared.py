"""Commands of one commit that share a stream: each has its verdict, versions stay dense, nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import random
from typing import Any
from uuid import UUID

import pytest

from eventstore import batch
from eventstore.batch import ADDING, LOOKING
from eventstore.envelope import ANY_VERSION, Appended, Stream, StreamWrite, Write
from eventstore.errors import DuplicateAppend, WrongExpectedVersion
from eventstore.store import EventStore
from tests.integration.eventstore.appending import append_all, assert_whole
from tests.support.sample import Counted, Noted, stream_of, texts, write


def fact(stream: Stream, key: str, *numbers: int, looks_at: tuple[Stream, int] | None = None) -> Write:
    """Something added at any version, perhaps decided on the version of another stream."""
    events = tuple(map(Counted, numbers))
    parts = [StreamWrite(stream=stream, expected_version=ANY_VERSION, events=events)]
    if looks_at is not None:
        parts.append(StreamWrite(stream=looks_at[0], expected_version=looks_at[1], events=()))
    return Write(
        workspace_id=stream.workspace_id, streams=tuple(parts), idempotency_key=key, request_hash=key.encode()
    )  # fmt: skip


async def together(store: EventStore, *writes: Write) -> list[Any]:
    """Appends them at once behind one that is under way, so that they wait for the next batch together."""
    first = asyncio.ensure_future(store.append(write(stream_of(writes[0].workspace_id), Noted("under way"))))
    answers = await append_all(store, *writes)
    await first
    return answers


async def test_facts_about_one_stream_share_a_commit_and_follow_one_another(store: EventStore, workspace: UUID) -> None:
    stream = stream_of(workspace)
    await store.append(fact(stream, "before", 0))
    answers = await together(store, *(fact(stream, f"k-{n}", n, n) for n in range(1, 101)))

    events = await store.read_stream(stream)
    assert [event.version for event in events] == list(range(1, 202))
    at = {event.position: event.event.number for event in events}
    for number, answer in enumerate(answers, 1):
        assert [at[answer.first_position], at[answer.last_position]] == [number, number]
    assert len({answer.recorded_at for answer in answers}) <= 4
    await assert_whole(store)


async def test_a_refused_one_leaves_no_gap_between_the_others(store: EventStore, workspace: UUID) -> None:
    stream, other = stream_of(workspace), stream_of(workspace)
    await store.append(write(other, Noted("one")))
    await store.append(fact(stream, "k-2", 2))
    answers = await together(
        store,
        fact(stream, "k-1", 1),
        fact(stream, "k-2", 2),
        fact(stream, "k-3", 3, looks_at=(other, 7)),
        fact(stream, "k-4", 4, 4, looks_at=(other, 1)),
        fact(stream, "k-5", 5, looks_at=(other, 1)),
    )
    assert [type(answer) for answer in answers] == [
        Appended, DuplicateAppend, WrongExpectedVersion, Appended, Appended,
    ]  # fmt: skip
    events = await store.read_stream(stream)
    assert [(event.version, event.event.number) for event in events] == [(1, 2), (2, 1), (3, 4), (4, 4), (5, 5)]
    assert len(await store.read_stream(other)) == 1
    await assert_whole(store)


async def test_who_looks_at_a_version_is_decided_before_or_after_who_changes_it(
    store: EventStore, workspace: UUID
) -> None:
    stream, other = stream_of(workspace), stream_of(workspace)
    await store.append(write(other, Noted("one")))
    answers = await together(
        store,
        fact(stream, "before", 1, looks_at=(other, 1)),
        write(other, Noted("two"), expected=1),
        fact(stream, "after", 2, looks_at=(other, 1)),
        fact(stream, "now", 3, looks_at=(other, 2)),
    )
    before, changed, after, now = answers
    assert isinstance(changed, Appended)
    for answer, is_before in ((before, True), (after, True), (now, False)):
        if isinstance(answer, Appended):
            assert (answer.last_position < changed.last_position) == is_before
        else:
            assert isinstance(answer, WrongExpectedVersion)
    assert texts(await store.read_stream(other)) == ["one", "two"]


@pytest.mark.parametrize("seed", range(3))
async def test_many_writers_of_few_streams_lose_and_double_nothing(
    store: EventStore, open_store: Any, workspace: UUID, seed: int
) -> None:
    stores = [store, await open_store()]
    chance = random.Random(seed)
    streams = [stream_of(workspace) for _ in range(3)]
    guards = [stream_of(workspace) for _ in range(3)]
    for guard in guards:
        await store.append(write(guard, Noted("one")))
    numbers = list(range(300))
    sent: list[tuple[EventStore, Write]] = []
    for number in [*numbers, *chance.sample(numbers, 100)]:
        at = number % 3
        looks_at = (guards[at], 1) if number % 2 else None
        sent.append((chance.choice(stores), fact(streams[at], f"k-{number}", number, looks_at=looks_at)))
    chance.shuffle(sent)
    answers = await asyncio.gather(*(to.append(each) for to, each in sent), return_exceptions=True)

    assert sorted(type(answer).__name__ for answer in answers) == ["Appended"] * 300 + ["DuplicateAppend"] * 100
    found: list[int] = []
    for stream in streams:
        events = await store.read_stream(stream)
        assert [event.version for event in events] == list(range(1, len(events) + 1))
        found += [event.event.number for event in events]
    assert sorted(found) == numbers
    await assert_whole(store)


async def test_deciders_that_got_into_one_batch_all_the_same_are_refused_by_the_log(
    store: EventStore, workspace: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, looked_at = stream_of(workspace), stream_of(workspace)
    look = StreamWrite(stream=looked_at, expected_version=0, events=())
    decided = [StreamWrite(stream=stream, expected_version=0, events=(Counted(n),)) for n in (1, 2)]
    writes = [Write(workspace_id=workspace, streams=(part, look)) for part in decided]
    monkeypatch.setattr(batch, "_use", lambda part: ADDING if part.events else LOOKING)
    answers = await together(store, *writes)
    assert sorted(type(answer).__name__ for answer in answers) == ["Appended", "WrongExpectedVersion"]
    assert len(await store.read_stream(stream)) == 1
