"""Reads all that ever bore on one contact: its own stream, those of merges, and facts about its addresses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

from contacts import errors
from contacts.addresses import AddressKeys, Digest, address_id
from contacts.audit.chronicle import Recorded, Sources
from contacts.consent import record
from contacts.consent.reach import digests_of
from contacts.contact import events as e
from contacts.contact.state import CATEGORY as CONTACT
from contacts.contact.state import fold, initial
from contacts.suppression.events import CATEGORY as SUPPRESSION
from contacts.suppression.state import BLACKLISTED, INSTALLATION
from eventstore.envelope import Stream
from eventstore.suppressions import find_suppressions

if TYPE_CHECKING:
    from eventstore.store import EventStore

_NOBODY = UUID(int=0)
#: Of many merged contacts with long histories: decoding keeps the event loop from everybody else.
STREAMS_AT_ONCE: Final = 16


async def gather(store: EventStore, keys: AddressKeys, workspace_id: UUID, contact_id: UUID, position: int) -> Sources:
    """Raises ContactNotFound where the contact did not exist at `position`, or never."""
    contacts = await _contacts(store, workspace_id, contact_id, position)
    if not contacts[contact_id]:
        raise errors.ContactNotFound(contact_id)
    digests = {digest for events in contacts.values() for digest in _digests(events, keys)}
    by_id = {address_id(workspace_id, digest): digest for digest in digests}
    streams = [Stream(workspace_id, category, id_) for id_ in by_id for category in record.CATEGORIES]
    closed: dict[Digest, datetime] = {}
    ordered = sorted(digests)
    found = await find_suppressions(store, workspace_id, INSTALLATION, ordered) if ordered else None
    for row in found.rows if found else ():
        digest = ordered[row.number - 1]
        if row.holder_id == workspace_id:
            continue
        if store.lane_of(row.holder_id) == store.lane_of(workspace_id):
            id_ = address_id(row.holder_id, digest)
            by_id[id_] = digest
            streams.append(Stream(row.holder_id, SUPPRESSION, id_))
        elif row.status == BLACKLISTED and row.since is not None:
            closed[digest] = min(row.since, closed.get(digest, row.since))
    facts = await _read(store, streams, position)
    events = [event for each in (*contacts.values(), *facts.values()) for event in each]
    events.sort(key=lambda event: event.position)
    return Sources(contact_id=contact_id, events=tuple(events), addresses=by_id, closed=closed)


async def _contacts(
    store: EventStore, workspace_id: UUID, contact_id: UUID, position: int
) -> dict[UUID, list[Recorded]]:
    """The contact, whoever stood for it at any time, and all that any of them ever absorbed."""
    found: dict[UUID, list[Recorded]] = {}
    above = {contact_id}
    wanted = {contact_id}
    while wanted:
        read = await _read(store, [Stream(workspace_id, CONTACT, id_) for id_ in sorted(wanted)], position)
        found |= {stream.id: events for stream, events in read.items()}
        up = {into for id_ in wanted & above for into in _absorbers(found[id_])}
        above |= up
        wanted = {*up, *(other for id_ in wanted for other in _absorbed(found[id_]))} - found.keys()
    return found


async def _read(store: EventStore, streams: Iterable[Stream], position: int) -> dict[Stream, list[Recorded]]:
    wanted, found = list(streams), dict[Stream, list[Recorded]]()
    for begin in range(0, len(wanted), STREAMS_AT_ONCE):
        read = await store.read_streams(wanted[begin : begin + STREAMS_AT_ONCE])
        found |= {stream: [each for each in events if each.position <= position] for stream, events in read.items()}
    return found


def _absorbers(events: Iterable[Recorded]) -> Iterator[UUID]:
    return (recorded.event.into for recorded in events if isinstance(recorded.event, e.ContactAbsorbed))


def _absorbed(events: Iterable[Recorded]) -> Iterator[UUID]:
    for recorded in events:
        if isinstance(recorded.event, e.ContactMerged):
            yield from recorded.event.others
        elif isinstance(recorded.event, e.ContactUnmerged):
            yield from (moved.contact for moved in recorded.event.reattached)


def _digests(events: Iterable[Recorded], keys: AddressKeys) -> set[Digest]:
    """Of every address that the contact itself ever had."""
    digests: set[Digest] = set()
    contact, reached_by = initial(_NOBODY), None
    for recorded in events:
        contact = fold(contact, recorded)
        if reached_by != (reached_by := (contact.email, contact.phone, contact.channels)):
            digests |= digests_of(contact, keys)
    return digests
