"""A projector applies every event once and in order, whoever else is in the database, and stops as told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from uuid import UUID, uuid4

import asyncpg
import pytest

from eventstore import builds, signals, status
from eventstore.checkpoint import LEASE
from eventstore.connection import connector
from eventstore.errors import NoSuchBuild, WrongExpectedVersion
from eventstore.projector import Projector
from eventstore.runner import Pace
from rollbook.embedded.postgres import Postgres
from tests.integration.eventstore.conftest import OpenStore, superuser
from tests.integration.eventstore.tally import Rows, Tally, connected, fill, make_builds, running
from tests.support.sample import Counted, stream_of, write
from tests.support.waiting import until


async def test_the_read_model_equals_the_fold_of_the_log(database: str, open_store: OpenStore, workspace: UUID) -> None:
    store = await open_store(database)
    rows = Rows(database, store)
    await fill(store, workspace, streams=50, events_each=3)
    assert await make_builds(database, Tally()) == []
    async with running(Projector(store, database, [Tally()], pace=Pace(batch_max=7))):
        await until(rows.caught_up)
        await fill(store, workspace, streams=20)
        await until(rows.caught_up)
    assert await rows.tally() == await rows.folded()
    assert set(await rows.times()) == {1}


async def test_a_stopped_projector_gives_its_leases_back_at_once(
    database: str, open_store: OpenStore, workspace: UUID
) -> None:
    """Planted bug: without the release the successor waits for the expiry, 10 s."""
    store = await open_store(database)
    rows = Rows(database, store)
    await make_builds(database, Tally())
    async with running(Projector(store, database, [Tally()])):
        await fill(store, workspace, streams=3)
        await until(rows.caught_up)
        started = time.monotonic()
    assert time.monotonic() - started < 2
    assert await rows.fetch("SELECT FROM projector.checkpoints WHERE owner IS NOT NULL") == []
    async with running(Projector(store, database, [Tally()])):
        await fill(store, workspace, streams=3)
        await until(rows.caught_up, timeout_s=LEASE.total_seconds() / 2)
    assert set(await rows.times()) == {1}


async def test_a_stop_that_comes_together_with_a_change_is_not_lost(database: str, open_store: OpenStore) -> None:
    """Planted bug: with `asyncio.wait_for` before Python 3.12 the projector goes on, and whoever stops it waits."""
    projector = Projector(await open_store(database), database, [Tally()])
    for steps in range(5):
        projector._changed.clear()
        waiting = asyncio.create_task(projector._tick())
        for _ in range(3):
            await asyncio.sleep(0)
        projector._changed.set()
        for _ in range(steps):
            await asyncio.sleep(0)
        ended_by_itself = waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting])
        assert ended_by_itself or waiting.cancelled()


async def test_events_of_other_types_move_the_checkpoint_and_nothing_else(
    database: str, open_store: OpenStore, workspace: UUID
) -> None:
    class OnlyNotes(Tally):
        types = frozenset({"test.noted"})

    store = await open_store(database)
    rows = Rows(database, store)
    await make_builds(database, OnlyNotes())
    await fill(store, workspace, streams=30)
    async with running(Projector(store, database, [OnlyNotes()])):
        await until(rows.caught_up)
    assert await rows.tally() == {}


async def test_a_lost_notification_costs_one_poll(
    database: str, open_store: OpenStore, workspace: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted bug: a projector that only waits for NOTIFY would never catch up here."""
    monkeypatch.setattr(signals.LaneSignal, "tell", lambda _self, _position: None)
    store = await open_store(database)
    rows = Rows(database, store)
    await make_builds(database, Tally())
    async with running(Projector(store, database, [Tally()], pace=Pace(poll_s=0.05))):
        for _ in range(3):
            await fill(store, workspace, streams=2)
            await until(rows.caught_up, timeout_s=5)
    assert set(await rows.times()) == {1}


async def test_open_transactions_and_refused_appends_never_hold_it_up(
    database: str, open_store: OpenStore, workspace: UUID
) -> None:
    """Planted bug: a reader that waits for the oldest open transaction (xmin) stands still until that one ends."""
    store = await open_store(database)
    rows = Rows(database, store)
    await make_builds(database, Tally())
    async with superuser(database) as idler, superuser(database) as dead:
        await idler.execute("BEGIN; CREATE TABLE unrelated (id integer); INSERT INTO unrelated VALUES (1)")
        # An append that took its positions and then failed leaves nothing behind, above all no hole.
        with suppress(asyncpg.DivisionByZeroError):
            await dead.execute(
                "BEGIN; INSERT INTO log.events SELECT 1, now(), 1, 0, 1, 1, $1, $1, $1, NULL, 'note', 'x', '', ''; "
                "SELECT 1 / 0".replace("$1", f"'{uuid4()}'")
            )
        async with running(Projector(store, database, [Tally()])):
            stream = stream_of(workspace)
            await store.append(write(stream, Counted(1)))
            for _ in range(3):
                with pytest.raises(WrongExpectedVersion):
                    await store.append(write(stream, Counted(1)))
            await fill(store, workspace, streams=5)
            await until(rows.caught_up, timeout_s=5)
            await idler.execute("ROLLBACK")
    assert set(await rows.times()) == {1}


async def test_a_missing_position_stops_one_projection_with_the_reason(
    database: str, open_store: OpenStore, workspace: UUID
) -> None:
    """Planted bug: reading `position > checkpoint` without the density check goes on and loses position 3."""
    store = await open_store(database)
    rows = Rows(database, store)
    await make_builds(database, Tally())
    await fill(store, workspace, streams=6)
    async with superuser(database) as connection:
        await connection.execute("DELETE FROM log.events WHERE position = 3")
    async with running(Projector(store, database, [Tally()])):
        trouble = await until(lambda: _trouble(database))
        assert trouble == "PositionGap: lane 0: expected position 3, found 4"
        assert await rows.checkpoint() == 0


async def _trouble(database: str) -> str | None:
    async with connected(database) as connection:
        return (await status.status(connection))[0].units[0].trouble


@pytest.fixture
def killable(private_postgres: Callable[..., Postgres]) -> Postgres:
    """Made here, not in the test, because migrating starts an event loop of its own."""
    return private_postgres()


@pytest.mark.chaos
async def test_it_outlives_a_killed_database(killable: Postgres, open_store: OpenStore, workspace: UUID) -> None:
    """Planted bug: without reconnecting, or with a checkpoint committed apart from its rows, this never gets level."""
    database = killable.url()
    store = await open_store(database)
    rows = Rows(database, store)
    await make_builds(database, Tally())
    async with running(Projector(store, database, [Tally()])):
        for _ in range(3):
            await fill(store, workspace, streams=20, events_each=2)
            killable.kill()
            await asyncio.to_thread(killable.start)
            await fill(store, workspace, streams=5)
            await until(rows.caught_up, timeout_s=20)
    assert await rows.tally() == await rows.folded()
    assert set(await rows.times()) == {1}


async def test_slice_ranges_are_shared_fairly_and_apply_everything_once(
    database: str, open_store: OpenStore, workspace: UUID
) -> None:
    """Planted bug: a range that takes over too low a checkpoint applies twice, too high a one skips."""
    store = await open_store(database)
    rows = Rows(database, store)
    await make_builds(database, Tally())
    projectors = [Projector(store, database, [Tally()], name=name) for name in ("first", "second")]
    async with running(projectors[0]):
        await fill(store, workspace, streams=40)
        await until(rows.caught_up)
        async with connected(database) as connection:
            await builds.reslice(connection, "tally", 1, 4)
        async with running(projectors[1]):
            await fill(store, workspace, streams=40)
            await until(lambda: _owners(rows, ["first", "first", "second", "second"]))
            await until(rows.caught_up)
        # The second one left: the first takes all ranges again.
        await fill(store, workspace, streams=40)
        await until(lambda: _owners(rows, ["first"] * 4))
        await until(rows.caught_up)
        async with connected(database) as connection:
            await builds.reslice(connection, "tally", 1, 1)
        await fill(store, workspace, streams=10)
        await until(rows.caught_up)
    assert await rows.tally() == await rows.folded()
    assert set(await rows.times()) == {1}


async def _owners(rows: Rows, wanted: list[str]) -> bool:
    found = await rows.fetch("SELECT owner FROM projector.checkpoints WHERE owner IS NOT NULL ORDER BY owner")
    return [row["owner"] for row in found] == wanted


async def test_only_projections_keyed_by_stream_are_shared_out(database: str) -> None:
    class ByWorkspace(Tally):
        def key(self, event: object) -> UUID:
            return UUID(int=1)

    await make_builds(database, ByWorkspace())
    async with connected(database) as connection:
        with pytest.raises(NoSuchBuild, match="its keys are not streams"):
            await builds.reslice(connection, "tally", 1, 2)


async def test_the_status_tells_positions_lag_and_owner(database: str, open_store: OpenStore, workspace: UUID) -> None:
    store = await open_store(database)
    rows = Rows(database, store)
    await make_builds(database, Tally())
    await fill(store, workspace, streams=5)
    connect = connector(database, role="rollbook_projector", application_name="test")
    told: list[list[status.BuildStatus]] = []
    watching = asyncio.create_task(status.watch(connect, told.append, every_s=0.02))
    behind = (await until(lambda: told and told[-1]))[0]
    assert (behind.name, behind.build, behind.state, behind.lag_events) == ("tally", 1, "live", 5)
    assert behind.lag_ms > 0
    assert behind.units[0].owner is None
    async with running(Projector(store, database, [Tally()], name="the owner")):
        await until(rows.caught_up)
        level = await until(lambda: told[-1][0] if told[-1][0].lag_events == 0 else None)
        assert level.lag_ms == 0
        assert level.units[0].owner == "the owner"
    watching.cancel()
