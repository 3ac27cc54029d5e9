"""Reading streams, lanes, positions in time, claims and keys: bounds, walls between workspaces, encryption, gaps."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from cryptography.exceptions import InvalidTag

from eventstore.cipher import Keyring
from eventstore.codec import Codec, EventType
from eventstore.envelope import ANY_VERSION, Claim, Metadata, RecordedEvent, Stream, StreamWrite, Unreadable, Write
from eventstore.errors import KeyUnavailable, PositionGap, SubjectErased, UnknownEventType
from eventstore.store import EventStore
from tests.integration.eventstore.conftest import OpenStore, superuser
from tests.support.sample import CODEC, Counted, Noted, stream_of, texts, write


async def written(store: EventStore, stream: Stream, *words: str) -> list[RecordedEvent[Noted]]:
    """Each word in a commit of its own, so that each has a time of its own."""
    for version, word in enumerate(words):
        await store.append(write(stream, Noted(word), expected=version))
    return await store.read_stream(stream)


async def test_a_stream_is_read_between_versions(store: EventStore, workspace: UUID) -> None:
    stream = stream_of(workspace)
    await written(store, stream, "a", "b", "c", "d")
    assert texts(await store.read_stream(stream, after_version=1)) == ["b", "c", "d"]
    assert texts(await store.read_stream(stream, to_version=2)) == ["a", "b"]
    assert texts(await store.read_stream(stream, after_version=1, to_version=2)) == ["b"]
    assert texts(await store.read_stream(stream, after_version=4)) == []
    assert texts(await store.read_stream(stream, to_version=0)) == []


async def test_a_stream_is_read_as_of_a_position_and_as_of_a_time(store: EventStore, workspace: UUID) -> None:
    stream = stream_of(workspace)
    events = await written(store, stream, "a", "b", "c")
    for count, event in enumerate(events, 1):
        so_far = ["a", "b", "c"][:count]
        assert texts(await store.read_stream(stream, to_position=event.position)) == so_far
        assert texts(await store.read_stream(stream, to_time=event.recorded_at)) == so_far
        just_before = event.recorded_at - timedelta(microseconds=1)
        assert texts(await store.read_stream(stream, to_time=just_before)) == so_far[:-1]
        assert await store.position_at(event.lane, event.recorded_at) == event.position
    assert texts(await store.read_stream(stream, to_time=events[2].recorded_at, to_version=1)) == ["a"]
    assert texts(await store.read_stream(stream, to_time=events[0].recorded_at, to_position=events[2].position)) == [
        "a"
    ]
    long_ago = events[0].recorded_at - timedelta(days=365 * 50)
    assert await store.position_at(0, long_ago) == 0
    assert await store.read_stream(stream, to_time=long_ago) == []


async def test_what_is_unknown_reads_as_empty(store: EventStore, workspace: UUID) -> None:
    stream = stream_of(workspace)
    assert await store.read_stream(stream) == []
    assert await store.read_streams([stream]) == {stream: []}
    assert await store.read_streams([]) == {}
    assert await store.find_claim(workspace, "email", "nobody") is None
    assert await store.find_idempotent(workspace, "never") is None


async def test_an_empty_lane_ends_at_zero(database: str, open_store: OpenStore) -> None:
    store = await open_store(database)
    assert await store.head(0) == 0
    batch = await store.read_lane(0, after=0, limit=10)
    assert (batch.after, batch.last, batch.events) == (0, 0, [])


async def test_an_event_carries_its_envelope(store: EventStore, workspace: UUID) -> None:
    stream = stream_of(workspace)
    operation = uuid4()
    metadata = Metadata(actor="key:k", source="api", causation_id="c", operation_id=operation, automation=False)
    appended = await store.append(write(stream, Noted("a"), metadata=metadata))
    (event,) = await store.read_stream(stream)
    assert event.stream == stream
    assert (event.type, event.schema_version, event.metadata) == ("test.noted", 1, metadata)
    assert (event.lane, event.position, event.recorded_at) == (0, appended.last_position, appended.recorded_at)
    assert event.recorded_at.tzinfo is not None


async def test_many_streams_are_read_in_one_round_trip_each_after_its_own_version(
    store: EventStore, workspace: UUID
) -> None:
    streams = [stream_of(workspace) for _ in range(5)]
    for stream in streams:
        await store.append(write(stream, Noted("a"), Noted("b"), Noted("c")))
    found = await store.read_streams([*streams, unknown := stream_of(workspace)], [0, 1, 2, 3, 4, 0])
    assert [texts(found[stream]) for stream in streams] == [["a", "b", "c"], ["b", "c"], ["c"], [], []]
    assert found[unknown] == []


async def test_the_same_id_in_another_category_is_another_stream(store: EventStore, workspace: UUID) -> None:
    note = stream_of(workspace)
    task = Stream(workspace, "list", note.id)
    await store.append(write(note, Noted("note")))
    await store.append(write(task, Noted("list")))
    assert texts(await store.read_stream(note)) == ["note"]
    assert {s: texts(e) for s, e in (await store.read_streams([note, task])).items()} == {
        note: ["note"], task: ["list"],
    }  # fmt: skip


async def test_a_foreign_workspace_finds_nothing_by_id(store: EventStore, workspace: UUID) -> None:
    own = stream_of(workspace)
    await store.append(write(own, Noted("secret"), claims=(Claim(kind="email", value="mine", holder=own.id),), key="k"))
    foreign = Stream(uuid4(), own.category, own.id)
    assert await store.read_stream(foreign) == []
    assert await store.find_claim(foreign.workspace_id, "email", "mine") is None
    assert await store.find_idempotent(foreign.workspace_id, "k") is None
    # Asked for beside the owner's, neither gets the other's, and none gets its own twice.
    for order in ([own, foreign], [foreign, own]):
        found = await store.read_streams(order)
        assert texts(found[own]) == ["secret"]
        assert found[foreign] == []


async def test_a_lane_is_read_in_order_page_by_page(database: str, open_store: OpenStore, workspace: UUID) -> None:
    store = await open_store(database)
    for start in range(0, 50, 5):
        await store.append(write(stream_of(workspace), *(Counted(start + n) for n in range(5))))
    numbers, after = [], 0
    while (batch := await store.read_lane(0, after=after, limit=7)).last > after:
        assert [event.position for event in batch.events] == list(range(after + 1, batch.last + 1))
        numbers += [event.event.number for event in batch.events]
        after = batch.last
    assert numbers == list(range(50))


async def test_unwanted_types_and_slices_are_read_past(database: str, open_store: OpenStore, workspace: UUID) -> None:
    store = await open_store(database)
    for n in range(20):
        await store.append(write(stream_of(workspace), Noted(str(n)), Counted(n)))
    everything = await store.read_lane(0, after=0, limit=100)
    only = await store.read_lane(0, after=0, limit=100, types=frozenset({"test.counted"}))
    assert [event.event.number for event in only.events] == list(range(20))
    assert only.last == 40
    halves = [await store.read_lane(0, after=0, limit=100, slices=slices) for slices in ((0, 511), (512, 1023))]
    assert sorted(event.position for half in halves for event in half.events) == list(range(1, 41))
    assert all(half.last == 40 for half in halves)
    assert {event.stream_id for event in halves[0].events}.isdisjoint(event.stream_id for event in halves[1].events)
    none = await store.read_lane(0, after=0, limit=30, types=frozenset())
    assert (none.events, none.last) == ([], 30)
    assert len(everything.events) == 40


@pytest.mark.parametrize("missing", [1, 7, 12])
@pytest.mark.parametrize("types", [None, frozenset({"test.counted"})])
async def test_a_missing_position_is_an_error_that_names_it(
    database: str, open_store: OpenStore, workspace: UUID, missing: int, types: frozenset[str] | None
) -> None:
    store = await open_store(database)
    for n in range(20):
        await store.append(write(stream_of(workspace), Noted(str(n))))
    async with superuser(database) as connection:
        await connection.execute("DELETE FROM log.events WHERE position = $1", missing)
    if missing > 5:
        assert (await store.read_lane(0, after=0, limit=5, types=types)).last == 5
    for after in (missing - 1, 0):
        with pytest.raises(PositionGap) as gap:
            await store.read_lane(0, after=after, limit=100, types=types)
        assert (gap.value.lane, gap.value.expected, gap.value.found) == (0, missing, missing + 1)


async def test_a_reader_never_sees_a_later_position_before_an_earlier_one(
    open_store: OpenStore, database: str, workspace: UUID
) -> None:
    """Commits of several writers become visible in the order of their positions: nothing is skipped."""
    writers = [await open_store(database) for _ in range(3)]
    reader = await open_store(database)
    done = asyncio.Event()

    async def write_all(number: int) -> None:
        await asyncio.gather(
            *(writers[number].append(write(stream_of(workspace), Counted(n), Counted(n))) for n in range(150))
        )

    async def follow() -> int:
        after = 0
        while True:
            ended = done.is_set()
            batch = await reader.read_lane(0, after=after, limit=50)  # raises PositionGap
            if batch.last == after and ended:
                return after
            after = batch.last

    following = asyncio.create_task(follow())
    await asyncio.gather(*(write_all(number) for number in range(3)))
    done.set()
    async with asyncio.timeout(10):
        assert await following == 900


async def test_payloads_of_a_subject_are_encrypted_and_its_key_is_made_once(
    store: EventStore, workspace: UUID, module_database: str
) -> None:
    stream = stream_of(workspace)
    await store.append(write(stream, Noted("very secret"), subject=stream.id, new_subject=True))
    await store.append(write(stream, Noted("also secret"), expected=1, subject=stream.id))
    async with superuser(module_database) as connection:
        rows = await connection.fetch("SELECT payload FROM log.events WHERE stream_id = $1", stream.id)
        keys = await connection.fetchval("SELECT count(*) FROM keys.subject_keys WHERE subject_id = $1", stream.id)
    assert len(rows) == 2
    assert all(b"secret" not in row["payload"] for row in rows)
    assert keys == 1
    assert texts(await store.read_stream(stream)) == ["very secret", "also secret"]


async def test_equal_payloads_of_a_subject_are_stored_differently(store: EventStore, workspace: UUID) -> None:
    stream = stream_of(workspace)
    await store.append(write(stream, *[Noted("same")] * 3, subject=stream.id, new_subject=True))
    rows = await store.pool.fetch("SELECT payload FROM log.events WHERE stream_id = $1", stream.id)
    assert len({row["payload"] for row in rows}) == 3


async def test_writing_for_a_subject_without_a_key_is_refused(store: EventStore, workspace: UUID) -> None:
    stream = stream_of(workspace)
    with pytest.raises(SubjectErased) as refused:
        await store.append(write(stream, Noted("a"), subject=stream.id))
    assert refused.value.subject_id == stream.id
    assert await store.read_stream(stream) == []


async def test_destroying_a_key_makes_every_event_of_its_subject_unreadable(
    open_store: OpenStore, store: EventStore, workspace: UUID, module_database: str
) -> None:
    stream = stream_of(workspace)
    other = stream_of(workspace)
    await store.append(write(stream, Noted("a"), Noted("b"), subject=stream.id, new_subject=True))
    await store.append(write(other, Noted("kept"), subject=other.id, new_subject=True))
    assert texts(await store.read_stream(stream)) == ["a", "b"]  # cached by now
    async with superuser(module_database) as connection:
        await connection.execute("DELETE FROM keys.subject_keys WHERE subject_id = $1", stream.id)
    for reader in (store, await open_store()):
        events = await reader.read_stream(stream)
        assert [event.event for event in events] == [Unreadable(type="test.noted")] * 2
        assert [event.version for event in events] == [1, 2]
        assert [e.event for e in (await reader.read_streams([stream]))[stream]] == [Unreadable(type="test.noted")] * 2
        assert texts(await reader.read_stream(other)) == ["kept"]
    lane = await store.read_lane(0, after=events[0].position - 1, limit=2)
    assert [event.event for event in lane.events] == [Unreadable(type="test.noted")] * 2
    with pytest.raises(SubjectErased):
        await (await open_store()).append(write(stream, Noted("c"), expected=2, subject=stream.id))


async def test_a_process_that_knew_a_destroyed_key_writes_nothing_readable(
    open_store: OpenStore, store: EventStore, workspace: UUID, module_database: str
) -> None:
    """Its append may still be taken, as one that was under way during the erasure; what it says is gone."""
    stream = stream_of(workspace)
    await store.append(write(stream, Noted("a"), subject=stream.id, new_subject=True))
    await store.read_stream(stream)
    async with superuser(module_database) as connection:
        await connection.execute("DELETE FROM keys.subject_keys WHERE subject_id = $1", stream.id)
    try:
        await store.append(write(stream, Noted("late"), expected=1, subject=stream.id))
    except SubjectErased:
        return
    for reader in (store, await open_store()):
        assert all(isinstance(event.event, Unreadable) for event in await reader.read_stream(stream))


async def test_a_payload_moved_to_another_stream_or_type_does_not_decrypt(
    database: str, open_store: OpenStore, workspace: UUID
) -> None:
    store = await open_store(database)
    one, two = stream_of(workspace), stream_of(workspace)
    both = Write(
        workspace_id=workspace,
        streams=(
            StreamWrite(stream=one, expected_version=0, events=(Noted("one"),), subject_id=one.id, new_subject=True),
        ),
    )
    await store.append(both)
    await store.append(write(two, Noted("two"), subject=one.id))  # the same data key
    async with superuser(database) as connection:
        await connection.execute("UPDATE log.events SET payload = (SELECT payload FROM log.events WHERE position = 2)")
        with pytest.raises(InvalidTag):
            await store.read_stream(one)
        assert texts(await store.read_stream(two)) == ["two"]
        await connection.execute("UPDATE log.events SET type = 'test.counted'")
        with pytest.raises(InvalidTag):
            await store.read_stream(two)


async def test_a_store_without_the_right_master_key_reads_nothing(
    database: str, open_store: OpenStore, workspace: UUID
) -> None:
    store = await open_store(database)
    stream = stream_of(workspace)
    await store.append(write(stream, Noted("a"), subject=stream.id, new_subject=True))
    for keyring in (Keyring.from_secret(b"x" * 32), Keyring({2: b"y" * 32}, current=2)):
        stranger = await open_store(database, keyring=keyring)
        with pytest.raises(KeyUnavailable):
            await stranger.read_stream(stream)


async def test_a_type_this_code_does_not_know_stops_the_reader(
    database: str, open_store: OpenStore, workspace: UUID
) -> None:
    store = await open_store(database)
    stream = stream_of(workspace)
    await store.append(write(stream, Noted("a"), Counted(1)))
    older = await open_store(database, codec=Codec([EventType("test.noted", Noted)]))
    with pytest.raises(UnknownEventType) as unknown:
        await older.read_stream(stream)
    assert (unknown.value.type, unknown.value.schema_version) == ("test.counted", 1)
    with pytest.raises(UnknownEventType):
        await older.read_lane(0, after=0, limit=10)
    # Not wanted, not decoded: readers of other types go on.
    assert len((await older.read_lane(0, after=0, limit=10, types=frozenset({"test.noted"}))).events) == 1


async def test_a_newer_schema_version_than_this_code_knows_stops_the_reader(
    database: str, open_store: OpenStore, workspace: UUID
) -> None:
    newer = Codec([EventType("test.noted", Noted, schema_version=2, upcasters=(lambda fields: fields,))])
    store = await open_store(database, codec=newer)
    stream = stream_of(workspace)
    await store.append(write(stream, Noted("a")))
    assert texts(await store.read_stream(stream)) == ["a"]
    older = await open_store(database, codec=CODEC)
    with pytest.raises(UnknownEventType):
        await older.read_stream(stream)


async def test_events_of_older_schema_versions_are_read_as_the_current_one(
    database: str, open_store: OpenStore, workspace: UUID
) -> None:
    store = await open_store(database)
    stream = stream_of(workspace)
    await store.append(write(stream, Noted("old")))

    def shout(fields: dict[str, str]) -> dict[str, str]:
        return {"text": fields["text"] + "!"}

    newer = await open_store(
        database, codec=Codec([EventType("test.noted", Noted, schema_version=3, upcasters=(shout, shout))])
    )
    await newer.append(write(stream, Noted("new"), expected=1))
    events = await newer.read_stream(stream)
    assert texts(events) == ["old!!", "new"]
    assert [event.schema_version for event in events] == [1, 3]


async def test_facts_in_any_order_are_versioned_as_they_were_committed(store: EventStore, workspace: UUID) -> None:
    stream = stream_of(workspace)
    answers = await asyncio.gather(
        *(store.append(write(stream, Counted(n), expected=ANY_VERSION, key=f"fact {n}")) for n in range(100))
    )
    events = await store.read_stream(stream)
    assert [event.version for event in events] == list(range(1, 101))
    by_position = {answer.last_position: n for n, answer in enumerate(answers)}
    assert [event.event.number for event in events] == [by_position[event.position] for event in events]
