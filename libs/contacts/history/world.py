"""Reads what a run of events meets out of the history read model. What becomes of it is in `timeline`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from contacts.addresses import AddressKeys, Digest
from contacts.consent import record
from contacts.consent.reach import digests_of
from contacts.consent.record import CATEGORIES as ADDRESS_CATEGORIES
from contacts.consent.record import AddressRecord
from contacts.contact import events as e
from contacts.contact import quota, standings
from contacts.contact.state import CATEGORY, Contact
from contacts.history.room import Room
from contacts.history.timeline import Version, World
from contacts.values import Email, Phone
from eventstore.sql import load

if TYPE_CHECKING:
    from eventstore.envelope import RecordedEvent
    from eventstore.projection import Connection

    Events = Sequence[RecordedEvent[Any]]

SQL: Final = load("contacts.history", "projection.sql")
_decode: Final = msgspec.msgpack.Decoder(Contact).decode
_decode_record: Final = msgspec.msgpack.Decoder(AddressRecord).decode


class RememberingKeys(AddressKeys):
    """Makes each digest once: a batch asks for those of its events and again for those of its contacts."""

    def __init__(self, hmac: Callable[[str, str], bytes]) -> None:
        super().__init__(hmac)
        self._known: dict[str, Digest] = {}

    def email_digest(self, email: Email) -> Digest:
        digest = self._known.get(email)
        if digest is None:
            digest = self._known[email] = super().email_digest(email)
        return digest

    def phone_digest(self, phone: Phone) -> Digest:
        digest = self._known.get(phone)
        if digest is None:
            digest = self._known[phone] = super().phone_digest(phone)
        return digest


async def read_world(connection: Connection, events: Events, keys: AddressKeys, *, fresh: bool) -> World:
    """`fresh` where nothing is stored yet."""
    world = World(keys=keys)
    contacts = [event for event in events if event.category == CATEGORY]
    facts = [event for event in events if event.category in ADDRESS_CATEGORIES]
    named = dict(named_by(contacts))
    if fresh:
        world.workspaces = named
    else:
        await _meet(connection, world, named)
    await _rooms(connection, world, events)
    changed = await _records(connection, world, facts)
    await _holders(connection, world, changed)
    await _found(connection, world, contacts, changed)
    return world


def named_by(contacts: Iterable[RecordedEvent[Any]]) -> Iterator[tuple[UUID, UUID]]:
    """Everybody that events of contacts name, with the workspace."""
    for recorded in contacts:
        workspace_id = recorded.workspace_id
        yield recorded.stream_id, workspace_id
        match recorded.event:
            case e.ContactMerged():
                yield from ((other, workspace_id) for other in recorded.event.others)
            case e.ContactAbsorbed():
                yield recorded.event.into, workspace_id
            case e.ContactUnmerged():
                yield from ((reattached.contact, workspace_id) for reattached in recorded.event.reattached)


async def _meet(connection: Connection, world: World, wanted: dict[UUID, UUID]) -> None:
    """Adds contacts and whoever stands above or below them."""
    while wanted:
        world.workspaces |= wanted
        rows = await connection.fetch(SQL["load"], list(wanted.values()), list(wanted))
        following: dict[UUID, UUID] = {}
        for row in rows:
            contact_id, workspace_id = row["contact_id"], row["workspace_id"]
            own: Contact | None = None
            if row["gone"] is not None:
                own = Contact(id=contact_id, version=row["gone"], created_at=row["created_at"], erased=True)
                world.takes_room[contact_id] = row["takes_room"]
            if row["state"] is not None:
                shown = _decode(row["state"])
                own = replace(shown, standing=None) if shown.standing is not None else shown
                world.shown[contact_id] = Version(
                    workspace_id, shown, row["from_position"], row["from_time"], stored=True
                )
            if row["own"] is not None:
                own = _decode(row["own"])
            assert own is not None, "the statement answers whom there is something of"
            world.own[contact_id] = own
            following |= {each: workspace_id for each in _next_to(own) if each not in world.workspaces}
        wanted = following


def _next_to(contact: Contact) -> Iterator[UUID]:
    if contact.absorbed_into is not None:
        yield contact.absorbed_into
    if contact.composition is not None:
        yield from contact.composition.children


async def _records(connection: Connection, world: World, facts: Events) -> set[Digest]:
    """Adds what is recorded where the facts belong; answers the addresses that they are about."""
    if not facts:
        return set()
    found = await connection.fetch(standings.SQL["load_records"], list({fact.stream_id for fact in facts}))
    world.records = {row["stream_id"]: _decode_record(row["state"]) for row in found}
    addresses = {stream_id: each.address for stream_id, each in world.records.items()}
    for fact in facts:
        if fact.stream_id not in addresses:
            try:
                addresses[fact.stream_id] = record.apply(record.empty(fact), fact).address
            except ValueError:
                continue  # the timeline says what is wrong with it
    return set(addresses.values())


async def _holders(connection: Connection, world: World, changed: set[Digest]) -> None:
    """Adds who has these addresses. Stored is who ever had them."""
    if not changed:
        return
    ever = await connection.fetch(SQL["holders"], list(changed))
    await _meet(connection, world, {id_: each for _, each, id_ in ever if id_ not in world.workspaces})
    world.holders = {address: set() for address in changed}
    for address, _, contact_id in ever:
        own = world.own.get(contact_id)
        if own is not None and not own.erased and address in digests_of(own, world.keys):
            world.holders[address].add(contact_id)


async def _found(connection: Connection, world: World, contacts: Events, changed: set[Digest]) -> None:
    """Adds what is recorded of every address that any of them has or is about to have."""
    keys, digests = world.keys, set(changed)
    for own in world.own.values():
        if not own.erased:
            digests |= digests_of(own, keys)
    for recorded in contacts:
        event = recorded.event
        if isinstance(event, e.ContactCreated | e.ContactDetailsChanged):
            if event.email:
                digests.add(keys.email_digest(event.email))
            if event.phone:
                digests.add(keys.phone_digest(event.phone))
        if isinstance(event, e.ContactCreated):
            digests.update(keys.token_digest(channel.kind, channel.token) for channel in event.channels)
        elif isinstance(event, e.ContactChannelConnected):
            digests.add(keys.token_digest(event.channel.kind, event.channel.token))
    world.found = await standings.find(connection, digests)


async def _rooms(connection: Connection, world: World, events: Events) -> None:
    """Adds limits of plans, with whom events of this run can bring beyond them or back."""
    given = quota.limits_in(events)
    moves = Counter(event.workspace_id for event in events if event.category == CATEGORY)
    workspaces = moves.keys() | given.keys()
    wanted: dict[UUID, UUID] = {}
    for row in await connection.fetch(SQL["rooms"], list(workspaces), [each in given for each in workspaces]):
        workspace_id = row["workspace_id"]
        limits = [row["contact_limit"], *_limits(events, workspace_id)]
        lowest = min((limit for limit in limits if limit is not None), default=row["contacts"])
        reach = max(0, row["contacts"] - lowest) + moves[workspace_id] + 1
        newest = await connection.fetch(SQL["newest"], workspace_id, reach)
        places = [(place["created_at"], place["contact_id"]) for place in newest]
        room = Room(row["contact_limit"], row["version"], row["contacts"], places)
        world.rooms[workspace_id] = room
        wanted |= dict.fromkeys(room.within(None if workspace_id in given else moves[workspace_id] + 1), workspace_id)
    await _meet(connection, world, {id_: each for id_, each in wanted.items() if id_ not in world.workspaces})


def _limits(events: Events, workspace_id: UUID) -> Iterator[int | None]:
    for event in events:
        if event.workspace_id == workspace_id:
            yield from (limit.contacts for limit in quota.limits_in([event]).values())
