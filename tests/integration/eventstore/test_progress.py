"""Who waits to read their writes is told at once, never too early, and not forgotten when a connection is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from eventstore import applier, checkpoint
from eventstore.announcer import Announcer
from eventstore.codec import Codec
from eventstore.connection import connector
from eventstore.errors import PositionGap, PositionTimeout, UnknownEventType
from eventstore.progress import Progress
from eventstore.projector import Projector
from eventstore.rebuild import Rebuild
from eventstore.signals import LaneSignal, LogSignals
from eventstore.store import EventStore
from eventstore.subscription import subscribe
from tests.integration.eventstore.conftest import OpenStore, superuser
from tests.integration.eventstore.tally import Rows, Tally, connected, fill, make_builds, running
from tests.support.sample import Counted, stream_of, write
from tests.support.waiting import until


@pytest.fixture
async def store(database: str, open_store: OpenStore) -> EventStore:
    return await open_store(database)


@pytest.fixture
async def progress(database: str) -> AsyncIterator[Progress]:
    opened = await Progress.open(database)
    yield opened
    await opened.close()


async def test_what_was_waited_for_is_there(
    database: str, store: EventStore, progress: Progress, workspace: UUID
) -> None:
    """Planted bug: announcing before COMMIT makes some of these reads find nothing."""
    await make_builds(database, Tally())
    late_ms = []
    async with running(Projector(store, database, [Tally()])), connected(database) as reader:
        for _ in range(100):
            stream = stream_of(workspace)
            appended = await store.append(write(stream, Counted(1)))
            started = time.perf_counter()
            await progress.wait("tally", appended.lane, appended.last_position, 10)
            late_ms.append((time.perf_counter() - started) * 1000)
            assert await reader.fetchval("SELECT total FROM rm_tally.tally WHERE stream_id = $1", stream.id) == 1
            assert progress.reached("tally", 0) >= appended.last_position
    late_ms.sort()
    print(f"from the answered append to the row: p50 {late_ms[50]:.1f} ms, p99 {late_ms[98]:.1f} ms")
    assert late_ms[50] < 100  # a missed notification would cost a poll; the bench measures it on a quiet machine


async def test_a_position_that_is_not_reached_times_out_with_both_figures(
    database: str, store: EventStore, progress: Progress, workspace: UUID
) -> None:
    await make_builds(database, Tally())
    await fill(store, workspace, streams=3)
    with pytest.raises(PositionTimeout, match="tally is at 0, wanted 3"):
        await progress.wait("tally", 0, 3, 0.05)
    with pytest.raises(PositionTimeout, match="no_such is at 0, wanted 1"):
        await progress.wait("no_such", 0, 1, 0.05)
    async with running(Projector(store, database, [Tally()])):
        await asyncio.gather(*(progress.wait("tally", 0, n % 3 + 1, 10) for n in range(200)))
        with pytest.raises(PositionTimeout, match="tally is at 3, wanted 4"):
            await progress.wait("tally", 0, 4, 0.05)


async def test_the_slowest_slice_range_counts(database: str, store: EventStore, progress: Progress) -> None:
    await make_builds(database, Tally())
    async with connected(database) as connection:
        await connection.execute(
            "INSERT INTO projector.checkpoints (name, build, lane, slice_from, slice_to, position) "
            "VALUES ('tally', 1, 0, 512, 1023, 9); UPDATE projector.checkpoints SET slice_to = 511, position = 4 "
            "WHERE slice_from = 0"
        )
        announcer = Announcer(connector(database, role=None, application_name="test"))
        announcer.moved(checkpoint.Unit("tally", 1, 0, 512, 1023))
        announcing = asyncio.create_task(announcer.run())
    await progress.wait("tally", 0, 4, 5)
    assert progress.reached("tally", 0) == 4
    announcing.cancel()
    await asyncio.gather(announcing, return_exceptions=True)


@pytest.mark.parametrize("planted", ["", "announced before COMMIT"])
async def test_nobody_is_told_before_the_row_is_there(
    database: str, store: EventStore, progress: Progress, workspace: UUID, planted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def too_early(connection: Any, lease: checkpoint.Lease, old: int, new: int) -> None:
        await checkpoint.advance(connection, lease, old, new)
        async with connected(database) as other:
            await other.execute("SELECT pg_notify('rollbook_progress', $1)", f"tally 0 {new}")

    if planted:
        monkeypatch.setattr(applier, "advance", too_early)
    await make_builds(database, Tally())
    async with running(Projector(store, database, [Tally(pause_s=0.2)])), connected(database) as reader:
        stream = stream_of(workspace)
        appended = await store.append(write(stream, Counted(1)))
        await progress.wait("tally", 0, appended.last_position, 5)
        found = await reader.fetchval("SELECT total FROM rm_tally.tally WHERE stream_id = $1", stream.id)
    assert found == (None if planted else 1)


async def test_a_lost_announcement_costs_one_poll(
    database: str, store: EventStore, progress: Progress, workspace: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a projector dies between COMMIT and NOTIFY. Planted bug: waiting for NOTIFY alone times out here."""

    def silence(*_: object, awaited: bool) -> None:
        return

    monkeypatch.setattr(Announcer, "moved", silence)
    await make_builds(database, Tally())
    async with running(Projector(store, database, [Tally()])):
        for _ in range(3):
            appended = await store.append(write(stream_of(workspace), Counted(1)))
            await progress.wait("tally", 0, appended.last_position, 5)


async def test_waiting_survives_a_lost_connection(
    database: str, store: EventStore, progress: Progress, workspace: UUID
) -> None:
    await make_builds(database, Tally())
    rows = Rows(database, store)
    async with running(Projector(store, database, [Tally()])):
        for _ in range(3):
            waiting = asyncio.create_task(progress.wait("tally", 0, await store.head(0) + 1, 10))
            async with superuser(database) as connection:
                await connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND application_name = 'rollbook progress'"
                )
            await store.append(write(stream_of(workspace), Counted(1)))
            await waiting
        await until(rows.caught_up)


async def test_after_a_swap_it_is_the_new_build_that_counts(
    database: str, store: EventStore, progress: Progress, workspace: UUID
) -> None:
    await make_builds(database, Tally())
    await fill(store, workspace, streams=20)
    # No projector runs: only the rebuild is that far.
    await Rebuild(store, database, Tally()).run()
    await progress.wait("tally", 0, 20, 5)


async def test_a_subscription_gives_every_position_in_order_and_goes_on_after_a_loss(
    database: str, store: EventStore, workspace: UUID
) -> None:
    signals = LogSignals(store.connect)
    listening = asyncio.create_task(signals.run())
    seen: list[int] = []

    async def follow() -> None:
        async for batch in subscribe(store, signals.of_lane(0), after=0, limit=7):
            assert batch.after == (seen[-1] if seen else 0)
            seen.extend(event.position for event in batch.events)

    following = asyncio.create_task(follow())
    for _ in range(3):
        await fill(store, workspace, streams=20)
        async with superuser(database) as connection:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
    await until(lambda: len(seen) >= 60)
    for task in (following, listening):
        task.cancel()
    await asyncio.gather(following, listening, return_exceptions=True)
    assert seen == list(range(1, 61))


async def test_a_subscription_stops_at_a_hole_and_at_what_it_cannot_read(
    database: str, store: EventStore, open_store: OpenStore, workspace: UUID
) -> None:
    signal = LogSignals(store.connect).of_lane(0)
    await fill(store, workspace, streams=5)
    older = await open_store(database, codec=Codec([]))
    with pytest.raises(UnknownEventType):
        await anext(subscribe(older, signal, after=0))
    # Read past, not decoded.
    assert (await anext(subscribe(older, signal, after=0, types=frozenset()))).last == 5
    async with superuser(database) as connection:
        await connection.execute("DELETE FROM log.events WHERE position = 3")
    following = subscribe(store, signal, after=0, limit=2)
    assert (await anext(following)).last == 2
    with pytest.raises(PositionGap):
        await anext(following)


async def test_a_quiet_lane_is_not_polled_in_a_hurry(database: str, store: EventStore) -> None:
    """A false announcement costs one read. Planted bug: looking at the announced head alone would spin."""
    signals = LogSignals(store.connect)
    listening = asyncio.create_task(signals.run())
    signal = signals.of_lane(0)
    async with superuser(database) as connection:
        for payload in ("0 999999", "nonsense", "0 x", "1 5"):
            await connection.execute("SELECT pg_notify('rollbook_log', $1)", payload)
        await until(lambda: _notified(connection, signal))
    wakes, until_s = 0, time.monotonic() + 1
    while time.monotonic() < until_s:
        await signal.wait(0, 0.2)
        wakes += 1
    # Five or six by the clock, and one for each announcement that was still on its way.
    assert wakes <= 20
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


async def _notified(connection: asyncpg.Connection, signal: LaneSignal) -> bool:
    await connection.execute("NOTIFY rollbook_log, '0 999999'")
    started = time.monotonic()
    await signal.wait(0, 0.5)
    return time.monotonic() - started < 0.4
