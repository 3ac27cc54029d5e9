"""One page of a list of contacts: which of two statements finds it fastest, and how many match in all. Parses nothing.

A common word is found by walking the list in order, a rare one by gathering all its matches from the index and sorting
them. The planner has to guess which is which, and where it takes two common words for a common pair, it walks through
everybody. So up to `COUNT_MAX` matches are gathered first, which gives an exact total as well, and only a list with
more is walked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias
from uuid import UUID

import msgspec
from msgspec.structs import replace

from contacts.contact.cursor import After, Total
from contacts.contact.filtering import Filter, Parameters, compile_filter
from contacts.contact.ordering import Sort, parts_of, place_in_gathered, place_in_index
from eventstore.sql import load

if TYPE_CHECKING:
    from asyncpg import Record

    from eventstore.sql import AnyConnection

#: Matches that are counted one by one; more are estimated.
COUNT_MAX: Final = 10_000
#: Of so many contacts the planner is asked whether so many match that a page is come upon at once.
MANY_FROM: Final = 200_000
MANY_MIN: Final = 2 * COUNT_MAX
#: What looking at one contact of a walk costs, in units of the planner.
PASSED_COST: Final = 10
#: Contacts that are looked at before a filter is asked of everybody, and from how many on that is worth it.
GLANCE_MAX: Final = 5_000
GLANCE_FROM: Final = 20_000
#: So many found at a glance make it worth going further, but not as far as everybody takes.
GLANCE_MIN: Final = 5
GLANCE_FURTHER_MAX: Final = 40_000
#: Of those who were chosen so many more are looked at than the page holds, lest some do not match any more.
CHOSEN_SPARE: Final = 20
#: Contacts that an estimate looks at, about.
SAMPLE: Final = 4_000
#: Contacts that are walked past in search of a page, before all matches are gathered after all.
WALK_MAX: Final = 100_000

SQL: Final = load("contacts.contact", "queries.sql")


#: Adds its values to the parameters, and is a condition on the alias `c`.
Condition: TypeAlias = Callable[[Parameters], str]


class Found(msgspec.Struct, frozen=True):
    """A contact of a list, encoded, with what the list is sorted by."""

    contact_id: UUID
    key: datetime | str | float | None
    state: bytes

    def as_after(self, total: Total) -> After:
        """Where the next page begins when this contact is the last of a page."""
        key = self.key
        if isinstance(key, str | float):
            return After(self.contact_id, None, str(key), total)
        return After(self.contact_id, key, None, total)


class Known(NamedTuple):
    """What matched a moment ago."""

    total: Total
    #: Who did, where they are few.
    ids: Sequence[UUID] | None
    #: Whether a snapshot shows what was shown then.
    is_so_still: Callable[[AnyConnection], Awaitable[bool]]


class Walked(NamedTuple):
    """What was come upon in walking through a list in its order."""

    found: list[Found]
    #: Which share of those passed was found.
    density: float
    gave_up: bool


class Listing(msgspec.Struct, frozen=True):
    """A list that can be paged through."""

    workspace_id: UUID
    filter: Filter
    sort: Sort
    #: What must hold beside the filter.
    also: Condition | None = None
    #: The same, put so that it is quick for everybody at once.
    also_of_everybody: Condition | None = None
    #: Where somebody knows beforehand what matches.
    known: Known | None = None

    async def page(self, connection: AnyConnection, after: After | None, limit: int) -> tuple[list[Found], Total]:
        """The first `limit` contacts behind `after`, and how many there are in all."""
        known = self.known
        if known is not None and (chosen := await self._choose(connection, known, after, limit)) is not None:
            return chosen, known.total
        total = known.total if known is not None else await self._known_total(connection, after)
        if total is None and (glanced := await self._glance(connection, limit)):
            return glanced
        if total is None and not await self._are_many(connection):
            matches, found = await self._gather(connection, None, limit, COUNT_MAX + 1)
            if matches <= COUNT_MAX:
                return found, Total(matches, exact=True)
        elif total == Total(0, exact=True):
            return [], total
        elif total is not None and self._narrows and total.exact and total.count <= COUNT_MAX:
            return (await self._gather(connection, after, limit, None))[1], total
        at_most: int | None = limit + 1
        if self._narrows or self.sort.shared:
            # Behind a first page the walk has come to where the matches are; before it, all may be far down the list.
            at_most = WALK_MAX if after is None or self.also is not None else None
        walked = await self._walk(connection, after, limit, at_most)
        if walked.gave_up and total is not None:
            return await self._top(connection, after, limit), total
        if walked.gave_up:
            matches, found = await self._gather(connection, after, limit, None)
            return found, Total(matches, exact=True)
        return walked.found, total or await self._estimated(connection, walked.density)

    async def _glance(self, connection: AnyConnection, limit: int) -> tuple[list[Found], Total] | None:
        """The first page where it is near the top of a long list: what a filter asks of everybody may take its time."""
        if self.also is None or not self.can_walk:
            return None
        among = await self.among(connection)
        if among <= GLANCE_FROM or await self._gathers_sooner(connection, among, limit):
            return None
        walked = await self._walk(connection, None, limit, GLANCE_MAX)
        if walked.gave_up and len(walked.found) >= GLANCE_MIN:
            # As far as it takes if matches lie as thick below, and again as far.
            at_most = 2 * GLANCE_MAX * limit // len(walked.found)
            walked = await self._walk(connection, None, limit, min(at_most, GLANCE_FURTHER_MAX))
        if walked.gave_up or len(walked.found) < limit:
            return None
        return walked.found, await self._sampled(connection, among)

    async def _are_many(self, connection: AnyConnection) -> bool:
        """Whether what is in the search box is so common that counting some of it first is time lost."""
        if not self.filter.terms or self.also is not None or not self.can_walk:
            return False
        if await self.among(connection) < MANY_FROM:
            return False
        _, matches = await self._expected(connection, 1)
        return matches > MANY_MIN

    async def _gathers_sooner(self, connection: AnyConnection, among: int, limit: int) -> bool:
        """Whether the planner thinks that all matches are gathered before so many are come upon in order."""
        cost, matches = await self._expected(connection, limit)
        return cost < among * limit / max(1, min(matches, COUNT_MAX)) * PASSED_COST

    async def _expected(self, connection: AnyConnection, limit: int) -> tuple[float, int]:
        """What the planner thinks that gathering costs, and how many matches there are."""
        statement, values = self.gathering(None)
        explain = f"EXPLAIN (FORMAT JSON) {statement}"
        rows = await connection.fetch(explain, self.workspace_id, COUNT_MAX + 1, limit, *values)
        (explained,) = msgspec.json.decode(rows[0][0])
        plan = explained["Plan"]
        gathered = next(each for each in plan["Plans"] if each.get("Subplan Name") == "CTE gathered")
        # A limit says no more than itself.
        (of_all,) = (each for each in gathered["Plans"] if each["Parent Relationship"] == "Outer")
        return plan["Total Cost"], of_all["Plan Rows"]

    async def _choose(
        self, connection: AnyConnection, known: Known, after: After | None, limit: int
    ) -> list[Found] | None:
        """Out of those who are known; None where they are not, or so many do not match any more that there are gaps."""
        if known.ids is None:
            return None
        wanted = limit + CHOSEN_SPARE
        parameters = Parameters(first=4)
        ids = parameters.add(list(known.ids), "uuid[]")
        statement, values = self._gathering(after, parameters, f"c.contact_id = ANY ({ids})")
        rows = await connection.fetch(statement, self.workspace_id, None, wanted, *values)
        found = [_found(row) for row in rows if row["contact_id"] is not None]
        matching = found
        if not await known.is_so_still(connection):
            matching = await self._matching(connection, found)
        return matching[:limit] if len(matching) >= limit or len(found) < wanted else None

    async def _matching(self, connection: AnyConnection, found: list[Found]) -> list[Found]:
        parameters = Parameters(first=3)
        statement = SQL["matching"].format(filter=self.condition(parameters))
        ids = [each.contact_id for each in found]
        rows = await connection.fetch(statement, self.workspace_id, ids, *parameters.values)
        matching = {row["contact_id"] for row in rows}
        return [each for each in found if each.contact_id in matching]

    async def _sampled(self, connection: AnyConnection, among: int) -> Total:
        """An estimate from some pages of the table, so many that they hold about as many contacts as are wanted."""
        share = min(1.0, SAMPLE / max(1, among))
        statement, values = self.sampling(share)
        found = await connection.fetchval(statement, self.workspace_id, *values)
        return Total(round(found / share), exact=False)

    async def among(self, connection: AnyConnection) -> int:
        """How many contacts are looked through: exact and at once."""
        return await count(connection, self.workspace_id, replace(self.filter, terms=()))

    async def count(self, connection: AnyConnection) -> int:
        """How many there are in all. It looks at everybody."""
        statement, values = self.counting()
        counted: int = await connection.fetchval(statement, self.workspace_id, *values)
        return counted

    @property
    def _narrows(self) -> bool:
        return self.also is not None or self.filter != Filter(deleted=self.filter.deleted)

    @property
    def can_walk(self) -> bool:
        """Whether an index has the order."""
        return self.sort.made is None

    def condition(self, parameters: Parameters, *, everybody: bool = False) -> str:
        """All that must be true of `c`, a row of a contact. The workspace is the first parameter."""
        condition = compile_filter(self.filter, parameters)
        also = (self.also_of_everybody if everybody else None) or self.also
        return condition if also is None else f"{condition} AND ({also(parameters)})"

    async def _known_total(self, connection: AnyConnection, after: After | None) -> Total | None:
        if not self.filter.terms and self.also is None:
            return Total(await count(connection, self.workspace_id, self.filter), exact=True)
        return after.total if after is not None else None

    async def _estimated(self, connection: AnyConnection, density: float) -> Total:
        among = await self.among(connection)
        return Total(max(COUNT_MAX + 1, round(among * density)), exact=False)

    async def _walk(self, connection: AnyConnection, after: After | None, limit: int, at_most: int | None) -> Walked:
        """Gives up where the page was not full after `at_most`."""
        if not self.can_walk:
            return Walked([], 0.0, gave_up=True)
        found: list[Found] = []
        density = 0.0
        for has_key in parts_of(self.sort, after):
            wanted = limit - len(found)
            if wanted:
                statement, values = self.walking(after, has_key=has_key)
                rows = await connection.fetch(statement, self.workspace_id, at_most, wanted, *values)
                if rows and rows[-1]["passed"] == at_most:
                    return Walked([*found, *map(_found, rows[:-1])], 0.0, gave_up=True)
                density = len(rows) / rows[-1]["passed"] if rows else 0.0
                found += map(_found, rows)
        return Walked(found, density, gave_up=False)

    async def _gather(
        self, connection: AnyConnection, after: After | None, limit: int, at_most: int | None
    ) -> tuple[int, list[Found]]:
        """Also answers how many match in all, up to `at_most`; only below that the contacts are the right ones."""
        statement, values = self.gathering(after)
        rows = await connection.fetch(statement, self.workspace_id, at_most, limit, *values)
        return rows[0]["matches"], [_found(row) for row in rows if row["contact_id"] is not None]

    async def _top(self, connection: AnyConnection, after: After | None, limit: int) -> list[Found]:
        statement, values = self.topping(after)
        return [_found(row) for row in await connection.fetch(statement, self.workspace_id, limit, *values)]

    def walking(self, after: After | None, *, has_key: bool) -> tuple[str, list[object]]:
        """The statement that walks one part of the list, and its parameters from the fourth on."""
        parameters = Parameters(first=4)
        place = place_in_index(self.sort, after, parameters, deleted=self.filter.deleted, has_key=has_key)
        table, key = self.sort.walked(has_key=has_key)
        statement = SQL["walk"].format(
            table=table,
            key=key,
            direction=self.sort.direction,
            place=place,
            filter=self.condition(parameters, everybody=False),
        )
        return statement, parameters.values

    def gathering(self, after: After | None) -> tuple[str, list[object]]:
        """The statement that gathers all matches, and its parameters from the fourth on."""
        parameters = Parameters(first=4)
        return self._gathering(after, parameters, self.condition(parameters, everybody=True))

    def _gathering(self, after: After | None, parameters: Parameters, condition: str) -> tuple[str, list[object]]:
        return self._composed("gather", after, parameters, condition), parameters.values

    def _composed(self, name: str, after: After | None, parameters: Parameters, condition: str) -> str:
        return SQL[name].format(
            key=self.sort.gathered(parameters),
            direction=self.sort.direction,
            filter=condition,
            place=place_in_gathered(self.sort, after, parameters),
        )

    def topping(self, after: After | None) -> tuple[str, list[object]]:
        """The statement that finds a page by looking at everybody, and its parameters from the third on."""
        parameters = Parameters(first=3)
        return self._composed("top", after, parameters, self.condition(parameters, everybody=True)), parameters.values

    def counting(self) -> tuple[str, list[object]]:
        """The statement that counts all matches, and its parameters from the second on."""
        parameters = Parameters(first=2)
        return SQL["count"].format(filter=self.condition(parameters, everybody=True)), parameters.values

    def sampling(self, share: float) -> tuple[str, list[object]]:
        """The same for a share of the table's pages."""
        parameters = Parameters(first=2)
        per_cent = parameters.add(100 * share, "real")
        statement = SQL["sample"].format(per_cent=per_cent, filter=self.condition(parameters))
        return statement, parameters.values


async def count(connection: AnyConnection, workspace_id: UUID, wanted: Filter) -> int:
    """How many match a filter without search terms: exact, from the maintained totals."""
    rows = await connection.fetch(SQL["counts"], workspace_id, wanted.deleted)
    return sum(row["contacts"] for row in rows if wanted.counts(row["email_status"], row["phone_status"]))


def _found(row: Record) -> Found:
    return Found(row["contact_id"], row["sort_key"], row["state"])
