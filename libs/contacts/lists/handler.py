"""List commands on the log, and lists as the log has them. Rules are in the decider."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from contacts.execution import Executed, Execution, Request
from contacts.lists.commands import CreateList, ListCommand
from contacts.lists.decider import ContactList, decide, evolve, fold, initial
from contacts.lists.events import CATEGORY, ListEvent
from contacts.lists.refusals import ListIsArchived, ListNotFound
from eventstore.aggregate import Aggregates
from eventstore.envelope import Claim, Metadata, RecordedEvent, Stream
from eventstore.store import EventStore

CACHE_SIZE: Final = 10_000


class ListHandler:
    """One per process; safe to use concurrently."""

    def __init__(self, store: EventStore) -> None:
        aggregates = Aggregates(store, category=CATEGORY, initial=initial, evolve=fold, cache_size=CACHE_SIZE)
        self._execution = Execution(store, ListRules(), aggregates)

    async def execute(
        self,
        command: ListCommand,
        *,
        metadata: Metadata,
        idempotency_key: str | None = None,
        request_hash: bytes = b"",
        expected_version: int | None = None,
    ) -> Executed[ContactList]:
        """Durable when it returns. A repeat with the same key and hash answers what the first time did, for ever.

        Raises:
            Refusal: as the command names, VersionMismatch, TooContended, IdempotencyKeyReused.
            StoreUnavailable, Overloaded: repeat with the same key.
        """
        request = Request(
            metadata=metadata, idempotency_key=idempotency_key, digest=request_hash, expected_version=expected_version
        )
        stream = Stream(command.workspace_id, CATEGORY, command.list_id)
        return await self._execution.execute(command, stream, request, new=isinstance(command, CreateList))

    async def get(self, workspace_id: UUID, list_id: UUID) -> ContactList:
        """As it is now. Raises ListNotFound."""
        list_, _ = await self._execution.load(Stream(workspace_id, CATEGORY, list_id), fresh=True)
        if not list_.exists:
            raise ListNotFound(list_id)
        return list_

    async def look_at(
        self, workspace_id: UUID, list_ids: Iterable[UUID], *, fresh: bool
    ) -> dict[UUID, tuple[ContactList, int]]:
        """Each with its version, as it was a moment ago unless `fresh`; none is told to be missing or archived that is
        not so now."""
        found: dict[UUID, tuple[ContactList, int]] = {}
        for list_id in dict.fromkeys(list_ids):
            stream = Stream(workspace_id, CATEGORY, list_id)
            list_, version = await self._execution.load(stream, fresh=fresh)
            if not fresh and (list_.archived or not list_.exists):
                list_, version = await self._execution.load(stream, fresh=True)
            found[list_id] = list_, version
        return found

    async def require_open(self, workspace_id: UUID, list_ids: Iterable[UUID]) -> None:
        """Raises ListNotFound, ListIsArchived for the first that takes no members."""
        for list_id in list_ids:
            if (await self.get(workspace_id, list_id)).archived:
                raise ListIsArchived(list_id)


class ListRules:
    """The decider as `Execution` wants it; a list claims nothing."""

    category: str = CATEGORY

    def initial(self, id_: UUID) -> ContactList:
        return initial(id_)

    def decide(self, command: ListCommand, state: ContactList) -> list[ListEvent]:
        return decide(command, state)

    def fold(self, state: ContactList, recorded: RecordedEvent[Any]) -> ContactList:
        return fold(state, recorded)

    def evolve(self, state: ContactList, event: ListEvent, at: datetime) -> ContactList:
        return evolve(state, event, at)

    def show(self, state: ContactList, _others: Mapping[UUID, ContactList]) -> ContactList:
        return state

    def claims(self, _before: ContactList, _after: ContactList, _others: Mapping[UUID, ContactList]) -> Iterable[Claim]:
        return ()
