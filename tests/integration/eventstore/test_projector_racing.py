"""R3: no event is skipped or applied twice, whatever becomes of the projectors. Every test has its planted bug."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest

from eventstore import checkpoint
from eventstore import lease as leases
from eventstore.applier import Applier
from eventstore.checkpoint import Lease
from eventstore.errors import LeaseLost, WrongExpectedVersion
from eventstore.lease import Worker
from eventstore.parked import retry
from eventstore.projector import Projector
from eventstore.reading import Read, UnitReader
from eventstore.runner import Pace
from eventstore.store import EventStore
from tests.integration.eventstore.conftest import OpenStore, superuser
from tests.integration.eventstore.tally import Rows, Tally, connected, fill, make_builds, running
from tests.support.sample import Counted, Noted, stream_of, write
from tests.support.waiting import until

ROUNDS = 30
LEASE = timedelta(seconds=0.3)


@pytest.fixture(params=["", "no comparison"])
def planted(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With the planted bug a checkpoint is moved without comparing position and fence; the test must notice."""
    if request.param:
        sql = checkpoint.SQL["advance"]
        for there, planted in (
            ("c.position = $5 AND c.fence = $7", "num_nulls($5::bigint, $7::bigint, $9::interval) = 0"),
            ("leased_until = clock_timestamp() + $9::interval", "leased_until = c.leased_until"),
        ):
            assert there in sql
            sql = sql.replace(there, planted)
        monkeypatch.setitem(checkpoint.SQL, "advance", sql)
    return str(request.param)


async def lease_tally(database: str, name: str) -> Lease:
    async with connected(database) as connection:
        [lease] = await leases.lease_free(connection, Worker(name, {"tally": 1}, LEASE), 1)
        return lease


async def expire(database: str) -> None:
    async with superuser(database) as connection:
        await connection.execute("UPDATE projector.checkpoints SET leased_until = clock_timestamp() - interval '1 s'")


@contextlib.asynccontextmanager
async def applier(database: str, projection: Tally, lease: Lease) -> AsyncIterator[Applier]:
    async with connected(database) as connection:
        made = Applier(connection, projection, lease, lease.position)
        await made.prepare()
        yield made


async def read_all(store: EventStore, lease: Lease, projection: Tally) -> Read:
    return await UnitReader(store, lease.unit, projection.types).read(lease.position, 1_000)


async def test_of_two_instances_with_one_batch_one_applies_it(
    database: str, open_store: OpenStore, workspace: UUID, planted: str
) -> None:
    store = await open_store(database)
    await make_builds(database, Tally())
    await fill(store, workspace, streams=20)
    projection = Tally(pause_s=0.02)
    lease = await lease_tally(database, "both")
    read = await read_all(store, lease, projection)
    async with applier(database, projection, lease) as one, applier(database, projection, lease) as other:
        outcomes = await asyncio.gather(one.apply(read), other.apply(read), return_exceptions=True)
    lost = sum(isinstance(outcome, LeaseLost) for outcome in outcomes)
    times = set(await Rows(database, store).times())
    assert (lost, times) == ((1, {1}) if not planted else (0, {2}))


async def test_a_batch_given_again_is_refused(
    database: str, open_store: OpenStore, workspace: UUID, planted: str
) -> None:
    store = await open_store(database)
    await make_builds(database, Tally())
    await fill(store, workspace, streams=5)
    lease = await lease_tally(database, "again")
    read = await read_all(store, lease, Tally())
    async with applier(database, Tally(), lease) as once, applier(database, Tally(), lease) as again:
        await once.apply(read)
        if planted:
            await again.apply(read)
        else:
            with pytest.raises(LeaseLost):
                await again.apply(read)
    assert set(await Rows(database, store).times()) == ({2} if planted else {1})


async def test_who_lost_the_lease_cannot_replay_a_parked_key(
    database: str, open_store: OpenStore, workspace: UUID, planted: str
) -> None:
    """A retry moves no position: here only the fence tells the thief from the robbed."""
    store = await open_store(database)
    await make_builds(database, Tally())
    stream = stream_of(workspace)
    await store.append(write(stream, Counted(1), Noted("poison: named"), Counted(2)))
    robbed_lease = await lease_tally(database, "robbed")
    async with applier(database, Tally(), robbed_lease) as robbed:
        await robbed.apply(await read_all(store, robbed_lease, Tally()))
        await expire(database)
        thief_lease = await lease_tally(database, "thief")
        async with connected(database) as connection:
            await retry(connection, "tally", timeout_s=0)
        reader = UnitReader(store, thief_lease.unit, Tally.types)
        async with applier(database, Tally(cured=True), thief_lease) as thief:
            robbed.projection = Tally(cured=True, pause_s=0.05)
            outcomes = await asyncio.gather(robbed.retry(reader), thief.retry(reader), return_exceptions=True)
    rows = Rows(database, store)
    if planted:
        assert set(await rows.times()) != {1} or any(isinstance(outcome, Exception) for outcome in outcomes)
    else:
        assert isinstance(outcomes[0], LeaseLost)
        assert set(await rows.times()) == {1}
        assert await rows.tally() == await rows.folded()


async def test_racing_projectors_under_theft_and_lost_connections_apply_everything_once(
    database: str, open_store: OpenStore, workspace: UUID, planted: str
) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    store = await open_store(database)
    rows = Rows(database, store)
    await make_builds(database, Tally())
    # A backlog of a hundred batches: whoever is robbed is at work, not at rest.
    await fill(store, workspace, streams=2_000)
    pace = Pace(batch_max=20, poll_s=0.02, lease=LEASE)
    slow = Tally(pause_s=0.01)
    projectors = [Projector(store, database, [slow], pace=pace, name=f"racer {n}") for n in range(3)]
    async with running(*projectors):
        writing = asyncio.create_task(keep_writing(store, workspace))
        await until(rows.checkpoint)
        rounds = 0
        while rounds < ROUNDS or (planted and rounds < 10 * ROUNDS and max(await rows.times()) == 1):
            await interfere(database, chance)
            await asyncio.sleep(chance.uniform(0, 0.1))
            rounds += 1
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        if not planted:
            await until(rows.caught_up, timeout_s=30)
    times = await rows.times()
    print(f"seed {seed}: {sum(times.values())} events in {rounds} rounds, applied {dict(times)}")
    if planted:
        assert max(times) > 1
    else:
        assert set(times) == {1}
        assert await rows.tally() == await rows.folded()


async def keep_writing(store: EventStore, workspace: UUID) -> None:
    while True:
        await fill(store, workspace, streams=5)
        await asyncio.sleep(0.005)
        with contextlib.suppress(WrongExpectedVersion):
            await store.append(write(stream_of(workspace), Counted(1), expected=7))


async def interfere(database: str, chance: random.Random) -> None:
    async with superuser(database) as connection:
        match chance.choices(("theft", "loss", "vacuum"), (6, 1, 2))[0]:
            case "theft":  # theft: the next one takes it, while the robbed one is still at work
                await connection.execute(
                    "UPDATE projector.checkpoints SET fence = fence + 1, leased_until = NULL; NOTIFY rollbook_projector"
                )
            case "loss":
                await connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND application_name = 'rollbook projector'"
                )
            case "vacuum":
                await connection.execute("VACUUM projector.checkpoints")


PROCESS = textwrap.dedent(
    """
    import asyncio, sys
    from datetime import timedelta
    from eventstore.projector import Projector
    from eventstore.runner import Pace
    from eventstore.store import EventStore
    from tests.integration.eventstore.tally import Tally
    from tests.support.sample import CODEC, keyring

    async def main(database):
        store = await EventStore.open(database, codec=CODEC, keyring=keyring(), role="rollbook_projector")
        pace = Pace(batch_max=20, poll_s=0.02, lease=timedelta(seconds=0.5))
        print("ready", flush=True)
        await Projector(store, database, [Tally(pause_s=0.01)], pace=pace).run()

    asyncio.run(main(sys.argv[1]))
    """
)


def spawn(database: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", PROCESS, database], stdout=subprocess.PIPE, text=True)


@pytest.mark.chaos
async def test_killed_and_paused_processes_apply_everything_once(
    database: str, open_store: OpenStore, workspace: UUID
) -> None:
    """The same oracle over real processes: kill -9 and SIGSTOP past the lease, two at a time."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    store = await open_store(database)
    rows = Rows(database, store)
    await make_builds(database, Tally())
    processes = [spawn(database) for _ in range(2)]
    killed = paused = 0
    try:
        for process in processes:
            assert process.stdout is not None
            assert await asyncio.to_thread(process.stdout.readline) == "ready\n"
        for _ in range(8):
            await fill(store, workspace, streams=40)
            number = chance.randrange(2)
            if chance.random() < 0.5:
                processes[number].kill()
                processes[number].communicate()
                processes[number] = spawn(database)
                killed += 1
            else:
                os.kill(processes[number].pid, signal.SIGSTOP)
                await asyncio.sleep(0.6)  # longer than the lease: the other one takes over
                os.kill(processes[number].pid, signal.SIGCONT)
                paused += 1
        await until(rows.caught_up, timeout_s=30)
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    times = await rows.times()
    print(f"seed {seed}: {killed} killed, {paused} paused, {sum(times.values())} events, applied {dict(times)}")
    assert set(times) == {1}
    assert await rows.tally() == await rows.folded()
