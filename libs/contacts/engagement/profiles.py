"""Profiles while a batch is applied: who stands for whom, what each adds up to, which versions come of it. No I/O.

A version begins with the first event after which a profile shows something else. Of a merged one it begins with every
change of a part as well: so when one of them is erased later, what is left of its versions is what would have come of
the others alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from contacts.activity.events import ActivityRecorded
from contacts.contact.events import ContactErased
from contacts.engagement import state
from contacts.engagement.state import NOTHING, Engagement, Tally
from contacts.merge.events import MergeCompleted, MergeReversed
from eventstore.envelope import RecordedEvent


class Content(msgspec.Struct, frozen=True, gc=False):
    """What one version says; two with the same content are one version."""

    shown: Engagement
    #: By contact in order of id; None where the contact that stands for the profile is all there is to it.
    parts: dict[UUID, Tally] | None = None


class Version(msgspec.Struct, gc=False):
    """A profile as it was, or is, for a while."""

    workspace_id: UUID
    contact_id: UUID
    from_position: int
    #: Not known of those that are stored.
    from_time: datetime | None
    content: Content
    #: None where it still is so.
    to_position: int | None = None
    to_time: datetime | None = None
    #: Whether there is a row of it already.
    stored: bool = False


def content_of(root: UUID, parts: Iterable[tuple[UUID, Tally]]) -> Content | None:
    """None where nothing is known of anybody."""
    known = {contact: tally for contact, tally in sorted(parts) if tally != NOTHING}
    if not known:
        return None
    shown = state.shown(state.together(known.values()))
    return Content(shown, None if known.keys() == {root} else known)


def without(content: Content, root: UUID, contact: UUID) -> Content | None:
    """As it would be had `contact` done nothing."""
    if content.parts is None:
        return None if contact == root else content
    return content_of(root, ((each, tally) for each, tally in content.parts.items() if each != contact))


class Profiles:
    """The contacts a batch concerns, with everybody they are merged with."""

    def __init__(self) -> None:
        self.tallies: dict[UUID, Tally] = {}
        self.parents: dict[UUID, UUID] = {}
        self._children: dict[UUID, set[UUID]] = {}
        self.workspaces: dict[UUID, UUID] = {}
        #: By the contact that stands for the profile.
        self.present: dict[UUID, Version] = {}
        #: Those that came to their end in this batch.
        self.ended: list[Version] = []
        #: Contacts whose own activity, or place in a merge, is another than what is stored.
        self.changed: set[UUID] = set()

    def add(self, workspace_id: UUID, contact: UUID, tally: Tally, parent: UUID | None = None) -> None:
        """One as it is stored."""
        self.workspaces[contact] = workspace_id
        self.tallies[contact] = tally
        if parent is not None:
            self._attach(contact, parent)

    def add_version(self, contact: UUID, from_position: int) -> None:
        """That there is a row of the profile; when all its contacts were added."""
        content = self._content(contact)
        assert content is not None, "a row that shows nothing is taken away"
        self.present[contact] = Version(self.workspaces[contact], contact, from_position, None, content, stored=True)

    def apply(self, recorded: RecordedEvent[Any]) -> None:
        """One event, in order of position."""
        for root in self._affected(recorded):
            self._keep(root, recorded)

    def tree(self, root: UUID) -> Iterator[UUID]:
        """Everybody it stands for, itself first."""
        yield root
        for child in self._children.get(root, ()):
            yield from self.tree(child)

    def root(self, contact: UUID) -> UUID:
        while (parent := self.parents.get(contact)) is not None:
            contact = parent
        return contact

    def is_merged(self, contact: UUID) -> bool:
        return contact in self.parents or bool(self._children.get(contact))

    def _affected(self, recorded: RecordedEvent[Any]) -> set[UUID]:
        """Changes what the event changes; who may show something else after it."""
        contact, workspace_id = recorded.stream_id, recorded.workspace_id
        match recorded.event:
            case ActivityRecorded() as event:
                self._know(workspace_id, contact)
                tally = state.fold(self.tallies[contact], event, recorded.position)
                if tally is self.tallies[contact]:
                    return set()
                self._set(contact, tally)
                return {self.root(contact)}
            case ContactErased():
                self._know(workspace_id, contact)
                self._set(contact, NOTHING)
                return {self.root(contact)}
            case MergeCompleted(primary=primary, others=others):
                self._know(workspace_id, primary, *others)
                # Somebody else stood for one of them only where that should have been refused (decision 32).
                stood = {self.root(other) for other in others}
                for other in others:
                    if self.root(primary) != other:
                        self._detach(other)
                        self._attach(other, primary)
                # The contact that stands for them is another now.
                self.changed.update(self.tree(primary))
                return {primary, *others, *stood}
            case MergeReversed() as event:
                return self._reverse(workspace_id, event)
        # What can no longer be read is as good as gone.
        return set()

    def _reverse(self, workspace_id: UUID, event: MergeReversed) -> set[UUID]:
        self._know(workspace_id, event.out_of, *event.contacts)
        # Who was part of it, and may now be part of another or of none.
        self.changed.update(self.tree(event.out_of))
        for contact in event.contacts:
            if self.root(contact) != event.out_of:
                continue  # It was not what the edge said that is taken out.
            parent = self._detach(contact)
            if event.mode == "single" and parent is not None:
                # What it brought along stays behind.
                for child in tuple(self._children.get(contact, ())):
                    self._detach(child)
                    self._attach(child, parent)
        return {event.out_of, *event.contacts}

    def _keep(self, root: UUID, recorded: RecordedEvent[Any]) -> None:
        before = self.present.get(root)
        content = None if root in self.parents else self._content(root)
        if before is not None and before.content == content:
            return
        if before is not None:
            before.to_position, before.to_time = recorded.position, recorded.recorded_at
            self.ended.append(self.present.pop(root))
            self.changed.add(root)
        if content is not None:
            self.present[root] = Version(
                self.workspaces[root], root, recorded.position, recorded.recorded_at, content
            )  # fmt: skip
            self.changed.add(root)

    def _content(self, root: UUID) -> Content | None:
        return content_of(root, ((contact, self.tallies[contact]) for contact in self.tree(root)))

    def _know(self, workspace_id: UUID, *contacts: UUID) -> None:
        for contact in contacts:
            self.workspaces.setdefault(contact, workspace_id)
            self.tallies.setdefault(contact, NOTHING)

    def _set(self, contact: UUID, tally: Tally) -> None:
        self.tallies[contact] = tally
        self.changed.add(contact)

    def _attach(self, contact: UUID, parent: UUID) -> None:
        self.parents[contact] = parent
        self._children.setdefault(parent, set()).add(contact)

    def _detach(self, contact: UUID) -> UUID | None:
        parent = self.parents.pop(contact, None)
        if parent is not None:
            self._children[parent].discard(contact)
        return parent
