"""Catching up and rebuilding the contact read model, beside PostgreSQL filling the same tables without Rollbook."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from pathlib import Path

import asyncpg

from contacts.catalog import CODEC, PROJECTIONS
from eventstore import builds
from eventstore.cipher import Keyring
from eventstore.migrate import migrate_async
from eventstore.projection import Projection
from eventstore.projector import Projector
from eventstore.rebuild import Rebuild
from eventstore.store import EventStore
from rollbook.embedded.postgres import Postgres
from tests.bench.harness import QUICK, create_database, own_postgres, print_goal, print_table
from tests.bench.reading import fill

CONTACTS = 10_000 if QUICK else 200_000
ROUNDS = 1


async def run() -> bool:
    projection = next(p for p in PROJECTIONS if p.name == "contact")
    seconds: dict[str, list[float]] = {}
    with own_postgres() as server:
        for number in range(ROUNDS):
            dsn = await create_database(server, f"projection_{number}")
            await migrate_async(dsn)
            store = await EventStore.open(dsn, codec=CODEC, keyring=Keyring.from_secret(b"b" * 32))
            connection = await asyncpg.connect(dsn)
            try:
                await _ensure(connection, projection)
                await fill(store, CONTACTS)
                for name, figure in (
                    ("catch up, indexes in place", await _catch_up(store, dsn, connection, projection)),
                    ("limit: INSERT … SELECT, indexes in place", await _insert_select(connection)),
                    ("rebuild", await _rebuild(store, dsn, projection)),
                    ("limit: COPY, then the indexes", await _copy_and_index(server, connection, projection)),
                ):
                    seconds.setdefault(name, []).append(figure)
            finally:
                await connection.close()
                await store.close()
    return _report(seconds)


async def _ensure(connection: asyncpg.Connection, projection: Projection) -> None:
    await connection.execute("SET ROLE rollbook_projector")
    await builds.ensure_builds(connection, [projection])
    await connection.execute("RESET ROLE")


async def _catch_up(store: EventStore, dsn: str, connection: asyncpg.Connection, projection: Projection) -> float:
    head = await store.head(0)
    started = time.perf_counter()
    projector = asyncio.create_task(Projector(store, dsn, [projection]).run())
    try:
        while await connection.fetchval("SELECT min(position) FROM projector.checkpoints") < head:
            await asyncio.sleep(0.02)
        return time.perf_counter() - started
    finally:
        projector.cancel()
        with suppress(asyncio.CancelledError):
            await projector


async def _tables(connection: asyncpg.Connection) -> list[str]:
    rows = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'rm_contact'::regnamespace AND relkind = 'r'"
    )
    return [row["relname"] for row in rows]


async def _insert_select(connection: asyncpg.Connection) -> float:
    """The finished rows into empty tables of the same shape with the same indexes, in one transaction."""
    await connection.execute("CREATE SCHEMA limit_insert")
    tables = await _tables(connection)
    for table in tables:
        await connection.execute(f"CREATE TABLE limit_insert.{table} (LIKE rm_contact.{table} INCLUDING ALL)")
    started = time.perf_counter()
    async with connection.transaction():
        for table in tables:
            await connection.execute(f"INSERT INTO limit_insert.{table} SELECT * FROM rm_contact.{table}")
    seconds = time.perf_counter() - started
    await connection.execute("DROP SCHEMA limit_insert CASCADE")
    return seconds


async def _rebuild(store: EventStore, dsn: str, projection: Projection) -> float:
    started = time.perf_counter()
    rebuilt = await Rebuild(store, dsn, projection).run()
    seconds = time.perf_counter() - started
    phases = ", ".join(f"{phase} {spent:.1f} s" for phase, spent in rebuilt.seconds.items())
    print(f"  rebuild of {rebuilt.position:,}: {phases}; the live build stood still for {rebuilt.stalled_ms:.0f} ms")
    return seconds


async def _copy_and_index(server: Postgres, connection: asyncpg.Connection, projection: Projection) -> float:
    """The finished rows by server-side binary COPY into bare tables, then their indexes one after the other."""
    await connection.execute("CREATE SCHEMA limit_copy")
    await connection.execute("SET search_path TO limit_copy, public")
    await connection.execute(projection.schema_sql)
    tables = await _tables(connection)
    files = {table: Path(server.data) / f"limit_{table}.copy" for table in tables}
    for table, file in files.items():
        await connection.execute(f"COPY rm_contact.{table} TO '{file}' (FORMAT binary)")
    started = time.perf_counter()
    for table, file in files.items():
        await connection.execute(f"COPY limit_copy.{table} FROM '{file}' (FORMAT binary)")
    await connection.execute(projection.index_sql)
    seconds = time.perf_counter() - started
    for file in files.values():
        file.unlink()
    await connection.execute("RESET search_path")
    await connection.execute("DROP SCHEMA limit_copy CASCADE")
    return seconds


def _report(seconds: dict[str, list[float]]) -> bool:
    rows = [
        [name, f"{sorted(spent)[len(spent) // 2]:.1f} s", f"{CONTACTS / sorted(spent)[len(spent) // 2]:,.0f}/s"]
        for name, spent in seconds.items()
    ]
    print_table(f"The contact read model of {CONTACTS:,} created contacts", ["way", "time", "contacts"], rows)
    caught_up, inserted, rebuilt, copied = seconds.values()

    def ratio(limit: list[float], ours: list[float]) -> float:
        return sorted(a / b for a, b in zip(limit, ours, strict=True))[len(ours) // 2]

    return all(
        (
            print_goal("catching up to INSERT … SELECT", ratio(inserted, caught_up), 0.7),
            print_goal("rebuild to COPY and index build", ratio(copied, rebuilt), 0.7),
        )
    )
