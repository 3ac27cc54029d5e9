"""What operators see of the read models: builds, lag, owners, parked keys with their reasons. Changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

import msgspec

from eventstore.checkpoint import SQL, Unit
from eventstore.connection import CONNECTION_ERRORS, check_cancelled

if TYPE_CHECKING:
    from asyncpg import Record

    from eventstore.connection import Connect, Connection

LAG_EVERY_S: Final = 1.0


class UnitStatus(msgspec.Struct, frozen=True):
    """One slice range of one lane."""

    unit: Unit
    position: int
    #: Last position of the lane.
    head: int
    #: How long the oldest event that is not applied yet has been waiting; 0 when there is none.
    lag_ms: float
    #: The process that keeps it; None when nobody does.
    owner: str | None
    #: Why it does not move; None when it does.
    trouble: str | None

    @property
    def lag_events(self) -> int:
        return self.head - self.position


class ParkedReason(msgspec.Struct, frozen=True):
    """Keys of one build that stopped for the same reason."""

    error: str
    keys: int
    since: datetime
    #: Most attempts of any of them.
    attempts: int
    example_key: UUID
    example_position: int


class BuildStatus(msgspec.Struct, frozen=True):
    """One build of one projection."""

    name: str
    build: int
    code_version: int
    #: `building`, `live`, `retired` or `failed`.
    state: str
    schema_name: str
    units: tuple[UnitStatus, ...]
    parked: tuple[ParkedReason, ...]

    @property
    def lag_events(self) -> int:
        """Over all lanes, by the slowest slice range of each."""
        lanes = {status.unit.lane for status in self.units}
        return sum(max(s.lag_events for s in self.units if s.unit.lane == lane) for lane in lanes)

    @property
    def lag_ms(self) -> float:
        return max((status.lag_ms for status in self.units), default=0.0)

    @property
    def parked_keys(self) -> int:
        return sum(reason.keys for reason in self.parked)


async def status(connection: Connection) -> list[BuildStatus]:
    """Every build, by name and number. Needs the role `rollbook_projector`, which may read the log."""
    units: dict[tuple[str, int], list[Record]] = {}
    for row in await connection.fetch(SQL["status"]):
        units.setdefault((row["name"], row["build"]), []).append(row)
    reasons: dict[tuple[str, int], list[ParkedReason]] = {}
    for row in await connection.fetch(SQL["parked_reasons"]):
        reasons.setdefault((row["name"], row["build"]), []).append(_reason(row))
    return [_build(rows, reasons.get(key, [])) for key, rows in units.items()]


async def watch(connect: Connect, tell: Callable[[list[BuildStatus]], None], every_s: float = LAG_EVERY_S) -> None:
    """Tells the status again and again until cancelled, so that lag shows even where no projector runs.

    Nothing is told while the database is away.
    """
    while True:
        try:
            connection = await connect()
            try:
                while True:
                    tell(await status(connection))
                    await asyncio.sleep(every_s)
            finally:
                connection.terminate()
        except CONNECTION_ERRORS:
            check_cancelled()
            await asyncio.sleep(every_s)


def _build(rows: Sequence[Record], parked: list[ParkedReason]) -> BuildStatus:
    first = rows[0]
    return BuildStatus(
        name=first["name"],
        build=first["build"],
        code_version=first["code_version"],
        state=first["state"],
        schema_name=first["schema_name"],
        units=tuple(_unit(row) for row in rows),
        parked=tuple(parked),
    )


def _unit(row: Record) -> UnitStatus:
    return UnitStatus(
        unit=Unit(row["name"], row["build"], row["lane"], row["slice_from"], row["slice_to"]),
        position=row["position"],
        head=row["head"],
        lag_ms=row["lag_ms"],
        owner=row["owner"],
        trouble=row["trouble"],
    )


def _reason(row: Record) -> ParkedReason:
    return ParkedReason(
        error=row["error"],
        keys=row["keys"],
        since=row["since"],
        attempts=row["attempts"],
        example_key=row["example_key"],
        example_position=row["example_position"],
    )
