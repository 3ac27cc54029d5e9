"""The blacklist on the log, address by address. What is asked of a contact's addresses is in `consent/handler.py`."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec

from contacts import errors
from contacts.addresses import Address
from contacts.execution import Request, recalled
from contacts.facts import Facts, stream_of
from contacts.proof import PROOF_OF, ProofRecorded
from contacts.suppression.commands import BlacklistAddress, UnblacklistAddress
from contacts.suppression.entry import Entry, entry_of
from contacts.suppression.events import CATEGORY
from contacts.suppression.state import Suppressed, fold, initial
from eventstore.envelope import Appended, Metadata, RecordedEvent, Stream
from eventstore.errors import DuplicateAppend
from eventstore.store import POSITION_MAX, EventStore


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a command led to. A replay of the same request answers an equal one, but for `replayed`."""

    #: None where the address is no longer listed.
    entry: Entry | None
    appended: Appended
    #: The entry was not there before.
    created: bool
    replayed: bool = False


class SuppressionHandler:
    """One per process; safe to use concurrently."""

    def __init__(self, store: EventStore, facts: Facts) -> None:
        self._store = store
        self._facts = facts

    async def blacklist(
        self, command: BlacklistAddress, *, metadata: Metadata, idempotency_key: str | None = None,
        request_hash: bytes = b"", expected_version: int | None = None,
    ) -> Outcome:  # fmt: skip
        """Durable when it returns; an address that is listed already stays as it is. Entries have no version to expect.

        Raises:
            IdempotencyKeyReused, TooContended.
            StoreUnavailable, Overloaded: repeat with the same key.
        """
        request = Request(metadata=metadata, idempotency_key=idempotency_key, digest=request_hash)
        return await self._record(command, request)

    async def lift(
        self, workspace_id: UUID, suppression_id: UUID, reason: str, *, source: str = "api", metadata: Metadata,
        idempotency_key: str | None = None, request_hash: bytes = b"",
        expected_version: int | None = None,
    ) -> Outcome:  # fmt: skip
        """Takes an entry of this workspace off the list. Raises SuppressionNotFound where it never had one."""
        request = Request(metadata=metadata, idempotency_key=idempotency_key, digest=request_hash)
        state: Suppressed = await self._facts.load(CATEGORY, workspace_id, suppression_id)
        if not state.address:
            raise errors.SuppressionNotFound(suppression_id)
        address = Address(state.family, state.address, state.address, await self._text(workspace_id, suppression_id))
        command = UnblacklistAddress(workspace_id=workspace_id, address=address, source=source, reason=reason)
        return await self._record(command, request)

    async def _record(self, command: BlacklistAddress | UnblacklistAddress, request: Request) -> Outcome:
        workspace_id = command.workspace_id
        stream = stream_of(command)
        try:
            recorded = await self._facts.record(workspace_id, [command], request, (stream.id, 0))
        except DuplicateAppend:
            return await self._replay(workspace_id, request)
        entry = await self._entry(workspace_id, stream.id, recorded.appended.last_position)
        return Outcome(entry=entry, appended=recorded.appended, created=recorded.appended.event_count > 0)

    async def _replay(self, workspace_id: UUID, request: Request) -> Outcome:
        assert request.idempotency_key is not None
        found = await self._store.find_idempotent(workspace_id, request.idempotency_key)
        assert found is not None, "the log has just said that the key was used"
        appended, kept = found
        id_, _ = recalled(kept, request)
        entry = await self._entry(workspace_id, id_, appended.last_position)
        return Outcome(entry=entry, appended=appended, created=appended.event_count > 0, replayed=True)

    async def _entry(self, workspace_id: UUID, id_: UUID, position: int) -> Entry | None:
        state = initial(id_)
        for event in await self._read(workspace_id, CATEGORY, id_, position):
            state = fold(state, event)
        return entry_of(state, await self._read(workspace_id, PROOF_OF[CATEGORY], id_, position))

    async def _text(self, workspace_id: UUID, id_: UUID) -> str:
        proofs = await self._read(workspace_id, PROOF_OF[CATEGORY], id_)
        readable = [proof.event.address for proof in proofs if isinstance(proof.event, ProofRecorded)]
        return readable[-1] if readable else ""

    async def _read(
        self, workspace_id: UUID, category: str, id_: UUID, position: int = POSITION_MAX
    ) -> list[RecordedEvent[Any]]:
        return await self._store.read_stream(Stream(workspace_id, category, id_), to_position=position)
