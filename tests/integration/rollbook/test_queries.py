"""Every statement of the `rollbook` command fits the schema and is used."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

import rollbook
from eventstore import sql

QUERIES = sql.load("rollbook", "queries.sql")


@pytest.mark.parametrize("name", QUERIES)
def test_a_statement_can_be_prepared_and_is_used(name: str, database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(f"PREPARE statement AS {QUERIES[name]}")
    sources = "\n".join(path.read_text() for path in Path(rollbook.__file__).parent.glob("*.py"))
    assert f'QUERIES["{name}"]' in sources
