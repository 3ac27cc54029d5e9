"""Every named statement of the projector fits the schema, and every one of them is used."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

import eventstore
from eventstore.checkpoint import SQL

SOURCE = "".join(path.read_text(encoding="utf-8") for path in Path(eventstore.__file__).parent.glob("*.py"))


@pytest.mark.parametrize("name", sorted(SQL))
async def test_statement_is_prepared_by_the_role_that_runs_it(module_database: str, name: str) -> None:
    connection = await asyncpg.connect(module_database, server_settings={"role": "rollbook_projector"})
    try:
        await connection.prepare(SQL[name])
    finally:
        await connection.close()


@pytest.mark.parametrize("name", sorted(SQL))
def test_statement_is_used(name: str) -> None:
    assert f'SQL["{name}"]' in SOURCE


async def test_those_who_wait_may_read_the_positions_and_nothing_else(module_database: str) -> None:
    connection = await asyncpg.connect(module_database, server_settings={"role": "rollbook_reader"})
    try:
        assert await connection.fetch(SQL["reached"]) == []
        for name in ("parked_reasons", "status"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.fetch(SQL[name])
    finally:
        await connection.close()
