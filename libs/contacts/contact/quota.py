"""Contacts beyond the plan's limit, in the contact read model: the newest of the present ones, if there are too many.

Which they are is a function of who is present and of the limit, so that it does not matter in which order slices and
rebuilds come to the events. Workspaces without a limit cost one query per batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET

from contacts.contact import standings
from contacts.contact.state import Contact
from contacts.merge.rows import Touched
from contacts.workspace.events import WorkspaceSettingsChanged
from eventstore.sql import load

if TYPE_CHECKING:
    from eventstore.envelope import RecordedEvent
    from eventstore.projection import Connection

TYPES: Final = frozenset({"workspace.settings_changed"})

SQL: Final = load("contacts.contact", "quota.sql")
_decode: Final = msgspec.msgpack.Decoder(Contact).decode


class Limit(msgspec.Struct, frozen=True):
    """Contacts of the plan, None for any number, and the version of the workspace that says so."""

    contacts: int | None
    version: int


def limits_in(events: Iterable[RecordedEvent[Any]]) -> dict[UUID, Limit]:
    """The last limit that each workspace was given."""
    return {
        event.workspace_id: Limit(event.event.contact_limit, event.version)
        for event in events
        if isinstance(event.event, WorkspaceSettingsChanged) and event.event.contact_limit is not UNSET
    }


async def with_limit(connection: Connection, workspace_ids: Iterable[UUID]) -> set[UUID]:
    """Those of the workspaces that have a limit, or had one."""
    found = await connection.fetch(SQL["with_limit"], list(set(workspace_ids)))
    return {row["workspace_id"] for row in found}


async def keep_limits(connection: Connection, limits: dict[UUID, Limit]) -> None:
    """A newer one that is there already stays."""
    if limits:
        contacts = [limit.contacts for limit in limits.values()]
        versions = [limit.version for limit in limits.values()]
        await connection.execute(SQL["keep_limits"], list(limits), contacts, versions)


async def settle(connection: Connection, workspace_ids: Iterable[UUID], touched: Sequence[Touched]) -> list[Touched]:
    """Contacts that came beyond the limit or back within it. After rows and totals are written.

    Nobody else writes rows of these workspaces meanwhile (`standings.lock`, alone).
    """
    moved: list[Touched] = []
    for workspace_id in sorted(workspace_ids):
        gone = [c.after.id for c in touched if c.workspace_id == workspace_id and not _takes_room(c)]
        is_over = {row["contact_id"]: False for row in await connection.fetch(SQL["leave"], workspace_id, gone)}
        for row in await connection.fetch(SQL["settle"], workspace_id):
            is_over[row["contact_id"]] = row["is_over"]
        for row in await connection.fetch(SQL["rows"], workspace_id, list(is_over)) if is_over else ():
            before = _decode(row["state"])
            after = standings.limited(before, over_limit=is_over[row["contact_id"]])
            moved.append(Touched(workspace_id, before, after))
    return moved


def _takes_room(contact: Touched) -> bool:
    return contact.visible and not contact.after.deleted
