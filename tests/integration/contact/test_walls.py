"""The walls between workspaces: what queries of the contact read model can see, and what they can write."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Final
from uuid import uuid4

import asyncpg
import pytest

from contacts.contact import listing
from contacts.contact.filtering import Filter, parse_filter
from contacts.contact.ordering import Sort
from contacts.contact.row import COLUMNS
from contacts.errors import ContactNotFound
from contacts.reading import reading
from tests.integration.contact.model import LIVE, Log, Model, open_model
from tests.integration.contact.sixty import CONTACTS, OTHER, WORKSPACE, created, history, listed

VISIBLE: Final = ("contact", "contact_recency", "contact_count", "own_contact")


@pytest.fixture(scope="module")
async def model(module_database: str) -> AsyncIterator[Model]:
    """With sixty contacts in one workspace, a fifth of them deleted, and some in another."""
    async with open_model(module_database) as model:
        await model.apply(history(WORKSPACE).events)
        yield model


@pytest.mark.parametrize("table", VISIBLE)
async def test_without_a_workspace_nothing_is_visible(model: Model, table: str) -> None:
    async with model.readers.acquire() as connection:
        assert await connection.fetch(f"SELECT workspace_id FROM {LIVE}.{table}") == []


@pytest.mark.parametrize("table", VISIBLE)
async def test_a_query_that_forgets_the_workspace_still_sees_no_other(model: Model, table: str) -> None:
    async with reading(model.readers, OTHER) as connection:
        rows = await connection.fetch(f"SELECT workspace_id FROM {LIVE}.{table}")
        assert {row["workspace_id"] for row in rows} == {OTHER}
        assert await connection.fetch(f"SELECT FROM {LIVE}.{table} WHERE workspace_id = $1", WORKSPACE) == []


async def test_statements_name_the_workspace_even_where_no_wall_stands(model: Model) -> None:
    """The projector may see everything; asked as the projector, lists and look-ups still hold one workspace."""
    wanted = {contact.id for contact in await listed(model, workspace_id=OTHER)}
    foreign = (await listed(model))[0].id
    transaction = model.projector.transaction()
    await transaction.start()
    try:
        # The view is the second wall by itself; opened here, so that only the statements are left.
        await model.projector.execute(f"CREATE OR REPLACE VIEW {LIVE}.own_contact AS SELECT * FROM {LIVE}.contact")
        wide_open = listing.Listing(OTHER, Filter(), Sort("created_at", "ASC"))
        searched_for = listing.Listing(OTHER, everybody(), Sort("changed_at", "ASC", table="contact_recency"))
        for asked in (wide_open, searched_for):
            found, total = await asked.page(model.projector, None, 100)
            assert {contact.contact_id for contact in found} == wanted
            assert total == listing.Total(len(wanted), exact=True)
        assert await model.projector.fetchval(listing.SQL["get"], OTHER, foreign) is None
        assert await model.projector.fetch(listing.SQL["get_many"], OTHER, [foreign]) == []
    finally:
        await transaction.rollback()


def everybody() -> Filter:
    return parse_filter(q="c-", email_status=None, phone_status=None, deleted=False, region=None)


async def test_a_foreign_contact_answers_as_an_absent_one(model: Model) -> None:
    foreign = (await listed(model, workspace_id=OTHER))[0].id
    with pytest.raises(ContactNotFound):
        await model.queries.get(WORKSPACE, foreign)
    assert await model.queries.get_many(WORKSPACE, [foreign]) == {}
    assert await listed(model, q=str(foreign)) == []


async def test_a_connection_that_goes_back_to_the_pool_has_forgotten_the_workspace(model: Model) -> None:
    async with reading(model.readers, WORKSPACE) as connection:
        assert await connection.fetchval(f"SELECT count(*) FROM {LIVE}.contact") == CONTACTS
        assert await connection.fetchval("SELECT current_user") == "rollbook_reader"
    with pytest.raises(RuntimeError):
        async with reading(model.readers, WORKSPACE):
            raise RuntimeError
    for _ in range(model.readers.get_size()):
        async with model.readers.acquire() as connection:
            assert await connection.fetchval("SELECT current_setting('rollbook.workspace_id', true)") in (None, "")


async def test_readers_can_write_nothing(model: Model) -> None:
    async with reading(model.readers, WORKSPACE) as connection:
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await connection.execute(f"DELETE FROM {LIVE}.contact")
    async with model.readers.acquire() as connection:
        for table in VISIBLE:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(f"DELETE FROM {LIVE}.{table}")


async def test_the_walls_do_not_keep_a_search_from_its_index(database: str) -> None:
    """LIKE is not leakproof: behind a policy of row-level security it could not use any index."""
    async with open_model(database) as model:
        log = Log()
        log.record(WORKSPACE, uuid4(), created(random.Random(1), 1))
        await model.apply(log.events)
        columns = ", ".join(COLUMNS).replace("contact_id", "gen_random_uuid()").replace("search", "n || ' ' || search")
        await model.projector.execute(
            f"INSERT INTO {LIVE}.contact ({', '.join(COLUMNS)}) "
            f"SELECT {columns} FROM {LIVE}.contact, generate_series(10000, 13000) AS n"
        )
        await model.projector.execute(f"VACUUM ANALYZE {LIVE}.contact")
        rare = parse_filter(q="12345", email_status=None, phone_status=None, deleted=False, region=None)
        statement, values = listing.Listing(WORKSPACE, rare, Sort("created_at", "ASC")).gathering(None)
        async with reading(model.readers, WORKSPACE) as connection:
            plan = await connection.fetch(f"EXPLAIN {statement}", WORKSPACE, 10, 10, *values)
            found = await connection.fetch(statement, WORKSPACE, 10, 10, *values)
    assert "contact_search" in "\n".join(row[0] for row in plan)
    assert [row["matches"] for row in found] == [1]
