"""`make bench DATA=1m`: what a marketer waits for at a million contacts and ten million activities.

Each figure stands beside that of the plainest SQL for the same question, with the plan that served ours.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import asyncpg

from contacts.catalog import CODEC
from contacts.facet.index import FacetIndex
from eventstore.cipher import Keyring
from eventstore.store import EventStore
from servicekit.settings import Settings
from tests.bench import million_segments
from tests.bench.harness import QUICK, print_goal, print_table, quantile
from tests.bench.million_data import SECRET, prepare, server
from tests.bench.million_more import explained, sorted_pages
from tests.bench.million_questions import Asked, opened, questions

ROUNDS = 5 if QUICK else 40
#: Nobody waits longer for a figure that is only there to compare with.
PLAIN_ROUNDS = 3
#: As much as an API process has where nothing else is said.
FACET_BYTES = Settings().facet_memory_mb * 1_000_000


class Measured(NamedTuple):
    """One question with its figures, in milliseconds."""

    name: str
    p50: float
    #: The 95th percentile, of segments the 99th.
    tail: float
    plain: float | None
    goal_ms: float | None
    plan: str


async def run() -> bool:
    with server() as running:
        dsn = await prepare(running)
        pool = await asyncpg.create_pool(
            dsn, min_size=1, max_size=2, server_settings={"role": "rollbook_reader", "jit": "off"}
        )
        plain = await asyncpg.connect(dsn, server_settings={"jit": "off"})
        store = await EventStore.open(dsn, codec=CODEC, keyring=Keyring.from_secret(SECRET), pool_size=1)
        try:
            async with FacetIndex(pool, store, bytes_max=FACET_BYTES) as facets:
                q = await opened(pool, store, facets)
                asked = await questions(q, plain, random.Random(7))
                asked += [await explained(q, plain, store), *await sorted_pages(q, plain)]
                measured = [await _measure(each, plain) for each in asked]
        finally:
            await store.close()
            await plain.close()
            await pool.close()
        told = await million_segments.run(dsn, running.folder.parent / "nats")
        measured += [Measured(each.name, each.p50, each.p99, None, each.goal_ms, each.note) for each in told]
    return _report(measured)


async def _measure(asked: Asked, plain: asyncpg.Connection) -> Measured:
    ours = [await _timed(ask) for ask in asked.ways(ROUNDS)]
    beside = None
    if asked.plain is not None:
        statement, *values = asked.plain
        fetch: Callable[[], Awaitable[Any]] = lambda: plain.fetch(statement, *values)  # noqa: E731
        beside = sorted([await _timed(fetch) for _ in range(PLAIN_ROUNDS)])[PLAIN_ROUNDS // 2]
    # The first ways warm the caches of plans and pages, as those who work all day have them.
    ordered = sorted(ours[len(ours) // 5 :])
    plan = await asked.plan()
    return Measured(asked.name, quantile(ordered, 0.5), quantile(ordered, 0.95), beside, asked.goal_ms, plan)


async def _timed(ask: Callable[[], Awaitable[Any]]) -> float:
    started = time.perf_counter()
    await ask()
    return (time.perf_counter() - started) * 1_000


def _report(measured: Sequence[Measured]) -> bool:
    rows = [
        [
            m.name,
            f"{m.p50:,.1f}",
            f"{m.tail:,.1f}",
            "" if m.plain is None else f"{m.plain:,.1f}",
            "" if m.goal_ms is None else f"≤ {m.goal_ms:,}",
        ]
        for m in measured
    ]
    print_table("Milliseconds", ["question", "p50", "p95 (NATS: p99)", "plain SQL", "goal"], rows)
    print("\nPlans that served them")
    for m in measured:
        print(f"  {m.name}\n    {m.plan}")
    # Each is told, also behind one that was missed.
    reached = [
        print_goal(m.name, m.tail, m.goal_ms, at_least=False, unit=" ms") for m in measured if m.goal_ms is not None
    ]
    return all(reached)
