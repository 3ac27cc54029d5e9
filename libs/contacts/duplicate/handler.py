"""Commands about duplicates on the log: dismissing, and what is asked to remove them. Removing is in `removal`."""

from __future__ import annotations

from typing import Final
from uuid import UUID

import msgspec

from contacts import errors
from contacts.duplicate.commands import DismissDuplicate
from contacts.duplicate.events import CATEGORY, DuplicateDismissed
from contacts.duplicate.keys import LIKELY, DismissalIds, parse_pair_key
from contacts.duplicate.queries import DuplicateQueries
from contacts.execution import EPOCH
from eventstore.envelope import NO_STREAM, Appended, Metadata, Stream, StreamWrite, Write
from eventstore.errors import DuplicateAppend, WrongExpectedVersion
from eventstore.store import EventStore

_NOBODY: Final[tuple[UUID, ...]] = ()


class DuplicateHandler:
    """One per process; safe to use concurrently."""

    def __init__(self, store: EventStore, queries: DuplicateQueries, ids: DismissalIds) -> None:
        self._store = store
        self._queries = queries
        self._ids = ids

    async def dismiss(
        self, command: DismissDuplicate, *, metadata: Metadata, idempotency_key: str | None = None,
        request_hash: bytes = b"",
    ) -> Appended:  # fmt: skip
        """Durable when it returns; dismissed is dismissed, whoever gets the address later.

        Raises:
            DuplicateNotFound: the read model knows no such group or pair, and the request was not done before.
            IdempotencyKeyReused.
            StoreUnavailable, Overloaded: repeat with the same key.
        """
        workspace_id = command.workspace_id
        if idempotency_key is not None:
            before = await self._store.find_idempotent(workspace_id, idempotency_key)
            if before is not None:
                return _the_same(before[0], before[1] == request_hash)
        found, _ = await self._queries.get(workspace_id, command.by, command.key, limit=1)
        write = Write(
            workspace_id=workspace_id,
            streams=() if found.dismissed else (self._dismissal(command),),
            metadata=metadata,
            idempotency_key=idempotency_key,
            request_hash=request_hash,
        )
        try:
            return await self._append(write)
        except DuplicateAppend as duplicate:
            return _the_same(duplicate.original, duplicate.same_request)
        except WrongExpectedVersion:
            # Somebody else dismissed it, and the read model has not come to it.
            return await self._append(msgspec.structs.replace(write, streams=()))

    async def _append(self, write: Write) -> Appended:
        if write.streams or write.idempotency_key is not None:
            return await self._store.append(write)
        lane = self._store.lane_of(write.workspace_id)
        head = await self._store.head(lane)
        return Appended(lane=lane, last_position=head, event_count=0, recorded_at=EPOCH)

    def _dismissal(self, command: DismissDuplicate) -> StreamWrite:
        stream_id = self._ids.of(command.workspace_id, command.by, command.key)
        contacts = (parse_pair_key(command.key) if command.by == LIKELY else None) or _NOBODY
        return StreamWrite(
            stream=Stream(command.workspace_id, CATEGORY, stream_id),
            expected_version=NO_STREAM,
            events=(DuplicateDismissed(by=command.by, contacts=contacts),),
        )


def _the_same(original: Appended, same_request: bool) -> Appended:
    if not same_request:
        raise errors.IdempotencyKeyReused
    return original
