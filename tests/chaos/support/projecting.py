"""`python -m tests.chaos.support.projecting DATABASE [BUG]`: a projector of the counting read model as a process."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import asyncpg

from eventstore import applier, checkpoint
from eventstore.checkpoint import Lease
from eventstore.projector import Projector
from eventstore.runner import Pace
from eventstore.store import EventStore
from tests.integration.eventstore.tally import Tally
from tests.support.sample import CODEC, keyring

if TYPE_CHECKING:
    from eventstore.connection import Connection

LEASE: Final = timedelta(seconds=0.6)
#: About as slow as the writers are fast: faults meet projectors at work.
PAUSE_S: Final = 0.02
BATCH_MAX: Final = 20


def without_fence() -> None:
    """A planted bug: the checkpoint moves whoever moves it and wherever it is, and a lost lease is not noticed."""
    for statement, compared, planted in (
        ("advance", "c.position = $5 AND c.fence = $7", "num_nulls($5::bigint, $7::bigint) = 0"),
        ("renew", "c.fence = $5", "num_nulls($5::bigint) = 0"),
    ):
        sql = checkpoint.SQL[statement]
        assert compared in sql
        checkpoint.SQL[statement] = sql.replace(compared, planted)


def in_two_transactions() -> None:
    """A planted bug: the checkpoint is committed first, the rows afterwards."""

    async def advance(connection: Connection, lease: Lease, old: int, new: int) -> None:
        await checkpoint.advance(connection, lease, old, new)
        if connection.is_in_transaction():
            await connection.execute("COMMIT; BEGIN; SET LOCAL search_path TO rm_tally, public")

    applier.advance = advance


BUGS: Final = {"without_fence": without_fence, "in_two_transactions": in_two_transactions}


async def opened(database: str) -> EventStore:
    """As soon as the server lets anybody in: it may be starting as well."""
    while True:
        try:
            return await EventStore.open(database, codec=CODEC, keyring=keyring(), role="rollbook_projector")
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await asyncio.sleep(0.05)


async def main(database: str) -> None:
    store = await opened(database)
    pace = Pace(batch_max=BATCH_MAX, poll_s=0.05, lease=LEASE)
    await Projector(store, database, [Tally(pause_s=PAUSE_S)], pace=pace).run()


if __name__ == "__main__":
    if len(sys.argv) > 2:
        BUGS[sys.argv[2]]()
    asyncio.run(main(sys.argv[1]))
