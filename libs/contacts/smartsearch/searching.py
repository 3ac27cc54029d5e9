"""Searches of contacts by a filter: pages in any order, totals, now or in the past. Parses and judges nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal, TypeAlias
from uuid import UUID

import asyncpg
import msgspec
from msgspec.structs import replace

from contacts.contact.cursor import After, Cursors, Total
from contacts.contact.filtering import Filter
from contacts.contact.listing import COUNT_MAX, Condition, Known, Listing
from contacts.contact.state import Contact
from contacts.errors import InvalidField, InvalidInput
from contacts.history.listing import PastListing
from contacts.reading import reading
from contacts.smartsearch.compile import compile_node
from contacts.smartsearch.fields import Schema
from contacts.smartsearch.moment import Moment
from contacts.smartsearch.nodes import Node
from contacts.smartsearch.ordering import parse_any_sort
from contacts.smartsearch.refusals import SearchTooSlow

if TYPE_CHECKING:
    from contacts.facet.index import FacetIndex
    from eventstore.sql import AnyConnection

LIMIT_MAX: Final = 1_000
#: Seconds after which an answer is given up.
TIMEOUT_S: Final = 20

#: `auto` is exact where that costs little, `exact` counts all, `none` says nothing.
Totals: TypeAlias = Literal["auto", "exact", "none"]
_decode: Final = msgspec.msgpack.Decoder(Contact).decode


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """What to look for, parsed."""

    filter: Filter
    node: Node | None = None
    sort: str
    moment: Moment
    schema: Schema
    #: What its segments mean.
    definitions: Mapping[UUID, Node] = {}
    #: As the caller sent it: what all pages of it have in common.
    asked: bytes

    def compiled(self, workspace: str | None) -> Condition | None:
        node = self.node
        if node is None:
            return None
        return lambda parameters: compile_node(
            node, moment=self.moment, parameters=parameters, definitions=self.definitions, workspace=workspace
        )

    def listing(self, workspace_id: UUID) -> Listing:
        """Raises InvalidInput for a sort that is none."""
        moment, filter_ = self.moment, self.filter
        sort = parse_any_sort(self.sort, self.schema, deleted=filter_.deleted, moment=moment)
        # The workspace is the first parameter of every statement of a list.
        also, of_everybody = self.compiled(None), self.compiled("$1")
        if moment.position is None:
            return Listing(workspace_id, filter_, sort, also, of_everybody)
        return PastListing(workspace_id, filter_, sort, also, of_everybody, position=moment.position)


class Page(msgspec.Struct, frozen=True):
    """A part of what was found, in its order."""

    items: tuple[Contact, ...]
    #: For the next page; None on the last one.
    next_cursor: str | None
    #: None where nobody asked for it.
    total: Total | None
    #: The moment all pages are of.
    now: datetime
    position: int | None


class SearchQueries:
    """Safe to use concurrently. `pool` has sessions of rollbook_reader; `cursor_key` is as `Cursors` wants it."""

    def __init__(
        self, pool: asyncpg.Pool, cursor_key: bytes, *, facets: FacetIndex | None = None, timeout_s: float = TIMEOUT_S
    ) -> None:  # fmt: skip
        """Without `facets` all counts are SQL's."""
        self._pool = pool
        self._facets = facets
        self._cursors = Cursors(cursor_key)
        self._timeout_s = timeout_s
        # Sets of contacts are hashed in memory or not at all.
        self._limits = f"SET LOCAL statement_timeout = {round(timeout_s * 1_000)}; SET LOCAL work_mem = '64MB'"

    async def page(
        self, workspace_id: UUID, search: Search, *, limit: int, cursor: str | None = None, total: Totals = "auto"
    ) -> Page:
        """Every page of one search takes the same moment for now, however late it is asked for.

        Raises:
            InvalidInput: a cursor of another search, a sort that is none.
            SearchTooSlow: the answer would take longer than is allowed.
        """
        if not 1 <= limit <= LIMIT_MAX:
            raise InvalidInput([InvalidField("/limit", "is out of range", f"1 to {LIMIT_MAX}")])
        identity = msgspec.msgpack.encode(["search", workspace_id, search.asked, search.sort])
        after = None if cursor is None else self._cursors.open(cursor, identity)
        if after is not None:
            search = replace(search, moment=_pinned(search.moment, after))
        try:
            listing = await self._informed(search, search.listing(workspace_id))
            async with reading(self._pool, workspace_id) as connection:
                await connection.execute(self._limits)
                found, counted = await listing.page(connection, after, limit + 1)
                to_count = total == "exact" and not counted.exact
                shown = await self._shown(connection, search, listing) if to_count else None
                if to_count and shown is None:
                    counted = Total(await listing.count(connection), exact=True)
            if shown is not None:
                # After the transaction: whoever holds a connection must not wait for a second one.
                counted = Total(await self._counted(workspace_id, search, shown), exact=True)
        except asyncpg.QueryCanceledError:
            raise SearchTooSlow(self._timeout_s) from None
        next_cursor = None
        if len(found) > limit:
            last = found[limit - 1].as_after(counted)
            moment = search.moment
            next_cursor = self._cursors.seal(replace(last, position=moment.position, now=moment.now), identity)
        return Page(
            tuple(_decode(contact.state) for contact in found[:limit]),
            next_cursor,
            None if total == "none" else counted,
            search.moment.now,
            search.moment.position,
        )

    async def count(self, workspace_id: UUID, search: Search) -> int:
        """How many there are, exactly. Raises SearchTooSlow."""
        try:
            async with reading(self._pool, workspace_id) as connection:
                await connection.execute(self._limits)
                listing = search.listing(workspace_id)
                shown = await self._shown(connection, search, listing)
                if shown is None:
                    return await listing.count(connection)
            return await self._counted(workspace_id, search, shown)
        except asyncpg.QueryCanceledError:
            raise SearchTooSlow(self._timeout_s) from None

    async def _informed(self, search: Search, listing: Listing) -> Listing:
        """With what the facet index knows at once: how many match, and who where they are few."""
        if self._facets is None or search.node is None:
            return listing
        async with reading(self._pool, listing.workspace_id) as connection:
            shown = await self._shown(connection, search, listing)
        if shown is None:
            return listing
        facets, workspace_id = self._facets, listing.workspace_id
        found = await facets.find(
            workspace_id, search.filter, search.node, moment=search.moment, definitions=search.definitions,
            at_least=shown, ids_max=COUNT_MAX,
        )  # fmt: skip
        if found is None:
            return listing
        standing = found.standing

        async def is_so_still(connection: AnyConnection) -> bool:
            return await facets.shows(connection, workspace_id, standing)

        return replace(listing, known=Known(Total(found.matches, exact=True), found.ids, is_so_still))

    async def _shown(self, connection: AnyConnection, search: Search, listing: Listing) -> int | None:
        """The position up to which a snapshot shows contacts, where they are so many that the index should count."""
        facets = self._facets
        if facets is None or search.moment.position is not None:
            return None
        if await listing.among(connection) < facets.contacts_min:
            return None
        return await facets.position(connection, listing.workspace_id)

    async def _counted(self, workspace_id: UUID, search: Search, shown: int) -> int:
        """At the position `shown` or a later one."""
        assert self._facets is not None
        counted = await self._facets.count(
            workspace_id, search.filter, search.node, moment=search.moment, definitions=search.definitions,
            at_least=shown,
        )  # fmt: skip
        if counted is not None:
            return counted
        async with reading(self._pool, workspace_id) as connection:
            await connection.execute(self._limits)
            return await search.listing(workspace_id).count(connection)


def _pinned(moment: Moment, after: After) -> Moment:
    """The moment of the first page."""
    return replace(moment, now=after.now or moment.now, position=after.position)
