"""Keeps the duplicate read model: who may be compared with whom, groups of addresses, likely pairs. Queries elsewhere.

Every table is a function of the profiles there are, whatever the order in which their streams come: an address has a
group if two have it, and a pair is there if the two share a block that is not full and their score is high enough.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec

from contacts.contact.state import CATEGORY as CONTACT
from contacts.contact.state import Contact, evolve, initial
from contacts.duplicate.blocks import KINDS
from contacts.duplicate.candidates import Change, change_of, reduced
from contacts.duplicate.events import CATEGORY
from contacts.duplicate.grouping import regroup
from contacts.duplicate.keys import CANDIDATES, DismissalIds
from contacts.duplicate.relating import SQL, relate
from contacts.duplicate.traits import NOTHING
from contacts.merge import rows
from contacts.merge.rows import Touched
from eventstore.projection import Projection

if TYPE_CHECKING:
    from eventstore.cipher import Keyring
    from eventstore.envelope import RecordedEvent
    from eventstore.projection import Connection

#: From how many new rows on COPY is quicker than INSERT.
COPY_MIN: Final = 20
COLUMNS: Final = ("workspace_id", "contact_id", "created_at", "email", "phone", *KINDS, "traits", "state")

_decode: Final = msgspec.msgpack.Decoder(Contact).decode
_encode: Final = msgspec.msgpack.Encoder(uuid_format="bytes").encode


class DuplicateProjection(Projection):
    """Rows of `candidate`, `address_group` and `likely_pair`. Applying events again changes nothing."""

    name = "duplicate"
    version = 1
    stands_back_s = 0.01
    types = frozenset(
        {
            "contact.created",
            "contact.details_changed",
            "contact.deleted",
            "contact.restored",
            "contact.merged",
            "contact.absorbed",
            "contact.unmerged",
            "contact.reinstated",
            "contact.erased",
            "duplicate.dismissed",
        }
    )
    schema_sql = files("contacts.duplicate").joinpath("schema.sql").read_text(encoding="utf-8")
    index_sql = files("contacts.duplicate").joinpath("indexes.sql").read_text(encoding="utf-8")

    def __init__(self, ids: DismissalIds | None = None) -> None:
        """`ids` say which dismissals are about which address; without them only tables can be made."""
        self._bound_ids = ids

    def bound(self, keyring: Keyring) -> DuplicateProjection:
        return DuplicateProjection(DismissalIds(keyring.hmac))

    async def apply(self, connection: Connection, events: Sequence[RecordedEvent[Any]], *, fresh: bool) -> None:
        ids = self._bound_ids
        assert ids is not None, "a projection that applies events was bound to a keyring"
        await connection.execute(SQL["begin"], list({event.workspace_id for event in events}))
        moved = await _dismiss(connection, [event for event in events if event.category == CATEGORY])
        own = [event for event in events if event.category == CONTACT]
        changes = [change_of(each) for each in await _touched(connection, own, fresh=fresh)] if own else []
        await _write(connection, changes)
        compared: dict[UUID, list[Change]] = {}
        for change in changes:
            if change.before != change.after:
                compared.setdefault(change.workspace_id, []).append(change)
        for workspace_id, changed in compared.items():
            moved.update(await regroup(connection, workspace_id, changed, ids))
            moved.update(await relate(connection, workspace_id, changed, ids))
            came = [(change.after is not None) - (change.before is not None) for change in changed]
            moved[workspace_id, CANDIDATES] += sum(came)
        await _count(connection, moved)


async def _touched(connection: Connection, events: Sequence[RecordedEvent[Any]], *, fresh: bool) -> list[Touched]:
    known = {} if fresh else await _load(connection, events)
    suspects = {} if fresh else rows.suspects(events, known)
    known |= await rows.load_own(connection, suspects)
    touched = [contact for contact in _fold(events, known) if contact.position]
    merged = [contact for contact in touched if contact.merged]
    if merged:
        return [contact for contact in touched if not contact.merged] + await rows.regroup(connection, merged)
    return touched


async def _load(connection: Connection, events: Iterable[RecordedEvent[Any]]) -> dict[UUID, Contact]:
    wanted = {event.stream_id: event.workspace_id for event in events}
    found = await connection.fetch(SQL["load"], list(wanted.values()), list(wanted))
    return {row["contact_id"]: _decode(row["state"]) for row in found}


def _fold(events: Iterable[RecordedEvent[Any]], known: dict[UUID, Contact]) -> Iterable[Touched]:
    """Only what matters here is kept, so an event that changes nothing of it leaves no trace, not even its version."""
    touched: dict[UUID, Touched] = {}
    for event in events:
        contact = touched.get(event.stream_id)
        if contact is None:
            before = known.get(event.stream_id)
            contact = Touched(event.workspace_id, before, before or initial(event.stream_id))
            touched[event.stream_id] = contact
        if event.version > contact.after.version:
            _apply(contact, event)
    return touched.values()


def _apply(contact: Touched, event: RecordedEvent[Any]) -> None:
    # Other events were in between, of types that are not read.
    before = msgspec.structs.replace(contact.after, version=event.version - 1)
    after = reduced(evolve(before, event.event, event.recorded_at))
    if msgspec.structs.replace(before, version=event.version) != after:
        contact.after, contact.position = after, event.position


async def _write(connection: Connection, changes: Sequence[Change]) -> None:
    new = [change for change in changes if change.is_new and change.kept is not None]
    present = [change for change in changes if not change.is_new and change.kept is not None]
    gone = [change for change in changes if not change.is_new and change.kept is None]
    if len(new) >= COPY_MIN:
        await connection.copy_records_to_table("candidate", records=map(_row, new), columns=COLUMNS)
    else:
        present += new
    if present:
        await connection.execute(SQL["upsert"], *_columns(map(_row, present)))
    if gone:
        keys = [(change.workspace_id, change.contact_id) for change in gone]
        await connection.execute(SQL["remove"], *_columns(keys))


def _row(change: Change) -> tuple[object, ...]:
    contact, traits = change.kept, change.after or NOTHING
    assert contact is not None
    return (
        change.workspace_id,
        contact.id,
        contact.created_at,
        traits.mailbox or None,
        traits.number or None,
        *change.joined,
        None if change.after is None else _encode(traits),
        _encode(contact),
    )


async def _dismiss(connection: Connection, events: Iterable[RecordedEvent[Any]]) -> Counter[tuple[UUID, str]]:
    moved: Counter[tuple[UUID, str]] = Counter()
    said: dict[UUID, set[UUID]] = {}
    for event in events:
        said.setdefault(event.workspace_id, set()).add(event.stream_id)
    for workspace_id, dismissal_ids in said.items():
        for row in await connection.fetch(SQL["dismiss"], workspace_id, list(dismissal_ids)):
            moved[workspace_id, row["found_by"]] -= 1
    return moved


async def _count(connection: Connection, moved: Counter[tuple[UUID, str]]) -> None:
    # In key order, so that two projectors that move the same totals cannot wait for each other.
    differences = sorted((*counted, by) for counted, by in moved.items() if by)
    if differences:
        await connection.execute(SQL["count"], *_columns(differences))
    if any(by < 0 for *_, by in differences):
        await connection.execute(SQL["uncount"], list({workspace_id for workspace_id, *_ in differences}))


def _columns(records: Iterable[tuple[object, ...]]) -> list[list[object]]:
    return [list(column) for column in zip(*records, strict=True)]
