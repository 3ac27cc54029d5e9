"""HTTP through the whole stack: creates beside a POST that does nothing, and the time from a write to its sight."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg

from rollbook.embedded.process import free_port
from tests.bench.harness import QUICK, Figures, median, print_goal, print_table

ROUNDS = 1 if QUICK else 3
SECONDS = 1.0 if QUICK else 5.0
IN_FLIGHT = 64
RATE = 50
CAUGHT_UP_WITHIN_S = 180


@asynccontextmanager
async def stack() -> AsyncIterator[dict[str, Any]]:
    """`rollbook up` in a folder of its own, and the benchmark's API process on the same servers."""
    with tempfile.TemporaryDirectory(prefix="rollbook-bench-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)
        data = Path(folder) / "data"
        environment = os.environ | {"ROLLBOOK_BOOTSTRAP_KEY": "bench-key-for-this-run-only"}
        up = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "rollbook", "up", "--data-dir", str(data), "--port", str(free_port()),
            env=environment, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            async with asyncio.timeout(120):
                while not (data / "stack.json").exists():
                    if up.returncode is not None:
                        raise RuntimeError(f"rollbook up ended with {up.returncode}")
                    await asyncio.sleep(0.05)
            addresses = json.loads((data / "stack.json").read_text())
            environment |= {
                "ROLLBOOK_DATABASE_URL": addresses["database"],
                "ROLLBOOK_NATS_URL": addresses["nats"],
                "ROLLBOOK_MASTER_KEY_FILE": str(data / "master.key"),
            }
            port, stock = free_port(), free_port()
            api = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.bench.http_server", str(port), str(stock),
                env=environment, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            try:
                assert api.stderr is not None
                await asyncio.wait_for(api.stderr.readline(), 60)
                yield addresses | {
                    "port": port,
                    "stock": stock,
                    "key": environment["ROLLBOOK_BOOTSTRAP_KEY"],
                    "pid": api.pid,
                    "master_key_file": environment["ROLLBOOK_MASTER_KEY_FILE"],
                }
            finally:
                api.terminate()
                await api.wait()
        finally:
            up.terminate()
            await up.wait()


async def load(stack: dict[str, Any], mode: str, *, to: str = "port", **options: object) -> Figures:
    arguments = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.load", mode, "--port", str(stack[to]), "--key", stack["key"], *arguments,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    result = json.loads((await process.communicate())[0])
    if result["refused"]:
        print(f"  answers that were not 201: {result['refused']}")
    return Figures(result["count"] / result["seconds"], result["p50_ms"], result["p99_ms"])


def cpu_s(pid: int) -> float:
    """CPU time that a process has used, its threads included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


REQUESTS = (
    ("no-op, a stock Litestar handler", "stock", "/v1/nothing"),
    ("no-op, through our own pipeline", "port", "/v1/nothing"),
    ("POST /v1/contacts", "port", "/v1/contacts"),
)


async def run() -> bool:
    results: dict[str, list[Figures]] = {}
    spent: dict[str, list[float]] = {}
    async with stack() as running:
        await load(running, "closed", path="/v1/contacts", in_flight=IN_FLIGHT, seconds=1)
        for _ in range(ROUNDS):
            for name, to, path in REQUESTS:
                before = cpu_s(running["pid"])
                result = await load(running, "closed", to=to, path=path, in_flight=IN_FLIGHT, seconds=SECONDS)
                results.setdefault(name, []).append(result)
                spent.setdefault(name, []).append((cpu_s(running["pid"]) - before) / (result.rate * SECONDS) * 1e6)
        # What the closed loops left behind is not what this measures.
        await _caught_up(running["database"])
        seen = [await load(running, "visible", rate=RATE, seconds=SECONDS) for _ in range(ROUNDS)]
    stock, lean, created = results.values()
    rows = [
        [
            name,
            f"{(m := median(rounds)).rate:,.0f}/s",
            f"{m.p50_ms:.1f} / {m.p99_ms:.1f}",
            f"{sorted(spent[name])[ROUNDS // 2]:.0f}",
        ]
        for name, rounds in results.items()
    ]
    rows.append([f"write, then read it ({RATE}/s)", "", f"{median(seen).p50_ms:.1f} / {median(seen).p99_ms:.1f}", ""])
    print_table(
        f"HTTP, {IN_FLIGHT} in flight, API + projector + relay + PostgreSQL + NATS + load on this machine",
        ["request", "rate", "p50 / p99 ms", "API µs CPU each"],
        rows,
    )
    return all(
        (
            print_goal("creates to the stock no-op", _ratio(created, stock), 0.6),
            print_goal("creates to our own no-op", _ratio(created, lean), 0.6),
            print_goal("p99 from write to visible", median(seen).p99_ms, 25, at_least=False, unit="ms"),
        )
    )


async def _caught_up(dsn: str) -> None:
    """Returns when every read model has come to the end of the log."""
    connection = await asyncpg.connect(dsn)
    try:
        async with asyncio.timeout(CAUGHT_UP_WITHIN_S):
            while await connection.fetchval(
                "SELECT min(position) < (SELECT max(last_position) FROM log.batches) FROM projector.checkpoints"
            ):
                await asyncio.sleep(0.2)
    finally:
        await connection.close()


def _ratio(ours: list[Figures], theirs: list[Figures]) -> float:
    return sorted(a.rate / b.rate for a, b in zip(ours, theirs, strict=True))[len(ours) // 2]
