"""Questions to the duplicate read model, each answered from one snapshot. Writes nothing and waits for nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec

from contacts.contact.cursor import After, Cursors, Total
from contacts.duplicate.commands import Keep
from contacts.duplicate.keys import CANDIDATES, LIKELY, AddressKind, By, pair_key, parse_pair_key
from contacts.duplicate.model import Evidence
from contacts.duplicate.refusals import DuplicateNotFound
from contacts.duplicate.weights import THRESHOLD, shown_from
from contacts.errors import InvalidField, InvalidInput
from contacts.reading import reading
from eventstore.sql import load

if TYPE_CHECKING:
    import asyncpg

    from eventstore.sql import AnyConnection

#: Ids that a list names of one group; the group itself pages through all.
NAMED_MAX: Final = 100
#: Pairs that are counted one by one, where not all that are kept are shown.
COUNTED_MAX: Final = 100_000

SQL: Final = load("contacts.duplicate", "queries.sql")
_evidence: Final = msgspec.msgpack.Decoder(tuple[Evidence, ...]).decode
_NOBODY: Final = UUID(int=0)


class Duplicates(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Contacts that share an address, or two that are likely to be the same person."""

    #: The address in its normal form, or the pair.
    key: str
    count: int
    #: Those created first.
    contacts: tuple[UUID, ...]
    #: Bits of evidence, and what they are made of; for a likely pair only.
    score: float | None = None
    evidence: tuple[Evidence, ...] = ()
    dismissed: bool = False


class Page(msgspec.Struct, frozen=True):
    """A part of a list, in its order."""

    items: tuple[Duplicates, ...]
    #: For the next page; None on the last one.
    next_cursor: str | None
    total: Total
    #: Of pairs: blocks that are full, and so were passed over.
    passed_over: int | None = None
    #: Of pairs: those with a lower score are left out.
    min_score: float | None = None


class Removable(msgspec.Struct, frozen=True):
    """What a removal would come to."""

    groups: int
    #: Contacts beyond the one of each group that stays.
    contacts: int


class DuplicateQueries:
    """Safe to use concurrently. `pool` has sessions of rollbook_reader; `cursor_key` is as `Cursors` wants it."""

    def __init__(self, pool: asyncpg.Pool, cursor_key: bytes) -> None:
        self._pool = pool
        self._cursors = Cursors(cursor_key)

    async def list(
        self, workspace_id: UUID, by: By, *, limit: int = 50, cursor: str | None = None, min_score: float | None = None
    ) -> Page:
        """Groups by the alphabet, pairs by their score, without the dismissed.

        Pairs from `min_score` on; without it, from what tells something among as many contacts as there are. Raises
        InvalidInput for a cursor of another list.
        """
        identity = msgspec.msgpack.encode(["duplicates", workspace_id, by, min_score])
        after = None if cursor is None else self._cursors.open(cursor, identity)
        async with reading(self._pool, workspace_id) as connection:
            # One more than asked for tells whether there is another page.
            if by == LIKELY:
                page = await _likely_page(connection, workspace_id, after, limit + 1, min_score)
            else:
                page = await _group_page(connection, workspace_id, by, after, limit + 1)
        if len(page.items) <= limit:
            return page
        next_cursor = self._cursors.seal(_after(page.items[limit - 1], page.total), identity)
        return msgspec.structs.replace(page, items=page.items[:limit], next_cursor=next_cursor)

    async def get(
        self, workspace_id: UUID, by: By, key: str, *, limit: int = NAMED_MAX, cursor: str | None = None
    ) -> tuple[Duplicates, str | None]:
        """One of them, dismissed ones too, with a page of its contacts and the cursor of the next one.

        Raises:
            DuplicateNotFound: nobody, or one contact alone, has this address, or the two are not alike.
            InvalidInput: the cursor is of another group.
        """
        identity = msgspec.msgpack.encode(["duplicate", workspace_id, by, key])
        after = None if cursor is None else self._cursors.open(cursor, identity)
        async with reading(self._pool, workspace_id) as connection:
            if by == LIKELY:
                return await _pair(connection, workspace_id, key), None
            row = await connection.fetchrow(SQL["group"], workspace_id, by, key)
            if row is None:
                raise DuplicateNotFound(by)
            place = (None, None) if after is None else (after.instant, after.contact_id)
            rows = await connection.fetch(SQL[f"members_by_{by}"], workspace_id, key, *place, limit + 1)
        shown = rows[:limit]
        found = Duplicates(
            key=key,
            count=row["contacts"],
            contacts=tuple(each["contact_id"] for each in shown),
            dismissed=row["dismissed"],
        )
        if len(rows) <= limit:
            return found, None
        last = After(shown[-1]["contact_id"], shown[-1]["created_at"], None, Total(found.count, True))
        return found, self._cursors.seal(last, identity)

    async def removable(self, workspace_id: UUID, by: AddressKind, keys: Sequence[str] | None) -> Removable:
        """Of the groups named, or of all that are not dismissed."""
        async with reading(self._pool, workspace_id) as connection:
            row = await connection.fetchrow(SQL["removable"], workspace_id, by, keys)
        assert row is not None
        return Removable(row["groups"], row["contacts"])

    async def addresses(
        self, workspace_id: UUID, by: AddressKind, keys: Sequence[str] | None, *, after: str | None, limit: int
    ) -> Sequence[str]:
        """Of the groups named, or of all that are not dismissed; by the alphabet, behind one."""
        async with reading(self._pool, workspace_id) as connection:
            rows = await connection.fetch(SQL["addresses"], workspace_id, by, keys, after, limit)
        return [row["address"] for row in rows]

    async def members(
        self, workspace_id: UUID, by: AddressKind, addresses: Sequence[str], *, first: Keep, limit: int
    ) -> Sequence[tuple[str, Sequence[UUID]]]:
        """Of several groups, in their order, at most `limit` each: those created first or last at the beginning."""
        async with reading(self._pool, workspace_id) as connection:
            rows = await connection.fetch(SQL[f"from_{first}_by_{by}"], workspace_id, addresses, limit)
        return [(row["address"], row["contact_ids"]) for row in rows]


async def _group_page(connection: AnyConnection, workspace_id: UUID, by: By, after: After | None, limit: int) -> Page:
    address = None if after is None else after.text
    rows = await connection.fetch(SQL[f"groups_by_{by}"], workspace_id, address, limit, NAMED_MAX)
    items = tuple(
        Duplicates(key=row["address"], count=row["contacts"], contacts=tuple(row["contact_ids"])) for row in rows
    )
    return Page(items, None, after.total if after else await _total(connection, workspace_id, by))


async def _likely_page(
    connection: AnyConnection, workspace_id: UUID, after: After | None, limit: int, min_score: float | None
) -> Page:
    if min_score is None:
        min_score = shown_from((await _total(connection, workspace_id, CANDIDATES)).count)
    rows = await connection.fetch(SQL["pairs"], workspace_id, *_place(after), limit, min_score)
    full = await connection.fetchval(SQL["full_blocks"], workspace_id)
    if after is not None:
        total = after.total
    elif min_score <= THRESHOLD:
        total = await _total(connection, workspace_id, LIKELY)
    else:
        count = await connection.fetchval(SQL["likely_total"], workspace_id, min_score, COUNTED_MAX)
        total = Total(count, count < COUNTED_MAX)
    items = tuple(_likely(row, row["first_id"], row["second_id"]) for row in rows)
    return Page(items, None, total, full, min_score)


async def _total(connection: AnyConnection, workspace_id: UUID, name: str) -> Total:
    return Total(await connection.fetchval(SQL["total"], workspace_id, name), exact=True)


async def _pair(connection: AnyConnection, workspace_id: UUID, key: str) -> Duplicates:
    pair = parse_pair_key(key)
    row = None if pair is None else await connection.fetchrow(SQL["pair"], workspace_id, *pair)
    if pair is None or row is None:
        raise DuplicateNotFound(LIKELY)
    return _likely(row, *pair, dismissed=row["dismissed"])


def _likely(row: Any, first: UUID, second: UUID, *, dismissed: bool = False) -> Duplicates:
    return Duplicates(
        key=pair_key(first, second),
        count=2,
        contacts=(first, second),
        score=row["score"],
        evidence=_evidence(row["evidence"]),
        dismissed=dismissed,
    )


def _after(last: Duplicates, total: Total) -> After:
    if last.score is None:
        return After(_NOBODY, None, last.key, total)
    return After(_NOBODY, None, f"{last.score!r} {last.key}", total)


def _place(after: After | None) -> tuple[float | None, UUID | None, UUID | None]:
    if after is None:
        return None, None, None
    score, _, key = (after.text or "").partition(" ")
    pair = parse_pair_key(key)
    if pair is None:
        raise InvalidInput([InvalidField("/cursor", "is no next_cursor of this list", "one from the same list")])
    return float(score), *pair
