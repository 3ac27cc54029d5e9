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
from contacts.consent.reach import all_addresses, reach_of
from contacts.consent.record import AddressRecord
from contacts.consent.standing import Standing, standing_of
from contacts.contact.row import email_status, encode_state, phone_status
from contacts.contact.state import Contact
from contacts.merge import rows
from contacts.merge.rows import Touched
from eventstore.projection import PoisonedEvent
from eventstore.sql import load

if TYPE_CHECKING:
    from eventstore.envelope import RecordedEvent
    from eventstore.projection import Connection

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

    def of(self, workspace_id: UUID, shown: Contact, members: Iterable[Contact], keys: AddressKeys) -> Standing | None:
        reach = reach_of(shown, members, keys)
        closed = {
            digest: min(elsewhere)
            for digest in reach.addresses.get(EMAIL, ())
            if (elsewhere := [t for id_, t in self.closed.get(digest, {}).items() if id_ != workspace_id])
        }
        standing = standing_of(reach, self.records.get(workspace_id, {}), closed)
        return standing if standing.recorded else None


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


async def link(connection: Connection, touched: Iterable[Touched], keys: AddressKeys) -> None:
    """Keeps who has which address, by what contacts say themselves. Comes before merged ones are put together."""
    gone: list[tuple[object, ...]] = []
    new: list[tuple[object, ...]] = []
    for contact in touched:
        before = digests_of(contact.before, keys) if contact.before else set()
        after = before if _has_same_addresses(contact) else digests_of(contact.after, keys)
        gone += [(digest, contact.workspace_id, contact.after.id) for digest in before - after]
        new += [(digest, contact.workspace_id, contact.after.id) for digest in after - before]
    if gone:
        await connection.execute(SQL["unlink"], *map(list, zip(*gone, strict=True)))
    if new:
        await connection.execute(SQL["link"], *map(list, zip(*new, strict=True)))


def digests_of(contact: Contact, keys: AddressKeys) -> set[Digest]:
    """Widest digests of everything it is reached at by itself; none of an erased one."""
    return set() if contact.erased else {address.widest for address in all_addresses(contact, keys)}


def _has_same_addresses(contact: Touched) -> bool:
    before, after = contact.before, contact.after
    return (
        before is not None
        and not after.erased
        and (before.email, before.phone, before.channels) == (after.email, after.phone, after.channels)
    )


async def stand(
    connection: Connection, touched: Sequence[Touched], changed: Collection[Digest], keys: AddressKeys
) -> list[Touched]:
    """Gives the touched contacts their standing; answers the others that what changed of addresses concerns."""
    others = await _concerned(connection, touched, changed)
    # A contact whose addresses are what they were stands as it did, where nothing is recorded of them anew.
    unsure = [c for c in touched if c.visible and (changed or c.merged or not _has_same_addresses(c))]
    members = await _members(connection, [*unsure, *others])
    digests = {
        digest
        for contact in (*unsure, *others)
        for each in (contact.after, *members.get(contact.after.id, ()))
        for digest in digests_of(each, keys)
    }
    found = await _find(connection, digests)
    for contact in (*unsure, *others):
        standing = found.of(contact.workspace_id, contact.after, members.get(contact.after.id, ()), keys)
        if standing != contact.after.standing:
            contact.after = replace(contact.after, standing=standing)
    return [contact for contact in others if contact.after.standing != (contact.before and contact.before.standing)]


async def restand(connection: Connection, contacts: Sequence[Touched]) -> None:
    """Writes nothing but how contacts stand that no event of a batch is about."""
    if contacts:
        values = [
            (c.workspace_id, c.after.id, email_status(c.after), phone_status(c.after), encode_state(c.after))
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


async def _find(connection: Connection, digests: Collection[Digest]) -> Found:
    found = Found({}, {})
    if not digests:
        return found
    for row in await connection.fetch(SQL["find_records"], list(digests)):
        found.records.setdefault(row["workspace_id"], {})[row["address"]] = _decode_record(row["state"])
        if row["closed_since"] is not None:
            found.closed.setdefault(row["address"], {})[row["workspace_id"]] = row["closed_since"]
    return found
