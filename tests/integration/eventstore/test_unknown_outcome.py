"""When the answer is lost: every append has its effect once or is said to be unknown, and nothing hangs or leaks."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import asyncpg
import pytest

from eventstore import appender
from eventstore import store as store_module
from eventstore.connection import session_settings
from eventstore.envelope import ANY_VERSION, Appended, Claim
from eventstore.errors import DuplicateAppend, StoreUnavailable
from eventstore.store import EventStore
from eventstore.verify import verify_chain
from rollbook.embedded.postgres import USER, Postgres, children
from tests.chaos.support.proxy import Cut, Proxy
from tests.integration.eventstore.appending import LANE_LOCK, LANE_UNLOCK, waiting_for_lane
from tests.integration.eventstore.conftest import OpenStore, superuser
from tests.support import servers
from tests.support.sample import Noted, stream_of, texts, write
from tests.support.waiting import until

SOON_S = 10
SILENCE_S = 0.2
SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'rollbook'"
END_SESSIONS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
ALL_CUTS = list(Cut)
#: Those where the log has the events before the caller can know.
DONE = {Cut.AFTER_REQUEST, Cut.BEFORE_REPLY, Cut.MID_REPLY, Cut.SILENT_REPLY}


class NextAppend:
    """Chooses a cut for the next `count` requests that append, and none for any other."""

    def __init__(self) -> None:
        self.cut: Cut | None = None
        self.count = 0

    def arm(self, cut: Cut, count: int = 1) -> None:
        self.cut, self.count = cut, count

    def __call__(self, query: str, _: bytes) -> Cut | None:
        if self.count and ("log.append" in query or query.startswith("COMMIT")):
            self.count -= 1
            return self.cut
        return None


class Cutting:
    """A store behind a proxy."""

    def __init__(self, store: EventStore, proxy: Proxy, next_append: NextAppend) -> None:
        self.store = store
        self.proxy = proxy
        self.next_append = next_append


@pytest.fixture
async def cutting(
    module_database: str, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Cutting]:
    # A half-open connection is given up after this long.
    monkeypatch.setattr(store_module, "STATEMENT_TIMEOUT_S", SILENCE_S)
    monkeypatch.setattr(store_module, "READ_TIMEOUT_S", SILENCE_S)
    next_append = NextAppend()
    async with Proxy(module_database, next_append) as proxy:
        store = await open_store(proxy.url)
        await store.append(write(stream_of(uuid4()), Noted("warm")))
        yield Cutting(store, proxy, next_append)
        await store.close()


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("cut", ALL_CUTS)
@pytest.mark.parametrize("kind", ["with a key", "by its version", "claims only"])
async def test_an_append_whose_connection_breaks_has_its_effect_once(
    cutting: Cutting, workspace: UUID, cut: Cut, times: int, kind: str
) -> None:
    stream = stream_of(workspace)
    claim = Claim(kind="email", value="cut", holder=stream.id)
    command = {
        "by its version": write(stream, Noted("a"), Noted("b"), claims=(claim,)),
        "with a key": write(stream, Noted("a"), Noted("b"), key="cut", expected=ANY_VERSION, claims=(claim,)),
        "claims only": write(stream, claims=(claim,)),
    }[kind]
    cutting.next_append.arm(cut, times)
    async with asyncio.timeout(SOON_S):
        appended = await cutting.store.append(command)
    assert cutting.proxy.cuts[cut] >= 1
    events = await cutting.store.read_stream(stream)
    assert texts(events) == ([] if kind == "claims only" else ["a", "b"])
    if events:
        assert [e.position for e in events] == [appended.first_position, appended.last_position]
        assert appended.recorded_at == events[0].recorded_at
    assert await cutting.store.find_claim(workspace, "email", "cut") == stream.id


async def test_batch_mates_of_a_cut_all_get_their_own_answer(cutting: Cutting, workspace: UUID) -> None:
    """Conflicts, duplicates and claims of before are not mixed up with what the lost commit wrote itself."""
    store = cutting.store
    taken = stream_of(workspace)
    await store.append(
        write(taken, Noted("t"), key="used", claims=(Claim(kind="email", value="used", holder=taken.id),))
    )
    for cut in ALL_CUTS:
        good = [stream_of(workspace) for _ in range(20)]
        cutting.next_append.arm(cut, 2)
        async with asyncio.timeout(SOON_S):
            answers = await asyncio.gather(
                *(
                    store.append(write(stream, Noted(str(n)), key=f"{cut.name} {n}" if n % 2 else None))
                    for n, stream in enumerate(good)
                ),
                store.append(write(taken, Noted("u"), key="used")),
                return_exceptions=True,
            )
        assert isinstance(answers.pop(), DuplicateAppend)
        for stream, answer in zip(good, answers, strict=True):
            assert isinstance(answer, Appended)
            (event,) = await store.read_stream(stream)
            assert event.position == answer.last_position
    report = await verify_chain(store.pool, 0)
    assert report.first_bad_position is None


async def test_a_command_that_always_loses_its_connection_is_given_up(cutting: Cutting, workspace: UUID) -> None:
    cutting.next_append.arm(Cut.BEFORE_REQUEST, 1_000)
    async with asyncio.timeout(SOON_S):
        with pytest.raises(StoreUnavailable) as refused:
            await cutting.store.append(write(stream_of(workspace), Noted("a"), key="cursed"))
    assert refused.value.outcome_unknown
    cutting.next_append.arm(Cut.BEFORE_REQUEST, 0)
    await cutting.store.append(write(stream_of(workspace), Noted("a"), key="cursed"))


async def test_one_command_that_breaks_connections_spares_the_others(
    module_database: str, open_store: OpenStore, workspace: UUID
) -> None:
    poison, broken = "poison of this test", 0

    def choose(_: str, request: bytes) -> Cut | None:
        nonlocal broken
        if poison.encode() not in request:
            return None
        broken += 1
        return Cut.BEFORE_REQUEST

    async with Proxy(module_database, choose) as proxy:
        store = await open_store(proxy.url)
        good = [stream_of(workspace) for _ in range(30)]
        async with asyncio.timeout(SOON_S):
            answers = await asyncio.gather(
                *(store.append(write(stream, Noted("good"))) for stream in good[:15]),
                store.append(write(stream_of(workspace), Noted(poison))),
                *(store.append(write(stream, Noted("good"))) for stream in good[15:]),
                return_exceptions=True,
            )
        await store.close()
    refused = answers.pop(15)
    assert isinstance(refused, StoreUnavailable)
    assert broken == appender.LOSSES_MAX
    assert [type(answer) for answer in answers] == [Appended] * 30


async def test_sessions_ended_by_an_administrator_are_replaced(
    store: EventStore, workspace: UUID, module_database: str
) -> None:
    async with superuser(module_database) as administrator:
        for number in range(15):
            writes = [write(stream_of(workspace), Noted("a"), key=f"{number} {n}") for n in range(40)]
            tasks = [asyncio.create_task(store.append(one)) for one in writes]
            await asyncio.sleep(0)
            await administrator.execute(END_SESSIONS)
            async with asyncio.timeout(SOON_S):
                await asyncio.gather(*tasks)  # not one of them fails
        # Idle ones as well.
        await administrator.execute(END_SESSIONS)
        await store.append(write(stream_of(workspace), Noted("b")))
        await until(lambda: few_sessions(administrator), what="no session is left over")
    report = await verify_chain(store.pool, 0)
    assert report.first_bad_position is None


async def few_sessions(connection: asyncpg.Connection) -> bool:
    """Two for the lane, one for announcements, the pool's one that was asked for."""
    return await connection.fetchval(SESSIONS) <= 4


async def test_what_waits_too_long_for_the_database_is_told_whether_it_may_be_done(
    module_database: str, open_store: OpenStore, workspace: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(appender, "UNAVAILABLE_AFTER_S", 0.3)
    async with Proxy(module_database, NextAppend()) as proxy, superuser(module_database) as administrator:
        store = await open_store(proxy.url)
        await administrator.execute(LANE_LOCK)
        tasks = [
            asyncio.create_task(store.append(write(stream_of(workspace), Noted("a"), key=f"waits {n}")))
            for n in range(300)
        ]
        await waiting_for_lane(administrator, 2)
        proxy.refusing = True
        await administrator.execute(END_SESSIONS)
        async with asyncio.timeout(SOON_S):
            answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(answer, StoreUnavailable) for answer in answers)
        unknown = [answer for answer in answers if isinstance(answer, StoreUnavailable) and answer.outcome_unknown]
        assert 0 < len(unknown) <= 2 * 128
        assert len(unknown) < 300
        # And again: a new command waits no longer than that.
        async with asyncio.timeout(SOON_S):
            with pytest.raises(StoreUnavailable) as refused:
                await store.append(write(stream_of(workspace), Noted("a"), key="later"))
        assert not refused.value.outcome_unknown
        proxy.refusing = False
        await administrator.execute(LANE_UNLOCK)
        async with asyncio.timeout(SOON_S):
            for n in range(200):
                if not answers[n].outcome_unknown:
                    await store.append(write(stream_of(workspace), Noted("b"), key=f"waits {n}"))
        await store.close()
        await until(lambda: proxy.open == 0, what="the proxy has no connection left")


async def test_a_lane_that_is_held_too_long_is_unavailable_for_all_at_once(
    module_database: str, open_store: OpenStore, workspace: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "session_settings", lambda role: session_settings(role) | {"lock_timeout": "300"})
    store = await open_store()
    async with superuser(module_database) as blocker:
        await blocker.execute(LANE_LOCK)
        async with asyncio.timeout(5):  # not 300 ms for each of them
            answers = await asyncio.gather(
                *(store.append(write(stream_of(workspace), Noted("a"))) for _ in range(100)), return_exceptions=True
            )
        assert all(isinstance(a, StoreUnavailable) and not a.outcome_unknown for a in answers)
        async with asyncio.timeout(5):
            with pytest.raises(StoreUnavailable) as refused:
                await store.append_bulk([write(stream_of(workspace), Noted("a"))])
        assert not refused.value.outcome_unknown
        await blocker.execute(LANE_UNLOCK)
    await store.append(write(stream_of(workspace), Noted("a")))


async def test_a_read_only_server_is_unavailable_not_a_crash(
    database: str, open_store: OpenStore, workspace: UUID
) -> None:
    store = await open_store(database)
    await store.append(write(stream_of(workspace), Noted("a")))
    name = database.rpartition("/")[2]
    async with superuser(database) as administrator:
        await administrator.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        await administrator.execute(END_SESSIONS)
        for sessions_are_new in (False, True):
            async with asyncio.timeout(SOON_S):
                answers = await asyncio.gather(
                    *(store.append(write(stream_of(workspace), Noted("b"))) for _ in range(20)), return_exceptions=True
                )
            assert all(isinstance(answer, StoreUnavailable) for answer in answers)
            assert not (sessions_are_new and any(getattr(answer, "outcome_unknown", True) for answer in answers))
        assert len((await store.read_lane(0, after=0, limit=10)).events) == 1
        await administrator.execute("SET default_transaction_read_only = off")
        await administrator.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
        await administrator.execute(END_SESSIONS)
    await store.append(write(stream_of(workspace), Noted("c")))


async def test_a_lane_works_on_while_the_server_has_no_connection_to_spare(
    database: str, open_store: OpenStore, workspace: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One connection is enough: nobody waits for the second, nor for the announcer's."""
    monkeypatch.setattr(appender, "UNAVAILABLE_AFTER_S", 0.3)
    store = await open_store(database)
    name = database.rpartition("/")[2]
    async with superuser(database) as administrator:
        # Superusers are not counted out, so the stores of this test log in as someone else.
        login = f"login_{name}"
        await administrator.execute(f"CREATE ROLE {login} LOGIN PASSWORD 'x' IN ROLE rollbook_writer")
        address = f"postgresql://{login}:x@{database.partition('@')[2]}"
        try:
            store = await open_store(address, pool_size=1)
            await administrator.execute(f"ALTER ROLE {login} CONNECTION LIMIT 2")
            for _ in range(3):
                async with asyncio.timeout(SOON_S):
                    answers = await asyncio.gather(
                        *(store.append(write(stream_of(workspace), Noted("a"))) for _ in range(200)),
                        return_exceptions=True,
                    )
                assert [type(answer) for answer in answers] == [Appended] * 200
            await store.close()
        finally:
            await administrator.execute(END_SESSIONS)
            await administrator.execute(f"DROP ROLE {login}")


async def test_a_bulk_append_that_lost_its_answer_says_so(cutting: Cutting, workspace: UUID) -> None:
    for cut in ALL_CUTS:
        writes = [write(stream_of(workspace), Noted("a"), key=f"bulk {cut.name} {n}") for n in range(5)]
        cutting.next_append.arm(cut)
        async with asyncio.timeout(SOON_S):
            with pytest.raises(StoreUnavailable) as refused:
                await cutting.store.append_bulk(writes)
        assert refused.value.outcome_unknown
        # The lane is free again, and the keys tell what happened.
        async with asyncio.timeout(SOON_S):
            await cutting.store.append(write(stream_of(workspace), Noted("b")))
            found = [await cutting.store.find_idempotent(workspace, f"bulk {cut.name} {n}") for n in range(5)]
        assert len({one is not None for one in found}) == 1
        if cut in DONE:
            assert all(found)
        if not any(found):
            await cutting.store.append_bulk(writes)


@asynccontextmanager
async def paused(postgres: Postgres) -> AsyncIterator[None]:
    """Every process of a server stopped: connections stay, nothing answers."""
    assert postgres.pid is not None
    pids = [postgres.pid, *children(postgres.pid)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def own_cluster() -> Iterator[Postgres]:
    """To be stopped and killed; runs again after each test. What was committed is in files, if not on the disk."""
    folder = servers.scratch_folder()
    postgres = Postgres(folder, fsync=False, settings={"shared_buffers": "64MB", "synchronous_commit": "on"})
    try:
        postgres.start()
        servers.create_database(postgres.url("postgres"), USER, template="template0")
        servers.migrate(postgres.url())
        yield postgres
    finally:
        postgres.stop()
        servers.remove_folder(folder)


async def test_a_server_that_freezes_keeps_nobody_waiting_for_ever(
    own_cluster: Postgres, open_store: OpenStore, workspace: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "STATEMENT_TIMEOUT_S", SILENCE_S)
    monkeypatch.setattr(store_module, "CONNECT_TIMEOUT_S", SILENCE_S)
    monkeypatch.setattr(appender, "UNAVAILABLE_AFTER_S", SILENCE_S)
    store = await open_store(own_cluster.url())
    await store.append(write(stream_of(workspace), Noted("a")))
    async with paused(own_cluster):
        async with asyncio.timeout(SOON_S):
            with pytest.raises(StoreUnavailable) as refused:
                await store.append(write(stream_of(workspace), Noted("b"), key="frozen"))
        assert refused.value.outcome_unknown
        async with asyncio.timeout(SOON_S):
            await store.close()
    store = await open_store(own_cluster.url())
    await store.append(write(stream_of(workspace), Noted("c")))


async def test_a_store_can_be_closed_while_the_database_is_gone(
    own_cluster: Postgres, open_store: OpenStore, workspace: UUID
) -> None:
    store = await open_store(own_cluster.url())
    await store.append(write(stream_of(workspace), Noted("a")))
    own_cluster.kill()
    tasks = [asyncio.create_task(store.append(write(stream_of(workspace), Noted("b")))) for _ in range(300)]
    await asyncio.sleep(0)
    async with asyncio.timeout(SOON_S):
        await store.close()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(answer, StoreUnavailable) for answer in answers)
    own_cluster.start()


async def test_reads_work_again_after_a_restart(own_cluster: Postgres, open_store: OpenStore, workspace: UUID) -> None:
    store = await open_store(own_cluster.url())
    stream = stream_of(workspace)
    await store.append(write(stream, Noted("a")))
    await asyncio.gather(*(store.read_stream(stream) for _ in range(20)))  # the pool is at its full size
    own_cluster.stop()
    with pytest.raises((OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
        await store.read_stream(stream)
    own_cluster.start()
    async with asyncio.timeout(SOON_S):
        found = await asyncio.gather(*(store.read_stream(stream) for _ in range(20)), return_exceptions=True)
        assert texts(await store.read_stream(stream)) == ["a"]
    assert all(not isinstance(one, asyncio.TimeoutError) for one in found)
