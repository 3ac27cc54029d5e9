"""Keeps the groups of contacts that have one e-mail or phone: counted anew wherever a batch touched an address."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final
from uuid import UUID

from contacts.duplicate.candidates import Change
from contacts.duplicate.keys import ADDRESS_KINDS, AddressKind, DismissalIds
from contacts.duplicate.traits import Traits
from eventstore.sql import load

if TYPE_CHECKING:
    from eventstore.projection import Connection

SQL: Final = load("contacts.duplicate", "projection.sql")


async def regroup(
    connection: Connection, workspace_id: UUID, changes: Iterable[Change], ids: DismissalIds
) -> Counter[tuple[UUID, str]]:
    """Brings the groups up to the candidates, which are written; answers how many more are shown, by kind."""
    moved: Counter[tuple[UUID, str]] = Counter()
    touched: dict[AddressKind, set[str]] = {kind: set() for kind in ADDRESS_KINDS}
    for change in changes:
        for kind in ADDRESS_KINDS:
            before, after = address_of(change.before, kind), address_of(change.after, kind)
            if before != after:
                touched[kind].update({before, after} - {""})
    for kind, addresses in touched.items():
        if addresses:
            moved[workspace_id, kind] += await _recount(connection, workspace_id, kind, addresses, ids)
    return moved


def address_of(traits: Traits | None, kind: AddressKind) -> str:
    """The address by which a contact is in a group; empty for none."""
    if traits is None:
        return ""
    return traits.mailbox if kind == "email" else traits.number


async def _recount(
    connection: Connection, workspace_id: UUID, kind: AddressKind, addresses: set[str], ids: DismissalIds
) -> int:
    asked = sorted(addresses)
    found = await connection.fetch(SQL["groups"], workspace_id, kind, asked)
    before = {row["address"]: row for row in found}
    counted = await connection.fetch(SQL[f"count_{kind}"], workspace_id, asked)
    after: dict[str, int] = {row["address"]: row["contacts"] for row in counted}
    shown = 0
    gone = [address for address in before if address not in after]
    if gone:
        await connection.execute(SQL["drop_groups"], workspace_id, kind, gone)
        shown -= sum(not before[address]["dismissed"] for address in gone)
    kept = [address for address in after if address not in before or before[address]["contacts"] != after[address]]
    if kept:
        dismissal_ids = [ids.of(workspace_id, kind, address) for address in kept]
        counts = [after[address] for address in kept]
        rows = await connection.fetch(SQL["keep_groups"], workspace_id, kind, kept, counts, dismissal_ids)
        shown += sum(not row["dismissed"] for row in rows if row["address"] not in before)
    return shown
