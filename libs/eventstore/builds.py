"""The builds of read models: made, indexed, swapped, dropped, split. Filling them is in `rebuild` and `projector`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import msgspec

from eventstore.applier import is_sliceable
from eventstore.checkpoint import SQL
from eventstore.envelope import SLICES
from eventstore.errors import BuildBusy, NoSuchBuild

if TYPE_CHECKING:
    from asyncpg import Record

    from eventstore.connection import Connection
    from eventstore.projection import Projection

#: A log up to this long is caught up with faster than anybody could wait for a build beside it.
YOUNG_LOG_EVENTS: Final = 10_000
SLICES_MAX: Final = 64
CHANGED_CHANNEL: Final = "rollbook_projector"
# Held for the whole of a rebuild or rollback of one projection.
BUILD_LOCK: Final = 1382836334
# Held for a moment by processes that start at the same time.
ENSURE_LOCK: Final = 1382836335
# Held while tables are made: of two that create the same extension at once PostgreSQL fails one, IF NOT EXISTS or not.
CREATE_LOCK: Final = 1382836336

_INDEX = re.compile(r"^CREATE\s+(UNIQUE\s+)?INDEX\s+(IF\s+NOT\s+EXISTS\s+)?", re.IGNORECASE)


class Build(msgspec.Struct, frozen=True):
    """One row of `projector.projections`."""

    name: str
    build: int
    code_version: int
    #: building, live, retired or failed.
    state: str
    schema_name: str
    #: Whether its bulk load is over, indexes and all: from then on it is only tailed.
    loaded: bool


async def ensure_builds(connection: Connection, projections: Iterable[Projection]) -> list[str]:
    """Gives every projection a live build while the log is young; answers the names that need a rebuild instead.

    Those are projections with a higher version than the live build's, and new ones beside a long log. A live build of
    a higher version is left alone: newer code runs beside this one. Safe to run from several processes at once.
    """
    outdated = []
    for projection in projections:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1, hashtext($2))", ENSURE_LOCK, projection.name)
            live = await find(connection, projection.name, "live")
            if live is not None:
                await connection.execute(SQL["add_lanes"], live.name, live.build)
            if live is None and await connection.fetchval(SQL["log_length"]) <= YOUNG_LOG_EVENTS:
                await _create_live(connection, projection)
            elif live is None or live.code_version < projection.version:
                outdated.append(projection.name)
    return outdated


async def find(connection: Connection, name: str, state: str) -> Build | None:
    """The newest build in this state."""
    row = await connection.fetchrow(SQL["find_build"], name, state)
    return None if row is None else _build(row)


async def lock(connection: Connection, name: str) -> None:
    """Held until the connection ends. Raises BuildBusy at once where somebody else has it."""
    if not await connection.fetchval("SELECT pg_try_advisory_lock($1, hashtext($2))", BUILD_LOCK, name):
        raise BuildBusy(name)


async def begin(connection: Connection, projection: Projection) -> Build:
    """The build to work on: one that was interrupted, if it is by the same code, else a new one with empty tables."""
    async with connection.transaction():
        building = await find(connection, projection.name, "building")
        if building is not None and building.code_version == projection.version:
            return building
        await drop(connection, projection.name, "building", "failed")
        return await _create(connection, projection, "building")


async def drop(connection: Connection, name: str, *states: str, but: int = 0) -> list[Build]:
    """Drops the builds in these states with their tables, except build number `but`; answers them."""
    dropped = [_build(row) for row in await connection.fetch(SQL["drop_builds"], name, list(states), but)]
    for build in dropped:
        await connection.execute(f"DROP SCHEMA IF EXISTS {quoted(build.schema_name)} CASCADE")
    return dropped


async def drop_retired(connection: Connection, name: str) -> list[Build]:
    """Gives up the way back to earlier builds. Raises BuildBusy."""
    await lock(connection, name)
    async with connection.transaction():
        return await drop(connection, name, "retired", "failed")


async def set_state(connection: Connection, build: Build, state: str) -> Build:
    await connection.execute(SQL["set_state"], build.name, build.build, state)
    return msgspec.structs.replace(build, state=state)


async def set_loaded(connection: Connection, build: Build) -> None:
    await connection.execute(SQL["set_loaded"], build.name, build.build)


async def reslice(connection: Connection, name: str, build: int, count: int) -> None:
    """Shares each lane of a build out in `count` even slice ranges, which take over the checkpoint they come from.

    Whoever kept a range leases anew. Raises NoSuchBuild where ranges that would be joined are not equally far (try
    again when they have caught up), or where the projection's keys are not streams.
    """
    if not 1 <= count <= SLICES_MAX:
        raise ValueError(f"between 1 and {SLICES_MAX} slice ranges, not {count}")
    ranges = [(SLICES * n // count, SLICES * (n + 1) // count - 1) for n in range(count)]
    async with connection.transaction():
        rows = await connection.fetch(SQL["lock_checkpoints"], name, build)
        if count > 1 and not all(row["sliceable"] for row in rows):
            raise NoSuchBuild(name, "its keys are not streams, so it cannot be shared out")
        for lane in sorted({row["lane"] for row in rows}):
            await _reslice_lane(connection, name, build, lane, ranges, [row for row in rows if row["lane"] == lane])
        await connection.execute("SELECT pg_notify($1, '')", CHANGED_CHANNEL)


async def _reslice_lane(
    connection: Connection, name: str, build: int, lane: int, ranges: list[tuple[int, int]], old: list[Record]
) -> None:
    if [(row["slice_from"], row["slice_to"]) for row in old] == ranges:
        return
    positions = []
    for low, high in ranges:
        covered = {row["position"] for row in old if row["slice_from"] <= high and row["slice_to"] >= low}
        if len(covered) != 1:
            raise NoSuchBuild(name, f"its slice ranges in lane {lane} are not equally far: {sorted(covered)}")
        positions.append(covered.pop())
    fence = max(row["fence"] for row in old) + 1
    lows, highs = zip(*ranges, strict=True)
    await connection.execute(SQL["drop_checkpoints"], name, build, lane)
    await connection.execute(SQL["add_checkpoints"], name, build, lane, lows, highs, positions, fence)


def index_statements(index_sql: str) -> list[str]:
    """The statements of `Projection.index_sql`, each of which may be repeated; inverted indexes first, being slowest.

    Raises ValueError for anything but CREATE INDEX.
    """
    statements = []
    for text in re.split(r";[ \t]*(?:\n|$)", index_sql):
        lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("--")]
        statement = "\n".join(lines).strip()
        if not statement:
            continue
        if not _INDEX.match(statement):
            raise ValueError(f"index_sql holds more than indexes: {statement[:60]!r}")
        statements.append(_INDEX.sub(lambda m: f"CREATE {m[1] or ''}INDEX IF NOT EXISTS ", statement))
    return sorted(statements, key=lambda statement: not is_inverted(statement))


def is_inverted(statement: str) -> bool:
    """Whether it makes an inverted index (GIN)."""
    return " gin " in statement.lower().replace("(", " ")


def quoted(schema_name: str) -> str:
    """Names of builds are made by this module from a checked pattern; quoted all the same."""
    return '"' + schema_name.replace('"', '""') + '"'


async def use_schema(connection: Connection, schema_name: str) -> None:
    """Unqualified names mean this build, until the end of the transaction."""
    await connection.execute("SELECT set_config('search_path', $1, true)", f"{quoted(schema_name)}, public")


async def _create_live(connection: Connection, projection: Projection) -> None:
    build = await _create(connection, projection, "live")
    await use_schema(connection, build.schema_name)
    for statement in index_statements(projection.index_sql):
        await connection.execute(statement)
    await set_loaded(connection, build)
    await connection.execute("SELECT pg_notify($1, '')", CHANGED_CHANNEL)


async def _create(connection: Connection, projection: Projection, state: str) -> Build:
    await connection.execute("SELECT pg_advisory_xact_lock($1)", CREATE_LOCK)
    row = await connection.fetchrow(
        SQL["create_build"], projection.name, projection.version, state, is_sliceable(projection)
    )
    assert row is not None
    build = _build(row)
    await connection.execute(SQL["add_lanes"], build.name, build.build)
    await connection.execute(f"CREATE SCHEMA {quoted(build.schema_name)}")
    await use_schema(connection, build.schema_name)
    await connection.execute(projection.schema_sql)
    await connection.execute(SQL["secure"], build.schema_name)
    return build


def _build(row: Record) -> Build:
    return Build(row["name"], row["build"], row["code_version"], row["state"], row["schema_name"], row["loaded"])
