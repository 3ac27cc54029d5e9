"""A contact that stands for itself, with all it stands for: what merges are decided on. Pure; loading is elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from uuid import UUID

import msgspec

from contacts.contact.composition import Absorption, Edge
from contacts.contact.events import ContactEvent
from contacts.contact.state import Contact, evolve
from contacts.merge.view import tree, view


class Profile(msgspec.Struct, frozen=True):
    """Own states: of the contact that stands for all, and of the others by id (none for nearly all contacts)."""

    root: Contact
    others: Mapping[UUID, Contact]

    @property
    def shown(self) -> Contact:
        return view(self.root, self.others)

    @property
    def members(self) -> Iterator[Contact]:
        yield self.root
        yield from self.others.values()

    def member(self, contact_id: UUID) -> Contact:
        return self.root if contact_id == self.root.id else self.others[contact_id]

    def __contains__(self, contact_id: UUID) -> bool:
        return contact_id == self.root.id or contact_id in self.others

    def path_to(self, contact_id: UUID) -> list[tuple[Contact, Absorption]]:
        """From the root down: whoever the contact came in by, and the merge that its branch came with."""
        path: list[tuple[Contact, Absorption]] = []
        below = contact_id
        while below != self.root.id:
            parent = self.member(_parent(self.others[below]))
            path.append((parent, _absorption(parent, self.others[below])))
            below = parent.id
        return path[::-1]


def _parent(contact: Contact) -> UUID:
    assert contact.absorbed_into is not None
    return contact.absorbed_into


def _absorption(parent: Contact, child: Contact) -> Absorption:
    assert parent.composition is not None
    assert child.absorbed_by is not None
    edge = Edge(child.id, child.absorbed_by)
    return next(absorption for absorption in parent.composition.absorptions if edge in absorption.edges)


def after(
    profiles: Mapping[UUID, Profile], events: Mapping[UUID, tuple[ContactEvent, ...]], at: datetime
) -> dict[UUID, Contact]:
    """Own states of everybody in `profiles` after the events of each, recorded `at`."""
    states: dict[UUID, Contact] = {}
    for profile in profiles.values():
        states |= {profile.root.id: profile.root, **profile.others}
    for contact_id, happened in events.items():
        for event in happened:
            states[contact_id] = evolve(states[contact_id], event, at)
    return states


def profiles_of(states: Mapping[UUID, Contact]) -> Iterator[Profile]:
    """How contacts group into profiles; with one of a profile, all of it has to be there."""
    for contact in states.values():
        if contact.absorbed_into is None:
            below = tree(contact, states)
            yield Profile(contact, {contact_id: states[contact_id] for contact_id in below})
