"""The log as it was read, projectors that are meddled with, and read models compared with the fold at any moment."""

from __future__ import annotations

import asyncio
import contextlib
import random
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg

from contacts.catalog import PROJECTIONS
from eventstore.projection import Projection
from eventstore.projector import Projector
from eventstore.runner import Pace
from eventstore.signals import LaneSignal
from eventstore.store import EventStore
from tests.property.fold import Fact, fact_of
from tests.property.fold_addresses import Addresses, Digests, Hmac
from tests.property.fold_tables import TABLES, Folded, differences, found_rows

LANE: Final = 0
#: The read models that have a fold of their own here.
FOLDED: Final = tuple(each for each in PROJECTIONS if each.name in TABLES)
LEASE: Final = timedelta(seconds=0.6)
BATCHES: Final = (20, 150, 2_000)
LOOKS_EVERY_S: Final = (0.1, 0.2, 0.4)

CHECKPOINTS: Final = """
SELECT p.name, min(c.position) AS position
FROM projector.projections p
JOIN projector.checkpoints c ON c.name = p.name AND c.build = p.build AND c.lane = $1
WHERE p.state = 'live'
GROUP BY p.name
"""


class Mismatch(AssertionError):
    """A read model is not the fold of the log."""


class Log:
    """Every event so far, decoded once."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._lock = asyncio.Lock()
        self.read_to = 0
        self.recorded: list[Any] = []
        self.facts: dict[UUID, list[Fact]] = defaultdict(list)
        #: By digest of an e-mail and workspace: positions, and since when it was closed from each on.
        self._listings: dict[bytes, dict[UUID, tuple[list[int], list[datetime | None]]]] = defaultdict(dict)

    async def read(self, position: int) -> None:
        """As far as `position` at least."""
        async with self._lock:
            while self.read_to < position:
                batch = await self._store.read_lane(LANE, after=self.read_to, limit=5_000)
                for recorded in batch.events:
                    self.recorded.append(recorded)
                    self._keep(fact_of(recorded))
                self.read_to = batch.last

    def _keep(self, fact: Fact) -> None:
        self.facts[fact.workspace].append(fact)
        said = fact.said or {}
        if fact.category == "suppression" and said.get("family") == "email":
            positions, since = self._listings[said["address"]].setdefault(fact.workspace, ([], []))
            positions.append(fact.position)
            since.append(fact.at if fact.name == "suppression.address_blacklisted" else None)

    def folded(self, workspace: UUID, position: int, digests: Digests) -> Folded:
        """The workspace as of a position."""
        facts = [fact for fact in self.facts[workspace] if fact.position <= position]

        def closed(digest: bytes) -> datetime | None:
            found = [
                since[at - 1]
                for other, (positions, since) in self._listings.get(digest, {}).items()
                if other != workspace and (at := bisect_right(positions, position))
            ]
            return min((each for each in found if each is not None), default=None)

        return Folded(workspace, facts, Addresses(facts, digests, closed))


class Comparer:
    """Compares the live read models of a workspace with the fold, each as of its own checkpoint, in one snapshot."""

    def __init__(self, pool: asyncpg.Pool, log: Log, hmac: Hmac) -> None:
        self._pool = pool
        self._digests = Digests(hmac)
        self.log = log
        self.counts: Counter[str] = Counter()

    async def compare(self, workspace: UUID) -> None:
        """Nobody may write in the workspace meanwhile. Raises Mismatch."""
        async with self._pool.acquire() as connection:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                checkpoints = {row["name"]: row["position"] for row in await connection.fetch(CHECKPOINTS, LANE)}
                found = {model: await found_rows(connection, model, workspace, f"rm_{model}") for model in TABLES}
            head = await self.log._store.head(LANE)
        await self.log.read(head)
        for model, tables in found.items():
            position = checkpoints[model]
            # What was erased since can no longer be folded as it was then.
            if any(f.name == "contact.erased" and f.position > position for f in self.log.facts[workspace]):
                continue
            self.check(workspace, model, position, tables)
            behind = any(fact.position > position for fact in self.log.facts[workspace])
            self.counts.update({"comparisons": 1, "behind the log": behind})

    def check(self, workspace: UUID, model: str, position: int, tables: dict[str, Any]) -> None:
        wrong = differences(self.log.folded(workspace, position, self._digests), model, tables)
        self.counts["rows"] += sum(map(len, tables.values()))
        if wrong:
            about = [f for f in self.log.facts[workspace] if f.position <= position]
            events = [f"{f.position} {f.stream} {f.version} {f.name} {f.said}" for f in about]
            raise Mismatch("\n".join([f"{model} of {workspace} at {position}:", *wrong[:5], *events]))

    async def reached(self, position: int) -> bool:
        rows = await self._pool.fetch(CHECKPOINTS, LANE)
        return all(row["position"] >= position for row in rows if row["name"] in TABLES)


@contextlib.asynccontextmanager
async def projectors_in_trouble(
    store: EventStore, dsn: str, admin: asyncpg.Pool, seed: int, counts: Counter[str], *, every_s: float = 0.8
) -> AsyncIterator[None]:
    """Two of them that race for every read model, with batches of any size; they are killed, robbed and cut off.

    They hear of no commit, so that they look now and then, and fall behind: nothing may depend on being told.
    """
    pick = random.Random(seed)

    def start() -> asyncio.Task[None]:
        pace = Pace(batch_max=pick.choice(BATCHES), poll_s=pick.choice(LOOKS_EVERY_S), lease=LEASE)
        projector = Projector(store, dsn, FOLDED, pace=pace)
        projector._signals.of_lane = LaneSignal  # type: ignore[method-assign]
        return asyncio.create_task(projector.run())

    running = [start(), start()]

    async def trouble() -> None:
        while True:
            await asyncio.sleep(every_s)
            fault = pick.choice(("killed", "killed", "robbed", "cut off"))
            counts[f"projectors {fault}"] += 1
            if fault == "killed":
                number = pick.randrange(len(running))
                running[number].cancel()
                await asyncio.gather(running[number], return_exceptions=True)
                running[number] = start()
            else:
                await admin.execute(MEDDLE[fault])

    troubling = asyncio.create_task(trouble())
    try:
        yield
    finally:
        for task in (troubling, *running):
            task.cancel()
        await asyncio.gather(troubling, *running, return_exceptions=True)


MEDDLE: Final = {
    "robbed": "UPDATE projector.checkpoints SET fence = fence + 1, leased_until = NULL; NOTIFY rollbook_projector",
    "cut off": "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND application_name = 'rollbook projector'",
}


async def replay(connection: Any, schema: str, projection: Projection, events: Iterable[Any], batch: int) -> None:
    """Applies events to a read model in a schema of its own, in batches of any size up to `batch`."""
    pick = random.Random(batch)
    wanted = [event for event in events if event.type in projection.types]
    await connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}")
    await connection.execute(f"SET search_path TO {schema}, public")
    await connection.execute(projection.schema_sql)
    while wanted:
        count = pick.randint(1, batch)
        async with connection.transaction():
            await projection.apply(connection, wanted[:count], fresh=False)
        wanted = wanted[count:]
    await connection.execute("RESET search_path")


COLUMNS: Final = """
SELECT t.relname AS name, string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) AS columns
FROM pg_class t JOIN pg_attribute a ON a.attrelid = t.oid
WHERE t.relnamespace = $1::text::regnamespace AND t.relkind IN ('r', 'p') AND NOT t.relispartition
    AND a.attnum > 0 AND NOT a.attisdropped AND NOT a.attname = ANY ($2::text[]) AND NOT t.relname = ANY ($3::text[])
GROUP BY t.relname
"""
DIFFERENT: Final = """
(SELECT 'only there' AS only, {columns} FROM {one} EXCEPT ALL SELECT 'only there', {columns} FROM {other})
UNION ALL
(SELECT 'only here', {columns} FROM {other} EXCEPT ALL SELECT 'only here', {columns} FROM {one})
LIMIT 3
"""


async def same_rows(connection: Any, projection: Projection, one: str, other: str) -> int:
    """How many tables two schemas have; all rows of all of them are compared. Raises Mismatch.

    What a rebuild leaves out when it compares is left out here as well.
    """
    tables = await connection.fetch(COLUMNS, one, list(projection.uncompared), list(projection.uncompared_tables))
    for table in tables:
        name, columns = table["name"], table["columns"]
        query = DIFFERENT.format(columns=columns, one=f"{one}.{name}", other=f"{other}.{name}")
        if different := await connection.fetch(query):
            raise Mismatch("\n".join([f"{projection.name}.{name}:", *map(str, different)]))
    return len(tables)
