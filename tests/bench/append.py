"""Appends of single-event commands with every guarantee on, beside the library, Message DB, pgbench and raw inserts."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg

from contacts.catalog import CODEC
from contacts.contact.events import ContactCreated
from eventstore.batch import Prepared
from eventstore.cipher import Keyring
from eventstore.envelope import Claim, Metadata, Stream, StreamWrite, Write, new_id, slice_of
from eventstore.migrate import migrate_async
from eventstore.store import EventStore
from tests.bench.harness import (
    QUICK,
    Figures,
    age_log,
    closed_loop,
    create_database,
    figures,
    median,
    own_postgres,
    print_goal,
    print_table,
)
from tests.bench.peers import Library, MessageDB, PgBench

IN_FLIGHT = (1, 64, 256)
ROUNDS = 1 if QUICK else 3
SECONDS = 0.5 if QUICK else 2.0
BATCH = 64

RAW = """
WITH events AS (
    INSERT INTO log.events (
        position, recorded_at, version, lane, slice, schema_version, workspace_id, stream_id, event_id, subject_id,
        category, type, metadata, payload
    )
    SELECT * FROM unnest(
        $1::bigint[], $2::timestamptz[], $3::int[], $4::smallint[], $5::smallint[], $6::smallint[], $7::uuid[],
        $8::uuid[], $9::uuid[], $10::uuid[], $11::text[], $12::text[], $13::bytea[], $14::bytea[]
    )
), keys AS (
    INSERT INTO log.idempotency (workspace_id, key, request_hash, last_position, recorded_at, event_count, lane)
    SELECT * FROM unnest($7::uuid[], $15::text[], $16::bytea[], $1::bigint[], $2::timestamptz[], $3::int[],
                         $4::smallint[])
), claims AS (
    INSERT INTO log.claims (workspace_id, kind, value_hmac, holder)
    SELECT * FROM unnest($7::uuid[], $17::text[], $18::bytea[], $8::uuid[])
)
INSERT INTO keys.subject_keys (subject_id, workspace_id, wrapped)
SELECT * FROM unnest($8::uuid[], $7::uuid[], $19::bytea[])
"""


def created(workspace_id: UUID, number: int) -> Write:
    """One contact creation as the API writes it: claim, idempotency key, own data key, metadata."""
    contact_id = new_id()
    created = ContactCreated(
        source="api",
        external_id=f"crm-{contact_id}",
        first_name="Zoë",
        last_name=f"Müller-{number}",
        email=f"zoe.mueller.{number}@example.org",
        phone="+493012345678",
        country="DE",
        language="de-DE",
        tags=("newsletter", "vip"),
    )
    return Write(
        workspace_id=workspace_id,
        streams=(
            StreamWrite(
                stream=Stream(workspace_id, "contact", contact_id),
                expected_version=0,
                events=(created,),
                subject_id=contact_id,
                new_subject=True,
            ),
        ),
        claims=(Claim(kind="external_id", value=f"crm-{contact_id}", holder=contact_id),),
        metadata=Metadata(actor="key:01ab23cd", source="api", correlation_id=str(contact_id)),
        idempotency_key=str(contact_id),
        request_hash=contact_id.bytes,
    )


class Rollbook:
    name = "Rollbook, all guarantees"

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._workspace = new_id()
        self._numbers = itertools.count()

    async def append(self, in_flight: int, seconds: float) -> Figures:
        return await closed_loop(
            lambda: self._store.append(created(self._workspace, next(self._numbers))), in_flight, seconds
        )


class RawBatches:
    """The physical limit: the same rows in the same tables by one prepared multi-row statement per 64 commands.

    Rows are encrypted and laid out beforehand; nothing is checked, ordered or answered.
    """

    name = f"raw multi-row INSERT of the same rows, batches of {BATCH}"

    def __init__(self, store: EventStore, connection: asyncpg.Connection) -> None:
        self._store = store
        self._connection = connection
        self._position = 1_000_000_000_000

    async def append(self, seconds: float) -> Figures:
        statement = await self._connection.prepare(RAW)
        workspace = new_id()
        latencies: list[float] = []
        spent = 0.0
        while spent < seconds:
            arguments = await self._arguments(workspace)
            begin = time.perf_counter()
            await statement.fetch(*arguments)
            latencies.append(time.perf_counter() - begin)
            spent += latencies[-1]
        return figures(latencies, len(latencies) * BATCH / spent)

    async def _arguments(self, workspace: UUID) -> Sequence[Any]:
        prepare = self._store._prepare  # rows exactly as the store makes them
        commands: list[Prepared] = [await prepare(created(workspace, n)) for n in range(BATCH)]
        rows = [command.event_rows[0][0] for command in commands]
        ids = [command.write.streams[0].stream.id for command in commands]
        now = datetime.now(UTC)
        first = self._position
        self._position += BATCH
        return (
            list(range(first, first + BATCH)), [now] * BATCH, [1] * BATCH, [0] * BATCH, [slice_of(i) for i in ids],
            [row[2] for row in rows], [workspace] * BATCH, ids, [row[0] for row in rows], ids, ["contact"] * BATCH,
            [row[1] for row in rows], [row[3] for row in rows], [row[4] for row in rows],
            [c.write.idempotency_key for c in commands], [c.write.request_hash for c in commands],
            [c.claim_rows[0][0] for c in commands], [c.claim_rows[0][1] for c in commands],
            [c.key_rows[0][1] for c in commands],
        )  # fmt: skip


async def run() -> bool:
    with own_postgres() as server:
        await age_log(server)
        ours = await create_database(server, "ours")
        limit = await create_database(server, "raw")
        for dsn in (ours, limit):
            await migrate_async(dsn)
        peers = [
            Library(await create_database(server, "library"), 64, database_functions=False),
            Library(await create_database(server, "library_functions"), 64, database_functions=True),
            MessageDB(await create_database(server, "message_db")),
            PgBench(await create_database(server, "pgbench")),
        ]
        missing = {p.name: reason for p in peers[2:3] if isinstance(p, MessageDB) and (reason := await p.install())}
        if isinstance(peers[3], PgBench):
            await peers[3].install()
        keyring = Keyring.from_secret(b"b" * 32)
        store = await EventStore.open(ours, codec=CODEC, keyring=keyring)
        raw_store = await EventStore.open(limit, codec=CODEC, keyring=keyring)
        connection = await asyncpg.connect(limit)
        try:
            systems = [Rollbook(store), *(p for p in peers if p.name not in missing)]
            results: dict[tuple[str, int], list[Figures]] = {}
            raw: list[Figures] = []
            limit_of_rows = RawBatches(raw_store, connection)
            for _ in range(ROUNDS):
                for in_flight in IN_FLIGHT:
                    for system in systems:
                        results.setdefault((system.name, in_flight), []).append(await system.append(in_flight, SECONDS))
                    if in_flight == BATCH:
                        raw.append(await limit_of_rows.append(SECONDS))
        finally:
            await connection.close()
            await raw_store.close()
            await store.close()
    return _report([s.name for s in systems], results, raw, missing)


def _report(
    names: list[str], results: dict[tuple[str, int], list[Figures]], raw: list[Figures], missing: dict[str, str]
) -> bool:
    middle = {key: median(rounds) for key, rounds in results.items()}
    rows = [
        [
            name,
            *(
                f"{middle[name, n].rate:,.0f}/s  {middle[name, n].p50_ms:.1f} / {middle[name, n].p99_ms:.1f}"
                for n in IN_FLIGHT
            ),
        ]
        for name in names
    ]
    raw_median = median(raw)
    rows.append([RawBatches.name, "", f"{raw_median.rate:,.0f}/s", ""])
    print_table(
        "Appends of one event, fsync on: rate, p50 / p99 in ms (pgbench: mean twice)",
        ["system", *(f"{n} in flight" for n in IN_FLIGHT)],
        rows,
    )
    for name, reason in missing.items():
        print(f"  not measured: {name}: {reason}")
    ours = Rollbook.name

    def ratio(peer: str) -> float:
        # Paired within each round: both sides saw the same minute of a shared machine.
        pairs = zip(results[ours, BATCH], results[peer, BATCH], strict=True)
        return sorted(a.rate / b.rate for a, b in pairs)[len(raw) // 2]

    reached = [
        print_goal("64 in flight to the library's default", ratio("eventsourcing, default"), 20),
        print_goal("64 in flight to pgbench", ratio(PgBench.name), 1.5),
        print_goal("64 in flight to the raw batches", _raw_ratio(results[ours, BATCH], raw), 0.5),
        print_goal("p99 at 256 in flight", middle[ours, 256].p99_ms, 15, at_least=False, unit="ms"),
    ]
    if MessageDB.name not in missing:
        reached.append(print_goal("64 in flight to Message DB", ratio(MessageDB.name), 10))
    return all(reached)


def _raw_ratio(ours: list[Figures], raw: list[Figures]) -> float:
    return sorted(a.rate / b.rate for a, b in zip(ours, raw, strict=True))[len(raw) // 2]
