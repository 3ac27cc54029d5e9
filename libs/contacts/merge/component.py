"""The contacts that one profile is made of, loaded from the log: as they are now, or as they were at a position."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final
from uuid import UUID

from contacts import errors
from contacts.contact.state import CATEGORY, Contact, fold, initial
from contacts.execution import ATTEMPTS_MAX, NOTHING, Met
from contacts.merge.view import agreeing, children_of
from eventstore.envelope import Stream

if TYPE_CHECKING:
    from eventstore.aggregate import Aggregates
    from eventstore.store import EventStore

#: Streams read at once for a past moment.
READS_MAX: Final = 16


class Components:
    """What contact commands meet: an absorbed contact leads to the one that stands for it, with all it stands for."""

    def __init__(self, store: EventStore, aggregates: Aggregates[Contact]) -> None:
        self._store = store
        self.aggregates = aggregates

    async def meet(self, stream: Stream, *, fresh: bool = False) -> Met[Contact]:
        """The contact that stands for the one named, and the others it stands for.

        A contact outside any merge may come from the cache and be behind, which an append finds out. Otherwise only the
        root may: its version covers the whole tree, because every change of the tree is told to the root's stream.
        """
        contact, version = await self.aggregates.load(stream, fresh=fresh)
        if contact.absorbed_into is None and contact.composition is None:
            return Met(stream=stream, version=version, state=contact)
        root = await self._root(stream.workspace_id, contact, fresh=fresh)
        others = None if root is None else await self._others(stream.workspace_id, root)
        if root is None or others is None or (stream.id != root.id and stream.id not in others):
            # Something moved between two reads, or was moved by another process before.
            return await self._meet_at_once(stream)
        root_stream = Stream(stream.workspace_id, CATEGORY, root.id)
        return Met(stream=root_stream, version=root.version, state=root, others=others)

    async def _meet_at_once(self, stream: Stream) -> Met[Contact]:
        """Reads everybody in one query, so that however often they are merged and unmerged they are seen at one moment.

        Only who turns out to belong to them makes for another look.
        """
        known = {stream.id}
        before: dict[UUID, int] = {}
        for _attempt in range(ATTEMPTS_MAX):
            states = {contact.id: contact for contact in await self.load_all(stream.workspace_id, sorted(known))}
            now = {contact.id: contact.version for contact in states.values()}
            # What nobody moved between two readings is as the log has it, whether it agrees or not.
            met, unknown = _found_in(states, stream, settled=now == before)
            if met is not None:
                return met
            known |= unknown
            before = now
        raise errors.TooContended(ATTEMPTS_MAX)

    async def others_at(self, stream: Stream, state: Contact, position: int) -> Mapping[UUID, Contact]:
        """What `state` stood for at a position at which it was the state of the stream."""
        return await _others_at(self._store, stream.workspace_id, state, position) if state.composition else NOTHING

    async def load(self, workspace_id: UUID, contact_id: UUID) -> Contact:
        """What a contact's own stream says of it, read anew."""
        contact, _ = await self.aggregates.load(Stream(workspace_id, CATEGORY, contact_id), fresh=True)
        return contact

    async def load_all(self, workspace_id: UUID, contact_ids: Iterable[UUID]) -> list[Contact]:
        """The same for several, in their order, in one round trip."""
        return list(await asyncio.gather(*(self.load(workspace_id, contact_id) for contact_id in contact_ids)))

    async def _root(self, workspace_id: UUID, contact: Contact, *, fresh: bool) -> Contact | None:
        """None where it was not found, because of a cached state that is behind."""
        passed = {contact.id}
        while contact.absorbed_into is not None:
            stream = Stream(workspace_id, CATEGORY, contact.absorbed_into)
            contact, _ = await self.aggregates.load(stream, fresh=fresh)
            if contact.id in passed:
                return None
            passed.add(contact.id)
        return contact

    async def _others(self, workspace_id: UUID, root: Contact) -> dict[UUID, Contact] | None:
        """None where `root` is behind: one that it lists is no longer in its place."""
        others: dict[UUID, Contact] = {}
        parents = [root]
        while parents:
            places = [(child, p.id) for p in parents if p.composition for child in p.composition.children]
            parents = await self.load_all(workspace_id, [child for child, _ in places])
            for contact, (_, parent) in zip(parents, places, strict=True):
                if contact.absorbed_into != parent or contact.id in others:
                    return None
                others[contact.id] = contact
        return others


def _found_in(
    states: Mapping[UUID, Contact], stream: Stream, *, settled: bool
) -> tuple[Met[Contact] | None, set[UUID]]:
    """The tree of the contact as `states` have it; None where some of it is missing, and who that is.

    Unless `settled`, whoever does not say what its parent says was read too early or too late.
    """
    root, passed = states[stream.id], {stream.id}
    while root.absorbed_into is not None and root.absorbed_into not in passed:
        if root.absorbed_into not in states:
            return None, {root.absorbed_into}
        passed.add(root.absorbed_into)
        root = states[root.absorbed_into]
    if root.absorbed_into is not None:
        return None, set()
    others: dict[UUID, Contact] = {}
    waiting = [root]
    for parent in waiting:
        said = list(parent.composition.children) if parent.composition else []
        if unknown := {child for child in said if child not in states}:
            return None, unknown
        agreed = agreeing(parent, states).composition
        children = list(agreed.children) if agreed else []
        if children != said and not settled:
            # They were too many for one query, and something moved between two.
            return None, set()
        others |= {child: states[child] for child in children}
        waiting += [states[child] for child in children]
    if stream.id != root.id and stream.id not in others:
        return None, set()
    met = Met(stream=Stream(stream.workspace_id, CATEGORY, root.id), version=root.version, state=root, others=others)
    return met, set()


async def meet_at(store: EventStore, stream: Stream, position: int) -> Met[Contact]:
    """As `Components.meet`, as it was at a position; version 0 where the contact did not exist yet."""
    contact, passed = await _contact_at(store, stream, position), {stream.id}
    while contact.absorbed_into is not None and contact.absorbed_into not in passed:
        passed.add(contact.absorbed_into)
        stream = Stream(stream.workspace_id, CATEGORY, contact.absorbed_into)
        contact = await _contact_at(store, stream, position)
    others = await _others_at(store, stream.workspace_id, contact, position) if contact.composition else NOTHING
    return Met(stream=stream, version=contact.version, state=contact, others=others)


async def _others_at(store: EventStore, workspace_id: UUID, root: Contact, position: int) -> dict[UUID, Contact]:
    others: dict[UUID, Contact] = {}
    gate = asyncio.Semaphore(READS_MAX)

    async def read(contact_id: UUID) -> Contact:
        async with gate:
            return await _contact_at(store, Stream(workspace_id, CATEGORY, contact_id), position)

    parents = [root]
    while parents:
        children = [child for parent in parents if parent.composition for child in parent.composition.children]
        read_now = {contact.id: contact for contact in await asyncio.gather(*map(read, children))}
        parents = [read_now[child] for parent in parents for child in children_of(parent, read_now)]
        others |= {contact.id: contact for contact in parents}
    return others


async def _contact_at(store: EventStore, stream: Stream, position: int) -> Contact:
    contact = initial(stream.id)
    for recorded in await store.read_stream(stream, to_position=position):
        contact = fold(contact, recorded)
    return contact
