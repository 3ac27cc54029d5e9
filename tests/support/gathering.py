"""Contacts and merges in memory: the rules of production without a log. Events are kept, states folded from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from contacts.catalog import CODEC
from contacts.contact import commands as c
from contacts.contact import events as e
from contacts.contact.claims import moved_between
from contacts.contact.decider import decide
from contacts.contact.handler import ContactRules
from contacts.contact.state import CATEGORY, Contact, evolve, initial
from contacts.merge import state as merges
from contacts.merge.commands import MergeContacts, UnmergeContacts
from contacts.merge.decider import Plan, decide_merge, decide_unmerge, leaving
from contacts.merge.edits import own_at
from contacts.merge.profile import Profile, profiles_of
from contacts.merge.view import tree
from eventstore.envelope import Claim, Metadata, RecordedEvent, Unreadable

WORKSPACE = UUID("01900000-0000-7000-8000-000000000001")
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
#: Between one command and the next.
MINUTE = timedelta(minutes=1)
METADATA = Metadata()


class Gathering:
    """Some contacts of one workspace. Every command is decided on what the one before left."""

    def __init__(self) -> None:
        #: As a log would hand them out, in order of position and by contact.
        self.log: list[RecordedEvent[Any]] = []
        self.streams: dict[UUID, list[RecordedEvent[Any]]] = {}
        self.contacts: dict[UUID, Contact] = {}
        self.merges: dict[UUID, merges.Merge] = {}
        #: Unique values and who holds each.
        self.holders: dict[tuple[str, str], UUID] = {}
        self.now = START

    def copy(self) -> Gathering:
        """One that goes on from here on its own."""
        other = Gathering()
        other.log = list(self.log)
        other.streams = {contact_id: list(stream) for contact_id, stream in self.streams.items()}
        other.contacts, other.merges, other.holders = dict(self.contacts), dict(self.merges), dict(self.holders)
        other.now = self.now
        return other

    # -- asking --------------------------------------------------------------------------------------------------------

    def root_of(self, contact_id: UUID) -> UUID:
        """The contact that stands for this one."""
        while (into := self.contacts[contact_id].absorbed_into) is not None:
            contact_id = into
        return contact_id

    def profile(self, contact_id: UUID) -> Profile:
        """What this contact is part of."""
        root = self.contacts.get(contact_id)
        if root is None:
            return Profile(initial(contact_id), {})
        root = self.contacts[self.root_of(contact_id)]
        return Profile(root, {below: self.contacts[below] for below in tree(root, self.contacts)})

    def shown(self, contact_id: UUID) -> Contact:
        return self.profile(contact_id).shown

    def present(self) -> dict[UUID, Contact]:
        """Every profile, by the id of its root."""
        return {profile.root.id: profile.shown for profile in profiles_of(self.contacts)}

    # -- doing ---------------------------------------------------------------------------------------------------------

    def given(self, contact_id: UUID, *events: e.ContactEvent) -> None:
        self._record({contact_id: events})

    def create(self, contact_id: UUID, **fields: Any) -> None:
        self.given(contact_id, e.ContactCreated(source="api", **fields))
        self._claim(ContactRules().claims(initial(contact_id), self.contacts[contact_id]))

    def do(self, command_type: type, contact_id: UUID, **fields: Any) -> list[Any]:
        """A contact command, as the log would be given it: decided on the profile, recorded for its root."""
        profile = self.profile(contact_id)
        events = decide(command_type(workspace_id=WORKSPACE, contact_id=contact_id, **fields), profile.shown)
        self._record({profile.root.id: events})
        after = self.contacts[profile.root.id]
        self._claim(ContactRules().claims(profile.root, after, profile.others))
        return events

    def edit(self, contact_id: UUID, **details: Any) -> list[Any]:
        return self.do(c.EditContact, contact_id, details=c.Details(**details))

    def plan_merge(self, merge_id: UUID, primary: UUID, *others: UUID, **choices: UUID) -> Plan:
        named = {each: self.profile(each) for each in (primary, *others)}
        fields = {field.replace("__", "."): chosen for field, chosen in choices.items()}
        command = MergeContacts(
            workspace_id=WORKSPACE, merge_id=merge_id, primary=primary, others=others, choices=fields
        )
        return decide_merge(command, named)

    def merge(self, merge_id: UUID, primary: UUID, *others: UUID, **choices: UUID) -> Plan:
        """Choices by field, custom attributes as `attributes__<key>`."""
        plan = self.plan_merge(merge_id, primary, *others, **choices)
        self._carry_out(merge_id, plan)
        return plan

    def plan_unmerge(self, merge_id: UUID, *contacts: UUID, mode: Any = "subtree", **assign: UUID) -> Plan:
        fields = {field.replace("__", "."): taker for field, taker in assign.items()}
        command = UnmergeContacts(
            workspace_id=WORKSPACE, merge_id=merge_id, contacts=contacts, mode=mode, assign=fields
        )
        merge = self.merges.get(merge_id, merges.initial(merge_id))
        leaves = leaving(command, merge)
        profile = self.profile(leaves[0]) if leaves else None
        return decide_unmerge(command, merge, profile, self.before(leaves[0]) if leaves else {})

    def unmerge(self, merge_id: UUID, *contacts: UUID, mode: Any = "subtree", **assign: UUID) -> Plan:
        plan = self.plan_unmerge(merge_id, *contacts, mode=mode, **assign)
        self._carry_out(merge_id, plan)
        return plan

    def before(self, contact_id: UUID) -> dict[UUID, Contact]:
        """Everybody that this one is part of, as it was when that branch came to it."""
        path = self.profile(contact_id).path_to(contact_id)
        return {above.id: own_at(above.id, self.streams[above.id], a.version) for above, a in path}

    def _carry_out(self, merge_id: UUID, plan: Plan) -> None:
        concerned = {self.root_of(contact_id): self.profile(contact_id) for contact_id in plan.contacts}
        ids = [member.id for profile in concerned.values() for member in profile.members]
        for event in plan.merge:
            merge = self.merges.get(merge_id, merges.initial(merge_id))
            self.merges[merge_id] = merges.evolve(merge, event, self.now)
        self._record(plan.contacts)
        after = profiles_of({contact_id: self.contacts[contact_id] for contact_id in ids})
        self._claim(moved_between(map(_pair, concerned.values()), map(_pair, after)))

    def _claim(self, claims: Iterable[Claim]) -> None:
        for claim in sorted(claims, key=lambda claim: claim.take):
            place = (claim.kind, claim.value)
            if claim.take:
                assert self.holders.setdefault(place, claim.holder) == claim.holder, "it belongs to somebody else"
            elif self.holders.get(place) == claim.holder:
                del self.holders[place]

    def _record(self, happened: Mapping[UUID, Iterable[Any]]) -> None:
        self.now += MINUTE
        for contact_id, events in happened.items():
            contact = self.contacts.get(contact_id, initial(contact_id))
            for event in events:
                contact = evolve(contact, event, self.now)
                self._append(contact, event)
            self.contacts[contact_id] = contact

    def _append(self, contact: Contact, event: Any) -> None:
        recorded = RecordedEvent(
            lane=0,
            position=len(self.log) + 1,
            workspace_id=WORKSPACE,
            category=CATEGORY,
            stream_id=contact.id,
            version=contact.version,
            event_id=contact.id,
            type=event.type if isinstance(event, Unreadable) else CODEC.encode(event)[0],
            schema_version=1,
            recorded_at=self.now,
            metadata=METADATA,
            event=event,
        )
        self.log.append(recorded)
        self.streams.setdefault(contact.id, []).append(recorded)


def _pair(profile: Profile) -> tuple[Contact, Mapping[UUID, Contact]]:
    return profile.root, profile.others
