"""`rollbook seed`: through the real log, once, and going on where it was cut short."""

from __future__ import annotations

import base64
import io
from collections import Counter
from uuid import UUID

import psycopg
import pytest
from rich.console import Console

from contacts.catalog import CODEC
from contacts.workspace.bootstrap import bootstrap
from contacts.workspace.directory import Workspaces
from contacts.workspace.handler import WorkspaceHandler
from eventstore.cipher import Keyring
from eventstore.store import EventStore
from rollbook import seed as seeding
from rollbook.seed import Plan, seed_contacts

SECRET = bytes(32)
#: In the midst of the first block, and of the second.
CUT_AT = (3, 40)
KEY = base64.b64encode(SECRET).decode()


async def new_workspace(database: str) -> UUID:
    store = await EventStore.open(database, codec=CODEC, keyring=Keyring.from_secret(SECRET), pool_size=2)
    try:
        return (await bootstrap(store, WorkspaceHandler(store, Workspaces(store)))).workspace_id
    finally:
        await store.close()


def counts(database: str, category: str = "contact") -> Counter[str]:
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            "SELECT type, count(*) FROM log.events WHERE category = %s GROUP BY type", (category,)
        )
        return Counter({row[0]: row[1] for row in rows})


def said() -> tuple[Console, io.StringIO]:
    output = io.StringIO()
    return Console(file=output, width=200), output


async def test_contacts_come_with_their_history_and_only_once(database: str) -> None:
    plan = Plan(await new_workspace(database), contacts=600, days=90, seed=7)
    console, output = said()
    await seed_contacts(database, KEY, plan, console)
    seeded = counts(database)
    assert seeded["contact.created"] == 600
    assert min(seeded[kind] for kind in ("contact.details_changed", "contact.tagged", "contact.deleted")) > 20
    assert "600 contacts with" in output.getvalue()
    await seed_contacts(database, KEY, plan, console)
    assert counts(database) == seeded
    assert "there already" in output.getvalue()
    await seed_contacts(database, KEY, plan._replace(seed=8), console)
    assert counts(database)["contact.created"] == 1200


async def test_cut_short_it_goes_on_with_the_same_people_and_what_they_did(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seeding, "BLOCK_CONTACTS", 200)
    plan = Plan(await new_workspace(database), contacts=600, days=90, seed=7, activities=4_000)
    append_bulk = EventStore.append_bulk
    calls = 0

    async def failing(self: EventStore, writes: object) -> object:
        nonlocal calls
        calls += 1
        if calls in CUT_AT:
            raise ConnectionError("cut")
        return await append_bulk(self, writes)  # type: ignore[arg-type]

    monkeypatch.setattr(EventStore, "append_bulk", failing)
    for _ in CUT_AT:
        with pytest.raises(ConnectionError):
            await seed_contacts(database, KEY, plan, said()[0])
    assert 200 < counts(database)["contact.created"] < 600
    await seed_contacts(database, KEY, plan, said()[0])
    assert counts(database)["contact.created"] == 600
    assert counts(database, "activity") == {"activity.recorded": 4_000}
    with psycopg.connect(database) as connection:
        streams = connection.execute(
            "SELECT category, count(DISTINCT stream_id) FROM log.events WHERE category IN ('contact', 'list', 'merge')"
            " GROUP BY category ORDER BY category"
        ).fetchall()
        twice = connection.execute("SELECT count(*) FROM log.events GROUP BY stream_id, category, version").fetchall()
    assert streams[:2] == [("contact", 600), ("list", 6)]
    assert {count for (count,) in twice} == {1}


async def test_a_workspace_that_does_not_exist_is_refused(database: str) -> None:
    with pytest.raises(SystemExit):
        await seed_contacts(database, KEY, Plan(UUID(int=7), contacts=10, days=90, seed=7), said()[0])
