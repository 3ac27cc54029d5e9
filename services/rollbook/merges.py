"""Merges that contradict each other, as logs of before 22 November 2026 may hold them: found for `rollbook doctor`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg
import msgspec

from contacts.contact.state import Contact
from contacts.merge.view import agreeing
from eventstore import sql

QUERIES: Final = sql.load("rollbook", "queries.sql")
ROLE: Final = "rollbook_projector"
_decode: Final = msgspec.msgpack.Decoder(Contact).decode


class Contradiction(NamedTuple):
    """A contact that a merge claims to have absorbed, while the contact says otherwise."""

    workspace_id: UUID
    contact_id: UUID
    claimed_by: UUID
    merge_id: UUID
    #: Who really stands for it, None where it stands for itself.
    part_of: UUID | None

    @property
    def text(self) -> str:
        really = "stands for itself" if self.part_of is None else f"is part of {self.part_of}"
        return (
            f"merge {self.merge_id} says that contact {self.contact_id} is part of {self.claimed_by}, but it {really}"
            f" (workspace {self.workspace_id}): two merges at once were both accepted"
        )

    @property
    def remedy(self) -> str:
        return f"POST /v1/merges/{self.merge_id}/unmerge takes the claim back; the contact stays where it is"


async def contradictions(connection: asyncpg.Connection) -> list[Contradiction]:
    """None where there is no read model yet, or this account may not read it."""
    try:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL ROLE {ROLE}")
            rows = await connection.fetch(QUERIES["merged_contacts"])
    except (asyncpg.UndefinedTableError, asyncpg.InsufficientPrivilegeError, asyncpg.UndefinedObjectError):
        return []
    workspaces = {row["contact_id"]: row["workspace_id"] for row in rows}
    return list(_found({row["contact_id"]: _decode(row["state"]) for row in rows}, workspaces))


def _found(contacts: Mapping[UUID, Contact], workspaces: Mapping[UUID, UUID]) -> Iterator[Contradiction]:
    for contact in contacts.values():
        agreed = agreeing(contact, contacts).composition
        kept = set(agreed.edges) if agreed else set()
        for edge in contact.composition.edges if contact.composition else ():
            if edge not in kept:
                child = contacts.get(edge.child)
                part_of = None if child is None else child.absorbed_into
                yield Contradiction(workspaces[contact.id], edge.child, contact.id, edge.merge_id, part_of)
