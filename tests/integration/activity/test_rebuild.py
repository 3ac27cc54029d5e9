"""The activity read models through the whole life of a build: kept, rebuilt, swapped, split, rolled back."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

import asyncpg
import pytest

from contacts.activity.identity import IdentityProjection
from contacts.activity.input import ChannelReferenceInput
from contacts.activity.projection import ActivityProjection
from contacts.contact.input import ChannelInput
from eventstore import builds
from eventstore.projection import Projection
from eventstore.rebuild import Rebuild
from tests.integration.activity.conftest import NOW, WAIT_S, Desk, clicked

TABLES: Final = {"activity": ("activity", "activity_month"), "identity": ("identity",)}


async def content(connection: asyncpg.Connection, projection: Projection, schema: str) -> dict[str, list[Any]]:
    return {
        table: [tuple(row["t"]) for row in await connection.fetch(f"SELECT t FROM {schema}.{table} t ORDER BY t::text")]
        for table in TABLES[projection.name]
    }


async def story(desk: Desk) -> list[UUID]:
    """Contacts with months of activity, merged and blocked ones among them."""
    contacts = [
        await desk.create(external_id=f"c-{n}", channels=[ChannelInput(kind="telegram", token=f"t-{n}")])
        for n in range(5)
    ]
    for n, contact_id in enumerate(contacts):
        for month in range(4):
            sent = clicked(f"a-{n}-{month}", -month * 60 * 24 * 31, id=contact_id)
            assert (await desk.send(sent)).counts == {"recorded": 1}
    await desk.merge(contacts[0], contacts[1])
    await desk.tell("merged", 5, external_id="c-1")
    return contacts


@pytest.mark.parametrize("projection", [ActivityProjection(), IdentityProjection()], ids=lambda each: each.name)
async def test_a_rebuild_equals_what_was_kept_takes_its_place_and_can_be_rolled_back(
    desk: Desk, module_database: str, projection: Projection
) -> None:
    contacts = await story(desk)
    name, live = projection.name, f"rm_{projection.name}"
    before = await desk.ids(contacts[1])
    assert before[0] == "merged"
    admin = await asyncpg.connect(module_database)
    try:
        await desk.progress.wait(name, 0, await desk.store.head(0), WAIT_S)
        rebuilt = await Rebuild(desk.store, module_database, projection).run()
        await desk.progress.wait(name, 0, await desk.store.head(0), WAIT_S)
        retired = f"{live}_b{rebuilt.build.build - 1}"
        assert await content(admin, projection, live) == await content(admin, projection, retired)
        assert len((await content(admin, projection, live))[name]) >= 5

        # It is kept on, read by the API's role, and knows months that the retired one does not.
        await desk.send(clicked("new", -60 * 24 * 31 * 7, external_id="c-1"))
        telegram = ChannelReferenceInput(kind="telegram", token="t-1")
        assert (await desk.tell("found", 6, channel=telegram)).contact_id == contacts[0]
        assert await desk.ids(contacts[0]) == ["found", *before, "new"]

        back = await Rebuild(desk.store, module_database, projection).rollback()
        await desk.progress.wait(name, 0, await desk.store.head(0), WAIT_S)
        assert back.build.build == rebuilt.build.build - 1
        assert await desk.ids(contacts[0]) == ["found", *before, "new"]
    finally:
        await admin.close()


async def test_slices_of_contacts_can_be_kept_by_several_projectors(desk: Desk, module_database: str) -> None:
    projector = await asyncpg.connect(module_database, server_settings={"role": "rollbook_projector"})
    try:
        await desk.progress.wait("activity", 0, await desk.store.head(0), WAIT_S)
        live = await builds.find(projector, "activity", "live")
        assert live is not None
        await builds.reslice(projector, "activity", live.build, 4)
        contacts = [await desk.create() for _ in range(30)]
        # All of them need the same new months at once.
        sent = [
            clicked(f"s-{n}-{m}", -60 * 24 * 31 * (20 + m), id=id_) for n, id_ in enumerate(contacts) for m in (0, 1)
        ]
        assert (await desk.send(*sent)).counts == {"recorded": 60}
        for n, id_ in enumerate(contacts):
            assert await desk.ids(id_) == [f"s-{n}-0", f"s-{n}-1"]
        assert await projector.fetchval("SELECT count(*) FROM projector.parked") == 0
    finally:
        await projector.close()


def test_the_moments_of_these_tests_are_in_the_past() -> None:
    assert clicked("x", 60 * 24).time <= NOW
