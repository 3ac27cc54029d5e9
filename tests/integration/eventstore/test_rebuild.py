"""A rebuilt read model equals the one kept all along, also after what interrupted it. Swapping is in `_swap`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from eventstore import builds, loading, replay
from eventstore.codec import Codec, EventType
from eventstore.connection import CONNECTION_ERRORS, connector
from eventstore.errors import BuildBusy, PositionGap
from eventstore.projector import Projector
from eventstore.rebuild import Rebuild, RebuildProgress
from eventstore.runner import Pace
from eventstore.store import EventStore
from tests.integration.eventstore.conftest import OpenStore, superuser
from tests.integration.eventstore.tally import Rows, Tally, connected, fill, make_builds, running
from tests.support.sample import Counted, Noted, stream_of, write
from tests.support.waiting import until

QUICK = Pace(poll_s=0.02)


@pytest.fixture
async def store(database: str, open_store: OpenStore) -> EventStore:
    return await open_store(database)


@pytest.fixture
async def rows(database: str, store: EventStore) -> Rows:
    return Rows(database, store)


async def all_rows(rows: Rows, schema: str) -> list[tuple[Any, ...]]:
    in_schema = Rows(rows.database, rows.store, schema)
    return [
        tuple(row)
        for table in ("seen", "tally")
        for row in await in_schema.fetch(f"SELECT * FROM {table} ORDER BY 1, 2")
    ]


async def indexes(rows: Rows, schema: str) -> list[str]:
    found = await rows.fetch("SELECT indexname FROM pg_indexes WHERE schemaname = $1 ORDER BY 1", schema)
    return [row["indexname"] for row in found]


@pytest.mark.parametrize(("window", "page"), [(3, 2), (5, 5), (50, 7), (25_000, 5_000)])
async def test_rebuilt_equals_incremental_row_by_row(
    database: str, store: EventStore, rows: Rows, workspace: UUID, monkeypatch: pytest.MonkeyPatch, window: int,
    page: int,
) -> None:  # fmt: skip
    """Also with streams cut by windows and pages. Planted bug: taking a cut stream for a fresh one breaks its key."""
    monkeypatch.setattr(loading, "WINDOW_EVENTS", window)
    monkeypatch.setattr(loading, "PAGE_EVENTS", page)
    await make_builds(database, Tally())
    await fill(store, workspace, streams=38, events_each=4)
    await fill(store, workspace, streams=1, events_each=8)
    async with running(Projector(store, database, [Tally()], pace=QUICK)):
        await until(rows.caught_up)
        copying = Tally()
        told: list[RebuildProgress] = []
        rebuilt = await Rebuild(store, database, copying, on_progress=told.append).run()
        await until(rows.caught_up)
    assert await all_rows(rows, "rm_tally") == await all_rows(rows, "rm_tally_b1")
    assert await indexes(rows, "rm_tally") == await indexes(rows, "rm_tally_b1")
    assert await rows.tally() == await rows.folded()
    assert copying.copied > 0
    assert (rebuilt.build.build, rebuilt.build.state, rebuilt.position) == (2, "live", 160)
    assert list(dict.fromkeys(step.phase for step in told)) == ["replay", "index", "tail", "verify", "swap", "done"]
    assert [step for step in told if step.phase == "replay"][-1].remaining_s == 0


async def test_streams_of_two_categories_may_share_a_key(
    database: str, store: EventStore, rows: Rows, workspace: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted bug: a window that ends between the two streams of a key copies its row twice."""
    monkeypatch.setattr(loading, "WINDOW_EVENTS", 5)
    monkeypatch.setattr(loading, "PAGE_EVENTS", 3)
    await make_builds(database, Tally())
    for stream in await fill(store, workspace, streams=20):
        await store.append(write(stream_of(workspace, stream.id, category="other"), Counted(5)))
    copying = Tally()
    await Rebuild(store, database, copying).run()
    assert (await rows.tally()).keys() == (await rows.folded()).keys()
    assert {events for events, _, _ in (await rows.tally()).values()} == {2}
    assert copying.copied == 40


async def test_keys_that_span_streams_are_replayed_in_the_order_of_the_lane(
    database: str, store: EventStore, rows: Rows, workspace: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    class ByWorkspace(Tally):
        def key(self, event: object) -> UUID:
            return UUID(int=1)

    monkeypatch.setattr(replay, "WINDOW_EVENTS", 10)
    monkeypatch.setattr(replay, "READ_LIMIT", 7)
    await make_builds(database, ByWorkspace())
    await fill(store, workspace, streams=20, events_each=2)
    copying = ByWorkspace()
    await Rebuild(store, database, copying).run()
    assert await rows.tally() == await rows.folded()
    assert 0 < copying.copied < 20


async def test_a_missing_position_ends_a_rebuild(database: str, store: EventStore, workspace: UUID) -> None:
    """Planted bug: reading stream by stream cannot see a hole by itself; without the count it goes unnoticed."""
    await make_builds(database, Tally())
    await fill(store, workspace, streams=9)
    async with superuser(database) as connection:
        await connection.execute("DELETE FROM log.events WHERE position = 4")
    with pytest.raises(PositionGap, match="expected position 4"):
        await Rebuild(store, database, Tally()).run()


async def test_what_cannot_be_decoded_is_parked_by_a_rebuild_too(
    database: str, store: EventStore, rows: Rows, open_store: OpenStore, workspace: UUID
) -> None:
    older = await open_store(database, codec=Codec([EventType("test.counted", Counted)]))
    await make_builds(database, Tally())
    stream = stream_of(workspace)
    await store.append(write(stream, Counted(1), Noted("fine"), Counted(2)))
    await fill(store, workspace, streams=10)
    assert (await Rebuild(older, database, Tally()).run()).parked == 1
    assert (await rows.tally())[stream.id] == (1, 1, 1)
    async with running(Projector(store, database, [Tally()], pace=QUICK)):
        await until(lambda: _nothing_parked(rows))
    assert await rows.tally() == await rows.folded()
    assert set(await rows.times()) == {1}


async def _nothing_parked(rows: Rows) -> bool:
    return await rows.parked() == []


async def test_an_interrupted_rebuild_goes_on_where_it_stopped(
    database: str, store: EventStore, rows: Rows, workspace: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "WINDOW_EVENTS", 10)
    monkeypatch.setattr(loading, "PAGE_EVENTS", 10)
    await make_builds(database, Tally())
    await fill(store, workspace, streams=60, events_each=2)
    begun: list[int] = []
    for stop_at in ("replay", "index", "tail", "verify", "swap"):
        first: list[RebuildProgress] = []
        rebuild = Rebuild(store, database, Tally(), on_progress=_stopper(stop_at, first))
        with pytest.raises(asyncio.CancelledError):
            await rebuild.run()
        begun.append(next((step.done for step in first if step.total), 0))
    rebuilt = await Rebuild(store, database, Tally()).run()
    assert begun[0] == 0
    assert begun[1] >= 20
    assert rebuilt.build.build == 2
    assert await rows.tally() == await rows.folded()
    assert set(await rows.times()) == {1}


def _stopper(phase: str, told: list[RebuildProgress]) -> Callable[[RebuildProgress], None]:
    """Cancels the rebuild in the middle of a phase."""

    def tell(progress: RebuildProgress) -> None:
        told.append(progress)
        if progress.phase == phase and (phase != "replay" or progress.done >= 30):
            task = asyncio.current_task()
            assert task is not None
            task.cancel()

    return tell


async def test_a_lost_connection_ends_a_rebuild_that_can_be_taken_up_again(
    database: str, store: EventStore, rows: Rows, workspace: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "WINDOW_EVENTS", 5)
    monkeypatch.setattr(loading, "PAGE_EVENTS", 5)
    await make_builds(database, Tally())
    await fill(store, workspace, streams=60)
    rebuild = asyncio.create_task(Rebuild(store, database, Tally(pause_s=0.02)).run())
    await until(lambda: _replayed(rows))
    await rows.fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name = 'rollbook rebuild tally'"
    )
    with pytest.raises(CONNECTION_ERRORS):
        await rebuild
    await Rebuild(store, database, Tally()).run()
    assert await rows.tally() == await rows.folded()
    assert set(await rows.times()) == {1}


async def _replayed(rows: Rows) -> bool:
    found = await rows.fetch("SELECT events FROM projector.loads WHERE build = 2")
    return bool(found and found[0]["events"] > 10)


async def test_one_rebuild_of_a_projection_at_a_time(database: str, store: EventStore, workspace: UUID) -> None:
    await make_builds(database, Tally())
    async with connected(database) as connection:
        await builds.lock(connection, "tally")
        with pytest.raises(BuildBusy):
            await Rebuild(store, database, Tally()).run()


async def test_beside_a_long_log_a_new_projection_waits_for_its_first_build(
    database: str, store: EventStore, rows: Rows, workspace: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Empty tables would answer wrongly until they are caught up; no tables answer that they are not there."""
    monkeypatch.setattr(builds, "YOUNG_LOG_EVENTS", 10)
    await fill(store, workspace, streams=20)
    assert await make_builds(database, Tally()) == ["tally"]
    async with connected(database) as connection:
        assert await builds.find(connection, "tally", "live") is None
    await Rebuild(store, database, Tally()).run()
    assert await make_builds(database, Tally()) == []
    assert await rows.tally() == await rows.folded()


async def test_a_poisoned_key_is_parked_in_the_new_build_too(
    database: str, store: EventStore, rows: Rows, workspace: UUID
) -> None:
    await make_builds(database, Tally())
    await fill(store, workspace, streams=20)
    sick = stream_of(workspace)
    await store.append(write(sick, Counted(1), Noted("poison: raised"), Counted(2)))
    async with running(Projector(store, database, [Tally()], pace=QUICK)):
        await until(rows.caught_up)
        assert (await Rebuild(store, database, Tally()).run()).parked == 1
        # And a rebuild by cured code heals it.
        assert (await Rebuild(store, database, Tally(cured=True)).run()).parked == 0
    assert await rows.tally() == await rows.folded()


async def test_many_processes_starting_at_once_make_one_build(database: str) -> None:
    connect = connector(database, role="rollbook_projector", application_name="test")
    connections = await asyncio.gather(*(connect() for _ in range(4)))
    await asyncio.gather(*(builds.ensure_builds(connection, [Tally()]) for connection in connections))
    found = await connections[0].fetch("SELECT build, state FROM projector.projections")
    assert [tuple(row) for row in found] == [(1, "live")]
    await asyncio.gather(*(connection.close() for connection in connections))


def test_index_sql_holds_indexes_only_and_each_may_be_repeated() -> None:
    statements = builds.index_statements(
        "-- why\nCREATE INDEX a ON t (x);\nCREATE UNIQUE INDEX b\n    ON t (y)\n    WHERE y > 1;\n"
        "CREATE INDEX c ON t USING gin (z);\n"
    )
    assert statements == [
        "CREATE INDEX IF NOT EXISTS c ON t USING gin (z)",
        "CREATE INDEX IF NOT EXISTS a ON t (x)",
        "CREATE UNIQUE INDEX IF NOT EXISTS b\n    ON t (y)\n    WHERE y > 1",
    ]
    with pytest.raises(ValueError, match="more than indexes"):
        builds.index_statements("ALTER TABLE t ADD CONSTRAINT c CHECK (x > 0);\n")


class Extended(Tally):
    """Its tables need an extension that other read models need as well."""

    schema_sql = f"CREATE EXTENSION IF NOT EXISTS citext WITH SCHEMA public; {Tally.schema_sql}"


async def test_two_read_models_that_need_one_extension_are_begun_at_once(database: str, rows: Rows) -> None:
    async with superuser(database) as first, superuser(database) as second:
        async with first.transaction():
            await builds.begin(first, Extended("tally"))
            waiting = asyncio.create_task(builds.begin(second, Extended("other")))
            await until(
                lambda: rows.fetch(
                    "SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND wait_event_type = 'Lock'",
                    second.get_server_pid(),
                ),
                what="the second one waits for the first",
            )
        assert (await waiting).schema_name == "rm_other_b1"
