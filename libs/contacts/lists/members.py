"""Many contacts on and off a list at once: each is a command of its own, and its refusal stops no other."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable
from typing import Final
from uuid import UUID

import msgspec

from contacts import errors
from contacts.contact.commands import AddContactToLists, RemoveContactFromLists
from contacts.contact.handler import ContactHandler, Outcome
from contacts.lists.handler import ListHandler
from eventstore.envelope import Metadata

#: Commands under way at a time: enough to share commits, few enough to leave room for others.
AT_ONCE: Final = 64


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the contacts named, each counted once."""

    changed: int
    unchanged: int
    #: By contact, in the order in which they were named.
    refused: dict[UUID, errors.Refusal]
    #: Whoever waits for it sees all that was changed; 0 where nothing was.
    position: int

    @property
    def total(self) -> int:
        return self.changed + self.unchanged + len(self.refused)


class ListMembers:
    """One per process; safe to use concurrently."""

    def __init__(self, lists: ListHandler, contacts: ContactHandler) -> None:
        self._lists = lists
        self._contacts = contacts

    async def add(
        self, workspace_id: UUID, list_id: UUID, contact_ids: Iterable[UUID], *, metadata: Metadata,
        idempotency_key: str | None = None, request_hash: bytes = b"",
    ) -> Report:  # fmt: skip
        """Durable when it returns. A repeat with the same key and hash adds nobody anew and answers the same counts.

        Raises:
            ListNotFound, ListIsArchived, IdempotencyKeyReused.
            StoreUnavailable, Overloaded: some may be added; repeat with the same key.
        """
        await self._lists.require_open(workspace_id, [list_id])
        commands = [
            AddContactToLists(workspace_id=workspace_id, contact_id=each, lists=(list_id,))
            for each in dict.fromkeys(contact_ids)
        ]
        return await self._run(commands, metadata, idempotency_key, request_hash)

    async def remove(
        self, workspace_id: UUID, list_id: UUID, contact_ids: Iterable[UUID], *, metadata: Metadata,
        idempotency_key: str | None = None, request_hash: bytes = b"",
    ) -> Report:  # fmt: skip
        """The same the other way round; from an archived list as well. Raises ListNotFound, and as `add`."""
        await self._lists.get(workspace_id, list_id)
        commands = [
            RemoveContactFromLists(workspace_id=workspace_id, contact_id=each, lists=(list_id,))
            for each in dict.fromkeys(contact_ids)
        ]
        return await self._run(commands, metadata, idempotency_key, request_hash)

    async def _run(
        self, commands: list[AddContactToLists] | list[RemoveContactFromLists], metadata: Metadata, key: str | None,
        digest: bytes,
    ) -> Report:  # fmt: skip
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(command: AddContactToLists | RemoveContactFromLists) -> Outcome | errors.Refusal:
            async with gate:
                own_key = None if key is None else _own_key(key, command.contact_id)
                try:
                    return await self._contacts.execute(
                        command, metadata=metadata, idempotency_key=own_key, request_hash=digest
                    )
                except errors.IdempotencyKeyReused:
                    raise
                except errors.Refusal as refusal:
                    return refusal

        # All have come to their end before an error is told, so that none goes on behind the caller's back.
        ended = await asyncio.gather(*map(one, commands), return_exceptions=True)
        outcomes: list[Outcome] = []
        refused: dict[UUID, errors.Refusal] = {}
        for command, outcome in zip(commands, ended, strict=True):
            if isinstance(outcome, Outcome):
                outcomes.append(outcome)
            elif isinstance(outcome, errors.Refusal) and not isinstance(outcome, errors.IdempotencyKeyReused):
                refused[command.contact_id] = outcome
            else:
                raise outcome
        changed = [outcome for outcome in outcomes if outcome.appended.event_count]
        return Report(
            changed=len(changed),
            unchanged=len(outcomes) - len(changed),
            refused=refused,
            position=max((outcome.appended.last_position for outcome in outcomes), default=0),
        )


def _own_key(key: str, contact_id: UUID) -> str:
    """Of one contact of the request; keys have a limit of length, which the caller's may use up."""
    return f"members:{hashlib.sha256(key.encode() + contact_id.bytes).hexdigest()}"
