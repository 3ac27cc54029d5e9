"""Where the state of deliveries is kept, made where it is missing. The bridge writes it, the API reads it."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from eventstore.sql import AnyConnection

SCHEMA_SQL: Final = files("contacts.webhook").joinpath("deliveries.sql").read_text(encoding="utf-8")
_LOCK: Final = 1382836401


async def ensure(connection: AnyConnection) -> None:
    """Makes the tables unless they are there, as the role that is to own them. Safe from several processes at once."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        await connection.execute(SCHEMA_SQL)
