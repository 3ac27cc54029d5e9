"""Answers what happened to a contact, straight from the log: right for whatever was acknowledged before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias
from uuid import UUID

from contacts import errors
from contacts.audit.chronicle import Chronicle, Step, chronicle
from contacts.audit.diff import Difference, diff
from contacts.audit.entries import HistoryEntry, belonging, entries
from contacts.audit.provenance import FieldProvenance, provenance
from contacts.audit.sources import gather
from contacts.audit.words import NOTHING, Names
from contacts.lists.events import CATEGORY as LIST
from contacts.lists.events import ListCreated, ListRenamed
from contacts.workspace.actors import people
from eventstore.envelope import Stream

if TYPE_CHECKING:
    from contacts.addresses import AddressKeys
    from contacts.workspace.directory import Workspaces
    from eventstore.store import EventStore

#: A longer history is folded beside the event loop.
EVENTS_MAX: Final = 200

Choose: TypeAlias = Callable[[list[Step]], list[Step]]
"""Some of the steps of a contact: to put each into words takes as long as to follow it."""


class Audits:
    """One per process; safe to use concurrently. Every answer is as of a position of the workspace's lane."""

    def __init__(self, store: EventStore, keys: AddressKeys, workspaces: Workspaces) -> None:
        self._store = store
        self._keys = keys
        self._workspaces = workspaces
        #: One long history at a time: more threads would only take turns, and each from everybody else.
        self._long = asyncio.Lock()

    async def history(
        self, workspace_id: UUID, contact_id: UUID, position: int, *, choose: Choose = list
    ) -> tuple[list[HistoryEntry], UUID]:
        """What was chosen of all its steps, oldest first, and the contact that stands for it. Raises ContactNotFound.

        Of an erased contact it says that things happened, and not what.
        """
        past = await self._chronicle(workspace_id, contact_id, position)
        steps = choose(belonging(past))
        names = await self._names(workspace_id, past, await self._list_names(workspace_id, steps))
        return entries(steps, past, names), past.shown.id

    async def provenance(
        self, workspace_id: UUID, contact_id: UUID, position: int
    ) -> tuple[list[FieldProvenance], Chronicle]:
        """Raises ContactNotFound, ContactIsErased."""
        past = _readable(await self._chronicle(workspace_id, contact_id, position))
        return provenance(past, await self._names(workspace_id, past)), past

    async def diff(self, workspace_id: UUID, contact_id: UUID, *, after: int, upto: int) -> Difference:
        """Raises ContactNotFound where it did not exist at `upto`, ContactIsErased."""
        past = _readable(await self._chronicle(workspace_id, contact_id, upto))
        return diff(past, await self._names(workspace_id, past), after=after, upto=upto)

    async def _names(self, workspace_id: UUID, past: Chronicle, lists: Mapping[UUID, str] = NOTHING) -> Names:
        workspace = await self._workspaces.get(workspace_id)
        members = people(self._store.keyring.hmac, workspace_id, workspace.members)
        return Names(workspace, past.contact_id, lists, members)

    async def _list_names(self, workspace_id: UUID, steps: Iterable[Step]) -> dict[UUID, str]:
        """As the lists are called now."""
        changed = [change for step in steps for change in step.own if change.field == "lists"]
        ids = {each for change in changed for each in (*(change.old or ()), *(change.new or ()))}
        read = await self._store.read_streams([Stream(workspace_id, LIST, id_) for id_ in sorted(ids)])
        return {
            stream.id: recorded.event.name
            for stream, events in read.items()
            for recorded in events
            if isinstance(recorded.event, ListCreated | ListRenamed)
        }

    async def _chronicle(self, workspace_id: UUID, contact_id: UUID, position: int) -> Chronicle:
        sources = await gather(self._store, self._keys, workspace_id, contact_id, position)
        if len(sources.events) <= EVENTS_MAX:
            return chronicle(sources, self._keys, workspace_id)
        async with self._long:
            return await asyncio.to_thread(chronicle, sources, self._keys, workspace_id)


def _readable(past: Chronicle) -> Chronicle:
    if past.shown.erased:
        raise errors.ContactIsErased(past.shown.id)
    return past
