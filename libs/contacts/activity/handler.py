"""Activity commands on the log: many at once, each with an outcome of its own. Rules are in the decider.

Each activity is an append of its own under its own idempotency key; those of one request share commits. The append also
names the version of the contact it was decided on, without adding to it: so nothing is ever recorded for a contact that
was blocked, absorbed or erased a moment before.
"""

from __future__ import annotations

import asyncio
import contextlib
from base64 import urlsafe_b64encode
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, Literal, TypeAlias
from uuid import UUID

import msgspec
from msgspec.structs import replace

from contacts import errors
from contacts.activity.commands import RecordActivity
from contacts.activity.decider import decide
from contacts.activity.effects import asked_of_addresses, says_something, seen_on
from contacts.activity.events import CATEGORY, ActivityRecorded, AddressedAs
from contacts.activity.matching import Matcher
from contacts.addresses import AddressKeys
from contacts.consent.commands import AddressCommand
from contacts.contact.decider import decide as decide_on_contact
from contacts.contact.decider import evolve
from contacts.contact.events import ContactEvent
from contacts.contact.state import CATEGORY as CONTACT
from contacts.contact.state import Contact
from contacts.execution import ATTEMPTS_MAX, NOTHING_BESIDE, Besides, Met, Request
from contacts.facts import Facts
from contacts.merge.component import Components
from contacts.merge.view import view
from eventstore.adding import Verdict, add_each
from eventstore.envelope import ANY_VERSION, Appended, Metadata, Stream, StreamWrite, Write
from eventstore.errors import DuplicateAppend, SubjectErased, WrongExpectedVersion
from eventstore.store import EventStore

if TYPE_CHECKING:
    from contacts.activity.strangers import Strangers
    from contacts.workspace.state import Workspace

#: From how many on they are copied instead of sharing commits with everything else.
ADD_MIN: Final = 32
#: Stands for the contact where an objection is recorded for an address alone.
NOBODY: Final = UUID(int=0)
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
    """One per process; safe to use concurrently. Shares its contacts and facts with the process's other handlers."""

    def __init__(
        self, store: EventStore, components: Components, matcher: Matcher, *, facts: Facts | None = None,
        strangers: Strangers | None = None,
    ) -> None:  # fmt: skip
        """Without `strangers` nobody becomes a contact by what they do."""
        self._store = store
        self._components = components
        self._matcher = matcher
        self._facts = facts or Facts(store)
        self._keys = AddressKeys(store.keyring.hmac)
        self._strangers = strangers

    async def record(
        self,
        workspace_id: UUID,
        commands: Sequence[RecordActivity | errors.Refusal],
        *,
        metadata: Metadata,
        workspace: Workspace | None = None,
    ) -> Report:
        """Durable when it returns. What was refused before it became a command keeps its place among the results.

        With `workspace` its settings say what becomes of people nobody knows; without it they are refused.

        Raises:
            StoreUnavailable, Overloaded, PositionTimeout: some may be recorded; send all again.
        """
        known = [command for command in commands if isinstance(command, RecordActivity)]
        found: list[AddressedAs | errors.Refusal | None] = []
        found += await self._matcher.match(workspace_id, [command.contact for command in known])
        if workspace is not None and workspace.settings.unknown_contacts == "create":
            await self._welcome(known, found, workspace, metadata)
        ended = iter(await self._record_all(known, found, metadata))
        results = [
            Result(outcome="refused", refusal=command) if isinstance(command, errors.Refusal) else next(ended)
            for command in commands
        ]
        lane = self._store.lane_of(workspace_id)
        position = max((result.position for result in results), default=0) or await self._store.head(lane)
        return Report(results=tuple(results), lane=lane, position=position)

    async def _welcome(
        self,
        commands: Sequence[RecordActivity],
        found: list[AddressedAs | errors.Refusal | None],
        workspace: Workspace,
        metadata: Metadata,
    ) -> None:
        """Fills in whom strangers are now, or why they cannot be anybody."""
        if self._strangers is None:
            return
        welcomed: dict[AddressedAs, AddressedAs | errors.Refusal | None] = {}
        for n, command in enumerate(commands):
            if found[n] is not None:
                continue
            known_by = next(command.contact.readings())
            if known_by not in welcomed:
                try:
                    welcomed[known_by] = await self._strangers.welcome(command.contact, workspace, metadata=metadata)
                except errors.Refusal as refusal:
                    welcomed[known_by] = refusal
            found[n] = welcomed[known_by]

    async def _record_all(
        self, commands: Sequence[RecordActivity], found: Sequence[AddressedAs | errors.Refusal | None],
        metadata: Metadata,
    ) -> list[Result]:  # fmt: skip
        results: dict[int, Result] = {}
        plain = {n: who for n, who in enumerate(found) if isinstance(who, AddressedAs) and _is_plain(commands[n])}
        if len(plain) >= ADD_MIN:
            results = await self._add([(n, commands[n], who) for n, who in plain.items()], metadata)
        rest = [n for n in range(len(commands)) if n not in results]
        repeats: dict[tuple[str, str], list[int]] = defaultdict(list)
        for n in rest:
            repeats[commands[n].source, commands[n].activity_id].append(n)

        async def record_in_turn(numbers: Sequence[int]) -> None:
            """What is sent under one id: the first is recorded, the others are repeats of it."""
            for n in numbers:
                results[n] = await self._record(commands[n], found[n], metadata)

        # All have come to their end before an error is told, so that none goes on behind the caller's back.
        for ended in await asyncio.gather(*map(record_in_turn, repeats.values()), return_exceptions=True):
            if ended is not None:
                raise ended
        return [results[n] for n in range(len(commands))]

    async def _add(
        self, wanted: Sequence[tuple[int, RecordActivity, AddressedAs]], metadata: Metadata
    ) -> dict[int, Result]:
        """What can be decided on contacts as they are known here, all at once; the others are left out."""
        met = await self._meet_all(wanted)
        writes: list[tuple[int, Write, UUID]] = []
        for n, command, found_as in wanted:
            assert found_as.contact_id is not None
            contact = met.get(found_as.contact_id)
            events = [] if contact is None else _decided(command, contact.state, found_as)
            if contact is not None and events:
                writes.append((n, self._write(command, contact, tuple(events), metadata), contact.state.id))
        verdicts = await add_each(self._store, [write for _, write, _ in writes])
        return {
            n: result
            for (n, _, contact_id), verdict in zip(writes, verdicts, strict=True)
            if (result := _result(verdict, contact_id)) is not None
        }

    async def _meet_all(self, wanted: Sequence[tuple[int, RecordActivity, AddressedAs]]) -> dict[UUID, Met[Contact]]:
        streams = {
            found_as.contact_id: Stream(command.workspace_id, CONTACT, found_as.contact_id)
            for _, command, found_as in wanted
            if found_as.contact_id is not None
        }
        met = await asyncio.gather(*map(self._components.meet, streams.values()), return_exceptions=True)
        return {
            contact_id: each
            for contact_id, each in zip(streams, met, strict=True)
            if not isinstance(each, BaseException)
        }

    async def _record(
        self, command: RecordActivity, found: AddressedAs | errors.Refusal | None, metadata: Metadata
    ) -> Result:
        try:
            if isinstance(found, errors.Refusal):
                raise found
            result = await self._settle(command, found, metadata)
        except errors.Refusal as refusal:
            result = Result(outcome="refused", refusal=refusal)
        if result.outcome in ("dropped", "refused"):
            # What nobody would take now may have been recorded before: then it is a repeat.
            result = await self._recorded_before(command) or result
        if result.outcome in ("dropped", "refused") and not isinstance(result.refusal, errors.ActivityAlreadyRecorded):
            # Whoever objects is heard, also where nobody is there to record it for (S5): by the address they named.
            await self._object(command, asked_of_addresses(command, (), self._keys), metadata)
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
                    return await self._append(command, found, met, events, metadata, fresh=fresh)
                except WrongExpectedVersion:
                    pass  # the contact, or the ledger of an address, has moved on
            elif fresh:
                return Result(outcome="dropped")
            fresh = True
        raise errors.TooContended(ATTEMPTS_MAX)

    async def _append(
        self, command: RecordActivity, found_as: AddressedAs, met: Met[Contact], events: Iterable[ActivityRecorded],
        metadata: Metadata, *, fresh: bool,
    ) -> Result:  # fmt: skip
        contacts = (view(met.state, met.others), met.state, *met.others.values()) if says_something(command) else ()
        asked = asked_of_addresses(command, contacts, self._keys)
        besides = await self._facts.beside(asked, fresh=fresh) if asked else NOTHING_BESIDE
        seen = _seen(command, found_as, contacts)
        write = self._write(command, met, tuple(events), metadata, seen=seen, besides=besides)
        try:
            appended = await self._store.append(write)
        except DuplicateAppend as duplicate:
            if not duplicate.same_request:
                raise errors.ActivityAlreadyRecorded from None
            return Result(outcome="duplicate", position=duplicate.original.last_position)
        except SubjectErased as erased:
            if erased.subject_id == met.state.id:
                raise errors.ContactIsErased(met.state.id) from None
            # The key of an address's proof was destroyed, by a fact that is not cached here, or alone. Then the ledger
            # has a way of its own, and goes first: were this its end, a repeat would find nothing more to record.
            if fresh:
                await self._object(command, asked, metadata)
            raise WrongExpectedVersion(met.stream, met.version, met.version) from None
        if seen:
            after = met.state
            for event in seen:
                after = evolve(after, event, appended.recorded_at)
            self._components.aggregates.remember(met.stream, after, met.version + len(seen))
        return Result(outcome="recorded", contact_id=met.state.id, position=appended.last_position)

    def _write(
        self, command: RecordActivity, met: Met[Contact], events: tuple[ActivityRecorded, ...], metadata: Metadata, *,
        seen: tuple[ContactEvent, ...] = (), besides: Besides = NOTHING_BESIDE,
    ) -> Write:  # fmt: skip
        contact_id, workspace_id = met.state.id, command.workspace_id
        recorded = StreamWrite(
            stream=Stream(workspace_id, CATEGORY, contact_id),
            expected_version=ANY_VERSION,
            events=events,
            subject_id=contact_id,
        )
        # Looked at, so that it is as it was when this was decided; rarely added to.
        decided_on = StreamWrite(
            stream=met.stream, expected_version=met.version, events=seen, subject_id=contact_id if seen else None
        )
        return Write(
            workspace_id=workspace_id,
            streams=(recorded, decided_on, *besides.streams),
            suppressions=besides.suppressions,
            metadata=replace(metadata, occurred_at=command.occurred_at),
            idempotency_key=self._key(command),
            request_hash=command.digest,
        )

    async def _object(self, command: RecordActivity, asked: Sequence[AddressCommand], metadata: Metadata) -> None:
        """Apart from the timeline, once."""
        if not asked:
            return
        request = Request(
            metadata=replace(metadata, occurred_at=command.occurred_at),
            idempotency_key=f"{self._key(command)}:effects",
            digest=command.digest,
        )
        with contextlib.suppress(DuplicateAppend):
            await self._facts.record(command.workspace_id, asked, request, (NOBODY, 0))

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


def _is_plain(command: RecordActivity) -> bool:
    return not says_something(command)


def _decided(command: RecordActivity, contact: Contact, found_as: AddressedAs) -> Sequence[ActivityRecorded]:
    """Nothing where it would be refused: what is known here may be behind."""
    try:
        return decide(command, contact, found_as)
    except errors.Refusal:
        return ()


def _result(verdict: Verdict, contact_id: UUID) -> Result | None:
    """None where it has to be decided anew."""
    match verdict:
        case Appended():
            return Result(outcome="recorded", contact_id=contact_id, position=verdict.last_position)
        case DuplicateAppend(same_request=True):
            return Result(outcome="duplicate", position=verdict.original.last_position)
        case DuplicateAppend():
            return Result(outcome="refused", refusal=errors.ActivityAlreadyRecorded())
    return None


def _seen(command: RecordActivity, found_as: AddressedAs, contacts: Sequence[Contact]) -> tuple[ContactEvent, ...]:
    seen = seen_on(command, found_as, contacts[0]) if contacts else None
    return () if seen is None else tuple(decide_on_contact(seen, contacts[0]))
