"""Closed loops, their figures, and the servers and tables they run on. Knows nothing of what is measured."""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path

import asyncpg
import msgspec

from rollbook.embedded.postgres import Postgres

#: Quick runs prove that the benchmarks work; figures to quote come from full ones.
QUICK = os.environ.get("ROLLBOOK_BENCH") == "quick"
SERVER_SETTINGS: Mapping[str, str] = {
    "max_connections": "400",
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
    "min_wal_size": "4GB",
    "checkpoint_timeout": "30min",
}


class Figures(msgspec.Struct, frozen=True):
    """Of one closed loop: operations per second and latencies in milliseconds."""

    rate: float
    p50_ms: float
    p99_ms: float


async def closed_loop(operation: Callable[[], Awaitable[object]], in_flight: int, seconds: float) -> Figures:
    """Keep `in_flight` operations under way for `seconds` after a tenth of that as warm-up."""
    latencies: list[float] = []
    started = time.perf_counter()
    measured_from = started + seconds / 10
    until = measured_from + seconds

    async def loop() -> None:
        while (begin := time.perf_counter()) < until:
            await operation()
            if begin >= measured_from:
                latencies.append(time.perf_counter() - begin)

    await asyncio.gather(*(loop() for _ in range(in_flight)))
    elapsed = time.perf_counter() - measured_from
    return figures(latencies, len(latencies) / elapsed)


def figures(latencies_s: Sequence[float], rate: float) -> Figures:
    ordered = sorted(latencies_s) or [float("nan")]
    return Figures(rate, quantile(ordered, 0.5) * 1e3, quantile(ordered, 0.99) * 1e3)


def quantile(ordered: Sequence[float], q: float) -> float:
    return ordered[min(int(len(ordered) * q), len(ordered) - 1)]


def median(rounds: Sequence[Figures]) -> Figures:
    """Round by round, so that one noisy stretch of a shared machine does not decide."""
    return Figures(*(statistics.median(getattr(r, f) for r in rounds) for f in Figures.__struct_fields__))


@contextlib.contextmanager
def own_postgres() -> Iterator[Postgres]:
    """A server of the benchmark's own, with fsync on."""
    with tempfile.TemporaryDirectory(prefix="rollbook-bench-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)
        server = Postgres(Path(folder) / "pg", settings=SERVER_SETTINGS)
        server.start()
        try:
            yield server
        finally:
            server.stop()


async def age_log(server: Postgres) -> None:
    """Brings the server to where it is after some hours: segments of its log are used again instead of made anew.

    Making one holds up every commit for 10 to 20 ms, several times a second at the rates that are measured.
    """
    connection = await asyncpg.connect(server.url("postgres"))
    try:
        for _ in range(1 if QUICK else 4):
            await connection.execute("CREATE TABLE ageing AS SELECT repeat('x', 900) FROM generate_series(1, 800000)")
            await connection.execute("DROP TABLE ageing")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


async def create_database(server: Postgres, name: str) -> str:
    """A fresh empty database; answers its URL."""
    connection = await asyncpg.connect(server.url("postgres"))
    try:
        await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()
    return server.url(name)


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[n]) for row in cells) for n in range(len(header))]
    print(f"\n{title}")
    for number, row in enumerate(cells):
        first = row[0].ljust(widths[0])
        print("  " + "  ".join([first, *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]))
        if number == 0:
            print("  " + "  ".join("-" * width for width in widths))


def print_goal(what: str, value: float, goal: float, *, at_least: bool = True, unit: str = "×") -> bool:
    reached = value >= goal if at_least else value <= goal
    sign = "≥" if at_least else "≤"
    print(f"  {'reached' if reached else 'MISSED '}  {what}: {value:.2f} {unit} (goal {sign} {goal:g} {unit})")
    return reached
