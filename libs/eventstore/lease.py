"""Who keeps which slice range: leases that expire by the clock of the database. Moving on is in `checkpoint`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from eventstore.checkpoint import LEASE, SQL, Lease, Unit
from eventstore.errors import LeaseLost

if TYPE_CHECKING:
    from asyncpg import Record

    from eventstore.connection import Connection


class Worker(msgspec.Struct, frozen=True):
    """One projector process among its peers."""

    #: Unique to this process, shown to operators as the owner of a lease.
    name: str
    #: Versions of the projections it can run; it never touches builds of others.
    versions: Mapping[str, int]
    length: timedelta = LEASE

    @property
    def runs(self) -> str:
        return " ".join(f"{name}@{version}" for name, version in sorted(self.versions.items()))


async def fair_share(connection: Connection, worker: Worker) -> int:
    """Registers the worker as alive; how many units it should keep among all that run the same code."""
    await connection.execute(SQL["heartbeat"], worker.name, worker.runs)
    share: int = await connection.fetchval(
        SQL["fair_share"], worker.runs, list(worker.versions), list(worker.versions.values()), worker.length
    )
    return share


async def lease_free(connection: Connection, worker: Worker, limit: int) -> list[Lease]:
    """Up to `limit` units of live builds that nobody holds, or whose holder did not renew in time."""
    if limit <= 0:
        return []
    rows = await connection.fetch(
        SQL["lease_free"], worker.name, list(worker.versions), list(worker.versions.values()), limit, worker.length
    )
    return _leases(rows, "live", worker.length)


async def lease_build(connection: Connection, name: str, build: int, owner: str, length: timedelta) -> list[Lease]:
    """All units of a build that is being built; earlier holders lose theirs. The caller holds the build lock."""
    rows = await connection.fetch(SQL["lease_build"], name, build, owner, length)
    return _leases(rows, "building", length)


async def renew(connection: Connection, lease: Lease, trouble: str | None = None) -> int:
    """Extend the lease while there is nothing to write; answers the checkpoint.

    `trouble` is shown to operators until the next batch; None leaves what is shown, an empty text ends it.
    Raises LeaseLost.
    """
    position: int | None = await connection.fetchval(
        SQL["renew"], *lease.unit.primary_key, lease.fence, lease.length, trouble, lease.state
    )
    if position is None:
        raise LeaseLost(lease.unit)
    return position


async def release(connection: Connection, leases: Iterable[Lease]) -> None:
    """Give up at once, so that a successor need not wait for the expiry. Does nothing for a lease that was lost."""
    await connection.executemany(SQL["release"], [(*lease.unit.primary_key, lease.fence) for lease in leases])


async def leave(connection: Connection, worker: Worker) -> None:
    await connection.execute(SQL["leave"], worker.name)


def _leases(rows: Iterable[Record], state: str, length: timedelta) -> list[Lease]:
    return [
        Lease(
            unit=Unit(row["name"], row["build"], row["lane"], row["slice_from"], row["slice_to"]),
            fence=row["fence"],
            position=row["position"],
            state=state,
            length=length,
        )
        for row in rows
    ]
