"""Keeps the contact read model: events in, rows and counts out, one set-based write each. Queries are in `queries`."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.resources import files
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec

from contacts.addresses import AddressKeys
from contacts.consent.record import CATEGORIES as ADDRESS_CATEGORIES
from contacts.contact import quota, standings
from contacts.contact.events import ContactErased
from contacts.contact.row import COLUMNS, Row, email_status, phone_status, row_of
from contacts.contact.state import CATEGORY, Contact, fold, initial
from contacts.merge import rows
from contacts.merge.rows import Touched
from eventstore.envelope import Unreadable
from eventstore.projection import PoisonedEvent, Projection
from eventstore.sql import load

if TYPE_CHECKING:
    from eventstore.cipher import Keyring
    from eventstore.envelope import RecordedEvent
    from eventstore.projection import Connection

#: From how many new rows on COPY is quicker than INSERT.
COPY_MIN: Final = 20
#: Few enough to be sent at once, so that PostgreSQL is busy while the next are made.
CHUNK_ROWS: Final = 250
RECENCY_COLUMNS: Final = ("workspace_id", "contact_id", "changed_at", "deleted")
SETS: Final = [COLUMNS.index(name) for name in ("tags", "lists", "categories", "channels", "absorbed")]

SQL: Final = load("contacts.contact", "projection.sql")
_decode: Final = msgspec.msgpack.Decoder(Contact).decode


class ContactProjection(Projection):
    """Rows of `contact` and `contact_recency`, totals in `contact_count`. An erased contact has no row.

    Neither has an absorbed one: the row of the one that stands for it is made of both (`merge.rows`).

    Applying events again changes nothing: the version in the row says which it holds already.
    """

    name = "contact"
    version = 4
    types = frozenset(
        {
            "contact.created",
            "contact.details_changed",
            "contact.tagged",
            "contact.untagged",
            "contact.listed",
            "contact.unlisted",
            "contact.channel_connected",
            "contact.channel_seen",
            "contact.channel_disconnected",
            "contact.blocked",
            "contact.unblocked",
            "contact.deleted",
            "contact.restored",
            "contact.merged",
            "contact.absorbed",
            "contact.unmerged",
            "contact.reinstated",
            "contact.erased",
            *standings.TYPES,
            *quota.TYPES,
        }
    )
    schema_sql = "\n".join(
        files("contacts.contact").joinpath(file).read_text(encoding="utf-8")
        for file in ("schema.sql", "standing_schema.sql")
    )
    index_sql = files("contacts.contact").joinpath("indexes.sql").read_text(encoding="utf-8")

    def __init__(self, keys: AddressKeys | None = None) -> None:
        """`keys` make the digests by which facts about addresses are found; without them only tables can be made."""
        self._bound_keys = keys

    def bound(self, keyring: Keyring) -> ContactProjection:
        return ContactProjection(AddressKeys(keyring.hmac))

    @property
    def _keys(self) -> AddressKeys:
        assert self._bound_keys is not None, "a projection that applies events was bound to a keyring"
        return self._bound_keys

    async def apply(self, connection: Connection, events: Sequence[RecordedEvent[Any]], *, fresh: bool) -> None:
        said = [event for event in events if event.category in ADDRESS_CATEGORIES]
        limits = quota.limits_in(events)
        own = [event for event in events if event.category == CATEGORY]
        full = {*limits, *await quota.with_limit(connection, (event.workspace_id for event in own))}
        await standings.lock(connection, alone=bool(said or full))
        await quota.keep_limits(connection, limits)
        changed = await standings.record_facts(connection, said)
        addresses = standings.Addresses(self._keys)
        touched, links = await _touched(connection, own, addresses, fresh=fresh) if own else ([], [])
        restood = await standings.stand(connection, touched, changed, addresses)
        new = [contact for contact in touched if contact.before is None and contact.visible]
        present = [contact for contact in touched if contact.before is not None and contact.visible]
        if len(new) < COPY_MIN:
            present += new
            new = []
        if new or links:
            await _copy(connection, new, links)
        await _upsert(connection, present)
        await standings.restand(connection, restood)
        await _hide(connection, [contact for contact in touched if contact.before and not contact.visible])
        await _count(connection, [*touched, *restood])
        moved = await quota.settle(connection, full, touched)
        await standings.restand(connection, moved)
        await _count(connection, moved)


async def _touched(
    connection: Connection, events: Sequence[RecordedEvent[Any]], addresses: standings.Addresses, *, fresh: bool
) -> tuple[list[Touched], list[tuple[object, ...]]]:
    """Contacts before and after, and rows of `contact_address` that are still to be copied."""
    known = await _known(connection, events, fresh=fresh)
    touched = [contact for contact in _fold(events, known) if contact.position]
    links = await standings.link(connection, touched, addresses)
    merged = [contact for contact in touched if contact.merged]
    if merged:
        touched = [contact for contact in touched if not contact.merged] + await rows.regroup(connection, merged)
    return touched, links


async def _known(connection: Connection, events: Sequence[RecordedEvent[Any]], *, fresh: bool) -> dict[UUID, Contact]:
    """What the contacts of a batch say themselves so far. Whoever may be merged is read under a lock."""
    merging = any(event.type in rows.MERGING for event in events)
    if merging:
        await rows.lock(connection, {event.workspace_id for event in events})
    if fresh:
        return {}
    known = await _load(connection, events)
    suspects = rows.suspects(events, known)
    if suspects and not merging:
        await rows.lock(connection, suspects.values())
    return {**known, **await rows.load_own(connection, suspects)} if suspects else known


async def _load(connection: Connection, events: Iterable[RecordedEvent[Any]]) -> dict[UUID, Contact]:
    wanted = {event.stream_id: event.workspace_id for event in events}
    found = await connection.fetch(SQL["load"], list(wanted.values()), list(wanted))
    return {row["contact_id"]: _decode(row["state"]) for row in found}


def _fold(events: Iterable[RecordedEvent[Any]], known: dict[UUID, Contact]) -> Iterable[Touched]:
    touched: dict[UUID, Touched] = {}
    for event in events:
        contact = touched.get(event.stream_id)
        if contact is None:
            before = known.get(event.stream_id)
            contact = Touched(event.workspace_id, before, before or initial(event.stream_id))
            touched[event.stream_id] = contact
        expected = contact.after.version + 1
        if event.version == expected:
            contact.after = fold(contact.after, event)
            contact.position = event.position
        elif event.version > expected and not _is_erased(contact, event):
            raise PoisonedEvent(event.stream_id, event, f"found version {event.version}, expected {expected}")
    return touched.values()


def _is_erased(contact: Touched, event: RecordedEvent[Any]) -> bool:
    """Whether the missing versions are those of a contact that was erased and so has no row."""
    return contact.before is None and isinstance(event.event, Unreadable | ContactErased)


def _row(contact: Touched) -> Row:
    return row_of(contact.after, contact.workspace_id, contact.position)


async def _upsert(connection: Connection, contacts: Iterable[Touched]) -> None:
    """PostgreSQL writes one chunk while the next is made: that is why the chunks are small."""
    remaining = iter(contacts)
    writing: asyncio.Task[str] | None = None
    try:
        while chunk := [_row(contact) for contact in islice(remaining, CHUNK_ROWS)]:
            columns = [list(column) for column in zip(*chunk, strict=True)]
            for index in SETS:
                columns[index] = ["\x1f".join(map(str, members)) if members else "" for members in columns[index]]
            if writing is not None:
                await writing
            writing = asyncio.create_task(connection.execute(SQL["upsert"], *columns))
            await asyncio.sleep(0)
    finally:
        if writing is not None:
            await writing


async def _copy(connection: Connection, contacts: Sequence[Touched], links: Sequence[tuple[object, ...]]) -> None:
    """Takes contacts that have no row, and what there is of addresses that are new.

    Rows are made while PostgreSQL writes what comes before them: first the narrow tables, then the rows before.
    """
    writing = asyncio.create_task(_copy_narrow(connection, contacts, links))
    remaining = iter(contacts)
    made: list[Row] = []
    try:
        while not writing.done() and (chunk := [_row(contact) for contact in islice(remaining, CHUNK_ROWS)]):
            made += chunk
            await asyncio.sleep(0)
    finally:
        await writing
    records = chain(made, map(_row, remaining))
    await connection.copy_records_to_table("contact", records=records, columns=COLUMNS)


async def _copy_narrow(
    connection: Connection, contacts: Sequence[Touched], links: Sequence[tuple[object, ...]]
) -> None:
    if links:
        await connection.copy_records_to_table("contact_address", records=links, columns=standings.LINK_COLUMNS)
    recency = ((c.workspace_id, c.after.id, c.after.changed_at, c.after.deleted) for c in contacts)
    await connection.copy_records_to_table("contact_recency", records=recency, columns=RECENCY_COLUMNS)


async def _hide(connection: Connection, contacts: Sequence[Touched]) -> None:
    if contacts:
        workspaces = [contact.workspace_id for contact in contacts]
        await connection.execute(SQL["hide"], workspaces, [contact.after.id for contact in contacts])


async def _count(connection: Connection, touched: Iterable[Touched]) -> None:
    moved: Counter[tuple[UUID, bool, str, str]] = Counter()
    for contact in touched:
        if contact.before is not None:
            moved[_counted_as(contact.workspace_id, contact.before)] -= 1
        if contact.visible:
            moved[_counted_as(contact.workspace_id, contact.after)] += 1
    # In key order, so that two projectors that move the same totals cannot wait for each other.
    differences = sorted((*counted, by) for counted, by in moved.items() if by)
    if differences:
        await connection.execute(SQL["count"], *map(list, zip(*differences, strict=True)))
    if any(by < 0 for *_, by in differences):
        await connection.execute(SQL["uncount"], list({workspace_id for workspace_id, *_ in differences}))


def _counted_as(workspace_id: UUID, contact: Contact) -> tuple[UUID, bool, str, str]:
    return (workspace_id, contact.deleted, email_status(contact) or "", phone_status(contact) or "")
