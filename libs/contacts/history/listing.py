"""One page of a list of contacts as it was at a position of the log. How pages are found is in `contact.listing`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final
from uuid import UUID

from contacts.contact.cursor import After, Total
from contacts.contact.filtering import Parameters, compile_terms
from contacts.contact.listing import COUNT_MAX, Listing
from contacts.contact.ordering import ENGAGEMENT, place_in_gathered, place_in_part
from eventstore.sql import load

if TYPE_CHECKING:
    from asyncpg import Record

    from eventstore.sql import AnyConnection

#: What the history has an index for; by anything else all that match are sorted.
WALKED: Final = frozenset({"created_at", "changed_at", "full_name"})
#: Of these no version is later than the last one that had begun.
INSTANTS: Final = frozenset({"created_at", "changed_at"})

SQL: Final = load("contacts.history", "queries.sql")


class PastListing(Listing, frozen=True):
    """A list as it was: no write can change it, so that paging shows every contact once and none twice."""

    position: int = 0

    @property
    def _narrows(self) -> bool:
        return True

    async def _known_total(self, connection: AnyConnection, after: After | None) -> Total | None:
        return after.total if after is not None else None

    async def _estimated(self, connection: AnyConnection, density: float) -> Total:
        sampled = await self._sampled(connection, await self.among(connection))
        return Total(max(COUNT_MAX + 1, sampled.count), exact=False)

    @property
    def can_walk(self) -> bool:
        return self.sort.made is None and self.sort.column in WALKED

    def walking(self, after: After | None, *, has_key: bool) -> tuple[str, list[object]]:
        parameters = Parameters(first=4)
        parameters.add(self.position, "bigint")
        place = place_in_part(self.sort, after, parameters, deleted=self.filter.deleted, has_key=has_key)
        if self.sort.column in INSTANTS:
            last = "SELECT h.from_time FROM rm_history.contact_history AS h"
            last += " WHERE h.workspace_id = $1 AND h.from_position <= $4 ORDER BY h.from_position DESC LIMIT 1"
            place += f" AND s.{self.sort.column} <= ({last})"
        statement = SQL["walk"].format(
            key=f"s.{self.sort.column}",
            direction=self.sort.direction,
            place=place,
            filter=self.condition(parameters, everybody=False),
        )
        return statement, parameters.values

    def gathering(self, after: After | None) -> tuple[str, list[object]]:
        return self._of_everybody("gather", after, Parameters(first=4))

    def topping(self, after: After | None) -> tuple[str, list[object]]:
        return self._of_everybody("top", after, Parameters(first=3))

    def _of_everybody(self, name: str, after: After | None, parameters: Parameters) -> tuple[str, list[object]]:
        position = parameters.add(self.position, "bigint").partition(":")[0]
        statement = SQL[name].format(
            key=self._gathered(parameters, position),
            direction=self.sort.direction,
            filter=self.condition(parameters, everybody=True),
            place=place_in_gathered(self.sort, after, parameters),
        )
        return statement, parameters.values

    def counting(self) -> tuple[str, list[object]]:
        parameters = Parameters(first=2)
        parameters.add(self.position, "bigint")
        return SQL["count"].format(filter=self.condition(parameters, everybody=True)), parameters.values

    def sampling(self, share: float) -> tuple[str, list[object]]:
        parameters = Parameters(first=2)
        parameters.add(self.position, "bigint")
        per_cent = parameters.add(100 * share, "real")
        statement = SQL["sample"].format(per_cent=per_cent, filter=self.condition(parameters))
        return statement, parameters.values

    def condition(self, parameters: Parameters, *, everybody: bool = False) -> str:
        condition = super().condition(parameters, everybody=everybody)
        if not self.filter.terms:
            return condition
        # Whoever was ever found by the search box has one version in the index that says so.
        found = " AND ".join(["c.workspace_id = $1 AND c.search_is_new", *compile_terms(self.filter, parameters)])
        ever = f"SELECT c.contact_id FROM rm_history.own_contact_history AS c WHERE {found}"
        return f"{condition} AND c.contact_id IN ({ever})"

    def _gathered(self, parameters: Parameters, position: str) -> str:
        if self.sort.table != ENGAGEMENT:
            return self.sort.gathered(parameters)
        row = "FROM rm_engagement.own_engagement_history AS e WHERE e.workspace_id = $1 AND e.contact_id = c.contact_id"
        return f"(SELECT e.{self.sort.column} {row} AND e.from_position <= {position} AND e.to_position > {position})"


async def fetch_counts(
    connection: AnyConnection, workspace_id: UUID, position: int, *, deleted: bool
) -> Sequence[Record]:
    """Rows of statuses and how many contacts had them, as the contact read model keeps them for the present."""
    return await connection.fetch(SQL["counts"], workspace_id, position, deleted)
