"""`rollbook sweep` on a cluster of its own: it rewrites, says so, and leaves the server's settings as they were."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable

import asyncpg

from contacts.catalog import PROJECTIONS
from eventstore import builds
from eventstore.connection import connector
from rollbook.embedded.postgres import Postgres


async def test_a_sweep_rewrites_what_held_readable_data_and_removes_old_wal(
    private_postgres: Callable[..., Postgres],
) -> None:
    postgres = await asyncio.to_thread(private_postgres, fsync=False)
    connection = await connector(postgres.url(), role="rollbook_projector", application_name="test")()
    await builds.ensure_builds(connection, PROJECTIONS)
    await connection.close()
    swept = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-m", "rollbook", "sweep"], capture_output=True, text=True, check=False,
        env={**os.environ, "ROLLBOOK_DATABASE_URL": postgres.url()},
    )  # fmt: skip
    assert swept.returncode == 0, swept.stderr
    assert "dropped 0 earlier builds" in swept.stdout
    assert "Old WAL stays" not in swept.stdout
    connection = await asyncpg.connect(postgres.url())
    try:
        assert await connection.fetchval("SHOW wal_recycle") == "on"
        segments = await connection.fetchval("SELECT count(*) FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'")
    finally:
        await connection.close()
    assert segments <= 3
