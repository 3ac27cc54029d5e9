"""What a contact looked like after each event that bore on it, and what each event changed. Pure.

A contact is followed through merges: as long as another one stands for it, what is shown is the profile of that one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, TypeAlias
from uuid import UUID

import msgspec
from msgspec.structs import replace

from contacts.addresses import AddressKeys, Digest, family_of
from contacts.audit.fields import CONSENTS, STATUSES, elements, slots, standing_difference
from contacts.consent import record
from contacts.consent.reach import digests_of, reach_of
from contacts.consent.record import AddressRecord
from contacts.consent.standing import Reach, Standing, standing_of
from contacts.contact.changes import FieldChange, difference
from contacts.contact.state import CATEGORY, Contact, fold, initial
from contacts.merge.view import owners, tree, undisputed, view
from contacts.proof import PROOF_OF, ProofRecorded
from contacts.suppression import state as suppression
from contacts.suppression.state import Suppressed
from eventstore.envelope import RecordedEvent

Recorded: TypeAlias = RecordedEvent[Any]
_PROOFS: Final = {proof: facts for facts, proof in PROOF_OF.items()}


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """Up to one position, in the order of the log."""

    contact_id: UUID
    events: tuple[Recorded, ...]
    #: Widest digest by the id of the streams about an address, the workspace's own and those of others.
    addresses: Mapping[UUID, Digest]
    #: Since when e-mails are closed by workspaces of other lanes, whose past cannot be placed in this one.
    closed: Mapping[Digest, datetime]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One event and what it did."""

    recorded: Recorded
    #: The contact whose event it is; None for a fact about an address.
    contact: UUID | None
    #: The address that it is about.
    digest: Digest | None = None
    #: Whose event it is was part of what was shown then.
    shown: bool
    #: Of what was shown; of the contact itself where that was not part of it.
    changes: tuple[FieldChange, ...] = ()
    #: What the contact says itself.
    own: tuple[FieldChange, ...] = ()
    #: Who brought a changed field and by which fact, by field; of sets by field and element.
    origins: Mapping[tuple[str, Any], Origin] = {}


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where a shown value comes from."""

    fact: Recorded
    #: Whose fact it is; None for one about an address.
    contact: UUID | None
    #: The merge by which that contact became part of what is shown; None for the contact that stands for itself.
    merge_id: UUID | None = None


class Chronicle(msgspec.Struct, frozen=True, kw_only=True):
    """A contact's whole past, oldest first."""

    contact_id: UUID
    steps: tuple[Step, ...]
    #: As it is shown after the last of them, and at a moment in between (`at`).
    shown: Contact
    #: After each step that changed it: position and what was shown from there on.
    versions: tuple[tuple[int, Contact], ...]
    #: Where what is shown in the end comes from; as in `Step`. A merge can change it without changing a value.
    origins: Mapping[tuple[str, Any], Origin]
    #: All that is part of it in the end, the contact that stands for it included, and the merges that brought them.
    members: Mapping[UUID, UUID | None]
    #: Addresses that it ever had while it was followed, and that its present members ever had.
    digests: frozenset[Digest]
    #: What was said in words beside facts about addresses, by category, stream and version of the fact.
    proofs: Mapping[tuple[str, UUID, int], ProofRecorded]

    def at(self, position: int) -> Contact | None:
        """What was shown at a position; None before there was anything."""
        found = None
        for since, contact in self.versions:
            if since > position:
                break
            found = contact
        return found


def chronicle(sources: Sources, keys: AddressKeys, workspace_id: UUID) -> Chronicle:
    follower = _Follower(sources, keys, workspace_id)
    for recorded in sources.events:
        follower.take(recorded)
    return follower.chronicle()


class _Follower:
    """Folds everything in the order of the log and compares what is shown before and after."""

    def __init__(self, sources: Sources, keys: AddressKeys, workspace_id: UUID) -> None:
        self._focus = sources.contact_id
        self._addresses = sources.addresses
        self._other_lanes = sources.closed
        self._keys = keys
        self._workspace_id = workspace_id
        self._states: dict[UUID, Contact] = {}
        self._records: dict[Digest, AddressRecord] = {}
        self._closed: dict[tuple[Digest, UUID], Suppressed] = {}
        self._members: set[UUID] = {self._focus}
        self._root = self._focus
        self._merges: dict[UUID, UUID] = {}
        self._reach: tuple[Any, Reach] | None = None
        self._shown = initial(self._focus)
        self._steps: list[Step] = []
        self._versions: list[tuple[int, Contact]] = []
        self._own: dict[tuple[UUID, str, Any], Recorded] = {}
        self._facts: dict[Digest, list[Recorded]] = {}
        self._digests: set[Digest] = set()
        self._digests_of: dict[UUID, set[Digest]] = {}
        self._proofs: dict[tuple[str, UUID, int], ProofRecorded] = {}

    def take(self, recorded: Recorded) -> None:
        if recorded.category == CATEGORY:
            self._take_contact(recorded)
        elif recorded.category in _PROOFS:
            self._take_proof(recorded)
        else:
            self._take_fact(recorded)

    def chronicle(self) -> Chronicle:
        members = {id_: self._merges.get(id_) for id_ in sorted(self._members)}
        digests = self._digests.union(*(self._digests_of.get(id_, set()) for id_ in members))
        return Chronicle(
            contact_id=self._focus,
            steps=tuple(self._steps),
            shown=self._shown,
            origins=self._present_origins(),
            versions=tuple(self._versions),
            members=members,
            digests=frozenset(digests),
            proofs=self._proofs,
        )

    # -- contacts ------------------------------------------------------------------------------------------------------

    def _take_contact(self, recorded: Recorded) -> None:
        id_ = recorded.stream_id
        before = self._states.get(id_) or initial(id_)
        after = self._states[id_] = fold(before, recorded)
        own = difference(before, after)
        for change in own:
            for slot in slots(change):
                self._own[id_, *slot[:2]] = recorded
        if (before.email, before.phone, before.channels) != (after.email, after.phone, after.channels):
            self._digests_of.setdefault(id_, set()).update(digests_of(after, self._keys))
        if id_ not in self._members:
            self._steps.append(Step(recorded=recorded, contact=id_, shown=False, changes=own, own=own))
            return
        changes = self._look(recorded)
        step = Step(
            recorded=recorded,
            contact=id_,
            shown=True,
            changes=changes,
            own=own,
            origins=self._origins(changes, recorded),
        )
        self._steps.append(step)

    def _look(self, recorded: Recorded) -> tuple[FieldChange, ...]:
        """What the event changed of what is shown."""
        root = self._find_root()
        below = tree(root, self._states) if root.composition else []
        if self._focus != root.id and self._focus not in below:
            # In the middle of a merge or unmerge: the next event of the same append says the rest.
            return ()
        self._root, self._members, self._merges = root.id, {root.id, *below}, self._brought(root)
        shown = view(root, self._states)
        standing = self._standing(shown)
        shown = replace(shown, standing=standing) if standing.recorded else shown
        changes = (*difference(self._shown, shown), *standing_difference(self._shown, shown))
        self._shown = shown
        self._versions.append((recorded.position, shown))
        return changes

    def _brought(self, root: Contact) -> dict[UUID, UUID]:
        """By contact, the merge by which it, or what it came along with, became part of `root`."""
        found: dict[UUID, UUID] = {}
        composition = undisputed(root, self._states).composition
        for absorption in composition.absorptions if composition else ():
            for edge in absorption.edges:
                branch = (edge.child, *tree(self._states[edge.child], self._states))
                found |= dict.fromkeys(branch, edge.merge_id)
        return found

    def _find_root(self) -> Contact:
        contact, passed = self._states[self._focus], {self._focus}
        while (above := contact.absorbed_into) is not None and above not in passed and above in self._states:
            passed.add(above)
            contact = self._states[above]
        return contact

    # -- addresses -----------------------------------------------------------------------------------------------------

    def _standing(self, shown: Contact) -> Standing:
        members = [self._states[id_] for id_ in sorted(self._members)]
        key = [(c.email, c.phone, tuple(channel.key for channel in c.channels)) for c in (shown, *members)]
        if self._reach is None or self._reach[0] != key:
            self._reach = key, reach_of(shown, members, self._keys)
            self._digests.update(digest for each in self._reach[1].addresses.values() for digest in each)
        closed = dict(self._other_lanes)
        for (digest, _), state in self._closed.items():
            if state.blacklisting is not None:
                closed[digest] = min(state.blacklisting.since, closed.get(digest, state.blacklisting.since))
        return standing_of(self._reach[1], self._records, closed)

    def _take_fact(self, recorded: Recorded) -> None:
        digest = self._addresses[recorded.stream_id]
        if recorded.workspace_id == self._workspace_id:
            self._records[digest] = record.apply(self._records.get(digest) or record.empty(recorded), recorded)
        else:
            key = digest, recorded.workspace_id
            self._closed[key] = suppression.fold(
                self._closed.get(key) or suppression.initial(recorded.stream_id), recorded
            )
        self._facts.setdefault(digest, []).append(recorded)
        reached = self._reach is not None and any(digest in each for each in self._reach[1].addresses.values())
        changes = self._look(recorded) if reached else ()
        origin = Origin(fact=recorded, contact=None)
        self._steps.append(
            Step(
                recorded=recorded,
                contact=None,
                digest=digest,
                shown=reached,
                changes=changes,
                origins={(change.field, None): origin for change in changes},
            )
        )

    def _take_proof(self, recorded: Recorded) -> None:
        digest = self._addresses[recorded.stream_id]
        if isinstance(recorded.event, ProofRecorded):
            facts = _PROOFS[recorded.category]
            self._proofs[facts, recorded.stream_id, recorded.event.fact_version] = recorded.event
        if digest in self._records:
            self._records[digest] = record.apply(self._records[digest], recorded)

    # -- where values come from ----------------------------------------------------------------------------------------

    def _present_origins(self) -> dict[tuple[str, Any], Origin]:
        if not self._versions:
            return {}
        nothing = initial(self._focus)
        changes = (*difference(nothing, self._shown), *standing_difference(nothing, self._shown))
        return self._origins(changes, self._steps[-1].recorded)

    def _origins(self, changes: Iterable[FieldChange], recorded: Recorded) -> dict[tuple[str, Any], Origin]:
        root = self._states[self._root]
        whose = owners(root, self._states) if root.composition else {}
        found: dict[tuple[str, Any], Origin] = {}
        for change in changes:
            for field, element, value in slots(change):
                if field in STATUSES or field.startswith(CONSENTS):
                    found[field, element] = Origin(fact=self._fact_behind(field) or recorded, contact=None)
                else:
                    owner = self._owner(field, element, value, whose)
                    fact = self._own.get((owner, field, element), recorded)
                    found[field, element] = Origin(fact=fact, contact=owner, merge_id=self._merges.get(owner))
        return found

    def _owner(self, field: str, element: Any, value: Any, whose: Mapping[str, UUID]) -> UUID:
        if element is None:
            return whose.get(field, self._root)
        if value is None:
            return self._root
        for id_ in (self._root, *tree(self._states[self._root], self._states)):
            if element in (key for key, _ in elements(field, getattr(self._states[id_], field))):
                return id_
        return self._root

    def _fact_behind(self, field: str) -> Recorded | None:
        """The last thing said that made a status or a consent what it is, of all that was said about the addresses."""
        assert self._reach is not None
        said = [
            fact
            for digests in self._reach[1].addresses.values()
            for digest in digests
            for fact in self._facts.get(digest, ())
        ]
        if field in STATUSES:
            status = getattr(self._shown.standing, STATUSES[field], None)
            fitting = [fact for fact in said if status is not None and fact.recorded_at == status.since]
        else:
            channel = field.removeprefix(CONSENTS)
            channels = channel, family_of(channel)
            fitting = [fact for fact in said if getattr(fact.event, "channel", None) in channels]
        return max(fitting or said, key=lambda fact: fact.position, default=None)
