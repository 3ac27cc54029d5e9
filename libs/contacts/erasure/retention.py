"""Erases deleted contacts once the retention of their workspace is over. How often it looks is not its business.

Nothing is remembered between two rounds: who is due is read from the contact read model, and whether they really are is
decided on the contact itself in the append that erases it. So a round can be broken off and repeated anywhere, and two
at once do no harm; that there is one at a time only saves work.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Protocol
from uuid import UUID

import msgspec
from uuid_utils.compat import uuid7

from contacts.addresses import AddressKeys
from contacts.contact.handler import ContactHandler
from contacts.erasure.commands import EraseContact
from contacts.erasure.handler import ErasureHandler
from contacts.erasure.refusals import NotDeletedLongEnough
from contacts.errors import WorkspaceNotFound
from contacts.facts import Facts
from contacts.workspace.directory import Workspaces
from eventstore.connection import CONNECTION_ERRORS
from eventstore.envelope import Metadata
from eventstore.errors import Overloaded, StoreUnavailable
from eventstore.sql import load

if TYPE_CHECKING:
    from eventstore.connection import Connection
    from eventstore.store import EventStore

SQL: Final = load("contacts.erasure", "retention.sql")
ACTOR: Final = "system:retention"
#: Contacts looked up at once. Between two pages the workspace's setting is looked at again.
PAGE: Final = 50
#: How long a page may take; PostgreSQL then ends the session, and with it the turn.
TURN: Final = "10min"
#: States that are only read to be destroyed need no room.
CACHE_SIZE: Final = 1_000
_FIRST: Final = (datetime.min.replace(tzinfo=UTC), UUID(int=0))


class Due(msgspec.Struct, frozen=True):
    """What is due in one workspace."""

    workspace_id: UUID
    contacts: int
    #: Deletion of the contact that was deleted longest ago.
    oldest: datetime
    retention: timedelta


class Swept(msgspec.Struct, frozen=True):
    """What one round did."""

    erased: int
    #: Restored, merged or erased by somebody else since the read model last heard of them.
    passed_over: int
    failed: int


class Watcher(Protocol):
    """Is told of each contact, and never which one it is."""

    def erased(self, workspace_id: UUID) -> None: ...
    def failed(self, workspace_id: UUID, error: Exception) -> None: ...


class Retention:
    """Finds with connections of `rollbook_projector`, erases through a store of its own that may append."""

    def __init__(self, store: EventStore, watcher: Watcher) -> None:
        components = ContactHandler(store, cache_size=CACHE_SIZE).components
        facts = Facts(store, cache_size=CACHE_SIZE)
        self._handler = ErasureHandler(store, components, facts, AddressKeys(store.keyring.hmac))
        self.workspaces = Workspaces(store)
        self._watcher = watcher

    async def due(self, connection: Connection, now: datetime) -> list[Due]:
        """Per workspace with anything due at `now`. Changes nothing."""
        found: list[Due] = []
        for row in await connection.fetch(SQL["workspaces"]):
            workspace_id = row["workspace_id"]
            retention = await self._retention(workspace_id)
            if retention is not None:
                counted = await connection.fetchrow(SQL["count_due"], workspace_id, now - retention)
                if counted is not None and counted["contacts"]:
                    found.append(Due(workspace_id, counted["contacts"], counted["oldest"], retention))
        return found

    async def sweep(self, connection: Connection, now: datetime) -> Swept:
        """Erases whatever is due at `now`, one after the other. One that cannot be erased does not keep the others.

        Raises StoreUnavailable, Overloaded, and whatever a lost connection raises: the next round goes on.
        """
        done: Counter[str] = Counter()
        for row in await connection.fetch(SQL["workspaces"]):
            async for contact_id, before in self._due(connection, row["workspace_id"], now):
                done[await self._erase(row["workspace_id"], contact_id, before)] += 1
        return Swept(done["erased"], done["passed_over"], done["failed"])

    async def _due(
        self, connection: Connection, workspace_id: UUID, now: datetime
    ) -> AsyncIterator[tuple[UUID, datetime]]:
        """Each contact once, with the moment up to which it must have been deleted."""
        after = _FIRST
        while (retention := await self._retention(workspace_id)) is not None:
            rows = await connection.fetch(SQL["due"], workspace_id, now - retention, *after, PAGE)
            for row in rows:
                yield row["contact_id"], now - retention
            if len(rows) < PAGE:
                return
            after = rows[-1]["deleted_at"], rows[-1]["contact_id"]

    async def _retention(self, workspace_id: UUID) -> timedelta | None:
        """None where the workspace keeps what is deleted."""
        try:
            days = (await self.workspaces.get(workspace_id)).settings.deleted_retention_days
        except WorkspaceNotFound:
            return None
        return None if days is None else timedelta(days=days)

    async def _erase(self, workspace_id: UUID, contact_id: UUID, deleted_before: datetime) -> str:
        """The field of `Swept` that it counts for."""
        command = EraseContact(
            workspace_id=workspace_id,
            contact_id=contact_id,
            erasure_id=uuid7(),
            reason="retention",
            deleted_before=deleted_before,
        )
        try:
            outcome = await self._handler.execute(command, metadata=Metadata(actor=ACTOR, source="retention"))
        except NotDeletedLongEnough:
            return "passed_over"
        except (StoreUnavailable, Overloaded, *CONNECTION_ERRORS):
            raise
        except Exception as error:  # noqa: BLE001  # whatever is wrong with one must not keep the data of the others
            self._watcher.failed(workspace_id, error)
            return "failed"
        if not outcome.appended.event_count:
            return "passed_over"
        self._watcher.erased(workspace_id)
        return "erased"


@asynccontextmanager
async def turn(connection: Connection) -> AsyncIterator[bool]:
    """Whether it is this process's turn: one at a time has it, until the block ends, or the connection, or `TURN`
    passes without a look at the read model."""
    ours: bool = await connection.fetchval(SQL["take_turn"], TURN)
    try:
        yield ours
    finally:
        # With the connection the turn has ended as well.
        if ours and not connection.is_closed():
            with suppress(*CONNECTION_ERRORS):
                await connection.fetchval(SQL["give_turn_back"])
