"""The proof that a lane is whole names the first position at which somebody with every right has changed it."""

from __future__ import annotations

import os
import random
from collections.abc import Awaitable, Callable
from uuid import UUID, uuid4

import asyncpg
import pytest

from eventstore.store import EventStore
from eventstore.verify import ChainReport, verify_chain
from tests.integration.eventstore.conftest import OpenStore, superuser
from tests.support.sample import Counted, Noted, stream_of, write

EVENTS = 60
FULL = os.environ.get("ROLLBOOK_CHAOS") == "full"
MUTATIONS = 10_000 if FULL else 500
COLUMNS = {
    "recorded_at": "recorded_at + interval '1 microsecond'",
    "version": "version + 1000",
    "slice": "(slice + 1) % 1024",
    "schema_version": "schema_version + 1",
    "workspace_id": "gen_random_uuid()",
    "stream_id": "gen_random_uuid()",
    "event_id": "gen_random_uuid()",
    "subject_id": "CASE WHEN subject_id IS NULL THEN gen_random_uuid() END",
    "category": "category || 'x'",
    "type": "type || 'x'",
    "metadata": "metadata || '\\x00'",
    "payload": "set_byte(payload, 0, (get_byte(payload, 0) + 1) % 256)",
}


@pytest.fixture
async def log(database: str, open_store: OpenStore, workspace: UUID) -> EventStore:
    """Single appends, batches and bulk chunks; plain and encrypted; streams of one event and of many."""
    store = await open_store(database)
    long = stream_of(workspace)
    for n in range(10):
        await store.append(write(long, Counted(n), Counted(n), expected=2 * n))
    for _ in range(4):
        secret = stream_of(workspace)
        await store.append(write(secret, Noted("a"), Noted("b"), subject=secret.id, new_subject=True))
    await store.append_bulk([write(stream_of(workspace), Noted("c")) for _ in range(EVENTS - 28)])
    return store


async def verified(store: EventStore) -> ChainReport:
    return await verify_chain(store.pool, 0)


async def test_an_untouched_log_is_whole(log: EventStore) -> None:
    reached: list[int] = []
    report = await verify_chain(log.pool, 0, reached.append)
    assert (report.events, report.first_bad_position, report.reason) == (EVENTS, None, None)
    assert reached[-1] == EVENTS
    assert reached == sorted(reached)
    assert report.head == await log.pool.fetchval("SELECT chain FROM log.batches ORDER BY last_position DESC LIMIT 1")
    empty = await verify_chain(log.pool, 7)
    assert (empty.events, empty.batches, empty.first_bad_position) == (0, 0, None)


async def test_verifying_does_not_need_keys_of_subjects(log: EventStore, database: str) -> None:
    async with superuser(database) as connection:
        await connection.execute("DELETE FROM keys.subject_keys")
    assert (await verified(log)).first_bad_position is None


async def test_random_mutations_are_found_where_they_are(log: EventStore, database: str) -> None:
    seed = int(os.environ.get("ROLLBOOK_CHAOS_SEED") or random.randrange(2**32))
    pick = random.Random(seed)
    async with superuser(database) as connection:
        for number in range(MUTATIONS):
            mutate = pick.choice((flip, flip, flip, delete, swap, insert_between, truncate_batch))
            transaction = connection.transaction()
            await transaction.start()
            try:
                expected, what = await mutate(connection, pick)
                report = await verify_chain(connection, 0)  # type: ignore[arg-type]  # reads alike
            finally:
                await transaction.rollback()
            assert report.first_bad_position == expected, f"seed {seed}, mutation {number}: {what}, {report.reason}"
    assert (await verified(log)).first_bad_position is None


Mutated = tuple[int, str]


async def flip(connection: asyncpg.Connection, pick: random.Random) -> Mutated:
    column, position = pick.choice(list(COLUMNS)), pick.randint(1, EVENTS)
    changed = await connection.execute(
        f"UPDATE log.events SET {column} = {COLUMNS[column]} WHERE position = $1", position
    )
    assert changed == "UPDATE 1"
    return position, f"{column} of {position}"


async def delete(connection: asyncpg.Connection, pick: random.Random) -> Mutated:
    positions = sorted(pick.sample(range(1, EVENTS + 1), pick.randint(1, 3)))
    await connection.execute("DELETE FROM log.events WHERE position = ANY ($1)", positions)
    return positions[0], f"{positions} deleted"


async def swap(connection: asyncpg.Connection, pick: random.Random) -> Mutated:
    one, two = sorted(pick.sample(range(1, EVENTS + 1), 2))
    for old, new in ((one, 10_000), (two, one), (10_000, two)):
        await connection.execute("UPDATE log.events SET position = $2 WHERE position = $1", old, new)
    return one, f"{one} and {two} swapped"


async def insert_between(connection: asyncpg.Connection, pick: random.Random) -> Mutated:
    """A forged event, and everything after it moved along."""
    position = pick.randint(1, EVENTS)
    await connection.execute("UPDATE log.events SET position = -position WHERE position >= $1", position)
    await connection.execute("UPDATE log.events SET position = -position + 1 WHERE position < 0")
    await forge(connection, position)
    return position, f"one inserted at {position}"


async def truncate_batch(connection: asyncpg.Connection, pick: random.Random) -> Mutated:
    """The events at the end; their batch stays."""
    position = pick.randint(EVENTS - 20, EVENTS)
    await connection.execute("DELETE FROM log.events WHERE position >= $1", position)
    return position, f"truncated at {position}"


async def forge(connection: asyncpg.Connection, position: int) -> None:
    await connection.execute(
        "INSERT INTO log.events (position, recorded_at, version, lane, slice, schema_version, workspace_id, stream_id, "
        "event_id, category, type, metadata, payload) "
        "SELECT $1, recorded_at, 1, lane, slice, schema_version, workspace_id, $2, $3, category, type, metadata, "
        "payload FROM log.events WHERE lane = 0 LIMIT 1", position, uuid4(), uuid4(),
    )  # fmt: skip


async def _changed_batch(connection: asyncpg.Connection) -> None:
    await connection.execute("UPDATE log.batches SET chain = sha256(chain) WHERE first_position = 5")


async def _changed_time(connection: asyncpg.Connection) -> None:
    for table in ("log.batches SET recorded_at = recorded_at - interval '1 hour' WHERE first_position = 5",
                  "log.events SET recorded_at = recorded_at - interval '1 hour' WHERE position IN (5, 6)"):  # fmt: skip
        await connection.execute(f"UPDATE {table}")


async def _deleted_batch(connection: asyncpg.Connection) -> None:
    await connection.execute("DELETE FROM log.batches WHERE first_position = 5")


async def _deleted_batch_with_its_events(connection: asyncpg.Connection) -> None:
    await connection.execute("DELETE FROM log.events WHERE position IN (5, 6)")
    await _deleted_batch(connection)


async def _swapped_batches(connection: asyncpg.Connection) -> None:
    """Both with their events, so that only the chain can tell."""
    for table, columns in (("log.events", ("position",)), ("log.batches", ("first_position", "last_position"))):
        last = columns[-1]
        down = ", ".join(f"{column} = -({column} - 2)" for column in columns)
        await connection.execute(
            f"UPDATE {table} SET {', '.join(f'{c} = -({c} + 2)' for c in columns)} WHERE {last} IN (5, 6)"
        )
        await connection.execute(f"UPDATE {table} SET {down} WHERE {last} IN (7, 8)")
        await connection.execute(f"UPDATE {table} SET {', '.join(f'{c} = -{c}' for c in columns)} WHERE {last} < 0")


async def _stray_event_behind(connection: asyncpg.Connection) -> None:
    await forge(connection, EVENTS + 1)


async def _stray_event_far_behind(connection: asyncpg.Connection) -> None:
    await forge(connection, 2**62)


async def _event_before_the_first(connection: asyncpg.Connection) -> None:
    await forge(connection, 0)


async def _event_long_before_the_first(connection: asyncpg.Connection) -> None:
    await forge(connection, -(2**62))


async def _last_batch_forgotten(connection: asyncpg.Connection) -> None:
    await connection.execute("DELETE FROM log.batches WHERE last_position = $1", EVENTS)


@pytest.mark.parametrize(
    ("mutate", "position"),
    [
        (_changed_batch, 5),
        (_changed_time, 5),
        (_deleted_batch, 5),
        (_deleted_batch_with_its_events, 5),
        (_swapped_batches, 5),
        (_stray_event_behind, EVENTS + 1),
        (_stray_event_far_behind, 2**62),
        (_event_before_the_first, 0),
        (_event_long_before_the_first, -(2**62)),
        (_last_batch_forgotten, 29),
    ],
)
async def test_changes_to_batches_and_around_the_log_are_found(
    log: EventStore, database: str, mutate: Callable[[asyncpg.Connection], Awaitable[None]], position: int
) -> None:
    async with superuser(database) as connection:
        await mutate(connection)
    report = await verified(log)
    assert report.first_bad_position == position, report.reason
    assert report.reason


async def test_metadata_cannot_pass_for_a_subject(log: EventStore, database: str) -> None:
    """Moving bytes from one column to the next changes the digest, wherever the border is put."""
    async with superuser(database) as connection:
        await connection.execute(
            "UPDATE log.events SET metadata = metadata || substr(payload, 1, 1), payload = substr(payload, 2) "
            "WHERE position = 1"
        )
        assert (await verified(log)).first_bad_position == 1
        digests = await connection.fetchrow(
            "SELECT log.digest(u, 'c', u, 1, u, 't', 1::smallint, NULL, $1, '\\x') AS plain, "
            "log.digest(u, 'c', u, 1, u, 't', 1::smallint, encode(int4send(16) || substr($1, 1, 12), 'hex')::uuid, "
            "substr($1, 17, 0), substr($1, 17)) AS shifted FROM gen_random_uuid() u",
            b"x" * 12 + (0).to_bytes(4, "big"),
        )  # fmt: skip
    assert digests["plain"] != digests["shifted"]


async def test_a_rewritten_or_shortened_tail_is_found_by_the_exported_head(log: EventStore, database: str) -> None:
    """Whoever can rewrite everything leaves a log that is whole in itself: only the head of before tells."""
    before = (await verified(log)).head
    async with superuser(database) as connection:
        await connection.execute("DELETE FROM log.events WHERE position > 28")
        await connection.execute("DELETE FROM log.batches WHERE last_position > 28")
    after = await verified(log)
    assert after.first_bad_position is None
    assert after.head != before
