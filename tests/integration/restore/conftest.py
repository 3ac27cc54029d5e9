"""The desk of the erasure tests, which can restore as well."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from uuid_utils.compat import uuid7

from contacts.contact import commands as c
from contacts.contact.state import Contact
from contacts.merge.commands import UnmergeContacts
from contacts.restore.commands import BringBack
from contacts.restore.handler import Restored, RestoreHandler
from eventstore.store import EventStore
from tests.integration.erasure.conftest import METADATA, store
from tests.integration.erasure.conftest import Desk as PlainDesk

__all__ = ["store"]


class Desk(PlainDesk):
    """One process."""

    def __init__(self, store: EventStore, workspace_id: UUID) -> None:
        super().__init__(store, workspace_id)
        self.restores = RestoreHandler(store, self.contacts, self.merges)

    def beside(self) -> Desk:
        """Another process."""
        return Desk(self.store, self.workspace.id)

    async def delete(self, contact_id: UUID) -> None:
        await self.of(c.DeleteContact, contact_id, reason="gone")

    async def restore(self, contact_id: UUID, on_conflict: str = "offer", key: str | None = None) -> Restored:
        command = BringBack(
            workspace_id=self.workspace.id, contact_id=contact_id, on_conflict=on_conflict, merge_id=uuid7()
        )  # type: ignore[arg-type]
        return await self.restores.execute(command, metadata=METADATA, idempotency_key=key)

    async def unmerge(self, merge_id: UUID | None, **options: Any) -> None:
        assert merge_id is not None
        command = UnmergeContacts(workspace_id=self.workspace.id, merge_id=merge_id, **options)
        await self.merges.execute(command, metadata=METADATA)

    async def shown(self, contact_id: UUID) -> Contact:
        return await self.contacts.load(self.workspace.id, contact_id)

    async def holder(self, kind: str, value: str) -> UUID | None:
        return await self.store.find_claim(self.workspace.id, kind, value)

    async def deleted_and_succeeded(self, **fields: Any) -> tuple[UUID, UUID]:
        """A deleted contact, and the one that has its external id `c-1` now."""
        lost = await self.create(external_id="c-1", email="ann@example.com", first_name="Ann", **fields)
        await self.tag(lost, "vip")
        await self.delete(lost)
        return lost, await self.create(external_id="c-1", first_name="Anna", tags=["new"])


@pytest.fixture
def desk(store: EventStore) -> Desk:
    """Of a workspace of this test's own in the database that the module shares."""
    return Desk(store, uuid4())
