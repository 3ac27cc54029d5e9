"""The contacts that one profile is made of, loaded from the log: as they are now, or as they were at a position."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final
from uuid import UUID

from contacts import errors
from contacts.contact.state import CATEGORY, Contact, fold, initial
from contacts.execution import ATTEMPTS_MAX, NOTHING, Met
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
        for _attempt in range(ATTEMPTS_MAX):
            root = await self._root(stream.workspace_id, contact, fresh=fresh)
            others = None if root is None else await self._others(stream.workspace_id, root)
            if root is not None and others is not None and (stream.id == root.id or stream.id in others):
                root_stream = Stream(stream.workspace_id, CATEGORY, root.id)
                return Met(stream=root_stream, version=root.version, state=root, others=others)
            # Something moved between two reads, or was moved by another process before.
            fresh = True
            contact, _ = await self.aggregates.load(stream, fresh=True)
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
                if contact.absorbed_into != parent:
                    return None
                others[contact.id] = contact
        return others


async def meet_at(store: EventStore, stream: Stream, position: int) -> Met[Contact]:
    """As `Components.meet`, as it was at a position; version 0 where the contact did not exist yet."""
    contact = await _contact_at(store, stream, position)
    while contact.absorbed_into is not None:
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
        parents = list(await asyncio.gather(*map(read, children)))
        others |= {contact.id: contact for contact in parents}
    return others


async def _contact_at(store: EventStore, stream: Stream, position: int) -> Contact:
    contact = initial(stream.id)
    for recorded in await store.read_stream(stream, to_position=position):
        contact = fold(contact, recorded)
    return contact
