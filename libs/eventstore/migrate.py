"""Brings the log's schemas to the newest revision, and tells which one a database is at. Read models are not here."""

from __future__ import annotations

import asyncio
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

# Any two migrating processes of one database meet here; the number is arbitrary but fixed.
MIGRATION_LOCK = 1382836332


def migrate(dsn: str) -> None:
    """Upgrade to the newest revision; one process at a time, safe to repeat.

    The login role needs CREATEROLE and CREATE on the database at the first run.
    """
    asyncio.run(migrate_async(dsn))


async def migrate_async(dsn: str) -> None:
    engine = create_async_engine(_sqlalchemy_url(dsn), poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.execute(text(f"SELECT pg_advisory_lock({MIGRATION_LOCK})"))
            await connection.commit()
            await connection.run_sync(_upgrade)
    finally:
        await engine.dispose()


def head_revision() -> str:
    """The newest revision this code knows."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision is not None
    return revision


def offline_sql() -> None:
    """Print the SQL of all revisions, for a database administrator to read or to lint."""
    command.upgrade(_config(), "head", sql=True)


def _upgrade(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.set_main_option("path_separator", "os")
    return config


def _sqlalchemy_url(dsn: str) -> str:
    _, _, rest = dsn.partition("://")
    return f"postgresql+asyncpg://{rest}"
