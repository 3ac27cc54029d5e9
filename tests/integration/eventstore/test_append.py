"""Appending: verdicts, dense positions and versions, keys, walls between workspaces and roles."""

from __future__ import annotations

import asyncio
import sys
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from eventstore.envelope import ANY_VERSION, NO_STREAM, Appended, Claim, Stream, StreamWrite, Write
from eventstore.errors import (
    ClaimTaken,
    DuplicateAppend,
    EventStoreError,
    WrongExpectedVersion,
)
from eventstore.store import EventStore
from tests.integration.eventstore.appending import (
    SOON_S,
    append_all,
    assert_whole,
    verdict_of,
)
from tests.integration.eventstore.conftest import OpenStore
from tests.support.model import Commands, Model, Verdict
from tests.support.sample import Counted, Noted, stream_of, texts, write


async def test_an_append_answers_the_place_of_its_events(store: EventStore, workspace: UUID) -> None:
    stream = stream_of(workspace)
    appended = await store.append(write(stream, Noted("a"), Noted("b"), Noted("c")))
    events = await store.read_stream(stream)
    assert texts(events) == ["a", "b", "c"]
    assert [event.version for event in events] == [1, 2, 3]
    assert [event.position for event in events] == list(range(appended.first_position, appended.last_position + 1))
    assert {event.recorded_at for event in events} == {appended.recorded_at}
    assert appended.token == f"{appended.lane}.{appended.last_position}"


@pytest.mark.parametrize("seed", range(4))
async def test_every_command_gets_the_verdict_of_the_model(
    store: EventStore, database: str, open_store: OpenStore, seed: int
) -> None:
    store = await open_store(database)
    workspace = uuid4()
    model, commands = Model(), Commands(seed, workspace)
    for number in range(250):
        command = commands.next(model)
        expected = model.decide(command)
        (answer,) = await append_all(store, command)
        assert verdict_of(answer) == expected, f"seed {seed}, command {number}: {command}"
    await assert_whole(store)
    for stream, version in model.versions.items():
        assert len(await store.read_stream(stream)) == version
    for (workspace_id, kind, value), holder in model.claims.items():
        assert await store.find_claim(workspace_id, kind, value) == holder


@pytest.mark.parametrize("seed", range(3))
async def test_commands_of_two_stores_at_once_are_as_if_one_after_another(
    database: str, open_store: OpenStore, seed: int
) -> None:
    """Replayed in the order of their positions, every accepted command is one that the model accepts as well."""
    stores = [await open_store(database), await open_store(database)]
    workspace = uuid4()
    model, guess = Model(), Model()
    commands = Commands(seed, workspace, streams=40, keys=200, values=12)
    sent: list[Write] = []
    answers: list[Any] = []
    for _ in range(6):
        wave = [commands.next(guess, events_min=1) for _ in range(100)]
        for command in wave:
            guess.decide(command)  # a guess at the order, so that many expected versions are right
        sent += wave
        async with asyncio.timeout(SOON_S):
            answers += await asyncio.gather(
                *(stores[n % 2].append(command) for n, command in enumerate(wave)), return_exceptions=True
            )
    accepted = [(a.last_position, a, c) for a, c in zip(answers, sent, strict=True) if verdict_of(a).name == "ok"]
    assert len(accepted) > 90
    position = 0
    for last_position, appended, command in sorted(accepted, key=lambda one: one[0]):
        assert appended.first_position == position + 1
        assert model.decide(command) == Verdict("ok"), f"seed {seed}: {command}"
        position = last_position
    assert await stores[0].head(0) == position
    await assert_whole(stores[0])
    for stream, version in model.versions.items():
        events = await stores[1].read_stream(stream)
        assert [event.version for event in events] == list(range(1, version + 1))


async def test_each_position_holds_the_event_that_was_acknowledged_there(
    open_store: OpenStore, workspace: UUID
) -> None:
    stores = [await open_store() for _ in range(3)]
    writes = [
        write(stream_of(workspace), *(Counted(n * 10 + i) for i in range(n % 7 + 1)), key=f"place {n}")
        for n in range(300)
    ]
    async with asyncio.timeout(SOON_S):
        answers = await asyncio.gather(*(stores[n % 3].append(command) for n, command in enumerate(writes)))
    for n, (answer, command) in enumerate(zip(answers, writes, strict=True)):
        events = await stores[0].read_stream(command.streams[0].stream)
        assert [event.event.number for event in events] == [n * 10 + i for i in range(n % 7 + 1)]
        assert [event.position for event in events] == list(range(answer.first_position, answer.last_position + 1))
        assert await stores[0].find_idempotent(workspace, f"place {n}") == (answer, b"")


async def test_of_two_writers_of_a_version_one_wins(store: EventStore, workspace: UUID) -> None:
    stream = stream_of(workspace)
    answers = await append_all(store, *(write(stream, Noted(str(n))) for n in range(40)))
    conflicts = [answer for answer in answers if isinstance(answer, WrongExpectedVersion)]
    assert len(conflicts) == 39
    assert {(c.stream, c.expected, c.actual) for c in conflicts} == {(stream, NO_STREAM, 1)}
    assert len(await store.read_stream(stream)) == 1


@pytest.mark.parametrize("expected", [-2, 1, 2, 7, 2**31 - 2])
async def test_a_version_the_stream_has_not_reached_is_a_conflict(
    store: EventStore, workspace: UUID, expected: int
) -> None:
    stream = stream_of(workspace)
    with pytest.raises((WrongExpectedVersion, ValueError)):
        await store.append(write(stream, Noted("a"), expected=expected))
    assert await store.read_stream(stream) == []
    await store.append(write(stream, Noted("a")))
    if expected != 1:
        with pytest.raises((WrongExpectedVersion, ValueError)):
            await store.append(write(stream, Noted("b"), expected=expected))
    assert len(await store.read_stream(stream)) == 1


async def test_a_conflict_in_the_second_stream_undoes_the_first(store: EventStore, workspace: UUID) -> None:
    one, two = stream_of(workspace), stream_of(workspace)
    await store.append(write(two, Noted("there")))
    both = Write(
        workspace_id=workspace,
        streams=(
            StreamWrite(stream=one, expected_version=NO_STREAM, events=(Noted("a"),)),
            StreamWrite(stream=two, expected_version=NO_STREAM, events=(Noted("b"),)),
        ),
        claims=(Claim(kind="email", value="both", holder=one.id),),
        idempotency_key="both",
    )
    with pytest.raises(WrongExpectedVersion) as refused:
        await store.append(both)
    assert refused.value.stream == two
    assert await store.read_stream(one) == []
    assert await store.find_claim(workspace, "email", "both") is None
    assert await store.find_idempotent(workspace, "both") is None


async def test_verdicts_come_in_the_order_duplicate_conflict_claim(store: EventStore, workspace: UUID) -> None:
    holder, stream = stream_of(workspace), stream_of(workspace)
    await store.append(write(holder, Noted("h"), claims=(Claim(kind="email", value="x", holder=holder.id),)))
    done = await store.append(write(stream, Noted("a"), key="order", request=b"r"))
    taken = Claim(kind="email", value="x", holder=stream.id)
    with pytest.raises(DuplicateAppend) as duplicate:
        await store.append(write(stream, Noted("b"), expected=9, key="order", request=b"r", claims=(taken,)))
    assert duplicate.value.original == done
    assert duplicate.value.same_request
    with pytest.raises(WrongExpectedVersion):
        await store.append(write(stream, Noted("b"), expected=9, key="order 2", claims=(taken,)))
    with pytest.raises(ClaimTaken) as claim:
        await store.append(write(stream, Noted("b"), expected=1, key="order 2", claims=(taken,)))
    assert (claim.value.kind, claim.value.holder) == ("email", holder.id)
    # None of the refusals used up the key.
    await store.append(write(stream, Noted("b"), expected=1, key="order 2"))


async def test_a_key_has_one_effect_however_often_it_comes_at_once(open_store: OpenStore, workspace: UUID) -> None:
    stores = [await open_store(), await open_store()]
    streams = [stream_of(workspace) for _ in range(30)]
    async with asyncio.timeout(SOON_S):
        answers = await asyncio.gather(
            *(stores[n % 2].append(write(s, Noted("x"), key="once", request=b"r")) for n, s in enumerate(streams)),
            return_exceptions=True,
        )
    (original,) = [answer for answer in answers if isinstance(answer, Appended)]
    repeats = [answer for answer in answers if isinstance(answer, DuplicateAppend)]
    assert len(repeats) == 29
    assert all(repeat.original == original and repeat.same_request for repeat in repeats)
    assert sum([len(await stores[0].read_stream(stream)) for stream in streams]) == 1


async def test_another_request_under_a_used_key_is_told_apart(store: EventStore, workspace: UUID) -> None:
    stream = stream_of(workspace)
    await store.append(write(stream, Noted("a"), key="request", request=b"one"))
    with pytest.raises(DuplicateAppend) as refused:
        await store.append(write(stream, Noted("b"), expected=1, key="request", request=b"other"))
    assert not refused.value.same_request


async def test_a_key_of_one_workspace_is_free_in_another(store: EventStore) -> None:
    for _ in range(2):
        await store.append(write(stream_of(uuid4()), Noted("a"), key="same key"))


async def test_an_append_without_events_records_its_key_and_claims(store: EventStore, workspace: UUID) -> None:
    stream = stream_of(workspace)
    await store.append(write(stream_of(workspace), Noted("before")))
    head = await store.head(0)
    claim = Claim(kind="email", value="quiet", holder=stream.id)
    appended = await store.append(write(stream, key="quiet", request=b"r", claims=(claim,)))
    assert (appended.event_count, appended.last_position) == (0, head)
    assert await store.head(0) == head
    assert await store.find_claim(workspace, "email", "quiet") == stream.id
    assert await store.find_idempotent(workspace, "quiet") == (appended, b"r")
    with pytest.raises(DuplicateAppend) as refused:
        await store.append(write(stream, key="quiet", request=b"r"))
    assert refused.value.original == appended


async def test_an_append_without_events_still_checks_its_version(store: EventStore, workspace: UUID) -> None:
    stream = stream_of(workspace)
    await store.append(write(stream, Noted("a")))
    with pytest.raises(WrongExpectedVersion):
        await store.append(write(stream, expected=0, key="stale"))
    with pytest.raises(WrongExpectedVersion):
        await store.append(write(stream, expected=2, key="ahead"))


async def test_the_first_commands_of_an_empty_log_may_have_no_events(database: str, open_store: OpenStore) -> None:
    store = await open_store(database)
    appended = await store.append(write(stream_of(uuid4()), key="first"))
    assert (appended.last_position, appended.event_count) == (0, 0)
    appended = await store.append(write(stream_of(uuid4()), Noted("a")))
    assert appended.last_position == 1
    await assert_whole(store)


async def test_appending_at_any_version_needs_an_idempotency_key(store: EventStore, workspace: UUID) -> None:
    stream = stream_of(workspace)
    with pytest.raises(ValueError, match="needs an idempotency key"):
        await store.append(write(stream, Noted("a"), expected=ANY_VERSION))
    answers = await append_all(
        store, *(write(stream, Noted(str(n)), expected=ANY_VERSION, key=f"any {n}") for n in range(50))
    )
    assert all(isinstance(answer, Appended) for answer in answers)
    events = await store.read_stream(stream)
    assert [event.version for event in events] == list(range(1, 51))
    assert sorted(texts(events), key=int) == [str(n) for n in range(50)]


async def test_a_stream_of_another_workspace_in_a_write_is_refused(store: EventStore, workspace: UUID) -> None:
    with pytest.raises(ValueError, match="is not of workspace"):
        await store.append(
            Write(
                workspace_id=workspace,
                streams=(StreamWrite(stream=stream_of(uuid4()), expected_version=0, events=(Noted("a"),)),),
            )
        )


@pytest.mark.parametrize("expected", [NO_STREAM, 1, 2])
async def test_a_stream_of_another_workspace_cannot_be_written_by_its_id(
    store: EventStore, workspace: UUID, expected: int
) -> None:
    own = stream_of(workspace)
    await store.append(write(own, Noted("mine")))
    foreign = Stream(uuid4(), own.category, own.id)
    with pytest.raises(EventStoreError):
        await store.append(write(foreign, Noted("theirs"), expected=expected))
    with pytest.raises(EventStoreError):
        await store.append(write(foreign, Noted("theirs"), expected=ANY_VERSION, key=f"foreign {expected}"))
    await store.append(write(own, Noted("mine still"), expected=1))
    assert texts(await store.read_stream(own)) == ["mine", "mine still"]


async def test_the_writers_role_changes_nothing_that_was_written(store: EventStore, workspace: UUID) -> None:
    await store.append(write(stream_of(workspace), Noted("a"), key="kept"))
    for table in ("log.events", "log.batches", "log.idempotency"):
        columns = await store.pool.fetch(
            "SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0", table
        )
        for statement in (
            f"DELETE FROM {table}", f"TRUNCATE {table}", f"DROP TABLE {table}",
            *(f"UPDATE {table} SET {column['attname']} = {column['attname']}" for column in columns),
        ):  # fmt: skip
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await store.pool.execute(statement)


async def test_connections_keep_their_role_when_the_pool_lends_them_again(store: EventStore) -> None:
    for _ in range(3):
        async with store.pool.acquire() as connection:
            assert await connection.fetchval("SELECT current_user") == "rollbook_writer"
            assert not await connection.fetchval("SELECT usesuper FROM pg_user WHERE usename = current_user")


PROCESS = """
import asyncio, sys
from uuid import UUID
from eventstore.envelope import ANY_VERSION, Stream
from eventstore.store import EventStore
from tests.support.sample import CODEC, Counted, keyring, stream_of, write

async def main(database, workspace, name):
    store = await EventStore.open(database, codec=CODEC, keyring=keyring())
    shared = Stream(workspace, "shared", workspace)
    await asyncio.gather(
        *(store.append(write(stream_of(workspace), Counted(n), Counted(n))) for n in range(200)),
        *(store.append(write(shared, Counted(n), expected=ANY_VERSION, key=f"{name} {n}")) for n in range(100)),
    )
    await store.close()

asyncio.run(main(sys.argv[1], UUID(sys.argv[2]), sys.argv[3]))
"""


async def test_positions_and_versions_are_dense_when_two_processes_write(
    database: str, open_store: OpenStore, workspace: UUID
) -> None:
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", PROCESS, database, str(workspace), name)
        for name in ("one", "two")
    ]
    async with asyncio.timeout(60):
        assert [await process.wait() for process in processes] == [0, 0]
    store = await open_store(database)
    assert await store.head(0) == 2 * (200 * 2 + 100)
    await assert_whole(store)
    shared = await store.read_stream(Stream(workspace, "shared", workspace))
    assert [event.version for event in shared] == list(range(1, 201))
