"""Merge commands on the log: who is concerned, one append for all of them, and answers that stay the same."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import UUID

import msgspec
from msgspec.structs import replace

from contacts import errors
from contacts.contact.claims import moved_between
from contacts.contact.state import CATEGORY as CONTACT
from contacts.contact.state import Contact
from contacts.execution import ATTEMPTS_MAX, EPOCH, Request, kept_with_key, recalled
from contacts.merge.commands import MergeCommand, MergeContacts, UnmergeContacts
from contacts.merge.component import Components
from contacts.merge.decider import Plan, decide_merge, decide_unmerge, leaving, with_void
from contacts.merge.edits import edits, own_at
from contacts.merge.preview import MergePreview, UnmergePreview, merge_preview
from contacts.merge.profile import Profile, after, profiles_of
from contacts.merge.state import CATEGORY, Merge, evolve, fold, initial
from contacts.restore.decider import without
from contacts.restore.holders import find_taken
from eventstore.envelope import Appended, Claim, Metadata, Stream, StreamWrite, Write
from eventstore.errors import ClaimTaken, DuplicateAppend, SubjectErased, WrongExpectedVersion
from eventstore.store import VERSION_MAX, EventStore


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a command led to. A replay of the same request answers an equal one, but for `replayed`."""

    #: Right after the command; where nothing was left to do, the merge that had done it.
    merge: Merge
    appended: Appended
    #: The command brought the merge into being.
    created: bool
    #: The idempotency key had its effect earlier.
    replayed: bool = False


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """Everything one attempt decides on, and what it decided."""

    merge: Merge
    plan: Plan
    #: Of everybody concerned, by the root's id.
    profiles: dict[UUID, Profile]

    def states(self, at: datetime) -> dict[UUID, Contact]:
        """Own states of everybody concerned after the plan, recorded `at`."""
        return after(self.profiles, self.plan.contacts, at)

    def outcome(self, root_id: UUID) -> Profile:
        """What a contact that stands for itself then will be, as if it happened now."""
        states = self.states(datetime.now(UTC))
        return next(profile for profile in profiles_of(states) if profile.root.id == root_id)


class MergeHandler:
    """One per process; safe to use concurrently. Shares its contacts with the process's contact handler."""

    def __init__(self, store: EventStore, components: Components) -> None:
        self._store = store
        self._components = components

    async def execute(
        self,
        command: MergeCommand,
        *,
        metadata: Metadata,
        idempotency_key: str | None = None,
        request_hash: bytes = b"",
    ) -> Outcome:
        """Durable when it returns, for all contacts concerned or for none.

        A repeat with the same key and hash answers what the first time did, for ever. Nothing may be automated because
        of a merge, so its events say so whatever `metadata` says.

        Raises:
            Refusal: as the command names, TooContended, IdempotencyKeyReused.
            StoreUnavailable, Overloaded: repeat with the same key.
        """
        request = Request(metadata=metadata, idempotency_key=idempotency_key, digest=request_hash)
        try:
            return await self._settle(command, request)
        except errors.Refusal:
            # What is refused now may have been done before: then the answer is the one it got then.
            replayed = await self._replay(command.workspace_id, request)
            if replayed is None:
                raise
            return replayed

    async def get(self, workspace_id: UUID, merge_id: UUID) -> Merge:
        """As it is now. Raises MergeNotFound."""
        merge = await self._load(workspace_id, merge_id)
        if not merge.exists:
            raise errors.MergeNotFound(merge_id)
        return merge

    async def preview_merge(self, command: MergeContacts) -> MergePreview:
        """What it would come to now. Raises what it would be refused for."""
        situation = await self._plan_merge(command)
        named = {contact: profile for profile in situation.profiles.values() for contact in _ids(profile)}
        primary = named[command.primary]
        merged = dict.fromkeys(named[other].root.id for other in command.others if named[other] is not primary)
        others = [situation.profiles[root] for root in merged]
        return merge_preview(primary, others, situation.outcome(primary.root.id), command.choices)

    async def preview_unmerge(self, command: UnmergeContacts) -> UnmergePreview:
        """The same for an unmerge, with the edits that could be assigned."""
        situation = await self._plan_unmerge(command)
        contacts = leaving(command, situation.merge)
        if not contacts or not any(contact in situation.plan.contacts for contact in contacts):
            return UnmergePreview(mode=command.mode, now=None, remaining=None, leaving=(), edits=())
        [profile] = situation.profiles.values()
        found = edits(profile, contacts[0], await self.before(command.workspace_id, profile, contacts[0]))
        return UnmergePreview(
            mode=command.mode,
            now=profile.shown,
            remaining=situation.outcome(profile.root.id).shown,
            leaving=tuple(situation.outcome(contact).shown for contact in contacts),
            edits=tuple(sorted(found.values(), key=lambda edit: edit.field)),
        )

    async def plan(self, command: MergeCommand) -> Situation:
        """What the command would do now, decided as `execute` decides it. Raises what it would be refused for."""
        if isinstance(command, MergeContacts):
            return await self._plan_merge(command)
        return await self._plan_unmerge(command)

    async def _settle(self, command: MergeCommand, request: Request) -> Outcome:
        for _attempt in range(ATTEMPTS_MAX):
            situation = await self.plan(command)
            if situation.plan.done_by is not None:
                merge = await self.get(command.workspace_id, situation.plan.done_by)
                situation = replace(situation, merge=merge)
            try:
                return await self._append(command.workspace_id, request, situation)
            except WrongExpectedVersion:
                # Somebody else changed one of them meanwhile, perhaps by merging it: decide again.
                continue
        raise errors.TooContended(ATTEMPTS_MAX)

    async def _plan_merge(self, command: MergeContacts) -> Situation:
        named = dict.fromkeys((command.primary, *command.others))
        met = await self._profiles(command.workspace_id, named)
        profiles = {profile.root.id: profile for profile in met.values()}
        taken = {
            root: await find_taken(self._store, command.workspace_id, profile)
            for root, profile in profiles.items()
            if command.restore and profile.root.deleted
        }
        plan = decide_merge(command, met, taken)
        return Situation(merge=initial(command.merge_id), plan=plan, profiles=profiles)

    async def _plan_unmerge(self, command: UnmergeContacts) -> Situation:
        for _attempt in range(ATTEMPTS_MAX):
            merge = await self._load(command.workspace_id, command.merge_id)
            contacts = leaving(command, merge)
            if not contacts:
                return Situation(merge=merge, plan=decide_unmerge(command, merge, None, {}), profiles={})
            profile = (await self._profiles(command.workspace_id, contacts[:1]))[contacts[0]]
            if not all(_is_part(contact, merge, profile) for contact in contacts):
                # One came out between the two reads; or it is no part of what the merge says.
                situation = await self._without_void(command, merge, contacts)
                if situation is None:
                    continue
                return situation
            before = await self.before(command.workspace_id, profile, contacts[0]) if command.assign else {}
            plan = decide_unmerge(command, merge, profile, before)
            situation = Situation(merge=merge, plan=plan, profiles={profile.root.id: profile})
            return await self._released(situation, command) if command.release else situation
        raise errors.TooContended(ATTEMPTS_MAX)

    async def _without_void(
        self, command: UnmergeContacts, merge: Merge, contacts: tuple[UUID, ...]
    ) -> Situation | None:
        """For merges of older logs, which may name contacts that another one holds; None where the merge has moved on.

        Those come out of it alone, and the others as they always do in a second request.
        """
        assert merge.primary is not None
        profiles = await self._profiles(command.workspace_id, (*contacts, merge.primary))
        if (await self._load(command.workspace_id, merge.id)).version != merge.version:
            return None
        void = tuple(contact for contact in contacts if not _is_part(contact, merge, profiles[contact]))
        if not void:
            return None
        plan = with_void(Plan(), merge, void)
        return Situation(merge=merge, plan=plan, profiles={p.root.id: p for p in profiles.values()})

    async def _released(self, situation: Situation, command: UnmergeContacts) -> Situation:
        """Without what others hold. Only who comes out of a deleted profile holds anything anew."""
        (root,) = situation.profiles
        leaving_ = [profile for profile in profiles_of(situation.states(EPOCH)) if profile.root.id != root]
        if not situation.profiles[root].root.deleted:
            return situation
        taken = [await find_taken(self._store, command.workspace_id, profile) for profile in leaving_]
        happened = without(situation.plan.contacts, (each for of in taken for each in of))
        return replace(situation, plan=replace(situation.plan, contacts=happened))

    async def before(self, workspace_id: UUID, profile: Profile, contact_id: UUID) -> dict[UUID, Contact]:
        """Everybody that `contact_id` is part of, each as it was when that branch came to it."""
        found: dict[UUID, Contact] = {}
        for contact, absorption in profile.path_to(contact_id):
            stream = await self._store.read_stream(Stream(workspace_id, CONTACT, contact.id))
            found[contact.id] = own_at(contact.id, stream, absorption.version)
        return found

    async def _profiles(self, workspace_id: UUID, named: Iterable[UUID]) -> dict[UUID, Profile]:
        """Read anew, so that what is refused is refused for what is so; all of them as of one moment."""
        ids = list(named)
        streams = [Stream(workspace_id, CONTACT, contact_id) for contact_id in ids]
        for _attempt in range(ATTEMPTS_MAX):
            met = await asyncio.gather(*(self._components.meet(stream, fresh=True) for stream in streams))
            profiles = {contact_id: Profile(each.state, each.others) for contact_id, each in zip(ids, met, strict=True)}
            if _agree(profiles.values()):
                return profiles
        raise errors.TooContended(ATTEMPTS_MAX)

    async def _load(self, workspace_id: UUID, merge_id: UUID, to_version: int = VERSION_MAX) -> Merge:
        merge = initial(merge_id)
        stream = Stream(workspace_id, CATEGORY, merge_id)
        for recorded in await self._store.read_stream(stream, to_version=to_version):
            merge = fold(merge, recorded)
        return merge

    async def _append(self, workspace_id: UUID, request: Request, situation: Situation) -> Outcome:
        plan, merge = situation.plan, situation.merge
        if not plan.contacts and request.idempotency_key is None:
            lane = self._store.lane_of(workspace_id)
            head = await self._store.head(lane)
            nothing = Appended(lane=lane, last_position=head, event_count=0, recorded_at=EPOCH)
            return Outcome(merge=merge, appended=nothing, created=False)
        kept = merge.id, merge.version + len(plan.merge)
        try:
            appended = await self.carry_out(workspace_id, request, situation, kept=kept)
        except DuplicateAppend:
            replayed = await self._replay(workspace_id, request)
            assert replayed is not None, "the log has just said that the key was used"
            return replayed
        except ClaimTaken as taken:
            raise errors.ClaimTakenRefusal(taken.kind, taken.holder) from None
        except SubjectErased as erased:
            raise errors.ContactIsErased(erased.subject_id) from None
        for event in plan.merge:
            merge = evolve(merge, event, appended.recorded_at)
        return Outcome(merge=merge, appended=appended, created=_created(merge, appended))

    async def carry_out(
        self, workspace_id: UUID, request: Request, situation: Situation, *, kept: tuple[UUID, int]
    ) -> Appended:
        """Appends what was planned; `kept` is what the idempotency key remembers: stream and version of the answer.

        Raises:
            WrongExpectedVersion, ClaimTaken: the plan is behind.
            DuplicateAppend: the idempotency key had its effect earlier.
            SubjectErased, StoreUnavailable, Overloaded.
        """
        appended = await self._store.append(_write(workspace_id, request, situation, kept))
        for contact_id, state in situation.states(appended.recorded_at).items():
            if contact_id in situation.plan.contacts:
                stream = Stream(workspace_id, CONTACT, contact_id)
                self._components.aggregates.remember(stream, state, state.version)
        return appended

    async def _replay(self, workspace_id: UUID, request: Request) -> Outcome | None:
        if request.idempotency_key is None:
            return None
        found = await self._store.find_idempotent(workspace_id, request.idempotency_key)
        if found is None:
            return None
        appended, kept = found
        merge_id, version = recalled(kept, request)
        merge = await self._load(workspace_id, merge_id, version)
        return Outcome(merge=merge, appended=appended, created=_created(merge, appended), replayed=True)


def _agree(profiles: Iterable[Profile]) -> bool:
    """Whether whoever is in several of them is the same in all: else one was read before a merge and one after it."""
    versions: dict[UUID, int] = {}
    members = (member for profile in profiles for member in profile.members)
    return all(versions.setdefault(member.id, member.version) == member.version for member in members)


def _is_part(contact: UUID, merge: Merge, profile: Profile) -> bool:
    return contact in profile.others and profile.others[contact].absorbed_by == merge.id


def _ids(profile: Profile) -> Iterable[UUID]:
    return (member.id for member in profile.members)


def _created(merge: Merge, appended: Appended) -> bool:
    return merge.version == 1 and appended.event_count > 0


def _write(workspace_id: UUID, request: Request, situation: Situation, kept: tuple[UUID, int]) -> Write:
    plan, merge = situation.plan, situation.merge
    now = {member.id: member for profile in situation.profiles.values() for member in profile.members}
    contacts = [
        StreamWrite(
            stream=Stream(workspace_id, CONTACT, contact_id),
            expected_version=now[contact_id].version,
            events=events,
            subject_id=contact_id,
        )
        for contact_id, events in plan.contacts.items()
    ]
    own = StreamWrite(
        stream=Stream(workspace_id, CATEGORY, merge.id), expected_version=merge.version, events=plan.merge
    )
    return Write(
        workspace_id=workspace_id,
        streams=(*contacts, own),
        claims=tuple(_claims(situation)),
        # Nothing may be automated because of a merge.
        metadata=replace(request.metadata, automation=False),
        idempotency_key=request.idempotency_key,
        request_hash=kept_with_key(request, *kept),
    )


def _claims(situation: Situation) -> list[Claim]:
    """Values stay with their contacts. They move only where edits do, or where a deleted profile comes apart."""
    before = [(profile.root, profile.others) for profile in situation.profiles.values()]
    states = situation.states(EPOCH)
    return moved_between(before, [(profile.root, profile.others) for profile in profiles_of(states)])
