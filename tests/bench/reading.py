"""Reading the log: raw rows as the driver delivers them, then decrypted and decoded, and what of the two limits."""

from __future__ import annotations

import time

from contacts.catalog import CODEC
from eventstore.appender import SQL
from eventstore.cipher import Keyring
from eventstore.envelope import new_id
from eventstore.migrate import migrate_async
from eventstore.store import EventStore
from tests.bench.append import ROUNDS, created
from tests.bench.harness import QUICK, create_database, own_postgres, print_table

EVENTS = 20_000 if QUICK else 200_000
BATCH = 5_000
FILL = 10_000


async def fill(store: EventStore, events: int) -> None:
    """Creations of one workspace through the bulk path."""
    workspace = new_id()
    for first in range(0, events, FILL):
        await store.append_bulk([created(workspace, n) for n in range(first, min(first + FILL, events))])


async def run() -> bool:
    with own_postgres() as server:
        dsn = await create_database(server, "ours")
        await migrate_async(dsn)
        store = await EventStore.open(dsn, codec=CODEC, keyring=Keyring.from_secret(b"b" * 32))
        try:
            await fill(store, EVENTS)
            rates: dict[str, list[float]] = {}
            for _ in range(ROUNDS):
                for name, read in (
                    ("raw rows, with their wrapped keys", _raw),
                    ("decrypted and decoded events", _decoded),
                    ("unwanted types, read past", _past),
                ):
                    started = time.perf_counter()
                    await read(store)
                    rates.setdefault(name, []).append(EVENTS / (time.perf_counter() - started))
        finally:
            await store.close()
    middle = {name: sorted(values)[len(values) // 2] for name, values in rates.items()}
    print_table(
        f"Reading {EVENTS:,} events of one lane in batches of {BATCH:,}",
        ["what", "events/s"],
        [[name, f"{rate:,.0f}"] for name, rate in middle.items()],
    )
    raw, decoded, _ = middle.values()
    print(
        f"  limit: of {1e6 / decoded:.1f} µs an event, {1e6 / raw:.1f} are PostgreSQL and the driver, the rest is "
        "unwrapping each contact's data key, decrypting and decoding on one core"
    )
    return True


async def _raw(store: EventStore) -> None:
    position = 0
    while rows := await store.pool.fetch(SQL["read_lane"], 0, position, BATCH):
        position = rows[-1]["position"]


async def _decoded(store: EventStore) -> None:
    await _read(store, None)


async def _past(store: EventStore) -> None:
    await _read(store, frozenset({"contact.erased"}))


async def _read(store: EventStore, types: frozenset[str] | None) -> None:
    position = 0
    while (batch := await store.read_lane(0, after=position, limit=BATCH, types=types)).last > position:
        position = batch.last
