"""Where the facade is stricter than the library's suites ask, or has lanes, threads and connections of its own."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import asyncpg
import psycopg
import pytest
from eventsourcing.persistence import (
    ApplicationRecorder,
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    StoredEvent,
    Tracking,
)
from eventsourcing.utils import Environment

from eventstore.facade import LogFactory
from eventstore.signals import LogSignals
from eventstore.verify import verify_chain
from rollbook.embedded.postgres import Postgres
from tests.support.waiting import until_sync

Open = Callable[..., LogFactory]


@pytest.fixture
def open_factory(module_database: str) -> Iterator[Open]:
    """Factories of an application of this test's own name; each stands for a process."""
    opened: list[LogFactory] = []
    own_name = f"App{secrets.token_hex(6)}"

    def open_(name: str = own_name, database: str = module_database) -> LogFactory:
        opened.append(LogFactory(Environment(name, {LogFactory.DATABASE_URL: database})))
        return opened[-1]

    yield open_
    for factory in opened:
        factory.close()


def written(id_: UUID, *versions: int) -> list[StoredEvent]:
    return [StoredEvent(id_, version, f"topic{version}", b"state") for version in versions]


def test_an_aggregate_leaves_no_hole(open_factory: Open) -> None:
    recorder = open_factory().application_recorder()
    id_ = uuid4()
    for versions in ((1, 3), (2,), (5,)):
        with pytest.raises(IntegrityError):
            recorder.insert_events(written(id_, *versions))
    recorder.insert_events(written(id_, 1))
    with pytest.raises(IntegrityError):
        recorder.insert_events(written(id_, 3))
    assert recorder.select_notifications(None, 10) == recorder.select_notifications(1, 1)


def test_an_aggregate_begins_at_zero_or_one_and_stays_with_it(open_factory: Open) -> None:
    recorder = open_factory().application_recorder()
    from_zero, from_one = uuid4(), uuid4()
    recorder.insert_events(written(from_zero, 0))
    recorder.insert_events(written(from_one, 1))

    # Another process knows neither, and must not take 1 for the first of from_zero.
    other = open_factory().application_recorder()
    other.insert_events(written(from_zero, 1))
    with pytest.raises(IntegrityError):
        other.insert_events(written(from_zero, 1))
    for recorder_ in (recorder, other):
        with pytest.raises(IntegrityError):
            recorder_.insert_events(written(from_one, 0))
    with pytest.raises(IntegrityError):
        other.insert_events(written(uuid4(), -1))

    third = open_factory().application_recorder()
    third.insert_events(written(from_zero, 2, 3))
    third.insert_events(written(from_one, 2))
    assert [e.originator_version for e in third.select_events(from_zero)] == [0, 1, 2, 3]
    assert [e.originator_version for e in third.select_events(from_zero, gt=0, lte=2)] == [1, 2]
    assert [e.originator_version for e in third.select_events(from_zero, desc=True, limit=2)] == [3, 2]
    assert [e.originator_version for e in third.select_events(from_zero, gt=0, limit=1)] == [1]
    assert [e.originator_version for e in third.select_events(from_one, gt=1, limit=1)] == [2]
    assert [e.originator_version for e in third.select_events(from_one, lte=1, desc=True)] == [1]


def test_ids_are_answered_in_the_order_of_the_events_given(open_factory: Open) -> None:
    recorder = open_factory().application_recorder()
    a, b = uuid4(), uuid4()
    alternating = [*written(a, 1), *written(b, 1), *written(a, 2), *written(b, 2)]
    ids = recorder.insert_events(alternating)
    assert ids is not None
    by_id = {n.id: (n.originator_id, n.originator_version) for n in recorder.select_notifications(None, 10)}
    assert [by_id[id_] for id_ in ids] == [(e.originator_id, e.originator_version) for e in alternating]
    assert sorted(ids) == [1, 2, 3, 4]


def test_nothing_of_a_call_is_kept_when_one_of_its_aggregates_conflicts(open_factory: Open) -> None:
    recorder = open_factory().application_recorder()
    taken, fresh = uuid4(), uuid4()
    recorder.insert_events(written(taken, 1))
    with pytest.raises(IntegrityError):
        recorder.insert_events([*written(fresh, 1), *written(taken, 1)])
    assert recorder.select_events(fresh) == []
    assert recorder.max_notification_id() == 1


def test_a_conflicting_event_leaves_the_tracking_where_it_was(open_factory: Open) -> None:
    recorder = open_factory().process_recorder()
    id_ = uuid4()
    recorder.insert_events(written(id_, 1), tracking=Tracking("upstream", 5))
    with pytest.raises(IntegrityError):
        recorder.insert_events(written(id_, 1), tracking=Tracking("upstream", 6))
    assert recorder.max_tracking_id("upstream") == 5


async def test_the_lane_of_an_application_proves_whole(open_factory: Open, module_database: str) -> None:
    def write() -> None:
        factory = open_factory("Proven")
        id_ = uuid4()
        factory.application_recorder().insert_events([*written(id_, 1, 2), *written(uuid4(), 0, 1)])
        factory.process_recorder().insert_events(written(id_, 3), tracking=Tracking("upstream", 1))

    await asyncio.to_thread(write)
    async with asyncpg.create_pool(module_database, min_size=1, max_size=1) as pool:
        lane = await pool.fetchval("SELECT lane FROM log.applications WHERE name = 'Proven'")
        report = await verify_chain(pool, lane)
    assert (report.batches, report.events, report.reason) == (2, 5, None)


def test_a_database_without_the_log_is_said(open_factory: Open, create_database: Callable[..., str]) -> None:
    recorder = open_factory(database=create_database(empty=True)).application_recorder()
    with pytest.raises(DatabaseError):
        recorder.max_notification_id()


def test_ids_that_are_not_uuids_are_refused(open_factory: Open) -> None:
    recorder = open_factory().application_recorder()
    with pytest.raises(DataError):
        recorder.insert_events([StoredEvent("customer-1", 1, "topic", b"")])
    with pytest.raises(DataError):
        recorder.select_events("customer-1")


def test_applications_have_lanes_and_trackings_of_their_own(open_factory: Open) -> None:
    one, other = open_factory("One"), open_factory("Other")
    id_ = uuid4()
    assert one.process_recorder().insert_events(written(id_, 1), tracking=Tracking("upstream", 9)) == [1]
    assert other.application_recorder().insert_events(written(id_, 1)) == [1]
    assert other.tracking_recorder().max_tracking_id("upstream") is None


def test_processes_that_start_an_application_at_once_share_its_lane(open_factory: Open) -> None:
    recorders = [open_factory().application_recorder() for _ in range(6)]
    with ThreadPoolExecutor(len(recorders)) as pool:
        ids = list(pool.map(lambda recorder: recorder.insert_events(written(uuid4(), 1)), recorders))
    assert sorted(ids) == [[n] for n in range(1, 7)]


def test_two_processes_never_interleave_their_events(open_factory: Open) -> None:
    one, other = (open_factory().application_recorder() for _ in range(2))

    def write(recorder: ApplicationRecorder) -> list[list[int]]:
        return [list(recorder.insert_events(written(uuid4(), *range(1, 21))) or ()) for _ in range(25)]

    with ThreadPoolExecutor(2) as pool:
        calls = [ids for written_ids in pool.map(write, (one, other)) for ids in written_ids]
    assert all(ids == list(range(ids[0], ids[0] + 20)) for ids in calls)
    assert sorted(id_ for ids in calls for id_ in ids) == list(range(1, 1001))
    assert [n.id for n in one.select_notifications(None, 1000)] == list(range(1, 1001))


def test_rare_topics_are_found_far_down_the_lane(open_factory: Open) -> None:
    recorder = open_factory().application_recorder()
    recorder.insert_events(written(uuid4(), *range(1, 1001)))
    found = recorder.select_notifications(None, 2, topics=["topic7", "topic990", "topic991"])
    assert [n.id for n in found] == [7, 990]
    assert [n.id for n in recorder.select_notifications(8, 10, stop=990, topics=["topic990", "topic991"])] == [990]
    assert recorder.select_notifications(8, 10, topics=["topic7"]) == []


LISTENERS = "FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE 'listen%'"


def test_a_waiting_subscription_is_woken_by_notify(open_factory: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventstore.facade.subscription.POLL_INTERVAL_S", 60.0)
    recorder = open_factory().application_recorder()
    with ThreadPoolExecutor(1) as pool, recorder.subscribe() as subscription:
        received = pool.submit(next, subscription)
        open_factory().application_recorder().insert_events(written(uuid4(), 1))
        assert received.result(timeout=10).id == 1


def test_a_waiting_subscription_outlives_its_listening_connection(
    open_factory: Open, module_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventstore.facade.subscription.POLL_INTERVAL_S", 60.0)
    recorder = open_factory().application_recorder()
    with ThreadPoolExecutor(1) as pool, recorder.subscribe() as subscription:
        received = pool.submit(next, subscription)
        with psycopg.connect(module_database, autocommit=True) as connection:
            until_sync(
                lambda: connection.execute(f"SELECT pg_terminate_backend(pid) {LISTENERS}").fetchall(),
                what="the listening connection",
            )
        recorder.insert_events(written(uuid4(), 1))
        assert received.result(timeout=10).id == 1


def test_a_waiting_subscription_polls_where_no_notification_comes(
    open_factory: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def deaf(self: LogSignals) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(LogSignals, "run", deaf)
    recorder = open_factory().application_recorder()
    with ThreadPoolExecutor(1) as pool, recorder.subscribe() as subscription:
        received = pool.submit(next, subscription)
        recorder.insert_events(written(uuid4(), 1))
        assert received.result(timeout=10).id == 1


def test_a_subscription_is_entered_once(open_factory: Open) -> None:
    with open_factory().application_recorder().subscribe() as subscription:
        with pytest.raises(ProgrammingError):
            subscription.__enter__()


def test_a_waiting_subscription_stops_from_another_thread(open_factory: Open) -> None:
    subscription = open_factory().application_recorder().subscribe()
    with ThreadPoolExecutor(1) as pool, subscription:
        rest = pool.submit(list, subscription)
        subscription.stop()
        assert rest.result(timeout=5) == []


def test_a_database_that_stays_away_is_an_operational_error(open_factory: Open) -> None:
    factory = open_factory(database="postgresql://nobody@127.0.0.1:1/nothing")
    with pytest.raises(OperationalError):
        factory.application_recorder().max_notification_id()


@pytest.mark.chaos
def test_a_restarted_database_is_found_again(private_postgres: Callable[..., Postgres], open_factory: Open) -> None:
    postgres = private_postgres()
    recorder = open_factory(database=postgres.url()).application_recorder()
    id_ = uuid4()
    with recorder.subscribe() as subscription:
        recorder.insert_events(written(id_, 1))
        assert next(subscription).id == 1
        postgres.kill()
        postgres.start()
        recorder.insert_events(written(id_, 2))
        assert [e.originator_version for e in recorder.select_events(id_)] == [1, 2]


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def test_a_closed_factory_leaves_no_thread_and_answers_no_more(open_factory: Open) -> None:
    factory = open_factory("Closing")
    recorder = factory.application_recorder()
    recorder.insert_events(written(uuid4(), 1))
    assert "rollbook-Closing" in threads()
    factory.close()
    factory.close()
    assert "rollbook-Closing" not in threads()
    with pytest.raises(InterfaceError, match="closed"):
        recorder.max_notification_id()


def test_a_forgotten_factory_closes_itself(module_database: str) -> None:
    factory = LogFactory(Environment("Forgotten", {LogFactory.DATABASE_URL: module_database}))
    factory.application_recorder().max_notification_id()
    assert "rollbook-Forgotten" in threads()
    del factory
    until_sync(lambda: "rollbook-Forgotten" not in threads(), what="the thread to end")


def test_a_program_that_never_closes_its_application_still_ends(module_database: str) -> None:
    program = textwrap.dedent(
        """
        from eventsourcing.application import Application
        from eventsourcing.domain import Aggregate
        application = Application()
        print(len(application.save(Aggregate())))
        subscription = application.recorder.subscribe()
        print(next(subscription).id)
        """
    )
    settings = {"PERSISTENCE_MODULE": "eventstore.facade", LogFactory.DATABASE_URL: module_database}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=settings, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr, done.returncode) == ("1\n1\n", "", 0)


def test_settings_that_lead_nowhere_are_said_at_once(module_database: str) -> None:
    with pytest.raises(OSError, match="ROLLBOOK_DATABASE_URL"):
        LogFactory(Environment("Bare", {}))
    with pytest.raises(OSError, match="belong together"):
        LogFactory({LogFactory.DATABASE_URL: module_database, LogFactory.ATTACH_CATEGORY: "contact"})
    with pytest.raises(TypeError, match="KEYRING_TOPIC"):
        LogFactory({LogFactory.DATABASE_URL: module_database, LogFactory.KEYRING_TOPIC: "builtins:dict"})
    factory = LogFactory({
        LogFactory.DATABASE_URL: module_database,
        LogFactory.APPLICATION_RECORDER_TOPIC: "builtins:dict",
    })  # fmt: skip
    with pytest.raises(TypeError, match="APPLICATION_RECORDER_TOPIC"):
        factory.application_recorder()
    factory.close()
