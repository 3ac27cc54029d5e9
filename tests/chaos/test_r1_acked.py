"""R1: an acked command is never lost.

Sixteen writers append while PostgreSQL and every one of its processes is killed with SIGKILL, over and over, at random
moments. What the writers were told is compared with the log: acked is there, refused is not, unknown is there whole or
not at all. In some rounds the store is closed while the database is away, as when a service gives up too.

Planted bug: an appender that answers before the commit. Full figure: `ROLLBOOK_CHAOS=full`, 1,000 rounds.
"""

from __future__ import annotations

import asyncio
import random
import subprocess
from collections.abc import Callable
from concurrent.futures import Executor
from uuid import UUID

import asyncpg
import pytest

from eventstore.appender import Appender
from eventstore.batch import Prepared
from eventstore.envelope import Appended
from eventstore.store import EventStore
from rollbook.embedded.binaries import postgres_bin
from rollbook.embedded.postgres import USER, Postgres
from rollbook.embedded.process import unprivileged_account
from tests.chaos.support.report import FULL, Report, figure
from tests.chaos.support.writers import Journal, Outcome, Writer, broken_promises, reopened
from tests.support import servers
from tests.support.sample import CODEC, keyring
from tests.support.waiting import until

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(0 if FULL else 300)]

ROUNDS = figure(20, 1_000)
PLANTED_ROUNDS_MAX = 10
WRITERS = 16
PLANTED = "planted"
ACKS_PER_ROUND = 2_000 if FULL else 300
AMCHECK_EVERY = 100
#: Working again that soon after the database is back, or something hangs.
BACK_WITHIN_S = 30.0


class Rig:
    """A cluster to be killed, a store that may be closed with it, and the writers."""

    def __init__(
        self, postgres: Postgres, thread: Executor, database: str, store_type: type[EventStore], seed: int
    ) -> None:
        self.journal = Journal()
        self.kills = 0
        self._postgres = postgres
        self._database = database
        self._store_type = store_type
        self._random = random.Random(seed)
        self._stop = asyncio.Event()
        workspace = UUID(int=self._random.getrandbits(128))
        self._writers = [
            Writer(self.journal, lambda: self.store, workspace, self._random.getrandbits(32)) for _ in range(WRITERS)
        ]
        self._thread = thread

    async def open(self) -> EventStore:
        return await self._store_type.open(self._postgres.url(self._database), codec=CODEC, keyring=keyring())

    async def run(self, rounds: int, after_round: Callable[[int], None] = lambda _: None) -> None:
        self.store = await self.open()
        tasks = [asyncio.create_task(writer.run(self._stop)) for writer in self._writers]
        try:
            for number in range(rounds):
                await self._round()
                after_round(number)
        finally:
            self._stop.set()
            async with asyncio.timeout(BACK_WITHIN_S):
                await asyncio.gather(*tasks)

    async def _round(self) -> None:
        wanted = self.journal.counts["operations acked"] + ACKS_PER_ROUND
        await until(
            lambda: self.journal.counts["operations acked"] >= wanted, timeout_s=BACK_WITHIN_S,
            what=f"{ACKS_PER_ROUND} more acks after {self.kills} kills",
        )  # fmt: skip
        await asyncio.sleep(self._random.uniform(0, 0.05))
        await self._in_thread(self._postgres.kill)
        self.kills += 1
        if self._random.random() < 0.25:
            async with asyncio.timeout(BACK_WITHIN_S):
                await self.store.close()
            await self._in_thread(self._postgres.start)
            self.store = await reopened(self.open)
        else:
            await self._in_thread(self._postgres.start)

    async def _in_thread(self, work: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, work)


class HastyAppender(Appender):
    """The planted bug: answers, with the right places, before the commit."""

    async def _commit(self, connection: asyncpg.Connection, commands: list[Prepared]) -> None:
        head = await connection.fetchval("SELECT coalesce(max(last_position), 0) FROM log.batches")
        for command in commands:
            head += command.event_count
            command.future.set_result(
                Appended(lane=0, last_position=head, event_count=command.event_count, recorded_at=None)  # type: ignore[arg-type]
            )
        await super()._commit(connection, commands)


class HastyStore(EventStore):
    def _appender(self, lane: int) -> Appender:
        if lane not in self._appenders:
            self._appenders[lane] = HastyAppender(lane, self.connect)
        return self._appenders[lane]


def check_pages(postgres: Postgres) -> None:
    """pg_amcheck reads every table and index, and compares the indexes with their tables."""
    program = postgres_bin(unprivileged_account()) / "pg_amcheck"
    address = {"PGHOST": "127.0.0.1", "PGPORT": str(postgres.port), "PGUSER": USER, "PGPASSWORD": postgres.password}
    found = subprocess.run(
        [program, "--install-missing", "--heapallindexed", "--database", USER],
        check=False, capture_output=True, text=True, env={"LC_ALL": "C", **address},
    )  # fmt: skip
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.fixture
def cluster(server_thread: Executor, private_postgres: Callable[..., Postgres]) -> Postgres:
    """With a second database for the planted bug."""
    postgres = private_postgres()
    servers.create_database(postgres.url("postgres"), PLANTED, template="template0")
    servers.migrate(postgres.url(PLANTED))
    return postgres


async def test_no_acked_append_is_lost_when_postgres_is_killed(
    cluster: Postgres, server_thread: Executor, chaos_report: Callable[[str], Report]
) -> None:
    report = chaos_report("R1")
    rig = Rig(cluster, server_thread, USER, EventStore, report.seed)
    await rig.run(ROUNDS, lambda number: check_pages(cluster) if number % AMCHECK_EVERY == AMCHECK_EVERY - 1 else None)
    assert await broken_promises(rig.store, rig.journal) == [], f"seed {report.seed}"
    check_pages(cluster)
    await rig.store.close()
    assert sum(outcome is Outcome.OK for outcome in rig.journal.outcomes.values()) >= ROUNDS * ACKS_PER_ROUND
    report.add({"kills": rig.kills, "lost": 0, **rig.journal.counts})
    report.add({"planted bug caught after kills": await kills_until_caught(cluster, server_thread, report.seed)})
    report.finish()


async def kills_until_caught(postgres: Postgres, thread: Executor, seed: int) -> int:
    rig = Rig(postgres, thread, PLANTED, HastyStore, seed)
    for _ in range(PLANTED_ROUNDS_MAX):
        rig._stop.clear()
        await rig.run(1)
        caught = bool(await broken_promises(rig.store, rig.journal))
        await rig.store.close()
        if caught:
            return rig.kills
    raise AssertionError(f"an appender that answers before the commit was not noticed in {rig.kills} kills")
