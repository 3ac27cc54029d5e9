"""Deleted contacts are erased once their workspace keeps them no longer, and nobody else is. Time is a parameter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from contacts.catalog import PROJECTIONS
from contacts.contact import commands as c
from contacts.erasure import retention
from contacts.erasure.retention import Retention, Swept, turn
from contacts.workspace.bootstrap import bootstrap
from contacts.workspace.commands import ChangeSettings
from contacts.workspace.directory import Workspaces
from contacts.workspace.events import WorkspaceSettingsChanged
from contacts.workspace.handler import WorkspaceHandler
from eventstore import builds
from eventstore.connection import connector
from eventstore.projector import Projector
from eventstore.runner import Pace
from eventstore.store import EventStore
from tests.integration.erasure.conftest import METADATA, Desk
from tests.support.waiting import until

DAYS = 30
NOW = datetime.now(UTC)
#: When the retention of all that the tests delete is over, and the day before.
LATER = NOW + timedelta(days=DAYS, hours=1)
EARLIER = NOW + timedelta(days=DAYS, hours=-1)


class Watch:
    def __init__(self) -> None:
        self.erased_of: list[UUID] = []
        self.failures: list[Exception] = []

    def erased(self, workspace_id: UUID) -> None:
        self.erased_of.append(workspace_id)

    def failed(self, workspace_id: UUID, error: Exception) -> None:
        self.failures.append(error)


class World:
    """A workspace with its read model, and the process that erases."""

    def __init__(self, desk: Desk, connection: asyncpg.Connection, database: str) -> None:
        self.desk = desk
        self.connection = connection
        self.database = database
        self.watch = Watch()
        self.retention = Retention(desk.store, self.watch)

    async def deleted(self, **fields: Any) -> UUID:
        contact = await self.desk.create(**fields)
        await self.desk.of(c.DeleteContact, contact, reason="gone")
        return contact

    async def settle(self) -> None:
        """Waits until the read model shows everything."""
        head = await self.desk.store.head(0)
        await until(lambda: self._shows(head))

    async def _shows(self, head: int) -> bool:
        query = "SELECT bool_and(position >= $1) FROM projector.checkpoints WHERE name = 'contact'"
        return bool(await self.connection.fetchval(query, head))

    async def sweep(self, now: datetime) -> Swept:
        await self.settle()
        swept = await self.retention.sweep(self.connection, now)
        await self.settle()
        return swept

    async def is_erased(self, contact: UUID) -> bool:
        return (await self.desk.contacts.load(self.desk.workspace.id, contact)).erased

    async def keep_for(self, days: int | None) -> None:
        workspaces = Workspaces(self.desk.store)
        command = ChangeSettings(
            workspace_id=self.desk.workspace.id, wanted=WorkspaceSettingsChanged(deleted_retention_days=days)
        )
        await WorkspaceHandler(self.desk.store, workspaces).execute(command, metadata=METADATA)
        self.retention = Retention(self.desk.store, self.watch)


@asynccontextmanager
async def projecting(store: EventStore, database: str) -> AsyncIterator[None]:
    task = asyncio.create_task(Projector(store, database, PROJECTIONS, pace=Pace(poll_s=0.02)).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def world(module_database: str, store: EventStore, desk: Desk) -> AsyncIterator[World]:
    connection = await connector(module_database, role="rollbook_projector", application_name="test")()
    await builds.ensure_builds(connection, PROJECTIONS)
    handler = WorkspaceHandler(store, Workspaces(store))
    await bootstrap(store, handler, workspace_id=desk.workspace.id)
    world = World(desk, connection, module_database)
    await world.keep_for(DAYS)
    async with projecting(store, module_database):
        yield world
    # The database is shared by the tests of this module, and a round is for all workspaces.
    await world.keep_for(None)
    await connection.close()


async def test_only_who_was_deleted_long_enough_ago_is_erased(world: World) -> None:
    gone, present = await world.deleted(email="gone@example.com"), await world.desk.create()
    assert await world.sweep(EARLIER) == Swept(0, 0, 0)
    assert not await world.is_erased(gone)
    assert [due.contacts for due in await world.retention.due(world.connection, LATER)] == [1]
    assert await world.sweep(LATER) == Swept(1, 0, 0)
    assert (await world.is_erased(gone), await world.is_erased(present)) == (True, False)
    assert world.watch.erased_of == [world.desk.workspace.id]
    assert await world.retention.due(world.connection, LATER) == []
    assert await world.sweep(LATER) == Swept(0, 0, 0)


async def test_the_certificate_is_that_of_a_manual_erasure_but_for_reason_and_actor(world: World) -> None:
    gone = await world.deleted(email="gone@example.com")
    await world.sweep(LATER)
    contact = await world.desk.contacts.load(world.desk.workspace.id, gone)
    assert contact.erased_by is not None
    certificate = await world.desk.erasures.get(world.desk.workspace.id, contact.erased_by)
    assert (certificate.reason, certificate.actor) == ("retention", "system:retention")
    assert (certificate.contacts, [stream.events for stream in certificate.streams]) == ((gone,), [2])
    assert await world.desk.readable(gone) == ["contact.erased"]


async def test_a_workspace_that_sets_no_retention_keeps_everybody(world: World) -> None:
    await world.keep_for(None)
    gone = await world.deleted()
    assert await world.sweep(LATER + timedelta(days=10_000)) == Swept(0, 0, 0)
    assert not await world.is_erased(gone)


async def test_who_was_restored_since_the_read_model_looked_is_not_erased(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted bug: erasing what the read model shows, without looking at the contact itself, erases all three."""
    restored, anew, merged = [await world.deleted() for _ in range(3)]
    await world.settle()
    real = Retention._erase

    async def first_restored(self: Retention, workspace_id: UUID, contact_id: UUID, before: datetime) -> str:
        desk = world.desk.beside()
        await desk.of(c.RestoreContact, contact_id)
        if contact_id == anew:
            # Deleted again: its time begins anew. The moment up to which it must have been deleted is before that.
            await desk.of(c.DeleteContact, contact_id, reason="again")
            before = NOW
        if contact_id == merged:
            await desk.merge(await desk.create(), contact_id)
        return await real(self, workspace_id, contact_id, before)

    monkeypatch.setattr(Retention, "_erase", first_restored)
    assert await world.sweep(LATER) == Swept(0, 3, 0)
    assert [await world.is_erased(contact) for contact in (restored, anew, merged)] == [False, False, False]


async def test_a_merged_profile_goes_as_a_whole(world: World) -> None:
    root, part = await world.desk.create(), await world.desk.create()
    await world.desk.merge(root, part)
    await world.desk.of(c.DeleteContact, part, reason="gone")
    assert await world.sweep(LATER) == Swept(1, 0, 0)
    assert (await world.is_erased(root), await world.is_erased(part)) == (True, True)


async def test_many_are_erased_page_by_page_and_a_broken_round_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "PAGE", 2)
    gone = [await world.deleted() for _ in range(7)]
    real, begun = Retention._erase, 0

    async def breaking(self: Retention, workspace_id: UUID, contact_id: UUID, before: datetime) -> str:
        nonlocal begun
        begun += 1
        if begun == 4:
            raise ConnectionError
        return await real(self, workspace_id, contact_id, before)

    monkeypatch.setattr(Retention, "_erase", breaking)
    with pytest.raises(ConnectionError):
        await world.sweep(LATER)
    assert await world.sweep(LATER) == Swept(4, 0, 0)
    assert all([await world.is_erased(contact) for contact in gone])


async def test_one_that_cannot_be_erased_does_not_keep_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sick, gone = await world.deleted(), await world.deleted()
    real = world.retention._handler.execute

    async def failing(command: Any, **options: Any) -> Any:
        if command.contact_id == sick:
            raise ValueError("unreadable")
        return await real(command, **options)

    monkeypatch.setattr(world.retention._handler, "execute", failing)
    assert await world.sweep(LATER) == Swept(1, 0, 1)
    assert (await world.is_erased(gone), len(world.watch.failures)) == (True, 1)


async def test_two_at_once_erase_everybody_once(world: World) -> None:
    """The turn only saves work: without it nothing goes wrong either."""
    for _ in range(5):
        await world.deleted()
    await world.settle()
    others = [Retention(world.desk.beside().store, world.watch) for _ in range(2)]
    connections = [
        await connector(world.database, role="rollbook_projector", application_name="test")() for _ in others
    ]
    swept = await asyncio.gather(
        *(other.sweep(connection, LATER) for other, connection in zip(others, connections, strict=True))
    )
    assert sum(each.erased for each in swept) == 5
    async with turn(connections[0]) as first, turn(connections[1]) as second:
        assert (first, second) == (True, False)
    async with turn(connections[1]) as again:
        assert again
    await connections[1].close()
    await connections[0].close()


async def test_a_process_that_hangs_loses_its_turn(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "TURN", "100ms")
    frozen = await connector(world.database, role="rollbook_projector", application_name="test")()
    async with turn(frozen) as ours:
        assert ours
        await until(lambda: _gets_a_turn(world.connection))


async def _gets_a_turn(connection: asyncpg.Connection) -> bool:
    async with turn(connection) as ours:
        return ours
