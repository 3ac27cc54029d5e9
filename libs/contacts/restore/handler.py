"""Restore on the log: the plain way, and the ways around a conflict, each in one append."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import msgspec

from contacts import errors
from contacts.contact import events as e
from contacts.contact.claims import moved_between
from contacts.contact.commands import RestoreContact
from contacts.contact.handler import ContactHandler, Outcome
from contacts.contact.state import CATEGORY
from contacts.execution import ATTEMPTS_MAX, EPOCH, Request, kept_with_key
from contacts.merge.commands import MergeContacts
from contacts.merge.handler import MergeHandler, Situation
from contacts.merge.profile import Profile, after, profiles_of
from contacts.restore.commands import BringBack
from contacts.restore.decider import restored
from contacts.restore.holders import find_taken
from contacts.restore.refusals import RestoreConflict
from eventstore.envelope import Appended, Metadata, Stream, StreamWrite, Write
from eventstore.errors import ClaimTaken, DuplicateAppend, SubjectErased, WrongExpectedVersion

if TYPE_CHECKING:
    from eventstore.store import EventStore


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. A replay of the same request answers an equal one, but for `outcome.replayed`."""

    #: The contact, or the one that it was merged into.
    outcome: Outcome
    #: The merge that it came to; None for a contact that stands for itself.
    merge_id: UUID | None = None
    #: What it gave up.
    released: tuple[e.Released, ...] = ()


class RestoreHandler:
    """One per process; safe to use concurrently."""

    def __init__(self, store: EventStore, contacts: ContactHandler, merges: MergeHandler) -> None:
        self._store = store
        self._contacts = contacts
        self._merges = merges

    async def execute(
        self,
        command: BringBack,
        *,
        metadata: Metadata,
        idempotency_key: str | None = None,
        request_hash: bytes = b"",
        expected_version: int | None = None,
    ) -> Restored:
        """Durable when it returns. A contact that is not deleted stays as it is.

        Raises:
            Refusal: as the command names, VersionMismatch, TooContended, IdempotencyKeyReused.
            StoreUnavailable, Overloaded: repeat with the same key.
        """
        plain = RestoreContact(workspace_id=command.workspace_id, contact_id=command.contact_id, reason=command.reason)
        request = Request(
            metadata=metadata, idempotency_key=idempotency_key, digest=request_hash, expected_version=expected_version
        )
        for _attempt in range(ATTEMPTS_MAX):
            try:
                outcome = await self._contacts.execute(
                    plain,
                    metadata=metadata,
                    idempotency_key=idempotency_key,
                    request_hash=request_hash,
                    expected_version=expected_version,
                )
                return await self._recalled(command, outcome) if outcome.replayed else Restored(outcome=outcome)
            except errors.ClaimTakenRefusal:
                done = await self._around(command, request)
                if done is not None:
                    return done
        raise errors.TooContended(ATTEMPTS_MAX)

    async def _around(self, command: BringBack, request: Request) -> Restored | None:
        """None where things moved on meanwhile, so that the plain way has to be tried again. Raises as `execute`."""
        stream = Stream(command.workspace_id, CATEGORY, command.contact_id)
        met = await self._contacts.components.meet(stream, fresh=True)
        profile = Profile(met.state, met.others)
        taken = await find_taken(self._store, command.workspace_id, profile) if profile.root.deleted else ()
        if not taken:
            return None
        if request.expected_version not in (None, profile.root.version):
            raise errors.VersionMismatch(request.expected_version or 0, profile.root.version)
        try:
            if command.on_conflict == "release":
                return await self._release(command, request, profile, taken)
            if command.on_conflict == "merge":
                return await self._merge(command, request, profile, taken)
        except (ClaimTaken, DuplicateAppend, WrongExpectedVersion):
            # Somebody was faster, perhaps with this very request.
            return None
        except SubjectErased as erased:
            raise errors.ContactIsErased(erased.subject_id) from None
        raise RestoreConflict(profile.root.id, taken, await self._primary(command, profile, taken))

    async def _release(
        self, command: BringBack, request: Request, profile: Profile, taken: tuple[e.Released, ...]
    ) -> Restored:
        happened = restored(profile, command.reason, taken)
        profiles = {profile.root.id: profile}
        version = profile.root.version + len(happened[profile.root.id])
        back = after(profiles, happened, EPOCH)
        write = Write(
            workspace_id=command.workspace_id,
            streams=tuple(
                StreamWrite(
                    stream=Stream(command.workspace_id, CATEGORY, contact_id),
                    expected_version=profile.member(contact_id).version,
                    events=events,
                    subject_id=contact_id,
                )
                for contact_id, events in happened.items()
            ),
            claims=tuple(
                moved_between([(profile.root, profile.others)], [(p.root, p.others) for p in profiles_of(back)])
            ),
            metadata=request.metadata,
            idempotency_key=request.idempotency_key,
            request_hash=kept_with_key(request, profile.root.id, version),
        )
        appended = await self._store.append(write)
        states = after(profiles, happened, appended.recorded_at)
        for contact_id in happened:
            contact = states[contact_id]
            stream = Stream(command.workspace_id, CATEGORY, contact_id)
            self._contacts.components.aggregates.remember(stream, contact, contact.version)
        (shown,) = profiles_of(states)
        return Restored(outcome=_outcome(shown, appended), released=taken)

    async def _merge(
        self, command: BringBack, request: Request, profile: Profile, taken: tuple[e.Released, ...]
    ) -> Restored | None:
        try:
            situation = await self._merges.plan(_merge_of(command, profile, taken))
        except errors.AlreadyAbsorbed:
            return None
        given_up = _restored_in(situation.plan.contacts.get(profile.root.id, ()))
        if given_up is None:
            return None
        primary = _primary_of(situation)
        version = situation.profiles[primary].root.version + len(situation.plan.contacts[primary])
        appended = await self._merges.carry_out(command.workspace_id, request, situation, kept=(primary, version))
        states = situation.states(appended.recorded_at)
        shown = next(each for each in profiles_of(states) if each.root.id == primary)
        return Restored(outcome=_outcome(shown, appended), merge_id=command.merge_id, released=given_up)

    async def _primary(self, command: BringBack, profile: Profile, taken: tuple[e.Released, ...]) -> UUID | None:
        """Whom it would be merged into, by the rules that would do it."""
        try:
            return _primary_of(await self._merges.plan(_merge_of(command, profile, taken)))
        except errors.Refusal:
            return None

    async def _recalled(self, command: BringBack, outcome: Outcome) -> Restored:
        """What the request came to when it had its effect, as the events of then say."""
        stream = Stream(command.workspace_id, CATEGORY, outcome.contact_id)
        merge_id: UUID | None = None
        for event in await self._then(stream, outcome.appended):
            if isinstance(event, e.ContactMerged):
                merge_id, (other, *_) = event.merge_id, event.others
                stream = Stream(command.workspace_id, CATEGORY, other)
        released = _restored_in(await self._then(stream, outcome.appended))
        return Restored(outcome=outcome, merge_id=merge_id, released=released or ())

    async def _then(self, stream: Stream, appended: Appended) -> tuple[e.ContactEvent, ...]:
        recorded = await self._store.read_stream(stream, to_position=appended.last_position)
        return tuple(r.event for r in recorded if appended.event_count and r.position >= appended.first_position)


def _merge_of(command: BringBack, profile: Profile, taken: tuple[e.Released, ...]) -> MergeContacts:
    return MergeContacts(
        workspace_id=command.workspace_id,
        merge_id=command.merge_id,
        primary=taken[0].holder,
        others=(profile.root.id,),
        restore=True,
        reason=command.reason,
    )


def _primary_of(situation: Situation) -> UUID:
    return next(
        contact
        for contact, events in situation.plan.contacts.items()
        if any(isinstance(event, e.ContactMerged) for event in events)
    )


def _restored_in(events: tuple[e.ContactEvent, ...]) -> tuple[e.Released, ...] | None:
    """What was given up; None where nothing was restored."""
    return next((event.released for event in events if isinstance(event, e.ContactRestored)), None)


def _outcome(shown: Profile, appended: Appended) -> Outcome:
    return Outcome(
        contact_id=shown.root.id,
        contact=shown.shown,
        version=shown.root.version,
        appended=appended,
        created=False,
        replayed=False,
    )
