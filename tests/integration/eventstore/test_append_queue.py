"""Between callers and commits: bad commands, callers that go away, a full queue, closing, announcements."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from eventstore import appender
from eventstore.envelope import Appended, Claim, Stream, StreamWrite, Write
from eventstore.errors import (
    Overloaded,
    StoreUnavailable,
)
from eventstore.store import EventStore
from tests.integration.eventstore.appending import (
    LANE_LOCK,
    LANE_UNLOCK,
    SOON_S,
    append_all,
    assert_whole,
    waiting_for_lane,
)
from tests.integration.eventstore.conftest import OpenStore, superuser
from tests.support.sample import Noted, stream_of, write
from tests.support.waiting import until


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
