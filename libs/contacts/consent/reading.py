"""How contacts stand, straight from the log: right for whatever was acknowledged before. Decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from msgspec.structs import replace

from contacts.addresses import AddressKeys, Digest, address_id
from contacts.consent import record
from contacts.consent.reach import reach_of
from contacts.consent.record import AddressRecord
from contacts.consent.standing import Standing, standing_of
from contacts.contact.state import CATEGORY as CONTACT
from contacts.contact.state import Contact
from contacts.merge.component import Components, meet_at
from contacts.suppression.events import CATEGORY as SUPPRESSION
from contacts.suppression.state import BLACKLISTED, INSTALLATION, fold, initial
from eventstore.envelope import Stream
from eventstore.store import POSITION_MAX, EventStore
from eventstore.suppressions import SuppressionReader, SuppressionRow


class Standings:
    """Safe to use concurrently. For most contacts it is one query that finds nothing."""

    def __init__(self, store: EventStore, components: Components, keys: AddressKeys) -> None:
        self._store = store
        self._components = components
        self._keys = keys
        self._suppressions = SuppressionReader(store)

    async def with_standing(self, workspace_id: UUID, shown: Contact, *, position: int = POSITION_MAX) -> Contact:
        """The contact with how it stands; unchanged where nothing was ever recorded of its addresses."""
        standing = await self.of(workspace_id, shown, position=position)
        return replace(shown, standing=standing) if standing.recorded else shown

    async def of(self, workspace_id: UUID, shown: Contact, *, position: int = POSITION_MAX) -> Standing:
        """Of a contact or profile as it is shown, now or at a position of the workspace's lane."""
        others: Iterable[Contact] = ()
        if shown.absorbed and position == POSITION_MAX:
            others = await self._components.load_all(workspace_id, (shown.id, *shown.absorbed))
        elif shown.absorbed:
            met = await meet_at(self._store, Stream(workspace_id, CONTACT, shown.id), position)
            others = (met.state, *met.others.values())
        reach = reach_of(shown, others, self._keys)
        digests = [digest for each in reach.addresses.values() for digest in each]
        if not digests:
            return standing_of(reach, {}, {})
        rows = (await self._suppressions.find(workspace_id, INSTALLATION, digests)).rows
        own = {digests[row.number - 1] for row in rows if row.holder_id == workspace_id}
        # Rows are never deleted, so an address without one has no past either.
        records = await self.records(workspace_id, own, position=position)
        foreign = [row for row in rows if row.holder_id != workspace_id]
        return standing_of(reach, records, await self._closed(workspace_id, digests, foreign, position))

    async def records(
        self, workspace_id: UUID, digests: Iterable[Digest], *, position: int = POSITION_MAX
    ) -> dict[Digest, AddressRecord]:
        """What the workspace recorded of these addresses up to a position."""
        by_id = {address_id(workspace_id, digest): digest for digest in digests}
        streams = [Stream(workspace_id, category, id_) for id_ in by_id for category in record.CATEGORIES]
        if not streams:
            return {}
        read = await self._store.read_streams(streams)
        events = [event for each in read.values() for event in each if event.position <= position]
        found: dict[Digest, AddressRecord] = {}
        for event in sorted(events, key=lambda event: event.position):
            digest = by_id[event.stream_id]
            found[digest] = record.apply(found.get(digest) or record.empty(event), event)
        return found

    async def _closed(
        self, workspace_id: UUID, digests: Sequence[Digest], rows: Sequence[SuppressionRow], position: int
    ) -> dict[Digest, datetime]:
        """Since when other workspaces keep addresses blacklisted for all."""
        closed: dict[Digest, datetime] = {}
        for row in rows:
            digest = digests[row.number - 1]
            since = row.since if row.status == BLACKLISTED else None
            # A position says nothing of another lane: there the present counts.
            if position != POSITION_MAX and self._store.lane_of(row.holder_id) == self._store.lane_of(workspace_id):
                since = await self._closed_at(row.holder_id, digest, position)
            if since is not None:
                closed[digest] = min(since, closed.get(digest, since))
        return closed

    async def _closed_at(self, holder_id: UUID, digest: Digest, position: int) -> datetime | None:
        stream = Stream(holder_id, SUPPRESSION, address_id(holder_id, digest))
        state = initial(stream.id)
        for event in await self._store.read_stream(stream, to_position=position):
            state = fold(state, event)
        return state.blacklisting.since if state.blacklisting else None
