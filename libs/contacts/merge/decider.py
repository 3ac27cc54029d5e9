"""Merge rules: (command, profiles) -> events for every stream concerned. No I/O, no clock; showing is in `view.py`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final
from uuid import UUID

import msgspec

from contacts import errors
from contacts.contact import events as e
from contacts.contact.composition import ATTRIBUTE_PREFIX, PLAIN_FIELDS
from contacts.contact.state import Contact
from contacts.merge.commands import MergeContacts, UnmergeContacts
from contacts.merge.edits import Edit, edits, handed_over, taken_back
from contacts.merge.events import MergeCompleted, MergeEvent, MergeReversed
from contacts.merge.profile import Profile
from contacts.merge.state import Merge
from contacts.merge.view import agreeing, view
from contacts.restore.decider import restored

#: Others that one merge may have.
WIDTH_MAX: Final = 100
NOTHING: Final[Mapping[UUID, tuple[e.Released, ...]]] = MappingProxyType({})


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a command comes to, all of it or nothing. No events where everything is as wanted already."""

    #: By contact, in the order in which they are recorded.
    contacts: dict[UUID, tuple[e.ContactEvent, ...]] = {}
    merge: tuple[MergeEvent, ...] = ()
    #: The merge that did before what was asked now.
    done_by: UUID | None = None


def decide_merge(
    command: MergeContacts, profiles: Mapping[UUID, Profile], taken: Mapping[UUID, tuple[e.Released, ...]] = NOTHING
) -> Plan:
    """`profiles` has one for every contact named: that of the contact which stands for it.

    `taken` says of deleted ones, by the root's id, what others hold meanwhile.

    Raises:
        Refusal: as the command names.
    """
    primary = _mergeable(command.primary, profiles[command.primary], command)
    others = list(_others(command, primary, profiles))
    if len(others) > WIDTH_MAX:
        raise errors.TooMany("others in one merge", WIDTH_MAX)
    if not others:
        return Plan(done_by=primary.others[command.others[0]].absorbed_by)
    choices = _choices(command, primary, [profiles[other] for other in others])
    contacts: dict[UUID, tuple[e.ContactEvent, ...]] = {}
    for profile in (primary, *(profiles[other] for other in others)):
        if profile.root.deleted:
            contacts |= restored(profile, command.reason, taken.get(profile.root.id, ()))
        for contact, void in _void_edges(profile):
            contacts[contact] = (*contacts.get(contact, ()), void)
    merged = e.ContactMerged(merge_id=command.merge_id, others=tuple(others), choices=choices)
    contacts[primary.root.id] = (*contacts.get(primary.root.id, ()), merged)
    for other in others:
        absorbed = e.ContactAbsorbed(merge_id=command.merge_id, into=primary.root.id)
        contacts[other] = (*contacts.get(other, ()), absorbed)
    completed = MergeCompleted(primary=primary.root.id, others=tuple(others), choices=choices)
    return Plan(contacts=contacts, merge=(completed,))


def _mergeable(named: UUID, profile: Profile, command: MergeContacts) -> Profile:
    contact = profile.root
    if not contact.exists:
        raise errors.ContactNotFound(named)
    if contact.erased:
        raise errors.ContactIsErased(named)
    if contact.deleted and not command.restore:
        raise errors.ContactIsDeleted(named)
    if contact.blocked:
        raise errors.ContactIsBlocked(named)
    return profile


def _others(command: MergeContacts, primary: Profile, profiles: Mapping[UUID, Profile]) -> Iterator[UUID]:
    """Each once, without those that are part of the primary already."""
    for other in dict.fromkeys(command.others):
        if other in (command.primary, primary.root.id):
            raise errors.MergedWithItself(other)
        if other not in primary:
            profile = profiles[other]
            if other != profile.root.id:
                raise errors.AlreadyAbsorbed(other, profile.root.id)
            yield _mergeable(other, profile, command).root.id


def _void_edges(profile: Profile) -> Iterator[tuple[UUID, e.ContactUnmerged]]:
    """Takes out what older logs may hold: edges to contacts that another merge made part of a profile."""
    for contact in profile.members:
        if contact.composition is None or (agreed := agreeing(contact, profile.others)) is contact:
            continue
        kept = set(agreed.composition.edges) if agreed.composition else set()
        for edge in contact.composition.edges:
            if edge not in kept:
                yield contact.id, e.ContactUnmerged(merge_id=edge.merge_id, contacts=(edge.child,))


def _choices(command: MergeContacts, primary: Profile, others: list[Profile]) -> dict[str, UUID]:
    wrong: list[errors.InvalidField] = []
    choices: dict[str, UUID] = {}
    for field, contact in command.choices.items():
        if not _is_field(field, (primary, *others)):
            wrong.append(_no_field("/choices", field))
        elif contact in (command.primary, primary.root.id):
            choices[field] = primary.root.id
        elif any(contact in other for other in others):
            choices[field] = contact
        else:
            expected = "the primary, one of the others, or a contact that is part of one of them"
            wrong.append(errors.InvalidField(f"/choices/{field}", "names a contact outside this merge", expected))
    if wrong:
        raise errors.InvalidInput(wrong)
    return choices


def _is_field(field: str, profiles: tuple[Profile, ...]) -> bool:
    if field in PLAIN_FIELDS:
        return True
    key = field.removeprefix(ATTRIBUTE_PREFIX)
    return key != field and any(key in profile.shown.attributes for profile in profiles)


def _no_field(pointer: str, field: str) -> errors.InvalidField:
    # RFC 6901: `~` and `/` inside a pointer's part are escaped.
    place = field[:100].replace("~", "~0").replace("/", "~1")
    expected = "one of " + ", ".join(PLAIN_FIELDS) + ", or attributes.<key> of an attribute that one of them has"
    return errors.InvalidField(f"{pointer}/{place}", "is no field that can be chosen", expected)


# -- unmerge ----------------------------------------------------------------------------------------------------------


def leaving(command: UnmergeContacts, merge: Merge) -> tuple[UUID, ...]:
    """Who is to stand for itself again and does not yet. Raises MergeNotFound, NotInMerge."""
    if not merge.exists:
        raise errors.MergeNotFound(command.merge_id)
    for contact in command.contacts:
        if contact not in merge.others:
            raise errors.NotInMerge(contact, merge.id)
    return tuple(contact for contact in merge.merged if not command.contacts or contact in command.contacts)


def decide_unmerge(
    command: UnmergeContacts, merge: Merge, profile: Profile | None, before: Mapping[UUID, Contact]
) -> Plan:
    """`profile` is what the leaving contacts are part of, None where nobody leaves.

    `before` has every contact that is given edits of, as it was when the branch of the leaving ones came to it
    (`Profile.path_to`). All that one merge absorbed and still holds has one parent: it moves together.

    Raises:
        Refusal: as the command names.
    """
    contacts = leaving(command, merge)
    if not contacts or profile is None:
        return Plan(done_by=merge.id)
    if profile.root.erased:
        raise errors.ContactIsErased(profile.root.id)
    given = _given(command, contacts, profile, before)
    happened: dict[UUID, tuple[e.ContactEvent, ...]] = {}
    reattached = tuple(_reattached(contacts, profile)) if command.mode == "single" else ()
    parent = profile.path_to(contacts[0])[-1][0]
    stays = dict.fromkeys((profile.root.id, parent.id, *(edit.contact for edit in given.values())))
    for contact_id in stays:
        own = [edit for edit in given.values() if edit.contact == contact_id]
        unmerged = e.ContactUnmerged(
            merge_id=merge.id,
            contacts=contacts,
            mode=command.mode,
            reattached=reattached,
            given={key: gift for edit in own for key, gift in edit.given.items()},
        )
        happened[contact_id] = (*taken_back(profile.member(contact_id), own), unmerged)
    for contact_id in contacts:
        own = [edit for field, edit in given.items() if command.assign[field] == contact_id]
        reinstated = e.ContactReinstated(merge_id=merge.id, out_of=profile.root.id, mode=command.mode)
        happened[contact_id] = (reinstated, *handed_over(_alone(profile, contact_id, command.mode), own))
    for moved in reattached:
        happened[moved.contact] = (e.ContactAbsorbed(merge_id=moved.merge_id, into=parent.id),)
    for contact_id, void in _void_edges(profile):
        happened[contact_id] = (*happened.get(contact_id, ()), void)
    reversed_ = MergeReversed(
        contacts=contacts, out_of=profile.root.id, mode=command.mode, assigned=dict(command.assign)
    )
    return Plan(contacts=happened, merge=(reversed_,))


def with_void(plan: Plan, merge: Merge, void: tuple[UUID, ...]) -> Plan:
    """The same, and out come those that the merge names and that are no part of it: they stay where they are."""
    assert merge.primary is not None
    unmerged = e.ContactUnmerged(merge_id=merge.id, contacts=void)
    contacts = {**plan.contacts, merge.primary: (*plan.contacts.get(merge.primary, ()), unmerged)}
    return Plan(contacts=contacts, merge=(*plan.merge, MergeReversed(contacts=void, out_of=merge.primary)))


def _given(
    command: UnmergeContacts, contacts: tuple[UUID, ...], profile: Profile, before: Mapping[UUID, Contact]
) -> dict[str, Edit]:
    if not command.assign:
        return {}
    wrong: list[errors.InvalidField] = []
    given: dict[str, Edit] = {}
    edited = edits(profile, contacts[0], before)
    for field, contact in command.assign.items():
        place = f"/assign/{field[:100].replace('~', '~0').replace('/', '~1')}"
        if contact not in contacts:
            wrong.append(errors.InvalidField(place, "names a contact that does not leave", "one that does"))
        elif field not in edited:
            expected = "one of " + ", ".join(sorted(edited)) if edited else "none: nothing was edited"
            wrong.append(errors.InvalidField(place, "was not edited on the merged profile", expected))
        else:
            given[field] = edited[field]
    if wrong:
        raise errors.InvalidInput(wrong)
    return given


def _reattached(contacts: tuple[UUID, ...], profile: Profile) -> Iterator[e.Reattached]:
    for contact in contacts:
        composition = agreeing(profile.others[contact], profile.others).composition
        for absorption in composition.absorptions if composition else ():
            for edge in absorption.edges:
                yield e.Reattached(contact=edge.child, merge_id=edge.merge_id, instead_of=contact)


def _alone(profile: Profile, contact_id: UUID, mode: e.UnmergeMode) -> Contact:
    """What it will be shown as before edits go with it."""
    contact = profile.others[contact_id]
    return contact if mode == "single" else view(contact, profile.others)
