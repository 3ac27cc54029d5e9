"""A poisoned event parks its key with the reason; nobody else waits, nothing is skipped, and a cure heals."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import pytest

from eventstore import applier, status
from eventstore.codec import Codec, EventType
from eventstore.errors import ProjectionBroken
from eventstore.parked import Retried, retry
from eventstore.projector import Projector
from eventstore.runner import Pace
from tests.integration.eventstore.conftest import OpenStore
from tests.integration.eventstore.tally import Rows, Tally, connected, fill, make_builds, running
from tests.support.sample import CODEC, Counted, Noted, stream_of, write
from tests.support.waiting import until

QUICK = Pace(poll_s=0.02)
KINDS = {
    "poison: named": "PoisonedEvent: it is said to be poison",
    "poison: raised": "ValueError in tests.integration.eventstore.tally, line",
}

FROM_THE_BEGINNING = """
SELECT n AS position
FROM generate_series(1, 3) n
WHERE num_nulls($1::text, $2::integer, $3::integer, $4::uuid, $5::integer) = 0
"""


async def ask(database: str, key: UUID | None = None, *, timeout_s: float = 10) -> Retried:
    async with connected(database) as connection:
        return await retry(connection, "tally", key, timeout_s=timeout_s)


@pytest.mark.parametrize("text", KINDS)
async def test_poison_parks_its_key_and_stops_nobody_else(
    database: str, open_store: OpenStore, workspace: UUID, text: str
) -> None:
    """Planted bug: going past the failed event instead of parking leaves a row without it and nothing parked."""
    store = await open_store(database)
    rows = Rows(database, store)
    await make_builds(database, Tally())
    sick = stream_of(workspace)
    others = await fill(store, workspace, streams=30)
    await store.append(write(sick, Counted(10), Noted(text), Counted(20)))
    others += await fill(store, workspace, streams=30)
    async with running(Projector(store, database, [Tally()], pace=QUICK)):
        await until(rows.caught_up)
        await store.append(write(sick, Counted(40), expected=3))
        others += await fill(store, workspace, streams=5)
        await until(rows.caught_up)
    [parked] = await rows.parked()
    assert (parked["key"], parked["position"]) == (sick.id, 32)
    assert parked["error"].startswith(KINDS[text])
    assert "secret" not in parked["error"]  # texts of errors may hold what people are called
    tally = await rows.tally()
    assert tally.pop(sick.id) == (1, 10, 1)  # up to the bad event, and no further
    assert tally.keys() == {stream.id for stream in others}
    assert set(await rows.times()) == {1}


async def test_postgresql_itself_may_be_who_refuses(database: str, open_store: OpenStore, workspace: UUID) -> None:
    store = await open_store(database)
    rows = Rows(database, store)
    await make_builds(database, Tally())
    sick = stream_of(workspace)
    await store.append(write(sick, Counted(1), Counted(-100)))
    await fill(store, workspace, streams=20)
    async with running(Projector(store, database, [Tally()], pace=QUICK)):
        await until(rows.caught_up)
    [parked] = await rows.parked()
    assert parked["error"] == "CheckViolationError 23514 rm_tally tally tally_total_check"
    assert (await rows.tally())[sick.id] == (1, 1, 1)
    assert len(await rows.tally()) == 21


@pytest.mark.parametrize("planted", ["", "later events are dropped", "the prefix is applied again"])
async def test_a_retry_heals_a_cured_key_without_loss_or_doubling(
    database: str, open_store: OpenStore, workspace: UUID, planted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if planted == "later events are dropped":
        split = applier.Applier._split
        monkeypatch.setattr(applier.Applier, "_split", lambda self, events, bad: (split(self, events, bad)[0], ()))
    if planted == "the prefix is applied again":
        monkeypatch.setitem(applier.parked.SQL, "held_positions", FROM_THE_BEGINNING)
    store = await open_store(database)
    rows = Rows(database, store)
    projection = Tally()
    await make_builds(database, projection)
    sick = stream_of(workspace)
    await store.append(write(sick, Counted(1), Noted("poison: raised"), Counted(2)))
    async with running(Projector(store, database, [projection], pace=QUICK)):
        await until(rows.caught_up)
        for version in range(3, 8):
            await store.append(write(sick, Counted(version), expected=version))
            await until(rows.caught_up)
        still_sick = await ask(database)
        assert [failure.position for failure in still_sick.parked] == [2]
        projection.cured = True
        # The log goes on while the key is healed.
        _, outcome = await asyncio.gather(fill(store, workspace, streams=50), ask(database, sick.id))
        if not planted:
            assert outcome.healed == (sick.id,)
            assert await rows.parked() == []
        await store.append(write(sick, Counted(100), expected=8))
        await until(rows.caught_up)
    level = set(await rows.times()) == {1} and await rows.tally() == await rows.folded()
    assert level is not bool(planted)


async def test_a_retry_that_fails_again_counts_and_says_where(
    database: str, open_store: OpenStore, workspace: UUID
) -> None:
    store = await open_store(database)
    rows = Rows(database, store)
    await make_builds(database, Tally())
    sick = stream_of(workspace)
    await store.append(write(sick, Noted("poison: named"), Noted("poison: raised")))
    async with running(Projector(store, database, [Tally()], pace=QUICK)):
        await until(rows.caught_up)
        for _ in range(2):
            assert [failure.key for failure in (await ask(database, sick.id)).parked] == [sick.id]
        async with connected(database) as connection:
            [build] = await status.status(connection)
    assert build.parked_keys == 1
    [reason] = build.parked
    assert (reason.error, reason.example_key, reason.example_position) == (KINDS["poison: named"], sick.id, 1)
    assert reason.attempts >= 3
    assert await ask(database, uuid4()) == Retried((), (), ())


async def test_nobody_there_to_retry_is_said(database: str, open_store: OpenStore, workspace: UUID) -> None:
    store = await open_store(database)
    rows = Rows(database, store)
    await make_builds(database, Tally())
    sick = stream_of(workspace)
    await store.append(write(sick, Noted("poison: named")))
    async with running(Projector(store, database, [Tally()], pace=QUICK)):
        await until(rows.caught_up)
    assert (await ask(database, timeout_s=0.1)).waiting == (sick.id,)
    # A projector that starts does it by itself: the cure usually comes with new code.
    async with running(Projector(store, database, [Tally(cured=True)], pace=QUICK)):
        await until(lambda: _nothing_parked(rows))
    assert await rows.tally() == await rows.folded()


async def _nothing_parked(rows: Rows) -> bool:
    return await rows.parked() == []


async def test_several_bad_keys_in_one_batch_are_all_found(
    database: str, open_store: OpenStore, workspace: UUID
) -> None:
    store = await open_store(database)
    rows = Rows(database, store)
    await make_builds(database, Tally())
    healthy = await fill(store, workspace, streams=200)
    sick = [stream_of(workspace) for _ in range(9)]
    for number, stream in enumerate(sick):
        bad = Counted(-1) if number % 3 == 0 else Noted(list(KINDS)[number % 2])
        await store.append(write(stream, bad))
    async with running(Projector(store, database, [Tally()], pace=QUICK)):
        await until(rows.caught_up)
    assert {row["key"] for row in await rows.parked()} == {stream.id for stream in sick}
    assert (await rows.tally()).keys() == {stream.id for stream in healthy}
    assert set(await rows.times()) == {1}


async def test_an_event_of_a_newer_version_is_held_until_newer_code_reads_it(
    database: str, open_store: OpenStore, workspace: UUID
) -> None:
    """Planted bug: treating an unknown schema version as no event loses it for ever."""
    store = await open_store(database)
    rows = Rows(database, store)
    older = await open_store(database, codec=Codec([EventType("test.counted", Counted)]))
    await make_builds(database, Tally())
    stream = stream_of(workspace)
    await store.append(write(stream, Counted(1), Noted("fine"), Counted(2)))
    await fill(store, workspace, streams=10)
    async with running(Projector(older, database, [Tally()], pace=QUICK)):
        await until(rows.caught_up)
        await store.append(write(stream, Counted(4), expected=3))
        await until(rows.caught_up)
    [parked] = await rows.parked()
    assert parked["error"] == "UnknownEventType: no codec for event 'test.noted' schema version 1"
    assert len(await rows.tally()) == 11
    newer = await open_store(database, codec=CODEC)
    async with running(Projector(newer, database, [Tally()], pace=QUICK)):
        await until(lambda: _nothing_parked(rows))
    assert await rows.tally() == await rows.folded()
    assert set(await rows.times()) == {1}


async def test_where_everything_fails_the_projection_is_at_fault_and_nothing_is_parked(
    database: str, open_store: OpenStore, workspace: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(Tally):
        async def apply(self, *args: object, **kwargs: object) -> None:
            raise KeyError("a bug in the code")

    monkeypatch.setattr("eventstore.poison.FAILURES_PER_BATCH_MAX", 10)
    store = await open_store(database)
    rows = Rows(database, store)
    await make_builds(database, Tally())
    await fill(store, workspace, streams=50)
    async with running(Projector(store, database, [Broken()], pace=QUICK)):
        trouble = await until(lambda: _trouble(database))
    assert trouble.startswith(f"{ProjectionBroken.__name__}: projection tally: 11 keys fail, for example: KeyError in")
    assert await rows.parked() == []
    assert await rows.checkpoint() == 0


async def _trouble(database: str) -> str:
    async with connected(database) as connection:
        return (await status.status(connection))[0].units[0].trouble or ""
