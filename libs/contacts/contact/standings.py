"""How contacts stand, in the contact read model: what is recorded of addresses, and the rows of contacts it concerns.

A status is a function of a contact's addresses and of what is recorded of them, whichever came first, so that it is the
same in every order in which slices and rebuilds come to the events. Only the two locks below make that so for those who
write at the same time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from contacts.addresses import EMAIL, AddressKeys, Digest
from contacts.consent import record
from contacts.consent.reach import digests_of, reach_of
from contacts.consent.record import AddressRecord
from contacts.consent.standing import Standing, standing_of, with_limit
from contacts.contact.row import email_status, encode_state, extras_json, phone_status
from contacts.contact.state import Contact
from contacts.merge import rows
from contacts.merge.rows import Touched
from eventstore.projection import PoisonedEvent
from eventstore.sql import load

if TYPE_CHECKING:
    from eventstore.envelope import RecordedEvent
    from eventstore.projection import Connection

#: From how many new rows on COPY is quicker than INSERT.
COPY_MIN: Final = 20
LINK_COLUMNS: Final = ("address", "workspace_id", "contact_id")

SQL: Final = load("contacts.contact", "standings.sql")
_decode_record: Final = msgspec.msgpack.Decoder(AddressRecord).decode
_decode_contact: Final = msgspec.msgpack.Decoder(Contact).decode
_encode: Final = msgspec.msgpack.Encoder(uuid_format="bytes").encode

#: Events about addresses that the contact read model follows.
TYPES: Final = frozenset(
    {
        "suppression.address_blacklisted",
        "suppression.address_unblacklisted",
        "consent.granted",
        "consent.withdrawn",
        "consent.unsubscribed_from_all",
        "consent.double_opt_in_requested",
        "consent.double_opt_in_confirmed",
        "consent.spam_reported",
        "consent.spam_cleared",
        "consent.category_subscribed",
        "consent.category_unsubscribed",
        "proof.recorded",
        "proof.destroyed",
    }
)


class Found(msgspec.Struct, frozen=True):
    """What is recorded of some addresses."""

    #: By workspace and address.
    records: dict[UUID, dict[Digest, AddressRecord]]
    #: By address: which workspaces close it for all, and since when.
    closed: dict[Digest, dict[UUID, datetime]]
    #: Every address that anything is recorded of, by whomever.
    recorded: set[Digest]

    def __bool__(self) -> bool:
        return bool(self.recorded)

    def of(
        self, workspace_id: UUID, shown: Contact, members: Iterable[Contact], keys: AddressKeys, *, over_limit: bool
    ) -> Standing | None:
        reach = reach_of(shown, members, keys)
        closed = {
            digest: min(elsewhere)
            for digest in reach.addresses.get(EMAIL, ())
            if (elsewhere := [t for id_, t in self.closed.get(digest, {}).items() if id_ != workspace_id])
        }
        standing = standing_of(reach, self.records.get(workspace_id, {}), closed, over_limit=over_limit)
        return standing if standing.recorded or over_limit else None


async def lock(connection: Connection, *, alone: bool) -> None:
    """Until the end of the transaction; before anything else is locked or written."""
    await connection.execute(SQL["lock_alone" if alone else "lock_shared"])


# -- addresses --------------------------------------------------------------------------------------------------------


async def record_facts(connection: Connection, events: Sequence[RecordedEvent[Any]]) -> set[Digest]:
    """Keeps what is recorded of addresses; answers those of which something changed. Raises PoisonedEvent."""
    workspaces = {event.stream_id: event.workspace_id for event in events}
    if not workspaces:
        return set()
    found = await connection.fetch(SQL["load_records"], list(workspaces))
    before = {row["stream_id"]: _decode_record(row["state"]) for row in found}
    changed = {id_: each for id_, each in _fold(events, before).items() if each != before.get(id_)}
    if changed:
        saved = [_saved(each, workspaces[id_]) for id_, each in sorted(changed.items())]
        await connection.execute(SQL["save_records"], *map(list, zip(*saved, strict=True)))
    return {each.address for each in changed.values()}


def _fold(events: Iterable[RecordedEvent[Any]], before: Mapping[UUID, AddressRecord]) -> dict[UUID, AddressRecord]:
    after: dict[UUID, AddressRecord] = {}
    for event in events:
        present = after.get(event.stream_id) or before.get(event.stream_id) or record.empty(event)
        try:
            after[event.stream_id] = present = record.apply(present, event)
        except ValueError as error:
            raise PoisonedEvent(event.stream_id, event, str(error)) from None
        if not present.address:
            raise PoisonedEvent(event.stream_id, event, "the fact that names its address is missing")
    return after


def _saved(each: AddressRecord, workspace_id: UUID) -> tuple[object, ...]:
    entry = each.suppressed.blacklisting
    closed_since = entry.since if entry is not None and each.suppressed.family == EMAIL else None
    return each.address, workspace_id, each.consent.id, closed_since, _encode(each)


# -- contacts ---------------------------------------------------------------------------------------------------------


class Addresses:
    """Digests of contacts by what they say themselves, made once for a batch: most of its work is here."""

    def __init__(self, keys: AddressKeys) -> None:
        self.keys = keys
        self._known: dict[int, set[Digest]] = {}
        self._kept: list[Contact] = []

    def of(self, contact: Contact) -> set[Digest]:
        """None of an erased contact."""
        found = self._known.get(id(contact))
        if found is None:
            found = self._known[id(contact)] = set() if contact.erased else digests_of(contact, self.keys)
            # As long as it is kept, no other object has its id.
            self._kept.append(contact)
        return found


async def link(connection: Connection, touched: Iterable[Touched], addresses: Addresses) -> list[tuple[object, ...]]:
    """Keeps who has which address, by what contacts say themselves. Comes before merged ones are put together.

    Answers rows of `contact_address` that are many and new: the caller copies them when it suits (`LINK_COLUMNS`).
    """
    first: list[tuple[object, ...]] = []
    new: list[tuple[object, ...]] = []
    gone: list[tuple[object, ...]] = []
    for contact in touched:
        workspace_id, contact_id = contact.workspace_id, contact.after.id
        if contact.before is None:
            first += [(digest, workspace_id, contact_id) for digest in addresses.of(contact.after)]
        elif not _has_same_addresses(contact):
            before, after = addresses.of(contact.before), addresses.of(contact.after)
            new += [(digest, workspace_id, contact_id) for digest in after - before]
            gone += [(digest, workspace_id, contact_id) for digest in before - after]
    if len(first) < COPY_MIN:
        new += first
        first = []
    if gone:
        await connection.execute(SQL["unlink"], *map(list, zip(*gone, strict=True)))
    if new:
        await connection.execute(SQL["link"], *map(list, zip(*new, strict=True)))
    return first


def _has_same_addresses(contact: Touched) -> bool:
    before, after = contact.before, contact.after
    return (
        before is not None
        and not after.erased
        and (before.email, before.phone, before.channels) == (after.email, after.phone, after.channels)
    )


async def stand(
    connection: Connection, touched: Sequence[Touched], changed: Collection[Digest], addresses: Addresses
) -> list[Touched]:
    """Gives the touched contacts their standing; answers the others that what changed of addresses concerns."""
    others = await _concerned(connection, touched, changed)
    # A contact whose addresses are what they were stands as it did, where nothing is recorded of them anew.
    unsure = [c for c in touched if c.visible and (changed or not _has_same_addresses(c) or c.merged)]
    if not unsure and not others:
        return []
    members = await _members(connection, [*unsure, *others])
    said_of = [addresses.of(contact.after) for contact in (*unsure, *others)]
    said_of += [addresses.of(member) for kin in members.values() for member in kin]
    found = await find(connection, set[Digest]().union(*said_of))
    if not found:
        # Of nearly all who are new nobody said anything.
        unsure = [c for c in unsure if c.before is not None or c.after.standing is not None]
    for contact in (*unsure, *others):
        kin = members.get(contact.after.id, ())
        said = found and any(not found.recorded.isdisjoint(addresses.of(each)) for each in (contact.after, *kin))
        # That it is over the limit stays as the row has it: who is, is settled last (`quota`).
        over_limit = contact.before is not None and is_over_limit(contact.before)
        if not said and not over_limit and contact.after.standing is None:
            continue
        if said:
            standing = found.of(contact.workspace_id, contact.after, kin, addresses.keys, over_limit=over_limit)
        else:
            standing = limited(replace(contact.after, standing=None), over_limit=over_limit).standing
        if standing != contact.after.standing:
            contact.after = replace(contact.after, standing=standing)
    return [contact for contact in others if contact.after.standing != (contact.before and contact.before.standing)]


def is_over_limit(contact: Contact) -> bool:
    return contact.standing is not None and contact.standing.over_limit


def limited(contact: Contact, *, over_limit: bool) -> Contact:
    """The contact, beyond the plan's limit or within it."""
    has_email, has_phone = contact.email is not None, contact.phone is not None
    standing = with_limit(contact.standing, over_limit=over_limit, has_email=has_email, has_phone=has_phone)
    return contact if standing == contact.standing else replace(contact, standing=standing)


async def restand(connection: Connection, contacts: Sequence[Touched]) -> None:
    """Writes nothing but how contacts stand that no event of a batch is about."""
    if contacts:
        values = [
            (
                c.workspace_id,
                c.after.id,
                email_status(c.after),
                phone_status(c.after),
                extras_json(c.after),
                encode_state(c.after),
            )
            for c in contacts
        ]
        await connection.execute(SQL["restand"], *map(list, zip(*values, strict=True)))


async def _concerned(connection: Connection, touched: Iterable[Touched], changed: Collection[Digest]) -> list[Touched]:
    if not changed:
        return []
    at_hand = {contact.after.id for contact in touched}
    found = await connection.fetch(SQL["concerned"], list(changed))
    contacts = [(row["workspace_id"], _decode_contact(row["state"])) for row in found]
    return [Touched(id_, contact, contact) for id_, contact in contacts if contact.id not in at_hand]


async def _members(connection: Connection, contacts: Iterable[Touched]) -> dict[UUID, list[Contact]]:
    """What those say themselves who make a profile, by the root's id; nothing for a contact that stands for itself."""
    profiles = {c.after.id: (c.workspace_id, (c.after.id, *c.after.absorbed)) for c in contacts if c.after.absorbed}
    wanted = {id_: workspace_id for workspace_id, ids in profiles.values() for id_ in ids}
    own = await rows.load_own(connection, wanted)
    return {root: [own[id_] for id_ in ids if id_ in own] for root, (_, ids) in profiles.items()}


async def find(connection: Connection, digests: Collection[Digest]) -> Found:
    found = Found({}, {}, set())
    if not digests:
        return found
    for row in await connection.fetch(SQL["find_records"], list(digests)):
        found.recorded.add(row["address"])
        found.records.setdefault(row["workspace_id"], {})[row["address"]] = _decode_record(row["state"])
        if row["closed_since"] is not None:
            found.closed.setdefault(row["address"], {})[row["workspace_id"]] = row["closed_since"]
    return found
