"""Makes the past of contacts anew, without what can no longer be read: of an erased one that was part of them once, or
words that were said of an address of theirs.

It is made from the log, so that it comes out as in a build made later. That is rare, and nothing here is fast.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec

from contacts.addresses import AddressKeys, Digest
from contacts.consent.reach import digests_of
from contacts.contact.projection import ContactProjection
from contacts.contact.standings import is_over_limit
from contacts.contact.state import CATEGORY, Contact, fold, initial
from contacts.history.room import Room
from contacts.history.timeline import Timeline, Version, World
from contacts.history.world import SQL, named_by

if TYPE_CHECKING:
    from eventstore.envelope import RecordedEvent
    from eventstore.projection import Connection
    from eventstore.rows import RowCodec

    Events = Sequence[RecordedEvent[Any]]

TYPES: Final = sorted(ContactProjection.types)
_decode: Final = msgspec.msgpack.Decoder(Contact).decode


class Limited(msgspec.Struct, frozen=True):
    """From here on a contact is over the limit of the plan, or is not. Only the rows that were there know it."""

    position: int
    recorded_at: datetime
    contact_id: UUID
    over_limit: bool


async def remade(
    connection: Connection,
    codec: RowCodec,
    keys: AddressKeys,
    contacts: dict[UUID, UUID],
    *,
    lane: int,
    to_position: int,
) -> tuple[list[Version], World]:
    """All versions of these contacts up to a position, and what was left of them there: of those that will turn out to
    be erased further on nothing can be read any more. Their present rows are still needed, and left as they are."""
    streams = await _kin(connection, codec, contacts, lane, to_position)
    own = [event for events in streams.values() for event in events]
    digests = _digests(own, keys)
    about = [row["stream_id"] for row in await connection.fetch(SQL["record_streams"], list(digests))]
    facts = await _read(connection, codec, about, lane, to_position)
    world = World(keys=keys, workspaces={event.stream_id: event.workspace_id for event in own})
    # Whoever comes to have an address is found as the events go by.
    world.holders = {digest: set() for digest in digests}
    world.rooms = {workspace_id: Room(None, 0, 0, ()) for workspace_id in contacts.values()}
    timeline = Timeline(world)
    limits = await _limits(connection, contacts)
    happening: list[Limited | RecordedEvent[Any]] = [*own, *facts, *limits]
    for happened in sorted(happening, key=_order):
        if isinstance(happened, Limited):
            over = world.rooms[contacts[happened.contact_id]].over
            (over.add if happened.over_limit else over.discard)(happened.contact_id)
            timeline.show(happened.contact_id, happened.position, happened.recorded_at)
        else:
            timeline.take(happened)
    return [version for version in timeline.new if version.contact.id in contacts], world


def _order(happened: Limited | RecordedEvent[Any]) -> tuple[int, bool]:
    """An event that moves contacts beyond the limit and back makes one version together with that."""
    return happened.position, not isinstance(happened, Limited)


async def _kin(
    connection: Connection, codec: RowCodec, contacts: Iterable[UUID], lane: int, to_position: int
) -> dict[UUID, Events]:
    """Streams of these contacts and of all that were ever below them."""
    found: dict[UUID, Events] = {}
    waiting = set(contacts)
    while waiting:
        found |= dict.fromkeys(waiting, ())
        for event in await _read(connection, codec, waiting, lane, to_position):
            if event.category == CATEGORY:
                found[event.stream_id] = (*found[event.stream_id], event)
        waiting = {id_ for each in waiting for id_, _ in named_by(found[each]) if id_ not in found}
    return found


async def _read(
    connection: Connection, codec: RowCodec, stream_ids: Iterable[UUID], lane: int, to_position: int
) -> list[RecordedEvent[Any]]:
    rows = await connection.fetch(SQL["read_streams"], list(stream_ids), lane, to_position, TYPES)
    return codec.decode_all(rows)


def _digests(own: Iterable[RecordedEvent[Any]], keys: AddressKeys) -> set[Digest]:
    """Of every address that any of them ever had."""
    found: set[Digest] = set()
    states: dict[UUID, Contact] = {}
    for event in own:
        state = states[event.stream_id] = fold(states.get(event.stream_id, initial(event.stream_id)), event)
        found |= set() if state.erased else digests_of(state, keys)
    return found


async def _limits(connection: Connection, contacts: dict[UUID, UUID]) -> list[Limited]:
    rows = await connection.fetch(SQL["versions"], list(contacts.values()), list(contacts))
    shown = [(row, _decode(row["state"])) for row in rows]
    return [
        Limited(row["from_position"], row["from_time"], contact.id, is_over_limit(contact)) for row, contact in shown
    ]
