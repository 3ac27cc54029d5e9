"""Every named statement of every `.sql` file is one that PostgreSQL can prepare, and one that the code uses."""

from __future__ import annotations

import ast
import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from functools import cache
from itertools import product
from pathlib import Path
from typing import Final, get_args
from uuid import UUID

import asyncpg
import pytest

from contacts.catalog import PROJECTIONS
from contacts.contact.cursor import After, Total
from contacts.contact.filtering import parse_filter
from contacts.contact.listing import Listing
from contacts.contact.ordering import SortField, parse_sort, parts_of
from contacts.facet import fetching
from contacts.facet.columns import Codes
from contacts.facet.questions import Happened, Values
from contacts.history.listing import PastListing
from contacts.smartsearch.fields import FIELDS
from contacts.webhook import deliveries
from eventstore import builds
from eventstore.sql import load

ROOT: Final = Path(__file__).parents[2]
NAMED: Final = re.compile(r"^-- \w+ --$", re.MULTILINE)
EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)
#: Statements with parts in braces, which are put together and prepared below.
COMPOSED: Final = {
    f"libs/contacts/{statement}"
    for statement in (
        "contact/queries.sql:walk",
        "contact/queries.sql:gather",
        "contact/queries.sql:top",
        "contact/queries.sql:count",
        "contact/queries.sql:matching",
        "contact/queries.sql:sample",
        "history/queries.sql:walk",
        "history/queries.sql:gather",
        "history/queries.sql:top",
        "history/queries.sql:count",
        "history/queries.sql:sample",
        "segment/filling.sql:matching",
        "segment/filling.sql:recount",
        "segment/filling.sql:unsettled",
        "segment/queries.sql:matching",
        "segment/queries.sql:count_matching",
        "facet/facet.sql:contacts",
        "facet/facet.sql:values",
        "facet/facet.sql:events",
    )
}


def statements() -> Iterator[tuple[Path, str, str]]:
    for folder in ("libs", "services"):
        for path in sorted((ROOT / folder).rglob("*.sql")):
            if NAMED.search(path.read_text(encoding="utf-8")):
                package = ".".join(path.parent.relative_to(ROOT / folder).parts)
                for name, statement in load(package, path.name).items():
                    yield path, name, statement


def place(path: Path, name: str) -> str:
    return f"{path.relative_to(ROOT)}:{name}"


STATEMENTS: Final = list(statements())


@pytest.fixture(scope="module")
async def connection(module_database: str) -> AsyncIterator[asyncpg.Connection]:
    """With every read model there; its statements name their tables as the projector finds them."""
    connection = await asyncpg.connect(module_database)
    await builds.ensure_builds(connection, PROJECTIONS)
    await deliveries.ensure(connection)
    schemas = ", ".join(f"rm_{projection.name}" for projection in PROJECTIONS)
    await connection.execute(f"SET search_path = {schemas}, public")
    yield connection
    await connection.close()


async def test_every_statement_fits_the_schema(connection: asyncpg.Connection) -> None:
    broken = []
    for path, name, statement in STATEMENTS:
        if place(path, name) not in COMPOSED:
            try:
                await connection.prepare(statement)
            except asyncpg.PostgresError as error:
                broken.append(f"{place(path, name)}: {error}")
    assert not broken


async def test_every_composition_of_a_list_fits_the_schema(connection: asyncpg.Connection) -> None:
    for listing, after in lists():
        parts = parts_of(listing.sort, after) if listing.can_walk else ()
        composed = [listing.walking(after, has_key=part) for part in parts]
        for statement, values in [*composed, listing.gathering(after)]:
            prepared = await connection.prepare(statement)
            assert len(prepared.get_parameters()) == 3 + len(values)
        statement, values = listing.topping(after)
        prepared = await connection.prepare(statement)
        assert len(prepared.get_parameters()) == 2 + len(values)
        for statement, values in (listing.counting(), listing.sampling(0.01)):
            prepared = await connection.prepare(statement)
            assert len(prepared.get_parameters()) == 1 + len(values)


@pytest.mark.parametrize(
    "name", ["filling.sql:recount", "filling.sql:unsettled", "queries.sql:matching", "queries.sql:count_matching"]
)
async def test_every_composition_of_a_segment_fits_the_schema(connection: asyncpg.Connection, name: str) -> None:
    file, _, statement = name.partition(":")
    sql, parts = load("contacts.segment", file), {"condition": "c.country = 'DE'", "conditions": "c.country = 'DE'"}
    if statement == "recount":
        part = sql["matching"].format(segment="$12::uuid", **parts)
        parts = {"materialized": "MATERIALIZED", "matching": f"{part} UNION ALL {part}"}
    await connection.prepare(sql[statement].format(**parts))


async def test_every_column_of_the_facet_index_fits_the_schema(connection: asyncpg.Connection) -> None:
    workspace_id = UUID(int=1)
    columns = [Values(field, is_set) for field in FIELDS.values() for is_set in (False, True)]
    assert not len(await fetching.fetch_contacts(connection, workspace_id, columns, None))
    for column in columns:
        if isinstance(fetching.new_column(column), Codes):
            assert await fetching.fetch_values(connection, workspace_id, column, [workspace_id]) == []
    for kind in ("message.clicked", "web.*"):
        await fetching.fetch_events(connection, workspace_id, Happened(kind), [workspace_id], lambda _: None)


def lists() -> Iterator[tuple[Listing, After | None]]:
    workspace_id = UUID(int=1)
    queries = (None, "anna", "anna 030 123-45", "018f2a3b-0000")
    for field, direction, deleted, q, status in product(
        get_args(SortField), ("", "-"), (False, True), queries, (None, "all", "active")
    ):
        if field == "deleted_at" and not deleted:
            continue
        wanted = parse_filter(q=q, email_status=status, phone_status=status, deleted=deleted, region=None)
        sort = parse_sort(direction + field, deleted=deleted)
        ends = Total(20_000, exact=False)
        key = None if sort.optional else EPOCH
        for listing in (Listing(workspace_id, wanted, sort), PastListing(workspace_id, wanted, sort, position=7)):
            yield listing, None
            yield listing, After(UUID(int=2), key, None, ends)
            if sort.optional:
                yield listing, After(UUID(int=2), None, "1.5", ends)


def test_every_statement_is_used() -> None:
    unused = [place(path, name) for path, name, _ in STATEMENTS if not is_used(path.parent, name)]
    assert not unused


def is_used(package: Path, name: str) -> bool:
    return any(re.fullmatch(pattern, name) for pattern in texts_of(package))


@cache
def texts_of(package: Path) -> frozenset[str]:
    """Every text in the code of a package, as a pattern: `f"find_by_{by}"` is `find_by_.+`."""
    patterns = set()
    for module in package.rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                patterns.add(re.escape(node.value))
            elif isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else None for part in node.values]
                if isinstance(parts[0], str) and parts[0].isidentifier():
                    patterns.add("".join(".+" if part is None else re.escape(str(part)) for part in parts))
    return frozenset(patterns)
