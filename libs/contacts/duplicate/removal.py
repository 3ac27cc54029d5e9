"""Removes duplicates: of each group one contact stays, the others are deleted. What a group is, the log decides.

The read model says where to look. Each contact is then read from the log, and what is deleted is appended together with
a check that the one that stays has not moved since, so that no two removals can ever delete a whole group between them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID

import msgspec
from msgspec.structs import replace

from contacts import errors
from contacts.contact.commands import DeleteContact
from contacts.contact.decider import decide
from contacts.contact.handler import ContactRules
from contacts.contact.state import CATEGORY, Contact, evolve
from contacts.duplicate.commands import RemoveDuplicates
from contacts.duplicate.grouping import address_of
from contacts.duplicate.refusals import UnexpectedCount
from contacts.duplicate.traits import traits_of
from contacts.execution import EPOCH, Met
from eventstore.envelope import Appended, Claim, Metadata, Stream, StreamWrite, Write, new_id
from eventstore.errors import ClaimTaken, DuplicateAppend, SubjectErased, WrongExpectedVersion

if TYPE_CHECKING:
    from contacts.duplicate.queries import DuplicateQueries
    from contacts.merge.component import Components
    from eventstore.store import EventStore

#: Contacts that one request deletes at most; what is left over is there for the next.
REMOVED_MAX: Final = 5_000
#: Contacts deleted in one append.
CHUNK: Final = 100
#: Appends under way at the same time: they share commits.
AT_ONCE: Final = 4
#: Groups looked up at a time.
GROUPS: Final = 500
#: How often a part of a group is read anew because somebody else changed it meanwhile.
ATTEMPTS: Final = 5
_RULES: Final = ContactRules()


class Removed(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What a removal came to: `contacts` is the sum of the other three counts of contacts."""

    #: Groups that it was to be about.
    groups: int
    #: Contacts of these beyond one each.
    contacts: int
    deleted: int
    #: No longer what the read model says: they were changed, merged or deleted meanwhile.
    skipped: int
    #: Left for a repeat of the request, because they are more than one request deletes.
    remaining: int
    #: In the metadata of every event it wrote.
    operation_id: UUID


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """A replay of the same request answers an equal one."""

    removed: Removed
    #: Of the last deletion.
    appended: Appended


class Removal:
    """One per process; safe to use concurrently. Shares its contacts with the process's contact handler."""

    def __init__(self, store: EventStore, queries: DuplicateQueries, components: Components) -> None:
        self._store = store
        self._queries = queries
        self._components = components

    async def execute(
        self,
        command: RemoveDuplicates,
        *,
        metadata: Metadata,
        idempotency_key: str | None = None,
        request_hash: bytes = b"",
    ) -> Outcome:
        """All that it answers is durable. After a crash the same request does what is left, and counts that.

        Raises:
            UnexpectedCount: nothing was done.
            IdempotencyKeyReused.
            StoreUnavailable, Overloaded: some may be deleted; repeat with the same key.
        """
        workspace_id = command.workspace_id
        if idempotency_key is not None:
            before = await self._store.find_idempotent(workspace_id, idempotency_key)
            if before is not None:
                return _replayed(*before, request_hash)
        plan = await self._queries.removable(workspace_id, command.by, command.keys)
        if command.expected_count not in (None, plan.contacts):
            raise UnexpectedCount(command.expected_count or 0, plan.contacts)
        operation_id = new_id()
        run = _Run(self._store, self._queries, self._components, command, replace(metadata, operation_id=operation_id))
        await run.go()
        removed = Removed(
            groups=plan.groups,
            contacts=run.deleted + run.skipped + (remaining := max(0, plan.contacts - run.deleted - run.skipped)),
            deleted=run.deleted,
            skipped=run.skipped,
            remaining=remaining,
            operation_id=operation_id,
        )
        appended = run.appended or await self._nothing(workspace_id)
        if idempotency_key is not None:
            kept = request_hash + msgspec.msgpack.encode((removed, appended.lane, appended.last_position))
            write = Write(
                workspace_id=workspace_id,
                streams=(),
                metadata=metadata,
                idempotency_key=idempotency_key,
                request_hash=kept,
            )
            try:
                await self._store.append(write)
            except DuplicateAppend as duplicate:
                # The same request at the same time; together they did it.
                found = await self._store.find_idempotent(workspace_id, idempotency_key)
                assert found is not None, "the log has just said that the key was used"
                return _replayed(duplicate.original, found[1], request_hash)
        return Outcome(removed=removed, appended=appended)

    async def _nothing(self, workspace_id: UUID) -> Appended:
        lane = self._store.lane_of(workspace_id)
        return Appended(lane=lane, last_position=await self._store.head(lane), event_count=0, recorded_at=EPOCH)


def _replayed(appended: Appended, kept: bytes, request_hash: bytes) -> Outcome:
    if not kept.startswith(request_hash) or len(kept) == len(request_hash):
        raise errors.IdempotencyKeyReused
    removed, lane, position = msgspec.msgpack.decode(kept[len(request_hash) :], type=tuple[Removed, int, int])
    return Outcome(removed=removed, appended=replace(appended, lane=lane, last_position=position))


class _Going(NamedTuple):
    """A contact that is to be deleted, and the one of its group that stays."""

    address: str
    stays: UUID
    id: UUID


class _Run:
    """One request."""

    def __init__(
        self,
        store: EventStore,
        queries: DuplicateQueries,
        components: Components,
        command: RemoveDuplicates,
        metadata: Metadata,
    ) -> None:
        self._store = store
        self._queries = queries
        self._components = components
        self._command = command
        self._metadata = metadata
        self.deleted = 0
        self.skipped = 0
        self.appended: Appended | None = None

    async def go(self) -> None:
        workspace_id, by, keys = self._command.workspace_id, self._command.by, self._command.keys
        after: str | None = None
        while (room := REMOVED_MAX - self.deleted - self.skipped) > 0:
            addresses = await self._queries.addresses(workspace_id, by, keys, after=after, limit=GROUPS)
            members = await self._queries.members(workspace_id, by, addresses, first=self._command.keep, limit=room + 1)
            going = [_Going(address, ids[0], id_) for address, ids in members for id_ in ids[1:]][:room]
            for start in range(0, len(going), AT_ONCE * CHUNK):
                await self._delete_all(going[start : start + AT_ONCE * CHUNK])
            if len(addresses) < GROUPS:
                return
            after = addresses[-1]

    async def _delete_all(self, going: Sequence[_Going]) -> None:
        parts = [going[start : start + CHUNK] for start in range(0, len(going), CHUNK)]
        # All have come to their end before an error is told, so that none goes on behind the caller's back.
        for part, done in zip(
            parts, await asyncio.gather(*map(self._delete, parts), return_exceptions=True), strict=True
        ):
            if isinstance(done, BaseException):
                raise done
            self.deleted += done
            self.skipped += len(part) - done

    async def _delete(self, part: Sequence[_Going]) -> int:
        """How many of them it deleted, in one append; those whose group moved on are left."""
        for _attempt in range(ATTEMPTS):
            wanted = {each.id: each.address for each in part} | {each.stays: each.address for each in part}
            met = dict(zip(wanted, await asyncio.gather(*(self._meet(*each) for each in wanted.items())), strict=True))
            going = [(each, there) for each in part if (there := met[each.id]) is not None and met[each.stays]]
            if not going:
                return 0
            stay = [there for id_ in {each.stays for each, _ in going} if (there := met[id_]) is not None]
            try:
                appended = await self._store.append(self._write(stay, [there for _, there in going]))
            except (WrongExpectedVersion, ClaimTaken, SubjectErased):
                continue  # somebody was quicker: what holds now is read anew
            if self.appended is None or appended.last_position > self.appended.last_position:
                self.appended = appended
            return len(going)
        return 0

    async def _meet(self, contact_id: UUID, address: str) -> Met[Contact] | None:
        """None where it is no present contact with this address any more."""
        stream = Stream(self._command.workspace_id, CATEGORY, contact_id)
        met = await self._components.meet(stream, fresh=True)
        if met.state.id != contact_id or not met.state.exists or met.state.deleted:
            return None
        try:
            shown = _RULES.show(met.state, met.others)
        except errors.ContactIsErased:
            return None
        return met if address_of(traits_of(shown), self._command.by) == address else None

    def _write(self, stays: Iterable[Met[Contact]], going: Iterable[Met[Contact]]) -> Write:
        workspace_id = self._command.workspace_id
        writes = [StreamWrite(stream=met.stream, expected_version=met.version, events=()) for met in stays]
        claims: list[Claim] = []
        for met in going:
            command = DeleteContact(workspace_id=workspace_id, contact_id=met.state.id, reason=self._command.reason)
            events = tuple(decide(command, _RULES.show(met.state, met.others)))
            after = met.state
            for event in events:
                after = evolve(after, event, EPOCH)
            claims += _RULES.claims(met.state, after, met.others)
            writes.append(
                StreamWrite(stream=met.stream, expected_version=met.version, events=events, subject_id=met.state.id)
            )
        return Write(workspace_id=workspace_id, streams=tuple(writes), claims=tuple(claims), metadata=self._metadata)
