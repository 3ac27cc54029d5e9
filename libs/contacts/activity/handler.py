"""Activity commands on the log: many at once, each with an outcome of its own. Rules are in the decider.

Each activity is an append of its own under its own idempotency key; those of one request share commits. The append also
names the version of the contact it was decided on, without adding to it: so nothing is ever recorded for a contact that
was blocked, absorbed or erased a moment before.
"""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias
from uuid import UUID

import msgspec
from msgspec.structs import replace

from contacts import errors
from contacts.activity.commands import RecordActivity
from contacts.activity.decider import decide
from contacts.activity.events import CATEGORY, ActivityRecorded, AddressedAs
from contacts.activity.matching import Matcher
from contacts.contact.state import CATEGORY as CONTACT
from contacts.contact.state import Contact
from contacts.execution import ATTEMPTS_MAX, Met
from contacts.merge.component import Components
from eventstore.envelope import ANY_VERSION, Metadata, Stream, StreamWrite, Write
from eventstore.errors import DuplicateAppend, SubjectErased, WrongExpectedVersion
from eventstore.store import EventStore

Outcome: TypeAlias = Literal["recorded", "duplicate", "dropped", "refused"]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one activity."""

    outcome: Outcome
    #: For whom it was recorded now.
    contact_id: UUID | None = None
    #: Why it was refused.
    refusal: errors.Refusal | None = None
    #: Of the event that records it, now or since an earlier time; 0 where there is none.
    position: int = 0


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What became of many: each has one result, in the order they were sent."""

    results: tuple[Result, ...]
    lane: int
    #: Whoever waits for it sees all that is recorded.
    position: int

    @property
    def counts(self) -> Counter[Outcome]:
        """They add up to the number of activities."""
        return Counter(result.outcome for result in self.results)


class ActivityHandler:
    """One per process; safe to use concurrently. Shares its contacts with the process's contact handler."""

    def __init__(self, store: EventStore, components: Components, matcher: Matcher) -> None:
        self._store = store
        self._components = components
        self._matcher = matcher

    async def record(
        self, workspace_id: UUID, commands: Sequence[RecordActivity | errors.Refusal], *, metadata: Metadata
    ) -> Report:
        """Durable when it returns. What was refused before it became a command keeps its place among the results.

        Raises:
            StoreUnavailable, Overloaded, PositionTimeout: some may be recorded; send all again.
        """
        known = [command for command in commands if isinstance(command, RecordActivity)]
        found = iter(await self._matcher.match(workspace_id, [command.contact for command in known]))
        pending = [self._record(command, next(found), metadata) for command in known]
        # All have come to their end before an error is told, so that none goes on behind the caller's back.
        ended = iter(await asyncio.gather(*pending, return_exceptions=True))
        results = [
            Result(outcome="refused", refusal=command) if isinstance(command, errors.Refusal) else _ended(next(ended))
            for command in commands
        ]
        lane = self._store.lane_of(workspace_id)
        position = max((result.position for result in results), default=0) or await self._store.head(lane)
        return Report(results=tuple(results), lane=lane, position=position)

    async def _record(self, command: RecordActivity, found: AddressedAs | None, metadata: Metadata) -> Result:
        try:
            result = await self._settle(command, found, metadata)
        except errors.Refusal as refusal:
            result = Result(outcome="refused", refusal=refusal)
        if result.outcome in ("dropped", "refused"):
            # What nobody would take now may have been recorded before: then it is a repeat.
            return await self._recorded_before(command) or result
        return result

    async def _settle(self, command: RecordActivity, found: AddressedAs | None, metadata: Metadata) -> Result:
        if found is None or found.contact_id is None:
            raise errors.ContactUnknown(reading.by for reading in command.contact.readings())
        fresh = False
        for _attempt in range(ATTEMPTS_MAX):
            stream = Stream(command.workspace_id, CONTACT, found.contact_id)
            met = await self._components.meet(stream, fresh=fresh)
            try:
                events = decide(command, met.state, found)
            except errors.Refusal:
                # A cached state may be behind: only a fresh one may refuse, or drop.
                if fresh:
                    raise
                events = []
            if events:
                try:
                    return await self._append(command, met, events, metadata)
                except WrongExpectedVersion:
                    pass  # the contact has moved on
            elif fresh:
                return Result(outcome="dropped")
            fresh = True
        raise errors.TooContended(ATTEMPTS_MAX)

    async def _append(
        self, command: RecordActivity, met: Met[Contact], events: Iterable[ActivityRecorded], metadata: Metadata
    ) -> Result:
        try:
            appended = await self._store.append(self._write(command, met, tuple(events), metadata))
        except DuplicateAppend as duplicate:
            if not duplicate.same_request:
                raise errors.ActivityAlreadyRecorded from None
            return Result(outcome="duplicate", position=duplicate.original.last_position)
        except SubjectErased:
            raise errors.ContactIsErased(met.state.id) from None
        return Result(outcome="recorded", contact_id=met.state.id, position=appended.last_position)

    def _write(
        self, command: RecordActivity, met: Met[Contact], events: tuple[ActivityRecorded, ...], metadata: Metadata
    ) -> Write:
        contact_id, workspace_id = met.state.id, command.workspace_id
        recorded = StreamWrite(
            stream=Stream(workspace_id, CATEGORY, contact_id),
            expected_version=ANY_VERSION,
            events=events,
            subject_id=contact_id,
        )
        decided_on = StreamWrite(stream=met.stream, expected_version=met.version, events=())
        return Write(
            workspace_id=workspace_id,
            streams=(recorded, decided_on),
            metadata=replace(metadata, occurred_at=command.occurred_at),
            idempotency_key=self._key(command),
            request_hash=command.digest,
        )

    async def _recorded_before(self, command: RecordActivity) -> Result | None:
        found = await self._store.find_idempotent(command.workspace_id, self._key(command))
        if found is None:
            return None
        appended, digest = found
        if digest != command.digest:
            return Result(outcome="refused", refusal=errors.ActivityAlreadyRecorded())
        return Result(outcome="duplicate", position=appended.last_position)

    def _key(self, command: RecordActivity) -> str:
        """`activity:<source>:<id>` as a keyed digest: there may be an address in an id, and a key is kept for ever."""
        digest = self._store.keyring.hmac("activity", f"{len(command.source)}:{command.source}:{command.activity_id}")
        return f"activity:{urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def _ended(outcome: Result | BaseException) -> Result:
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome
