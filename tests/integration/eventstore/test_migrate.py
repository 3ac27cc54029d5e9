"""Migrations: once and again, by several processes at once, by a login that is no superuser."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import Callable

import asyncpg
import pytest

from eventstore.migrate import head_revision, migrate_async
from eventstore.sql import load
from rollbook.embedded.postgres import Postgres
from tests.integration.eventstore.conftest import superuser
from tests.support import servers

CreateDatabase = Callable[..., str]
VERSION = "SELECT version_num FROM rollbook_schema_version"


async def revision(database: str) -> str:
    async with superuser(database) as connection:
        found: str = await connection.fetchval(VERSION)
        return found


async def test_an_empty_database_is_brought_to_the_newest_revision(create_database: CreateDatabase) -> None:
    database = create_database(empty=True)
    await migrate_async(database)
    assert await revision(database) == head_revision()


async def test_migrating_again_changes_nothing(create_database: CreateDatabase) -> None:
    database = create_database(empty=True)
    await migrate_async(database)
    async with superuser(database) as connection:
        tables = "SELECT oid, relname FROM pg_class WHERE relnamespace = 'log'::regnamespace ORDER BY 1"
        before = await connection.fetch(tables)
        await migrate_async(database)
        assert await connection.fetch(tables) == before


async def test_processes_that_migrate_at_once_take_turns(create_database: CreateDatabase) -> None:
    database = create_database(empty=True)
    async with asyncio.timeout(30):
        await asyncio.gather(*(migrate_async(database) for _ in range(5)))
    assert await revision(database) == head_revision()


@pytest.fixture
def new_cluster(private_postgres: Callable[..., Postgres]) -> Postgres:
    """Nobody has migrated anything in it: the roles are not there."""
    return private_postgres(fsync=False, migrated=False)


async def test_two_databases_of_a_new_cluster_migrate_at_once(new_cluster: Postgres) -> None:
    """They share the roles, which only one of them can create."""
    databases = [
        servers.create_database(new_cluster.url("postgres"), name, template="template0") for name in ("one", "two")
    ]
    program = "import sys; from eventstore.migrate import migrate; migrate(sys.argv[1])"
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", program, database) for database in databases
    ]
    async with asyncio.timeout(30):
        assert [await process.wait() for process in processes] == [0, 0]
    assert [await revision(database) for database in databases] == [head_revision()] * 2


async def test_an_interrupted_migration_leaves_nothing_and_holds_nobody_up(create_database: CreateDatabase) -> None:
    database = create_database(empty=True)
    async with superuser(database) as connection:
        await connection.execute("CREATE SCHEMA keys")  # in the way: the first migration fails half way
        with pytest.raises(Exception, match="already exists"):
            await migrate_async(database)
        assert await connection.fetchval("SELECT to_regnamespace('log')") is None
        await connection.execute("DROP SCHEMA keys")
    async with asyncio.timeout(20):
        await migrate_async(database)
    assert await revision(database) == head_revision()


async def test_a_login_that_is_no_superuser_can_migrate(create_database: CreateDatabase) -> None:
    database = create_database(empty=True)
    name, login = database.rpartition("/")[2], f"login_{secrets.token_hex(4)}"
    async with superuser(database) as connection:
        # What the documentation asks for: CREATEROLE, CREATE on the database, and the roles if they exist already.
        await connection.execute(f"CREATE ROLE {login} LOGIN PASSWORD 'x' CREATEROLE")
        await connection.execute(f"GRANT CREATE ON DATABASE {name} TO {login} WITH GRANT OPTION")
        await connection.execute(f"GRANT CREATE ON SCHEMA public TO {login}")
        for role in ("rollbook_writer", "rollbook_projector", "rollbook_reader"):
            await connection.execute(f"GRANT {role} TO {login} WITH ADMIN OPTION")
        try:
            await migrate_async(f"postgresql://{login}:x@{database.partition('@')[2]}")
            assert await revision(database) == head_revision()
            own = await asyncpg.connect(
                f"postgresql://{login}:x@{database.partition('@')[2]}", server_settings={"role": "rollbook_writer"}
            )
            assert await own.fetchval("SELECT count(*) FROM log.events") == 0
            await own.close()
        finally:
            await connection.execute(f"DROP OWNED BY {login} CASCADE")
            await connection.execute(f"DROP ROLE {login}")


async def test_every_statement_of_the_log_can_be_prepared(database: str) -> None:
    connection = await asyncpg.connect(database, server_settings={"role": "rollbook_writer"})
    try:
        for name, statement in load("eventstore", "queries.sql").items():
            assert await connection.prepare(statement), name
    finally:
        await connection.close()
