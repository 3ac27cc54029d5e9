"""The data of the benchmark at a million contacts: seeded through the real log once, with every read model beside it.

`ROLLBOOK_BENCH_FOLDER` keeps it: whoever names the same folder again goes on with what is there.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from uuid import UUID

import asyncpg
import msgspec
from rich.console import Console

from contacts.catalog import CODEC, PROJECTIONS
from contacts.workspace.bootstrap import bootstrap
from contacts.workspace.directory import Workspaces
from contacts.workspace.handler import WorkspaceHandler
from eventstore import builds
from eventstore.cipher import Keyring
from eventstore.migrate import migrate_async
from eventstore.projection import Projection
from eventstore.rebuild import Rebuild
from eventstore.store import EventStore
from rollbook.embedded.postgres import Postgres
from rollbook.seed import Plan, seed_contacts
from tests.bench.harness import SERVER_SETTINGS, print_table

SECRET: Final = b"m" * 32
WORKSPACE: Final = UUID("0190a6f4-9b4d-7c2e-8f10-0123456789ab")
SEED: Final = 7
DAYS: Final = 365
ACTIVITIES_EACH: Final = 10
#: Read models that are built at the same time, in a process each.
BUILDERS: Final = 2
#: Read models that are made of other ones, which have to be there.
MADE_OF_OTHERS: Final = frozenset({"segment"})
DATABASE: Final = "million"


def contacts_wanted() -> int:
    """`ROLLBOOK_BENCH_DATA`, which is `1m`, `50k` or a number."""
    text = os.environ.get("ROLLBOOK_BENCH_DATA", "1m").lower()
    found = re.fullmatch(r"(\d+)([km]?)", text)
    if found is None:
        raise SystemExit(f"ROLLBOOK_BENCH_DATA is a number of contacts like 50k or 1m, not {text!r}")
    return int(found[1]) * {"": 1, "k": 1_000, "m": 1_000_000}[found[2]]


@contextlib.contextmanager
def server() -> Iterator[Postgres]:
    """On the folder that is kept, or on one that goes with the run."""
    kept = os.environ.get("ROLLBOOK_BENCH_FOLDER")
    with contextlib.ExitStack() as stack:
        if kept is None:
            kept = stack.enter_context(tempfile.TemporaryDirectory(prefix="rollbook-million-"))
            Path(kept).chmod(0o711)
        # It is as large as a server of its own would have it for so many contacts.
        settings = {
            **SERVER_SETTINGS,
            "shared_buffers": "4GB",
            "work_mem": "64MB",
            "max_parallel_workers_per_gather": "2",
        }
        running = Postgres(Path(kept) / "pg", settings=settings)
        running.start()
        stack.callback(running.stop)
        yield running


async def prepare(running: Postgres) -> str:
    """The URL of the database with everything in it."""
    dsn = running.url(DATABASE)
    await _create(running)
    await migrate_async(dsn)
    contacts = contacts_wanted()
    plan = Plan(WORKSPACE, contacts, DAYS, SEED, contacts * ACTIVITIES_EACH)
    store = await EventStore.open(dsn, codec=CODEC, keyring=Keyring.from_secret(SECRET), pool_size=2)
    try:
        await bootstrap(store, WorkspaceHandler(store, Workspaces(store)), workspace_id=WORKSPACE)
    finally:
        await store.close()
    await seed_contacts(dsn, base64.b64encode(SECRET).decode(), plan, Console())
    await _build_all(dsn)
    return dsn


async def _create(running: Postgres) -> None:
    connection = await asyncpg.connect(running.url("postgres"))
    try:
        if not await connection.fetchval("SELECT count(*) FROM pg_database WHERE datname = $1", DATABASE):
            await connection.execute(f"CREATE DATABASE {DATABASE}")
    finally:
        await connection.close()


class Built(msgspec.Struct):
    """What the build of a read model came to."""

    name: str
    seconds: float
    events: int
    bytes: int


async def _build_all(dsn: str) -> None:
    """The read models that are not there yet, each by a rebuild in a process of its own."""
    missing = [projection.name for projection in PROJECTIONS if not await _is_built(dsn, projection)]
    if not missing:
        return
    connection = await asyncpg.connect(dsn)
    try:
        # Of two builds that make it at the same time one fails.
        await connection.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public")
    finally:
        await connection.close()
    built: list[Built] = []

    async def work(waiting: list[str]) -> None:
        while waiting:
            built.append(await _build(dsn, waiting.pop(0)))

    started = time.perf_counter()
    for waiting in ([name for name in missing if name not in MADE_OF_OTHERS], [*MADE_OF_OTHERS & {*missing}]):
        await asyncio.gather(*(work(waiting) for _ in range(BUILDERS)))
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("VACUUM (ANALYZE)")
    finally:
        await connection.close()
    rows = [
        [each.name, f"{each.seconds:,.1f} s", f"{each.events / each.seconds:,.0f}/s", f"{each.bytes / 1e6:,.0f} MB"]
        for each in sorted(built, key=lambda each: -each.seconds)
    ]
    title = f"Read models, {BUILDERS} at a time, in {time.perf_counter() - started:,.0f} s in all"
    print_table(title, ["read model", "time", "events", "size"], rows)


async def _is_built(dsn: str, projection: Projection) -> bool:
    connection = await asyncpg.connect(dsn)
    try:
        live = await builds.find(connection, projection.name, "live")
        return live is not None and live.code_version >= projection.version
    finally:
        await connection.close()


async def _build(dsn: str, name: str) -> Built:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.million_data", dsn, name, stdout=asyncio.subprocess.PIPE
    )  # fmt: skip
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"the build of {name} failed")
    return msgspec.json.decode(output, type=Built)


async def build(dsn: str, name: str) -> Built:
    """One read model, from the log."""
    projection = next(each for each in PROJECTIONS if each.name == name)
    store = await EventStore.open(dsn, codec=CODEC, keyring=Keyring.from_secret(SECRET), role=None, pool_size=2)
    try:
        started = time.perf_counter()
        rebuilt = await Rebuild(store, dsn, projection).run()
        seconds = time.perf_counter() - started
        phases = ", ".join(f"{phase} {spent:,.1f} s" for phase, spent in rebuilt.seconds.items())
        print(f"  {name}: {phases}", file=sys.stderr)
        events = await store.pool.fetchval(
            "SELECT count(*) FROM log.events WHERE type = ANY ($1)", list(projection.types)
        )
        size = await store.pool.fetchval(
            "SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class AS c"
            " WHERE c.relnamespace = $1::regnamespace AND c.relkind IN ('r', 'm')",
            f"rm_{name}",
        )
    finally:
        await store.close()
    return Built(name, seconds, events, int(size))


if __name__ == "__main__":
    print(msgspec.json.encode(asyncio.run(build(*sys.argv[1:]))).decode())
