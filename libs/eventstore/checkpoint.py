"""How far a build has applied one slice range of one lane, and the guarded step forward. Who may step is in `lease`."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from eventstore.errors import LeaseLost
from eventstore.sql import load

if TYPE_CHECKING:
    from eventstore.connection import Connection

SQL: Final = load("eventstore", "projector.sql")
LEASE: Final = timedelta(seconds=10)


class Unit(msgspec.Struct, frozen=True):
    """What one projector instance keeps at a time: one slice range of one lane for one build."""

    name: str
    build: int
    lane: int
    slice_from: int
    slice_to: int

    def __str__(self) -> str:
        return f"{self.name} build {self.build} lane {self.lane} slices {self.slice_from}-{self.slice_to}"

    @property
    def slices(self) -> tuple[int, int]:
        return self.slice_from, self.slice_to

    @property
    def primary_key(self) -> tuple[str, int, int, int]:
        """Of its row in `projector.checkpoints`."""
        return self.name, self.build, self.lane, self.slice_from


class Lease(msgspec.Struct, frozen=True):
    """The right to write one unit: void as soon as the fence in the database is another."""

    unit: Unit
    fence: int
    #: Checkpoint at the moment of leasing.
    position: int
    #: State the build must still be in: `live`, or `building` for a rebuild.
    state: str = "live"
    length: timedelta = LEASE


async def advance(connection: Connection, lease: Lease, old: int, new: int) -> None:
    """First statement of the transaction that writes the rows of `old + 1 … new`; sets its search path as well.

    From here to COMMIT nobody else can write the unit, and the lease is renewed.

    Raises:
        LeaseLost: the checkpoint is not at `old`, the fence is not ours, or the build is in another state.
    """
    moved = await connection.fetchval(
        SQL["advance"], *lease.unit.primary_key, old, new, lease.fence, lease.state, lease.length
    )
    if moved is None:
        raise LeaseLost(lease.unit)
