"""Keeps the groups of contacts that have one e-mail or phone, moved wherever a batch touched an address."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final
from uuid import UUID

from contacts.duplicate.candidates import Change
from contacts.duplicate.keys import ADDRESS_KINDS, AddressKind, DismissalIds
from contacts.duplicate.traits import Traits
from eventstore.sql import load

if TYPE_CHECKING:
    from eventstore.projection import Connection

#: Contacts that make a group.
GROUP_MIN: Final = 2

SQL: Final = load("contacts.duplicate", "projection.sql")


async def regroup(
    connection: Connection, workspace_id: UUID, changes: Iterable[Change], ids: DismissalIds
) -> Counter[tuple[UUID, str]]:
    """Brings the groups up to the candidates, which are written; answers how many more are shown, by kind."""
    moved: Counter[tuple[UUID, str]] = Counter()
    came: dict[AddressKind, Counter[str]] = {kind: Counter() for kind in ADDRESS_KINDS}
    for change in changes:
        for kind in ADDRESS_KINDS:
            before, after = address_of(change.before, kind), address_of(change.after, kind)
            if before != after:
                came[kind].update({after: 1})
                came[kind].subtract({before: 1})
    for kind, by_address in came.items():
        by_address.pop("", None)
        if by_address:
            moved[workspace_id, kind] += await _recount(connection, workspace_id, kind, by_address, ids)
    return moved


def address_of(traits: Traits | None, kind: AddressKind) -> str:
    """The address by which a contact is in a group; empty for none."""
    if traits is None:
        return ""
    return traits.mailbox if kind == "email" else traits.number


async def _recount(
    connection: Connection, workspace_id: UUID, kind: AddressKind, came: Mapping[str, int], ids: DismissalIds
) -> int:
    """A group is moved by who came, however large it is; an address without one is had by one at most, and counted."""
    rows = await connection.fetch(SQL[f"groups_by_{kind}"], workspace_id, sorted(came))
    before = {row["address"]: row for row in rows if row["contacts"] is not None}
    after = {
        row["address"]: row["contacts"] + came[row["address"]] if row["address"] in before else row["found"]
        for row in rows
    }
    shown = 0
    gone = [address for address in before if after[address] < GROUP_MIN]
    if gone:
        await connection.execute(SQL["drop_groups"], workspace_id, kind, gone)
        shown -= sum(not before[address]["dismissed"] for address in gone)
    kept = [address for address in after if after[address] >= GROUP_MIN and (came[address] or address not in before)]
    if kept:
        dismissal_ids = [ids.of(workspace_id, kind, address) for address in kept]
        counts = [after[address] for address in kept]
        found = await connection.fetch(SQL["keep_groups"], workspace_id, kind, kept, counts, dismissal_ids)
        shown += sum(not row["dismissed"] for row in found if row["address"] not in before)
    return shown
