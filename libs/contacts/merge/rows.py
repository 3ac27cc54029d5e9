"""Merged contacts in the contact read model: one visible row per profile, what each contact says itself beside it.

A contact outside any merge is a row of `contact` and nothing else. A profile is a row of `contact`, too, made of what
its contacts say themselves, which is kept in `contact_member`; the absorbed ones have no row of their own in `contact`,
so that lists, counts and searches need not know of merges.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from contacts.contact.state import Contact, initial
from contacts.emails import email_normal
from contacts.merge.view import agreeing, tree, view
from eventstore.sql import load

if TYPE_CHECKING:
    from asyncpg import Record

    from eventstore.envelope import RecordedEvent
    from eventstore.projection import Connection

#: Events that change who stands for whom.
MERGING: Final = frozenset({"contact.merged", "contact.absorbed", "contact.unmerged", "contact.reinstated"})

SQL: Final = load("contacts.merge", "rows.sql")
_decode: Final = msgspec.msgpack.Decoder(Contact).decode
_encode: Final = msgspec.msgpack.Encoder(uuid_format="bytes").encode

States = dict[UUID, Contact]


class Touched(msgspec.Struct, gc=False):
    """A contact before and after one batch."""

    workspace_id: UUID
    #: As its row has it; None where it has none.
    before: Contact | None
    after: Contact
    #: Of the last event that had an effect, 0 where none had.
    position: int = 0

    @property
    def visible(self) -> bool:
        """Whether there is to be a row."""
        return not self.after.erased and self.after.absorbed_into is None

    @property
    def merged(self) -> bool:
        """Whether it was part of a merge before or is after the batch."""
        return is_merged(self.after) or (self.before is not None and is_merged(self.before))


def is_merged(contact: Contact) -> bool:
    """Whether it stands for others or another one for it."""
    return contact.composition is not None or contact.absorbed_into is not None


async def lock(connection: Connection, workspace_ids: Iterable[UUID]) -> None:
    """Until the end of the transaction; before anything is written."""
    await connection.execute(SQL["lock"], list(workspace_ids))


async def load_own(connection: Connection, wanted: Mapping[UUID, UUID]) -> States:
    """What the contacts say themselves, by id; `wanted` has the workspace of each. Unknown ones are left out."""
    return {row["contact_id"]: _decode(row["state"]) for row in await _fetch(connection, wanted)}


async def _fetch(connection: Connection, wanted: Mapping[UUID, UUID]) -> Sequence[Record]:
    return await connection.fetch(SQL["load"], list(wanted.values()), list(wanted)) if wanted else ()


def suspects(events: Sequence[RecordedEvent[Any]], visible: States) -> dict[UUID, UUID]:
    """Contacts of a batch whose rows are not what they say themselves, with the workspace of each."""
    found: dict[UUID, UUID] = {}
    started: set[UUID] = set()
    for event in events:
        row = visible.get(event.stream_id)
        if row is not None:
            if row.composition is not None:
                found[event.stream_id] = event.workspace_id
        elif event.version == 1:
            started.add(event.stream_id)
        elif event.stream_id not in started:
            found[event.stream_id] = event.workspace_id
    return found


async def regroup(connection: Connection, touched: Sequence[Touched]) -> list[Touched]:
    """Makes of merged contacts, each with what it says itself, the rows there are to be; keeps `contact_member`.

    Whoever is concerned is looked up: the others of a profile may be of another slice, and behind or ahead. What is
    missing shows once its own slice comes to it: then the same profile is made again.
    """
    kin = _Kin(touched)
    await kin.complete(connection)
    await kin.save(connection)
    return await kin.rows(connection)


class _Kin:
    """Everybody in the profiles that a batch concerns, with what each says itself."""

    def __init__(self, touched: Sequence[Touched]) -> None:
        self._own: States = {contact.after.id: contact.after for contact in touched}
        self._workspaces = {contact.after.id: contact.workspace_id for contact in touched}
        self._positions = {contact.after.id: contact.position for contact in touched}
        #: The root of each as it is stored; not known of those touched, which are stored anyway.
        self._stored: dict[UUID, UUID | None] = {}

    async def complete(self, connection: Connection) -> None:
        """Adds whoever stands above or below."""
        asked = dict(self._own)
        while asked:
            wanted: dict[UUID, UUID] = {}
            for contact in asked.values():
                wanted |= {each: self._workspaces[contact.id] for each in _next_to(contact) if each not in self._own}
            # One that is not there yet, or no more, says nothing.
            asked = {each: initial(each) for each in wanted}
            for row in await _fetch(connection, wanted):
                asked[row["contact_id"]] = _decode(row["state"])
                self._stored[row["contact_id"]] = row["root_id"]
            self._own |= asked
            self._workspaces |= wanted

    async def rows(self, connection: Connection) -> list[Touched]:
        """What `contact` has and is to have of each."""
        ids = list(self._own)
        found = await connection.fetch(SQL["visible"], [self._workspaces[each] for each in ids], ids)
        visible = {row["contact_id"]: _decode(row["state"]) for row in found}
        agreed = {each: agreeing(contact, self._own) for each, contact in self._own.items()}
        return [
            self._row(contact, agreed, visible.get(each))
            for each, contact in self._own.items()
            if contact.exists and (is_merged(contact) or each in self._positions)
        ]

    async def save(self, connection: Connection) -> None:
        """Writes what merged contacts say themselves, and takes away those that are not merged any more."""
        kept: list[tuple[object, ...]] = []
        gone: list[UUID] = []
        for each, contact in self._own.items():
            if not is_merged(contact) or contact.erased:
                gone.append(each)
            elif contact.exists and self._stored.get(each) != (root := self._root(each)):
                kept.append(_member(contact, self._workspaces[each], root))
        if kept:
            await connection.execute(SQL["save"], *map(list, zip(*kept, strict=True)))
        if gone:
            await connection.execute(SQL["forget"], [self._workspaces[each] for each in gone], gone)

    def _row(self, contact: Contact, agreed: States, before: Contact | None) -> Touched:
        shown, below = shown_of(contact, agreed)
        position = max(self._positions.get(each, 0) for each in (contact.id, *below))
        return Touched(self._workspaces[contact.id], before, shown, position)

    def _root(self, contact_id: UUID) -> UUID:
        passed: set[UUID] = set()
        while (above := self._own[contact_id].absorbed_into) is not None and contact_id not in passed:
            passed.add(contact_id)
            contact_id = above
        return contact_id


def shown_of(contact: Contact, agreed: States) -> tuple[Contact, list[UUID]]:
    """The contact as a row has it, and whose facts are in it beside its own; `agreed` has all of them, agreeing."""
    root = agreed[contact.id]
    below = tree(root, agreed) if root.absorbed_into is None else []
    return (replace(view(root, agreed), composition=contact.composition) if below else contact), below


def _next_to(contact: Contact) -> Iterator[UUID]:
    if contact.absorbed_into is not None:
        yield contact.absorbed_into
    if contact.composition is not None:
        yield from contact.composition.children


def _member(contact: Contact, workspace_id: UUID, root_id: UUID) -> tuple[object, ...]:
    return (
        workspace_id,
        contact.id,
        root_id,
        contact.external_id,
        contact.messaging_id,
        email_normal(contact.email) if contact.email else None,
        contact.phone,
        # How it stands is said of the profile alone.
        _encode(replace(contact, standing=None) if contact.standing else contact),
    )
