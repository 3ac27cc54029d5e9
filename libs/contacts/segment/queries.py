"""Questions to the segment read model, each answered from one snapshot. Writes nothing, waits for nothing."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec

from contacts.contact.cursor import Total
from contacts.contact.filtering import Parameters
from contacts.contact.state import Contact
from contacts.errors import InvalidField, InvalidInput
from contacts.reading import reading
from contacts.segment.lives import decode_contact
from contacts.segment.writing import FOREVER
from contacts.smartsearch.compile import compile_node
from eventstore.sql import load

if TYPE_CHECKING:
    import asyncpg
    from asyncpg import Record

    from contacts.segment.filters import Parsed
    from contacts.smartsearch.moment import Moment
    from eventstore.sql import AnyConnection
    from eventstore.store import EventStore

LIMIT_MAX: Final = 1_000
LIMIT_DEFAULT: Final = 50
FIRST: Final = UUID(int=0)
#: Matches of a filter that are counted for a page.
COUNT_MAX: Final = 10_000

SQL: Final = load("contacts.segment", "queries.sql")
_decode_filter: Final = msgspec.json.Decoder().decode


class When(msgspec.Struct, frozen=True):
    """A moment: an instant, and the last event that counts."""

    at: datetime
    position: int


#: Later than everything there is, and earlier than the end of what is still so.
NOW: Final = When(datetime(9999, 1, 1, tzinfo=UTC), FOREVER - 1)


class Counting(msgspec.Struct, frozen=True):
    """How far a segment of a large workspace is filled: members are those among the contacts that were asked."""

    #: Contacts that were asked.
    contacts: int
    #: How many there are, deleted ones too.
    of: int


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """A segment or list as the read model has it."""

    id: UUID
    name: str
    version: int
    created_at: datetime
    changed_at: datetime
    archived_at: datetime | None
    members: int
    #: None of a list.
    filter: Any | None
    #: While it is filled.
    counting: Counting | None = None


class Cause(msgspec.Struct, frozen=True):
    """What moved a contact: the type of an event and its id, or `clock` and None."""

    type: str
    event_id: UUID | None


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A contact in a segment, and how it came in."""

    contact: Contact
    since: datetime
    cause: Cause


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """A contact that is in a segment at one of two moments only."""

    contact_id: UUID
    entered: bool
    at: datetime
    position: int
    cause: Cause


class In(msgspec.Struct, frozen=True):
    """Something that a contact is in."""

    id: UUID
    is_list: bool
    name: str
    since: datetime


class Page(msgspec.Struct, frozen=True):
    """A part of a list of any of these."""

    items: tuple[Any, ...]
    #: For the next page; None on the last one.
    next_cursor: str | None
    total: Total


class _Place(msgspec.Struct, frozen=True, array_like=True):
    """Where a page ended, and how many there are in all. Holds ids and names of lists only, so it is not sealed."""

    id: UUID
    name: str = ""
    total: int = 0


_encode_place: Final = msgspec.msgpack.Encoder(uuid_format="bytes").encode
_decode_place: Final = msgspec.msgpack.Decoder(_Place).decode


class SegmentQueries:
    """Safe to use concurrently. `pool` has sessions of rollbook_reader."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def page(
        self, workspace_id: UUID, *, lists: bool, archived: bool, limit: int = LIMIT_DEFAULT, cursor: str | None = None
    ) -> Page:
        """Lists, or segments, by name. Raises InvalidInput for a cursor that is none."""
        after = _opened(cursor)
        async with reading(self._pool, workspace_id) as connection:
            rows = await connection.fetch(
                SQL["page"], workspace_id, lists, archived, after.name, after.id, limit + 1
            )  # fmt: skip
            total = await connection.fetchval(SQL["total"], workspace_id, lists, archived)
            filling = any(row["counted"] is not None for row in rows)
            contacts = await connection.fetchval(SQL["contacts"], workspace_id) if filling else 0
        place = [_Place(row["segment_id"], row["filed_name"]) for row in rows]
        return _page([_definition(row, contacts) for row in rows], place, limit, total)

    async def count(self, workspace_id: UUID, segment_id: UUID, when: When = NOW) -> int:
        """How many are in it; exact."""
        async with reading(self._pool, workspace_id) as connection:
            return await _count(connection, workspace_id, segment_id, when)

    async def counting(self, workspace_id: UUID, segment_id: UUID) -> Counting | None:
        """How far it is filled; None where it is, or the read model does not know it yet."""
        async with reading(self._pool, workspace_id) as connection:
            counted = await connection.fetchval(SQL["filled"], workspace_id, segment_id)
            if counted is None:
                return None
            return _counting(counted, await connection.fetchval(SQL["contacts"], workspace_id))

    async def members(
        self, workspace_id: UUID, segment_id: UUID, *, position: int, when: When = NOW, limit: int = LIMIT_DEFAULT,
        cursor: str | None = None,
    ) -> Page:  # fmt: skip
        """Those in it at a moment, as they were shown at `position`, by id. Raises InvalidInput."""
        after = _opened(cursor)
        async with reading(self._pool, workspace_id) as connection:
            rows = await connection.fetch(
                SQL["members"], workspace_id, segment_id, when.at, when.position, position, after.id, limit + 1
            )
            total = after.total
            if cursor is None:
                total = await _count(connection, workspace_id, segment_id, when)
        places = [_Place(row["contact_id"], "", total) for row in rows]
        return _page([_member(row) for row in rows], places, limit, total)

    async def matching(
        self, workspace_id: UUID, parsed: Parsed, moment: Moment, *, limit: int = LIMIT_DEFAULT,
        cursor: str | None = None,
    ) -> Page:  # fmt: skip
        """Who matched a filter at the position of the moment, by id; more than `COUNT_MAX` are not counted.

        Raises InvalidInput.
        """
        after = _opened(cursor)
        condition, values = _compiled(parsed, moment, first=5)
        async with reading(self._pool, workspace_id) as connection:
            statement = SQL["matching"].format(condition=condition)
            rows = await connection.fetch(statement, workspace_id, moment.position, after.id, limit + 1, *values)
            total = after.total
            if cursor is None:
                total = await _count_matching(connection, workspace_id, parsed, moment, COUNT_MAX + 1)
        places = [_Place(row["contact_id"], "", total) for row in rows]
        page = _page([decode_contact(row["state"]) for row in rows], places, limit, total)
        return msgspec.structs.replace(page, total=Total(total, exact=total <= COUNT_MAX))

    async def ids_matching(self, workspace_id: UUID, parsed: Parsed, moment: Moment, limit: int) -> list[UUID]:
        """Some of those who matched a filter at the position of the moment, by id; all if they are not so many."""
        condition, values = _compiled(parsed, moment, first=5, workspace="$1")
        async with reading(self._pool, workspace_id) as connection:
            statement = SQL["matching"].format(condition=condition)
            rows = await connection.fetch(statement, workspace_id, moment.position, FIRST, limit, *values)
        return [row["contact_id"] for row in rows]

    async def count_matching(self, workspace_id: UUID, parsed: Parsed, moment: Moment) -> int:
        """How many matched; exact, and as slow as that is."""
        async with reading(self._pool, workspace_id) as connection:
            return await _count_matching(connection, workspace_id, parsed, moment, None)

    async def diff(
        self, workspace_id: UUID, segment_id: UUID, before: When, after: When, *, limit: int = LIMIT_DEFAULT,
        cursor: str | None = None,
    ) -> tuple[Page, int, int]:  # fmt: skip
        """Who moved from one moment to the other, by id, and how many entered and left in all. Raises InvalidInput."""
        place = _opened(cursor)
        moments = before.at, before.position, after.at, after.position
        async with reading(self._pool, workspace_id) as connection:
            rows = await connection.fetch(SQL["diff"], workspace_id, segment_id, *moments, place.id, limit + 1)
            counts = await connection.fetchrow(SQL["diff_counts"], workspace_id, segment_id, *moments)
        assert counts is not None
        total = counts["entered"] + counts["gone"]
        page = _page([_moved(row) for row in rows], [_Place(row["contact_id"]) for row in rows], limit, total)
        return page, counts["entered"], counts["gone"]

    async def of_contact(self, workspace_id: UUID, contact_id: UUID) -> list[In]:
        """What a contact is in now, segments first."""
        async with reading(self._pool, workspace_id) as connection:
            rows = await connection.fetch(SQL["of_contact"], workspace_id, contact_id)
        return [In(row["segment_id"], row["is_list"], row["name"], row["from_at"]) for row in rows]


async def recorded_at(store: EventStore, lane: int, position: int) -> datetime | None:
    """When the event at a position was recorded, as the log has it; None behind its end."""
    found: datetime | None = await store.pool.fetchval(SQL["moment_of"], lane, position)
    return found


async def _count_matching(
    connection: AnyConnection, workspace_id: UUID, parsed: Parsed, moment: Moment, limit: int | None
) -> int:
    # With all to be counted everybody is asked, else some.
    condition, values = _compiled(parsed, moment, first=4, workspace="$1" if limit is None else None)
    statement = SQL["count_matching"].format(condition=condition)
    counted: int = await connection.fetchval(statement, workspace_id, moment.position, limit, *values)
    return counted


def _compiled(
    parsed: Parsed, moment: Moment, first: int, workspace: str | None = None
) -> tuple[str, list[object]]:  # fmt: skip
    parameters = Parameters(first=first)
    condition = compile_node(
        parsed.node, moment=moment, parameters=parameters, definitions=parsed.definitions, workspace=workspace
    )
    return condition, parameters.values


async def _count(connection: AnyConnection, workspace_id: UUID, segment_id: UUID, when: When) -> int:
    if when == NOW:
        counted = await connection.fetchval(SQL["count"], workspace_id, segment_id)
    else:
        counted = await connection.fetchval(SQL["count_at"], workspace_id, segment_id, when.at, when.position)
    return counted or 0


def _page(items: list[Any], places: list[_Place], limit: int, total: int) -> Page:
    more = len(items) > limit
    cursor = urlsafe_b64encode(_encode_place(places[limit - 1])).rstrip(b"=").decode() if more else None
    return Page(tuple(items[:limit]), cursor, Total(total, exact=True))


def _opened(cursor: str | None) -> _Place:
    if cursor is None:
        return _Place(FIRST)
    try:
        place = _decode_place(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        place.name.encode()
    except (Base64Error, ValueError, msgspec.MsgspecError):
        place = None
    if place is None or "\0" in place.name or not 0 <= place.total < FOREVER:
        raise InvalidInput([InvalidField("/cursor", "is no next_cursor of this list", "one that came with a page")])
    return place


def _counting(counted: int, contacts: int) -> Counting:
    # Contacts that came since are not among those to be asked, but those that were absorbed are.
    return Counting(min(counted, contacts), contacts)


def _definition(row: Record, contacts: int) -> Definition:
    return Definition(
        id=row["segment_id"],
        name=row["name"],
        version=row["version"],
        created_at=row["created_at"],
        changed_at=row["changed_at"],
        archived_at=row["archived_at"],
        members=row["members"],
        filter=None if row["filter"] is None else _decode_filter(row["filter"]),
        counting=None if row["counted"] is None else _counting(row["counted"], contacts),
    )


def _member(row: Record) -> Member:
    cause = Cause(row["from_cause"], row["from_event"])
    return Member(contact=decode_contact(row["state"]), since=row["from_at"], cause=cause)


def _moved(row: Record) -> Moved:
    end = "from" if row["entered"] else "to"
    return Moved(
        contact_id=row["contact_id"],
        entered=row["entered"],
        at=row[f"{end}_at"],
        position=row[f"{end}_position"],
        cause=Cause(row[f"{end}_cause"], row[f"{end}_event"]),
    )
