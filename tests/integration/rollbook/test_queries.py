"""Every statement of the `rollbook` command fits the schema and is used."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

import rollbook
from contacts.catalog import PROJECTIONS
from eventstore import builds, sql
from tests.integration.eventstore.tally import connected

QUERIES = sql.load("rollbook", "queries.sql")


@pytest.mark.parametrize("name", QUERIES)
async def test_a_statement_can_be_prepared_and_is_used(name: str, database: str) -> None:
    async with connected(database) as projector:
        await builds.ensure_builds(projector, PROJECTIONS)
    with psycopg.connect(database) as connection:
        connection.execute(f"PREPARE statement AS {QUERIES[name]}")
    sources = "\n".join(path.read_text() for path in Path(rollbook.__file__).parent.glob("*.py"))
    assert f'QUERIES["{name}"]' in sources
