"""Whether this process can serve: database reachable, schema current, read models not too far behind."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from eventstore.sql import load
from servicekit.connect import database_ready
from servicekit.metrics import readiness

if TYPE_CHECKING:
    from contacts_api.services import Services

SQL: Final = load("contacts_api", "health.sql")


async def ready(services: Services) -> tuple[bool, bytes]:
    """Whether all is well, and a JSON object that says each check's state."""

    async def database() -> str | None:
        return await database_ready(services.pool)

    async def schema() -> str | None:
        return await _schema(services)

    async def read_models() -> str | None:
        return await _read_models(services)

    return await readiness({"database": database, "schema": schema, "read_models": read_models})


async def _schema(services: Services) -> str | None:
    async with services.store.pool.acquire() as connection, connection.transaction():
        # The table belongs to the account that migrates, not to the roles of the services.
        await connection.execute("SET LOCAL ROLE NONE")
        found = await connection.fetchval(SQL["revision"])
    # A newer schema is fine: while versions change over, both run on it.
    return None if found >= _head_revision() else f"at revision {found}, this code needs {_head_revision()}"


@cache
def _head_revision() -> str:
    # Alembic takes a third of a second to import, and nothing else here needs it.
    from eventstore.migrate import head_revision  # noqa: PLC0415

    return head_revision()


async def _read_models(services: Services) -> str | None:
    lag_s = await services.store.pool.fetchval(SQL["lag"])
    if lag_s is None:
        return "no projector has made them yet"
    limit_s = services.settings.lag_limit_s
    return None if lag_s <= limit_s else f"{lag_s:.0f} s behind the log, at most {limit_s:.0f} s are allowed"
