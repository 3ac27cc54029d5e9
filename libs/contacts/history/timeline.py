"""What is shown of contacts from event to event: the versions that a run of events makes. Pure; rows are elsewhere.

Events are taken one after the other in the order of the log, so that the versions are the same whatever the batches.
What they meet must be there beforehand: whoever they are about with all their kin, those who have an address of which
something is recorded among them, and what is recorded of their addresses (`world`).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from contacts.addresses import EMAIL, AddressKeys, Digest
from contacts.consent import record
from contacts.consent.reach import digests_of
from contacts.consent.record import CATEGORIES as ADDRESS_CATEGORIES
from contacts.consent.record import AddressRecord
from contacts.contact.standings import Found, is_over_limit, limited
from contacts.contact.state import CATEGORY, Contact, fold, initial
from contacts.history.room import Room
from contacts.merge.rows import shown_of
from contacts.merge.view import agreeing
from contacts.proof import ProofDestroyed
from contacts.workspace.events import WorkspaceSettingsChanged
from eventstore.envelope import RecordedEvent
from eventstore.projection import PoisonedEvent

#: What events say of whether a contact takes room, which can still be told of those that were erased.
_TAKES_ROOM: Final = {
    "contact.created": True,
    "contact.deleted": False,
    "contact.restored": True,
    "contact.absorbed": False,
    "contact.reinstated": True,
    "contact.erased": False,
}


class Version(msgspec.Struct, gc=False):
    """A contact as it was shown from one event to another."""

    workspace_id: UUID
    contact: Contact
    from_position: int
    from_time: datetime
    #: Whether the search box finds it by something else than the version before.
    search_is_new: bool = True
    #: Whether there is a row of it.
    stored: bool = False
    #: The event that ended it; None while it is valid.
    to_position: int | None = None
    to_time: datetime | None = None


class World(msgspec.Struct, gc=False):
    """Everything a run of events meets, and what it leaves."""

    keys: AddressKeys
    workspaces: dict[UUID, UUID] = {}
    #: What contacts say themselves, erased ones too.
    own: dict[UUID, Contact] = {}
    #: What is valid now of whom anything is shown.
    shown: dict[UUID, Version] = {}
    #: Of erased contacts only.
    takes_room: dict[UUID, bool] = {}
    #: By id of the streams.
    records: dict[UUID, AddressRecord] = {}
    found: Found = msgspec.field(default_factory=lambda: Found({}, {}, set()))
    #: Who has an address, for those addresses that events say something of.
    holders: dict[Digest, set[UUID]] = {}
    #: Workspaces that have a limit or are given one, where contacts come or go.
    rooms: dict[UUID, Room] = {}
    #: By workspace, how many more take room than before.
    came: dict[UUID, int] = {}


class Timeline:
    """Takes events in order. `ended` has what was valid before and is no more; `new` all versions that began."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.ended: list[Version] = []
        self.new: list[Version] = []
        #: Contacts that an event was about.
        self.changed: dict[UUID, UUID] = {}
        #: Which of them came to have which address.
        self.had: set[tuple[Digest, UUID]] = set()
        #: Addresses of which words that were said can no longer be read, not even those of the past.
        self.unsaid: set[Digest] = set()
        self._digests: dict[UUID, set[Digest]] = {}

    def take(self, event: RecordedEvent[Any]) -> None:
        """Raises PoisonedEvent; what was taken is of no use then."""
        if event.category == CATEGORY:
            concerned = self._contact(event)
        elif event.category in ADDRESS_CATEGORIES:
            concerned = self._fact(event)
        else:
            concerned = self._limit(event)
        for contact_id in concerned:
            self.show(contact_id, event.position, event.recorded_at)

    # -- what happens --------------------------------------------------------------------------------------------------

    def _contact(self, event: RecordedEvent[Any]) -> set[UUID]:
        own, contact_id = self.world.own, event.stream_id
        before = own.get(contact_id) or initial(contact_id)
        if event.version <= before.version:
            return set()
        if event.version > before.version + 1:
            reason = f"found version {event.version}, expected {before.version + 1}"
            raise PoisonedEvent(contact_id, event, reason)
        concerned = {contact_id}
        if before.absorbed_into is not None:
            concerned |= self._above(before)
        after = own[contact_id] = fold(before, event)
        if after.absorbed_into is not None:
            concerned |= self._above(after)
        self.changed[contact_id] = self.world.workspaces[contact_id] = event.workspace_id
        if (before.email, before.phone, before.channels) != (after.email, after.phone, after.channels) or after.erased:
            self._move(before, after)
        return concerned | self._make_room(event, before, after)

    def _above(self, contact: Contact) -> set[UUID]:
        """Whoever stands for it, and for that one."""
        above: set[UUID] = set()
        while (into := contact.absorbed_into) is not None and into not in above:
            above.add(into)
            contact = self.world.own.get(into) or initial(into)
        return above

    def _move(self, before: Contact, after: Contact) -> None:
        contact_id, holders = after.id, self.world.holders
        had = self._digests_of(contact_id, before)
        del self._digests[contact_id]
        has = self._digests_of(contact_id, after)
        self.had.update((address, contact_id) for address in has - had)
        for address in had ^ has:
            if address in holders:
                (holders[address].add if address in has else holders[address].discard)(contact_id)

    def _make_room(self, event: RecordedEvent[Any], before: Contact, after: Contact) -> set[UUID]:
        contact_id, takes_room = event.stream_id, self.world.takes_room
        took = takes_room.get(contact_id, False) if before.erased else _takes_room(before)
        takes = _TAKES_ROOM.get(event.type, took) if after.erased else _takes_room(after)
        if after.erased:
            takes_room[contact_id] = takes
        if took == takes:
            return set()
        self.world.came[event.workspace_id] = self.world.came.get(event.workspace_id, 0) + (1 if takes else -1)
        room = self.world.rooms.get(event.workspace_id)
        if room is None:
            return set()
        assert after.created_at is not None, "the first event of a contact says when it was created"
        place = after.created_at, contact_id
        return room.came(place) if takes else room.went(place)

    def _fact(self, event: RecordedEvent[Any]) -> set[UUID]:
        world = self.world
        before = world.records.get(event.stream_id) or record.empty(event)
        try:
            after = record.apply(before, event)
        except ValueError as error:
            raise PoisonedEvent(event.stream_id, event, str(error)) from None
        if not after.address:
            raise PoisonedEvent(event.stream_id, event, "the fact that names its address is missing")
        if isinstance(event.event, ProofDestroyed):
            self.unsaid.add(after.address)
        if after == before:
            return set()
        world.records[event.stream_id] = after
        keep_record(world.found, event.workspace_id, after)
        return {
            root
            for holder in world.holders.get(after.address, ())
            for root in (holder, *self._above(world.own[holder]))
        }

    def _limit(self, event: RecordedEvent[Any]) -> set[UUID]:
        room, said = self.world.rooms.get(event.workspace_id), event.event
        if room is None or not isinstance(said, WorkspaceSettingsChanged) or said.contact_limit is msgspec.UNSET:
            return set()
        return room.limited(said.contact_limit, event.version)

    # -- what is shown -------------------------------------------------------------------------------------------------

    def show(self, contact_id: UUID, from_position: int, from_time: datetime) -> None:
        """Begins a version where something else is to be shown now."""
        before, after = self.world.shown.get(contact_id), self._shown(contact_id)
        if before is None and after is None:
            return
        search_is_new = before is None or (after is not None and _searched(before.contact) != _searched(after))
        if before is not None:
            if before.contact == after:
                return
            if before.from_position >= from_position:
                # Only where a parked event is taken late: its version takes the place of the one that came before it.
                from_position, from_time = before.from_position, before.from_time
                search_is_new |= before.search_is_new
            before.to_position, before.to_time = from_position, from_time
            if before.stored:
                self.ended.append(before)
            del self.world.shown[contact_id]
        if after is not None:
            version = Version(self.world.workspaces[contact_id], after, from_position, from_time, search_is_new)
            self.world.shown[contact_id] = version
            self.new.append(version)

    def _shown(self, contact_id: UUID) -> Contact | None:
        contact = self.world.own.get(contact_id)
        if contact is None or not contact.exists or contact.erased or contact.absorbed_into is not None:
            return None
        if contact.composition is None:
            return self._standing(contact, ())
        tree = {each.id: agreeing(each, self.world.own) for each in self._tree(contact)}
        shown, _ = shown_of(contact, tree)
        return self._standing(shown, [self.world.own[id_] for id_ in (shown.id, *shown.absorbed)])

    def _tree(self, root: Contact) -> list[Contact]:
        """The contact and all that may be below it."""
        own, found = self.world.own, {root.id: root}
        waiting = [root]
        for contact in waiting:
            for child in contact.composition.children if contact.composition is not None else ():
                if child not in found:
                    found[child] = own.setdefault(child, initial(child))
                    waiting.append(found[child])
        return waiting

    def _standing(self, shown: Contact, kin: Iterable[Contact]) -> Contact:
        workspace_id, found = self.world.workspaces[shown.id], self.world.found
        if (room := self.world.rooms.get(workspace_id)) is not None:
            over_limit = shown.id in room.over
        else:
            # Nobody comes or goes in this workspace, so that it is as it was.
            before = self.world.shown.get(shown.id)
            over_limit = before is not None and is_over_limit(before.contact)
        if found.recorded and self._is_recorded(shown, kin):
            standing = found.of(workspace_id, shown, kin, self.world.keys, over_limit=over_limit)
            return replace(shown, standing=standing)
        return limited(shown, over_limit=True) if over_limit else shown

    def _is_recorded(self, shown: Contact, kin: Iterable[Contact]) -> bool:
        recorded = self.world.found.recorded
        own = digests_of(shown, self.world.keys) if kin else self._digests_of(shown.id, shown)
        if not recorded.isdisjoint(own):
            return True
        return any(not recorded.isdisjoint(self._digests_of(each.id, each)) for each in kin)

    def _digests_of(self, contact_id: UUID, own: Contact) -> set[Digest]:
        found = self._digests.get(contact_id)
        if found is None:
            found = self._digests[contact_id] = set() if own.erased else digests_of(own, self.world.keys)
        return found


def keep_record(found: Found, workspace_id: UUID, after: AddressRecord) -> None:
    """What is recorded of an address now, in `found`."""
    found.recorded.add(after.address)
    found.records.setdefault(workspace_id, {})[after.address] = after
    closed, entry = found.closed.setdefault(after.address, {}), after.suppressed.blacklisting
    if entry is not None and after.suppressed.family == EMAIL:
        closed[workspace_id] = entry.since
    else:
        closed.pop(workspace_id, None)


def _searched(contact: Contact) -> tuple[str | None, ...]:
    """All that `contacts.contact.search` looks in."""
    return (
        contact.first_name, contact.last_name, contact.email, contact.phone, contact.external_id, contact.messaging_id,
    )  # fmt: skip


def _takes_room(contact: Contact) -> bool:
    return contact.exists and not contact.deleted and contact.absorbed_into is None and not contact.erased
