"""The profile of merged contacts, as a pure function of what each of them says itself. Decides and stores nothing.

No fact moves when contacts merge: `contact.merged` is an edge from a contact to those it absorbed, and a profile is
what the facts of the whole tree come to. Taking an edge out therefore leaves exactly what would be there without it.
The rules, with their reasons, are in `decisions/0004-a-profile-is-a-fold-of-a-tree.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final, TypeVar
from uuid import UUID

from msgspec.structs import replace

from contacts.contact.composition import ATTRIBUTE_PREFIX, PLAIN_FIELDS, Absorption, Composition, Edge, touch_key
from contacts.contact.state import Channel, Contact

T = TypeVar("T")
Owners = dict[str, UUID]
"""Whose fact a field of a profile shows, by field; fields that are its own are left out."""

PLAIN: Final = frozenset(PLAIN_FIELDS)
SETS: Final = ("tags", "lists", "categories")


def view(root: Contact, members: Mapping[UUID, Contact]) -> Contact:
    """The profile of `root` and all it absorbed, whose own states are in `members`; `root` itself if that is nothing.

    `members` may hold others as well. Its version is that of `root`: whatever changes the tree is told to its root.
    """
    return views(root, members)[root.id] if root.composition else root


def views(root: Contact, members: Mapping[UUID, Contact]) -> dict[UUID, Contact]:
    """The profile of every contact of the tree, as it would be if it stood for itself."""
    return _Tree(root, members).profiles


def owners(root: Contact, members: Mapping[UUID, Contact]) -> Owners:
    """Whose fact each plain field and attribute of the profile shows; fields that are `root`'s own are left out."""
    return _Tree(root, members).owners[root.id]


def tree(root: Contact, members: Mapping[UUID, Contact]) -> list[UUID]:
    """Ids of all that `root` stands for but its own, parents before children."""
    found: list[UUID] = []
    waiting = [root]
    for contact in waiting:
        children = children_of(contact, members)
        found += children
        waiting += [members[child] for child in children]
    return found


def children_of(contact: Contact, members: Mapping[UUID, Contact]) -> list[UUID]:
    """Those it absorbed, but for those that say that another merge did."""
    composition = undisputed(contact, members).composition
    return list(composition.children) if composition is not None else []


def undisputed(contact: Contact, members: Mapping[UUID, Contact]) -> Contact:
    """Without edges to whoever is not in `members`, or says that another merge absorbed it: its last word counts
    (decision 32). One that says nothing yet is about to: its parent is told first."""

    def disputed(edge: Edge) -> bool:
        child = members.get(edge.child)
        return child is None or child.absorbed_by not in (None, edge.merge_id)

    return _without_edges(contact, disputed)


def agreeing(contact: Contact, members: Mapping[UUID, Contact]) -> Contact:
    """With those edges only that the absorbed contacts in `members` confirm.

    Where a reader is behind, two may each claim to have absorbed the other. What is missing is about to come.
    """

    def unconfirmed(edge: Edge) -> bool:
        child = members.get(edge.child)
        return child is None or (child.absorbed_into, child.absorbed_by) != (contact.id, edge.merge_id)

    return _without_edges(contact, unconfirmed)


def _without_edges(contact: Contact, out: Callable[[Edge], bool]) -> Contact:
    if contact.composition is None or not any(map(out, contact.composition.edges)):
        return contact
    absorptions = [
        replace(absorption, edges=edges)
        for absorption in contact.composition.absorptions
        if (edges := tuple(edge for edge in absorption.edges if not out(edge)))
    ]
    composition = replace(contact.composition, absorptions=tuple(absorptions)) if absorptions else None
    return replace(contact, composition=composition)


def value_of(contact: Contact, field: str) -> Any:
    """A plain field or `attributes.<key>`; None where it has none."""
    if field in PLAIN:
        return getattr(contact, field)
    return contact.attributes.get(field.removeprefix(ATTRIBUTE_PREFIX))


class _Tree:
    """One pass from the leaves to the root: no recursion, for nothing limits how deep merges nest."""

    def __init__(self, root: Contact, members: Mapping[UUID, Contact]) -> None:
        self.profiles: dict[UUID, Contact] = {}
        self.owners: dict[UUID, Owners] = {}
        self._facts = {root.id: undisputed(root, members)}
        self._parents: dict[UUID, UUID] = {}
        below = tree(root, members)
        self._facts |= {id_: undisputed(members[id_], members) for id_ in below}
        for contact in map(self._facts.__getitem__, (*reversed(below), root.id)):
            self._show(contact)

    def _show(self, contact: Contact) -> None:
        composition = contact.composition
        if composition is None:
            self.profiles[contact.id], self.owners[contact.id] = contact, {}
            return
        children = tuple(composition.children)
        self._parents |= dict.fromkeys(children, contact.id)
        owner = self.owners[contact.id] = self._owners(contact, composition)
        changes: dict[str, Any] = {
            field: getattr(self._facts[of], field) for field, of in owner.items() if field in PLAIN
        }
        changes["attributes"] = self._attributes(contact, owner)
        for field in SETS:
            changes[field] = tuple(sorted(self._united(contact, composition, field)))
        changes["channels"] = tuple(self._channels(contact, composition))
        absorbed = sum((self.profiles[child].absorbed for child in children), children)
        self.profiles[contact.id] = replace(contact, absorbed=absorbed, **changes)

    # -- fields that hold one value ------------------------------------------------------------------------------------

    def _owners(self, contact: Contact, composition: Composition) -> Owners:
        found: Owners = {}
        attributes = {
            ATTRIBUTE_PREFIX + key for child in composition.children for key in self.profiles[child].attributes
        }
        chosen = {field for absorption in composition.absorptions for field in absorption.choices}
        # In an order that is the same in every process, so that a profile is the same to the byte.
        for field in sorted({*PLAIN_FIELDS, *attributes, *chosen}):
            owner = self._owner(contact, composition, field)
            if owner != contact.id:
                found[field] = owner
        return found

    def _owner(self, contact: Contact, composition: Composition, field: str) -> UUID:
        owner = contact.id
        touched = composition.touched.get(field, 0)
        for absorption in composition.absorptions:
            if touched > absorption.version:
                continue
            chosen = absorption.choices.get(field)
            if chosen is not None and self._is_in_force(contact, absorption, chosen):
                owner = owner if chosen == contact.id else self._owner_in(chosen, field)
            elif value_of(self._facts[owner], field) is None:
                owner = self._first_to_fill(absorption, field) or owner
        return owner

    def _is_in_force(self, contact: Contact, absorption: Absorption, chosen: UUID) -> bool:
        """Until the one that was chosen has left."""
        if chosen == contact.id:
            return True
        node: UUID | None = chosen
        while node is not None and self._parents.get(node) != contact.id:
            node = self._parents.get(node)
        return any(edge.child == node for edge in absorption.edges)

    def _owner_in(self, profile: UUID, field: str) -> UUID:
        return self.owners[profile].get(field, profile)

    def _first_to_fill(self, absorption: Absorption, field: str) -> UUID | None:
        for edge in absorption.edges:
            if value_of(self.profiles[edge.child], field) is not None:
                return self._owner_in(edge.child, field)
        return None

    def _attributes(self, contact: Contact, owner: Owners) -> dict[str, Any]:
        attributes: dict[str, Any] = dict(contact.attributes)
        for field, of in owner.items():
            if field not in PLAIN:
                attributes[field.removeprefix(ATTRIBUTE_PREFIX)] = value_of(self._facts[of], field)
        return {key: value for key, value in attributes.items() if value is not None}

    # -- sets ----------------------------------------------------------------------------------------------------------

    def _united(self, contact: Contact, composition: Composition, field: str) -> Iterable[Any]:
        """Elements that look the same are one, spelt as the first has it."""
        found = {touch_key(field, element): element for element in getattr(contact, field)}
        for absorption in composition.absorptions:
            for edge in absorption.edges:
                for element in getattr(self.profiles[edge.child], field):
                    key = touch_key(field, element)
                    if composition.touched.get(key, 0) < absorption.version:
                        found.setdefault(key, element)
        return found.values()

    def _channels(self, contact: Contact, composition: Composition) -> Iterable[Channel]:
        """In the order they were connected here, then those that came along."""
        found = {channel.key: channel for channel in contact.channels}
        for absorption in composition.absorptions:
            for edge in absorption.edges:
                for channel in self.profiles[edge.child].channels:
                    key = touch_key("channels", *channel.key)
                    if composition.touched.get(key, 0) > absorption.version:
                        continue
                    brought = _seen_here(channel, composition.seen.get(key), absorption.version)
                    known = found.get(channel.key)
                    found[channel.key] = brought if known is None else _united_channel(known, brought)
        return found.values()


def _seen_here(channel: Channel, seen: tuple[int, datetime] | None, absorbed_at: int) -> Channel:
    if seen is None or seen[0] < absorbed_at or seen[1] <= channel.last_seen_at:
        return channel
    return replace(channel, last_seen_at=seen[1])


def _united_channel(known: Channel, other: Channel) -> Channel:
    return replace(
        known,
        first_seen_at=min(known.first_seen_at, other.first_seen_at),
        last_seen_at=max(known.last_seen_at, other.last_seen_at),
    )
