"""Questions to the contact read model, each answered from one snapshot. Writes nothing and waits for no position."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final
from uuid import UUID

import msgspec

from contacts.contact.commands import UpsertKind
from contacts.contact.cursor import Cursors, Total
from contacts.contact.filtering import parse_filter
from contacts.contact.listing import SQL, Listing
from contacts.contact.ordering import DEFAULT_SORT, parse_sort
from contacts.contact.state import Contact
from contacts.errors import ContactNotFound, InvalidField, InvalidInput
from contacts.history.listing import PastListing, fetch_counts
from contacts.reading import reading
from contacts.values import Country

if TYPE_CHECKING:
    import asyncpg
    from asyncpg import Record

LIMIT_MAX: Final = 1_000
LIMIT_DEFAULT: Final = 50

#: Contacts with the same address that anybody needs to know of.
FOUND_MAX: Final = 100

_decode: Final = msgspec.msgpack.Decoder(Contact).decode


class Page(msgspec.Struct, frozen=True):
    """A part of a list, in its order."""

    items: tuple[Contact, ...]
    #: For the next page; None on the last one.
    next_cursor: str | None
    total: Total
    #: Of a list of the past, the position it is as of.
    position: int | None = None


class Past(msgspec.Struct, frozen=True):
    """A moment of the past."""

    #: As the caller named it, which is what pages of one list have in common.
    as_of: str
    #: Of the last event before it.
    position: int


class Counts(msgspec.Struct, frozen=True):
    """How many contacts there are, and how many with each status; only statuses that occur are named."""

    total: int
    #: `all` are those with an e-mail address.
    email: dict[str, int]
    #: `all` are those with a phone number.
    phone: dict[str, int]


class ContactQueries:
    """Safe to use concurrently. `pool` has sessions of rollbook_reader; `cursor_key` is as `Cursors` wants it."""

    def __init__(self, pool: asyncpg.Pool, cursor_key: bytes) -> None:
        self._pool = pool
        self._cursors = Cursors(cursor_key)

    async def get(self, workspace_id: UUID, contact_id: UUID) -> Contact:
        """Deleted contacts too; for an absorbed one the contact that stands for it.

        Raises ContactNotFound, also for one that was erased or is another workspace's.
        """
        async with reading(self._pool, workspace_id) as connection:
            state = await connection.fetchval(SQL["get"], workspace_id, contact_id)
            if state is None:
                absorbed = await connection.fetchrow(SQL["get_absorbed"], workspace_id, [contact_id])
                state = None if absorbed is None else absorbed["state"]
        if state is None:
            raise ContactNotFound(contact_id)
        return _decode(state)

    async def get_many(self, workspace_id: UUID, contact_ids: Iterable[UUID]) -> dict[UUID, Contact]:
        """By the id asked for, deleted ones too; for absorbed ones the contact that stands for them."""
        wanted = set(contact_ids)
        async with reading(self._pool, workspace_id) as connection:
            rows = await connection.fetch(SQL["get_many"], workspace_id, list(wanted))
            found = {row["contact_id"]: _decode(row["state"]) for row in rows}
            if missing := wanted.difference(found):
                rows = await connection.fetch(SQL["get_absorbed"], workspace_id, list(missing))
                found |= {row["contact_id"]: _decode(row["state"]) for row in rows}
        return found

    async def find_by(self, workspace_id: UUID, by: UpsertKind, key: str) -> list[UUID]:
        """Contacts with a key (of `input.upsert_key`), oldest first, deleted ones left out; at most `FOUND_MAX`."""
        async with reading(self._pool, workspace_id) as connection:
            rows = await connection.fetch(SQL[f"find_by_{by}"], workspace_id, key, FOUND_MAX)
        return [row["contact_id"] for row in rows]

    async def over_limit(self, workspace_id: UUID, contact_ids: Iterable[UUID]) -> set[UUID]:
        """Those of the contacts for whom the plan has no room."""
        async with reading(self._pool, workspace_id) as connection:
            rows = await connection.fetch(SQL["over_limit"], workspace_id, list(contact_ids))
        return {row["contact_id"] for row in rows}

    async def counts(self, workspace_id: UUID, *, deleted: bool = False, position: int | None = None) -> Counts:
        """Exact totals of the present contacts, or of the deleted ones; as they are, or as they were at a position."""
        async with reading(self._pool, workspace_id) as connection:
            rows: Sequence[Record]
            if position is None:
                rows = await connection.fetch(SQL["counts"], workspace_id, deleted)
            else:
                rows = await fetch_counts(connection, workspace_id, position, deleted=deleted)
        counts = Counts(0, {"all": 0}, {"all": 0})
        for email_status, phone_status, contacts in rows:
            counts = msgspec.structs.replace(counts, total=counts.total + contacts)
            _add(counts.email, email_status, contacts)
            _add(counts.phone, phone_status, contacts)
        return counts

    async def list(
        self,
        workspace_id: UUID,
        *,
        q: str | None = None,
        email_status: str | None = None,
        phone_status: str | None = None,
        deleted: bool = False,
        sort: str = DEFAULT_SORT,
        limit: int = LIMIT_DEFAULT,
        cursor: str | None = None,
        region: Country | None = None,
        past: Past | None = None,
    ) -> Page:
        """A page of the contacts that match everything given. `region` is whose national phone numbers `q` may hold.

        Paging from cursor to cursor shows every contact that stays in the list exactly once, whatever is written
        meanwhile; one whose sorted value changes may show up again or not at all. A list of the past does not change.
        Raises InvalidInput.
        """
        if not 1 <= limit <= LIMIT_MAX:
            raise InvalidInput([InvalidField("/limit", "is out of range", f"1 to {LIMIT_MAX}")])
        wanted = parse_filter(q=q, email_status=email_status, phone_status=phone_status, deleted=deleted, region=region)
        order = parse_sort(sort, deleted=deleted)
        identity = msgspec.msgpack.encode([workspace_id, wanted, sort, *([past.as_of] if past else [])])
        after = None if cursor is None else self._cursors.open(cursor, identity)
        position = past.position if past is not None else None
        if past is not None and after is not None:
            # An instant that was the present when the first page was asked for stays at the position it was then.
            position = after.position
        listing = Listing(workspace_id, wanted, order)
        if position is not None:
            listing = PastListing(workspace_id, wanted, order, position=position)
        async with reading(self._pool, workspace_id) as connection:
            # One more than asked for tells whether there is another page.
            found, total = await listing.page(connection, after, limit + 1)
        next_cursor = None
        if len(found) > limit:
            last = found[limit - 1].as_after(total)
            next_cursor = self._cursors.seal(msgspec.structs.replace(last, position=position), identity)
        return Page(tuple(_decode(contact.state) for contact in found[:limit]), next_cursor, total, position)


def _add(counts: dict[str, int], status: str, contacts: int) -> None:
    if status:
        counts["all"] += contacts
        counts[status] = counts.get(status, 0) + contacts
