"""Transactions in which read models are queried: read-only, one snapshot, one workspace. No query is here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    import asyncpg

    from eventstore.sql import AnyConnection


@asynccontextmanager
async def reading(pool: asyncpg.Pool, workspace_id: UUID) -> AsyncIterator[AnyConnection]:
    """A connection that sees the rows of `workspace_id`, as they are now until the end, and of no other.

    Plans are made for the values at hand: what is a rare word and what a common one decides which index to use.
    """
    async with pool.acquire() as connection:
        # One round trip; a UUID cannot carry SQL.
        await connection.execute(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"
            f"SET LOCAL rollbook.workspace_id = '{UUID(int=workspace_id.int)}';"
            "SET LOCAL plan_cache_mode = force_custom_plan"
        )
        try:
            yield connection
        finally:
            await connection.execute("ROLLBACK")
