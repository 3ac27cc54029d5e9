"""Appending: verdicts, density, isolation of commands from one another, and what happens at the edges of a batch."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from eventstore import appender
from eventstore.envelope import ANY_VERSION, NO_STREAM, Appended, Claim, Stream, StreamWrite, Write
from eventstore.errors import (
    ClaimTaken,
    DuplicateAppend,
    EventStoreError,
    Overloaded,
    StoreUnavailable,
    WrongExpectedVersion,
)
from eventstore.store import EventStore
from eventstore.verify import verify_chain
from tests.integration.eventstore.conftest import OpenStore, superuser
from tests.support.model import Commands, Model, Verdict
from tests.support.sample import Counted, Noted, stream_of, texts, write
from tests.support.waiting import until

LANE_LOCK = "SELECT pg_advisory_lock(1382836331, 0)"
LANE_UNLOCK = "SELECT pg_advisory_unlock(1382836331, 0)"
SOON_S = 10


def verdict_of(answer: Appended | BaseException) -> Verdict:
    match answer:
        case Appended():
            return Verdict("ok")
        case DuplicateAppend():
            return Verdict("duplicate", (answer.same_request,))
        case WrongExpectedVersion():
            return Verdict("conflict", (answer.stream.id, answer.actual))
        case ClaimTaken():
            return Verdict("claim", (answer.kind, answer.holder))
    raise answer


async def append_all(store: EventStore, *writes: Write) -> list[Appended | BaseException]:
    """Sent at once, so that they meet in a batch."""
    async with asyncio.timeout(SOON_S):
        return await asyncio.gather(*map(store.append, writes), return_exceptions=True)


async def assert_whole(store: EventStore) -> None:
    """Positions and versions are dense and the chain fits."""
    for lane in store.lanes:
        report = await verify_chain(store.pool, lane)
        assert (report.first_bad_position, report.reason) == (None, None)
        assert report.events == await store.head(lane)


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


async def test_a_claim_is_taken_released_and_taken_by_another(store: EventStore, workspace: UUID) -> None:
    one, two = stream_of(workspace), stream_of(workspace)
    await store.append(write(one, Noted("a"), claims=(Claim(kind="email", value="m", holder=one.id),)))
    with pytest.raises(ClaimTaken):
        await store.append(write(two, Noted("b"), claims=(Claim(kind="email", value="m", holder=two.id),)))
    # Releasing what another holds does nothing.
    await store.append(write(two, Noted("b"), claims=(Claim(kind="email", value="m", holder=two.id, take=False),)))
    assert await store.find_claim(workspace, "email", "m") == one.id
    release = Claim(kind="email", value="m", holder=one.id, take=False)
    await store.append(write(one, Noted("c"), expected=1, claims=(release,)))
    assert await store.find_claim(workspace, "email", "m") is None
    await store.append(write(two, Noted("d"), expected=1, claims=(Claim(kind="email", value="m", holder=two.id),)))
    assert await store.find_claim(workspace, "email", "m") == two.id


async def test_one_command_moves_a_claim(store: EventStore, workspace: UUID) -> None:
    one, two = stream_of(workspace), stream_of(workspace)
    await store.append(write(one, Noted("a"), claims=(Claim(kind="email", value="move", holder=one.id),)))
    move = (
        Claim(kind="email", value="move", holder=one.id, take=False),
        Claim(kind="email", value="move", holder=two.id),
    )
    await store.append(write(two, Noted("b"), claims=move))
    assert await store.find_claim(workspace, "email", "move") == two.id


async def test_releasing_and_taking_the_same_value_keeps_it(store: EventStore, workspace: UUID) -> None:
    stream = stream_of(workspace)
    take = Claim(kind="email", value="kept", holder=stream.id)
    release = Claim(kind="email", value="kept", holder=stream.id, take=False)
    await store.append(write(stream, Noted("a"), claims=(take,)))
    await store.append(write(stream, Noted("b"), expected=1, claims=(release, take)))
    assert await store.find_claim(workspace, "email", "kept") == stream.id


async def test_a_claim_named_twice_in_one_command_is_taken_once(store: EventStore, workspace: UUID) -> None:
    stream = stream_of(workspace)
    take = Claim(kind="email", value="twice", holder=stream.id)
    await store.append(write(stream, Noted("a"), claims=(take, take)))
    assert await store.find_claim(workspace, "email", "twice") == stream.id


async def test_of_many_takers_of_a_claim_at_once_one_gets_it(open_store: OpenStore, workspace: UUID) -> None:
    stores = [await open_store(), await open_store()]
    streams = [stream_of(workspace) for _ in range(30)]
    async with asyncio.timeout(SOON_S):
        answers = await asyncio.gather(
            *(
                stores[n % 2].append(write(s, Noted("x"), claims=(Claim(kind="email", value="one", holder=s.id),)))
                for n, s in enumerate(streams)
            ),
            return_exceptions=True,
        )
    (winner,) = [s for s, answer in zip(streams, answers, strict=True) if isinstance(answer, Appended)]
    assert sum(isinstance(a, ClaimTaken) and a.holder == winner.id for a in answers) == 29
    assert await stores[0].find_claim(workspace, "email", "one") == winner.id


async def test_claims_of_two_workspaces_do_not_meet(store: EventStore) -> None:
    for _ in range(2):
        stream = stream_of(uuid4())
        await store.append(write(stream, Noted("a"), claims=(Claim(kind="email", value="both", holder=stream.id),)))


async def test_the_log_holds_no_claimed_value_in_clear(store: EventStore, workspace: UUID) -> None:
    stream = stream_of(workspace)
    await store.append(write(stream, Noted("a"), claims=(Claim(kind="email", value="ada@x.test", holder=stream.id),)))
    rows = await store.pool.fetch("SELECT c::text AS text FROM log.claims c WHERE c.holder = $1", stream.id)
    assert len(rows) == 1
    assert "ada" not in rows[0]["text"]
    assert b"ada".hex() not in rows[0]["text"]


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


def bad_writes(workspace: UUID) -> dict[str, Write]:
    stream = stream_of(workspace)
    take = Claim(kind="email", value="bad", holder=uuid4())
    return {
        "a NUL in the key": write(stream, Noted("a"), key="nul \0 nul"),
        "a lone surrogate in the key": write(stream, Noted("a"), key="\ud800"),
        "a version beyond 32 bits": write(stream, Noted("a"), expected=2**40),
        "a NUL in the category": write(Stream(workspace, "no\0te", uuid4()), Noted("a")),
        "a lone surrogate in a claim": write(
            stream, Noted("a"), claims=(Claim(kind="\ud800", value="x", holder=stream.id),)
        ),
        "a key too long for its index": write(stream, Noted("a"), key="".join(map(chr, range(200, 9_000)))),
        "a claim for two holders": write(
            stream, Noted("a"), claims=(take, Claim(kind="email", value="bad", holder=uuid4()))
        ),
        "a stream twice": Write(
            workspace_id=workspace,
            streams=tuple(StreamWrite(stream=stream, expected_version=0, events=(Noted("a"),)) for _ in range(2)),
        ),
        "a request hash that is no bytes": write(stream, Noted("a"), key="hash", request="text"),  # type: ignore[arg-type]
        "an event that nobody registered": write(stream, object()),
        "a text that cannot be encoded": write(stream, Noted("\ud800")),
        "a data key made twice": write(stream, Noted("a"), subject=stream.id, new_subject=True),
    }


@pytest.mark.parametrize("bad", list(bad_writes(uuid4())))
async def test_a_command_the_log_cannot_hold_fails_alone(store: EventStore, workspace: UUID, bad: str) -> None:
    wrong = bad_writes(workspace)[bad]
    if bad == "a data key made twice":
        subject = wrong.streams[0].subject_id
        await store.append(write(stream_of(workspace), Noted("a"), subject=subject, new_subject=True))
    good = [write(stream_of(workspace), Noted(str(n)), key=f"good {n}") for n in range(20)]
    answers = await append_all(store, *good[:10], wrong, *good[10:])
    refused = answers.pop(10)
    assert isinstance(refused, Exception)
    assert not isinstance(refused, StoreUnavailable | TimeoutError)
    assert [type(answer) for answer in answers] == [Appended] * 20
    # The lane goes on, and nothing of the bad command is there.
    await store.append(write(stream_of(workspace), Noted("after")))
    if "NUL" not in bad:
        assert await store.read_stream(wrong.streams[0].stream) == []


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


async def test_a_caller_that_goes_away_breaks_nobodys_batch(
    store: EventStore, workspace: UUID, module_database: str
) -> None:
    async with superuser(module_database) as blocker:
        await blocker.execute(LANE_LOCK)
        tasks = [
            asyncio.create_task(store.append(write(stream_of(workspace), Noted(str(n)), key=f"gone {n}")))
            for n in range(300)  # two batches are sent, the rest is queued
        ]
        await waiting_for_lane(blocker, 2)
        for task in tasks[::3]:
            task.cancel()
        await blocker.execute(LANE_UNLOCK)
    async with asyncio.timeout(SOON_S):
        answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(answer, asyncio.CancelledError) for answer in answers) == 100
    assert sum(isinstance(answer, Appended) for answer in answers) == 200
    done = 0
    for n, answer in enumerate(answers):
        found = await store.find_idempotent(workspace, f"gone {n}")
        if isinstance(answer, Appended):
            assert found == (answer, b"")
        else:
            done += found is not None
    # What was sent already took effect, what was still queued did not: both are told by the key.
    assert 0 < done < 100
    await assert_whole(store)


async def waiting_for_lane(connection: asyncpg.Connection, sessions: int) -> None:
    waiting = "SELECT count(*) >= $1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    await until(lambda: connection.fetchval(waiting, sessions), what=f"{sessions} sessions wait for the lane")


async def test_a_full_queue_refuses_and_recovers(
    store: EventStore, workspace: UUID, module_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(appender, "QUEUED_MAX", 300)
    async with superuser(module_database) as blocker:
        await blocker.execute(LANE_LOCK)
        tasks = [
            asyncio.create_task(store.append(write(stream_of(workspace), Noted(str(n)), key=f"full {n}")))
            for n in range(1_000)
        ]
        refused, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        assert all(isinstance(task.exception(), Overloaded) for task in refused)
        await blocker.execute(LANE_UNLOCK)
    async with asyncio.timeout(SOON_S):
        answers = await asyncio.gather(*tasks, return_exceptions=True)
    overloaded = [answer for answer in answers if isinstance(answer, Overloaded)]
    assert 0 < len(overloaded) < 1_000
    assert all(answer.retry_after_s >= 1 for answer in overloaded)
    assert len(overloaded) + sum(isinstance(answer, Appended) for answer in answers) == 1_000
    await store.append(write(stream_of(workspace), Noted("after")))


async def test_one_stream_wanted_by_thousands_does_not_stop_the_loop(
    store: EventStore, workspace: UUID, module_database: str
) -> None:
    """Commands of one stream cannot share a batch: taking them off the queue one by one must stay cheap."""
    hot = stream_of(workspace)
    async with asyncio.timeout(30):
        answers = await asyncio.gather(
            *(store.append(write(hot, Noted("x"))) for _ in range(2_000)),
            *(store.append(write(stream_of(workspace), Noted("y"))) for _ in range(100)),
            return_exceptions=True,
        )
    assert sum(isinstance(answer, Appended) for answer in answers) == 101


async def test_closing_commits_what_is_queued(database: str, open_store: OpenStore, workspace: UUID) -> None:
    store = await open_store(database)
    tasks = [
        asyncio.create_task(store.append(write(stream_of(workspace), Noted(str(n)), key=f"last {n}")))
        for n in range(500)
    ]
    await until(lambda: store.head(0), what="the first commit")
    async with asyncio.timeout(SOON_S):
        await store.close()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
    other = await open_store(database)
    for n, answer in enumerate(answers):
        found = await other.find_idempotent(workspace, f"last {n}")
        assert found == ((answer, b"") if isinstance(answer, Appended) else None)
        assert isinstance(answer, Appended | StoreUnavailable)
    assert sum(isinstance(answer, Appended) for answer in answers) == 500


@pytest.mark.parametrize("used", [True, False])
async def test_a_closed_store_refuses_and_leaves_no_session_behind(
    database: str, open_store: OpenStore, workspace: UUID, used: bool
) -> None:
    store = await open_store(database)
    if used:
        await store.append(write(stream_of(workspace), Noted("a")))
    await store.close()
    with pytest.raises(StoreUnavailable) as refused:
        await store.append(write(stream_of(workspace), Noted("b"), subject=uuid4()))
    assert not refused.value.outcome_unknown
    with pytest.raises(StoreUnavailable):
        await store.append(write(stream_of(workspace), Noted("b")))
    async with superuser(database) as connection:
        sessions = (
            "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await until(lambda: connection.fetchval(sessions), what="no session is left")


async def test_closing_twice_is_closing_once(open_store: OpenStore, workspace: UUID) -> None:
    store = await open_store()
    await store.append(write(stream_of(workspace), Noted("a")))
    await asyncio.gather(store.close(), store.close())
    await store.close()


async def test_each_commit_is_announced_to_listeners(store: EventStore, workspace: UUID, module_database: str) -> None:
    heard: list[str] = []
    async with superuser(module_database) as listener:
        await listener.add_listener("rollbook_log", lambda *said: heard.append(str(said[3])))
        appended = await store.append(write(stream_of(workspace), Noted("a")))
        await until(lambda: f"0 {appended.last_position}" in heard, what="the announcement")
        # A session of the announcer that is gone is noticed and replaced.
        await listener.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await until(lambda: announced_again(store, workspace, heard), what="an announcement after the loss")


async def announced_again(store: EventStore, workspace: UUID, heard: list[str]) -> bool:
    appended = await store.append(write(stream_of(workspace), Noted("b")))
    return f"0 {appended.last_position - 1}" in heard or f"0 {appended.last_position}" in heard


async def test_times_of_a_lane_never_go_back_even_when_the_clock_does(
    database: str, open_store: OpenStore, workspace: UUID
) -> None:
    store = await open_store(database)
    fast = (await store.append(write(stream_of(workspace), Noted("a")))).recorded_at + timedelta(hours=1)
    async with superuser(database) as connection:  # as if the clock had been an hour fast for a moment
        await connection.execute("UPDATE log.batches SET recorded_at = $1", fast)
    appended = [await store.append(write(stream_of(workspace), Noted("b"))) for _ in range(3)]
    assert [answer.recorded_at for answer in appended] == [fast] * 3
    (bulk,) = await store.append_bulk([write(stream_of(workspace), Noted("c"))])
    assert bulk.recorded_at == fast
    assert await store.position_at(0, fast) == 5
    assert await store.position_at(0, fast - timedelta(microseconds=1)) == 0
