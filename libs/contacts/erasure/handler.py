"""Erasure on the log: everybody and everything concerned, one append that destroys the keys, and the certificate."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from contacts import errors
from contacts.addresses import AddressKeys, Digest, address_id
from contacts.consent.reach import all_addresses
from contacts.contact.claims import moved_between
from contacts.contact.state import CATEGORY as CONTACT
from contacts.contact.state import Contact, evolve, fold
from contacts.contact.state import initial as initial_contact
from contacts.erasure import state
from contacts.erasure.commands import EraseContact
from contacts.erasure.decider import Plan, decide
from contacts.erasure.events import ErasedStream
from contacts.erasure.marks import Marks
from contacts.erasure.state import CATEGORY, Erasure
from contacts.execution import ATTEMPTS_MAX, EPOCH, Request, kept_with_key, recalled
from contacts.facts import CATEGORIES as FACTS
from contacts.facts import Facts
from contacts.merge.component import Components
from contacts.merge.profile import Profile
from contacts.proof import PROOF_OF, destruction
from eventstore.envelope import NO_STREAM, Appended, Metadata, Stream, StreamWrite, Write
from eventstore.errors import DuplicateAppend, WrongExpectedVersion
from eventstore.spans import find_spans
from eventstore.store import EventStore

#: Categories whose streams have the id of a contact and are encrypted with its data key.
OF_CONTACTS: Final = (CONTACT, "activity")


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a command led to. A replay of the same request answers an equal one, but for `replayed`."""

    #: This one, or the earlier one that left nothing to erase.
    erasure: Erasure
    appended: Appended
    #: The idempotency key had its effect earlier.
    replayed: bool = False


class KnownBy:
    """What the contacts of a profile were ever known by."""

    def __init__(self) -> None:
        #: Widest ones of addresses.
        self.digests: set[Digest] = set()
        self.marks: set[bytes] = set()


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """Everything one attempt decides on, and what it decided."""

    profile: Profile
    #: Category and state of the facts about addresses whose proof goes as well.
    proven: list[tuple[str, Any]]
    plan: Plan


class ErasureHandler:
    """One per process; safe to use concurrently. Shares its contacts and facts with the process's other handlers."""

    def __init__(self, store: EventStore, components: Components, facts: Facts, keys: AddressKeys) -> None:
        self._store = store
        self._components = components
        self._facts = facts
        self._keys = keys
        self._marks = Marks(store.keyring.hmac)

    async def execute(
        self,
        command: EraseContact,
        *,
        metadata: Metadata,
        idempotency_key: str | None = None,
        request_hash: bytes = b"",
        expected_version: int | None = None,
    ) -> Outcome:
        """Durable when it returns; from then on nobody can read or write what the destroyed keys encrypt.

        A second erasure answers the first one's certificate.

        Raises:
            Refusal: ContactNotFound, VersionMismatch, TooContended, IdempotencyKeyReused.
            StoreUnavailable, Overloaded: repeat with the same key.
        """
        request = Request(
            metadata=metadata,
            idempotency_key=idempotency_key,
            digest=request_hash,
            expected_version=expected_version,
        )
        try:
            return await self._settle(command, request)
        except errors.Refusal:
            replayed = await self._replay(command.workspace_id, request)
            if replayed is None:
                raise
            return replayed

    async def get(self, workspace_id: UUID, erasure_id: UUID) -> Erasure:
        """The certificate. Raises ErasureNotFound."""
        erasure = state.initial(erasure_id)
        for recorded in await self._store.read_stream(Stream(workspace_id, CATEGORY, erasure_id)):
            erasure = state.fold(erasure, recorded)
        if not erasure.exists:
            raise errors.ErasureNotFound(erasure_id)
        return erasure

    async def _settle(self, command: EraseContact, request: Request) -> Outcome:
        for _attempt in range(ATTEMPTS_MAX):
            situation = await self._plan(command)
            root = situation.profile.root
            if request.expected_version not in (None, root.version) and situation.plan.done_by is None:
                raise errors.VersionMismatch(request.expected_version or 0, root.version)
            try:
                return await self._append(command, request, situation)
            except WrongExpectedVersion:
                # Somebody changed one of them meanwhile, or recorded something of their addresses: look again.
                continue
        raise errors.TooContended(ATTEMPTS_MAX)

    async def _plan(self, command: EraseContact) -> Situation:
        """Read anew, so that nothing is left out."""
        workspace_id = command.workspace_id
        met = await self._components.meet(Stream(workspace_id, CONTACT, command.contact_id), fresh=True)
        profile = Profile(met.state, met.others)
        if not profile.root.exists or profile.root.erased_by is not None:
            return Situation(profile=profile, proven=[], plan=decide(command, profile, ()))
        known_by = KnownBy()
        for member in profile.members:
            await self._gather(known_by, workspace_id, member.id)
        proven = await self._proven(workspace_id, known_by.digests)
        streams = [Stream(workspace_id, category, member.id) for member in profile.members for category in OF_CONTACTS]
        streams += [Stream(workspace_id, PROOF_OF[category], facts.id) for category, facts in proven]
        erased = tuple(
            ErasedStream(category=stream.category, stream_id=stream.id, **msgspec.structs.asdict(span))
            for stream, span in (await find_spans(self._store, streams)).items()
        )
        return Situation(profile=profile, proven=proven, plan=decide(command, profile, erased, known_by.marks))

    async def _proven(self, workspace_id: UUID, digests: Iterable[Digest]) -> list[tuple[str, Any]]:
        """Facts with readable proof about any of the addresses."""
        ids = sorted(address_id(workspace_id, digest) for digest in digests)
        wanted = [(category, id_) for category in FACTS for id_ in ids]
        states = await asyncio.gather(*(self._facts.load(category, workspace_id, id_) for category, id_ in wanted))
        return [
            (category, facts)
            for (category, _), facts in zip(wanted, states, strict=True)
            if facts.proofs > facts.destroyed
        ]

    async def _gather(self, known_by: KnownBy, workspace_id: UUID, contact_id: UUID) -> None:
        contact = initial_contact(contact_id)
        for recorded in await self._store.read_stream(Stream(workspace_id, CONTACT, contact_id)):
            before, contact = contact, fold(contact, recorded)
            if _known_by(contact) != _known_by(before):
                known_by.digests.update(address.widest for address in all_addresses(contact, self._keys))
                known_by.marks.update(self._marks.of_contact(contact))

    async def _append(self, command: EraseContact, request: Request, situation: Situation) -> Outcome:
        plan, workspace_id = situation.plan, command.workspace_id
        known = None if plan.done_by is None else await self.get(workspace_id, plan.done_by)
        if known is not None and request.idempotency_key is None:
            lane = self._store.lane_of(workspace_id)
            head = await self._store.head(lane)
            nothing = Appended(lane=lane, last_position=head, event_count=0, recorded_at=EPOCH)
            return Outcome(erasure=known, appended=nothing)
        try:
            appended = await self._store.append(_write(command, request, situation))
        except DuplicateAppend:
            replayed = await self._replay(workspace_id, request)
            assert replayed is not None, "the log has just said that the key was used"
            return replayed
        if known is None:
            self._remember(workspace_id, situation, appended)
            known = await self.get(workspace_id, command.erasure_id)
        return Outcome(erasure=known, appended=appended)

    def _remember(self, workspace_id: UUID, situation: Situation, appended: Appended) -> None:
        """So that this process holds nothing of theirs in memory either."""
        for contact_id, event in situation.plan.contacts.items():
            after = evolve(situation.profile.member(contact_id), event, appended.recorded_at)
            stream = Stream(workspace_id, CONTACT, contact_id)
            self._components.aggregates.remember(stream, after, after.version)

    async def _replay(self, workspace_id: UUID, request: Request) -> Outcome | None:
        if request.idempotency_key is None:
            return None
        found = await self._store.find_idempotent(workspace_id, request.idempotency_key)
        if found is None:
            return None
        appended, kept = found
        erasure_id, _ = recalled(kept, request)
        return Outcome(erasure=await self.get(workspace_id, erasure_id), appended=appended, replayed=True)


def _known_by(contact: Contact) -> tuple[Any, ...]:
    return contact.external_id, contact.messaging_id, contact.email, contact.phone, contact.channels


def _write(command: EraseContact, request: Request, situation: Situation) -> Write:
    plan, profile, workspace_id = situation.plan, situation.profile, command.workspace_id
    erasure_id = plan.done_by or command.erasure_id
    key = Write(
        workspace_id=workspace_id,
        streams=(),
        metadata=request.metadata,
        idempotency_key=request.idempotency_key,
        request_hash=kept_with_key(request, erasure_id, 1),
    )
    if plan.certificate is None:
        return key
    certificate = StreamWrite(
        stream=Stream(workspace_id, CATEGORY, erasure_id), expected_version=NO_STREAM, events=(plan.certificate,)
    )
    proofs = [destruction(workspace_id, category, facts) for category, facts in situation.proven]
    return replace(
        key,
        streams=(*_contact_writes(workspace_id, plan, profile), *(write for write, _ in proofs), certificate),
        claims=tuple(moved_between([(profile.root, profile.others)], [])),
        destroy_subjects=(*plan.contacts, *(subject for _, subject in proofs)),
    )


def _contact_writes(workspace_id: UUID, plan: Plan, profile: Profile) -> Iterator[StreamWrite]:
    for contact_id, event in plan.contacts.items():
        yield StreamWrite(
            stream=Stream(workspace_id, CONTACT, contact_id),
            expected_version=profile.member(contact_id).version,
            events=(event,),
        )
