"""Questions to the activity read model and about who is meant, each answered from one snapshot. Writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Final, TypeAlias, cast
from uuid import UUID

import msgspec

from contacts.activity.events import AddressedAs
from contacts.activity.identity import identity_digest
from contacts.activity.kinds import CATEGORIES, Category
from contacts.contact.cursor import After, Cursors, Total
from contacts.contact.input import upsert_key
from contacts.errors import InvalidField, InvalidInput
from contacts.reading import reading
from eventstore.sql import load

if TYPE_CHECKING:
    import asyncpg
    from asyncpg import Record

    from contacts.activity.matching import Found
    from contacts.contact.commands import UpsertKind
    from eventstore.sql import AnyConnection

LIMIT_MAX: Final = 1_000
LIMIT_DEFAULT: Final = 50
#: Before and after everything.
BEGINNING: Final = datetime(1, 1, 1, tzinfo=UTC)
END: Final = datetime(9999, 12, 31, tzinfo=UTC)
MONTH_MAX: Final = timedelta(days=31)
#: Stands between the parts of a cursor's text; no id holds a control character.
SEPARATOR: Final = "\x1f"

#: Start of each month that has something, newest first, and how much that is.
Months: TypeAlias = Sequence[tuple[datetime, int]]

SQL: Final = load("contacts.activity", "queries.sql")
_decode_addressed_as: Final = msgspec.json.Decoder(AddressedAs).decode


class Activity(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One activity as it is shown."""

    #: The sender's id; unique together with `source`.
    activity_id: str
    source: str
    kind: str
    category: Category
    occurred_at: datetime
    recorded_at: datetime
    #: The contact it was recorded for; of a merged profile one of those it is made of.
    contact_id: UUID
    addressed_as: AddressedAs
    #: JSON.
    data: msgspec.Raw


class Page(msgspec.Struct, frozen=True):
    """A part of a timeline, newest first."""

    items: tuple[Activity, ...]
    #: For the next page; None on the last one.
    next_cursor: str | None
    total: Total


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """What can be paged through: the activity of one profile."""

    workspace_id: UUID
    #: The contact that stands for the profile.
    contact_id: UUID
    #: All that it is made of, itself among them.
    members: tuple[UUID, ...]
    #: None means all.
    category: Category | None = None
    #: Both are passed over for orders, which are shown whole (A3).
    since: datetime | None = None
    #: Exclusive.
    until: datetime | None = None

    @property
    def categories(self) -> tuple[Category, ...]:
        return CATEGORIES if self.category is None else (self.category,)

    @property
    def period(self) -> tuple[datetime, datetime] | None:
        """From (inclusive) to (exclusive); None where everything is meant."""
        if self.category == "orders" or (self.since is None and self.until is None):
            return None
        return self.since or BEGINNING, self.until or END

    @property
    def identity(self) -> bytes:
        """Which list a cursor belongs to. Who is part of the profile may change from page to page."""
        return msgspec.msgpack.encode(["activity", self.workspace_id, self.contact_id, self.category, self.period])


class ActivityQueries:
    """Safe to use concurrently. `pool` has sessions of rollbook_reader; `cursor_key` is as `Cursors` wants it."""

    def __init__(self, pool: asyncpg.Pool, cursor_key: bytes) -> None:
        self._pool = pool
        self._cursors = Cursors(cursor_key)

    async def page(self, timeline: Timeline, *, limit: int = LIMIT_DEFAULT, cursor: str | None = None) -> Page:
        """The newest, or what comes after those of the page that gave the cursor; ties are broken by id and source.

        Paging shows everything exactly once that was there at the beginning, whatever arrives late meanwhile.
        Raises InvalidInput.
        """
        if not 1 <= limit <= LIMIT_MAX:
            raise InvalidInput([InvalidField("/limit", "is out of range", f"1 to {LIMIT_MAX}")])
        after = None if cursor is None else self._cursors.open(cursor, timeline.identity)
        async with reading(self._pool, timeline.workspace_id) as connection:
            months = await _months(connection, timeline)
            total = Total(await _count(connection, timeline, months), exact=True)
            # One more than asked for tells whether there is another page.
            rows = await _rows(connection, timeline, months, after, limit + 1)
        items = tuple(map(_activity, rows[:limit]))
        next_cursor = None
        if len(rows) > limit:
            next_cursor = self._cursors.seal(_place(items[-1], total), timeline.identity)
        return Page(items, next_cursor, total)


async def _months(connection: AnyConnection, timeline: Timeline) -> Months:
    """How much there is in which month, newest first, whatever the period."""
    rows = await connection.fetch(
        SQL["months"], timeline.workspace_id, list(timeline.members), list(timeline.categories)
    )
    return [(_start_of(month), activities) for month, activities in rows]


async def _count(connection: AnyConnection, timeline: Timeline, months: Months) -> int:
    if timeline.period is None:
        return sum(activities for _, activities in months)
    return cast(
        "int",
        await connection.fetchval(
            SQL["count"], timeline.workspace_id, list(timeline.members), list(timeline.categories), *timeline.period
        ),
    )


async def _rows(
    connection: AnyConnection, timeline: Timeline, months: Months, after: After | None, limit: int
) -> list[Record]:
    if not months:
        return []
    start, end = timeline.period or (BEGINNING, END)
    # Nothing is after the newest month that has something, so the planner need not look there.
    place = (min(end, months[0][0] + MONTH_MAX), "", "")
    if after is not None and after.instant is not None:
        activity_id, _, source = (after.text or "").partition(SEPARATOR)
        place = (after.instant, activity_id, source)
    start = max(start, _begin(months, place[0], limit))
    return await connection.fetch(
        SQL["page"], timeline.workspace_id, list(timeline.members), list(timeline.categories), start, *place, limit
    )


def _begin(months: Months, before: datetime, wanted: int) -> datetime:
    """From when on there are as many as wanted before a moment, or all: older partitions need not be looked at.

    The month of the moment itself counts for nothing, because all of it may come after the moment.
    """
    for month, activities in months:
        if (month.year, month.month) < (before.year, before.month):
            wanted -= activities
        if wanted <= 0:
            break
    return month


def _start_of(month: date) -> datetime:
    return datetime.combine(month, time(), UTC)


def _place(last: Activity, total: Total) -> After:
    return After(last.contact_id, last.occurred_at, f"{last.activity_id}{SEPARATOR}{last.source}", total)


def _activity(row: Record) -> Activity:
    return Activity(
        activity_id=row["activity_id"],
        source=row["source"],
        kind=row["kind"],
        category=row["category"],
        occurred_at=row["occurred_at"],
        recorded_at=row["recorded_at"],
        contact_id=row["contact_id"],
        addressed_as=_decode_addressed_as(row["addressed_as"]),
        data=msgspec.Raw(row["data"].encode()),
    )


class MatchQueries:
    """Whose addresses and channel identities these are. Safe to use concurrently."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def find(self, workspace_id: UUID, wanted: Sequence[AddressedAs]) -> Found:
        """The oldest present contact with each, by e-mail, phone or channel; those that nobody has are left out."""
        found: Found = {}
        async with reading(self._pool, workspace_id) as connection:
            by: UpsertKind
            for by in ("email", "phone"):
                readings = [each for each in wanted if each.by == by]
                keys = [upsert_key(by, each.value) for each in readings]
                if readings:
                    rows = await connection.fetch(SQL[f"match_{by}"], workspace_id, keys)
                    found |= {readings[row["n"] - 1]: row["contact_id"] for row in rows}
            channels = [each for each in wanted if each.by == "channel"]
            if channels:
                digests = [identity_digest(each.channel or "", each.value) for each in channels]
                applications = [each.application for each in channels]
                rows = await connection.fetch(SQL["match_channel"], workspace_id, digests, applications)
                found |= {channels[row["n"] - 1]: row["contact_id"] for row in rows}
        return found
