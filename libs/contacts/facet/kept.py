"""The copy of one workspace: columns as of a position, loaded and brought up to date from the read models.

It is renewed in one snapshot. Who changed since is known from the history of profiles and from the log; whoever did is
read anew, so that doing it twice does no harm.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeVar
from uuid import UUID

import msgspec
import numpy as np

from contacts.facet import fetching
from contacts.facet.columns import Codes, Events, Ints, Mask, Ordered, Slots, TooVaried
from contacts.facet.fetching import SQL, Rows
from contacts.facet.questions import Answering, Column, Happened, Values, micros
from contacts.smartsearch.moment import Moment
from contacts.smartsearch.nodes import Node
from eventstore.changed import find_changed

if TYPE_CHECKING:
    from eventstore.sql import AnyConnection
    from eventstore.store import EventStore

HISTORY: Final = "history"
READ_MODELS: Final = (HISTORY, "activity", "engagement")
CATEGORIES: Final = ("contact", "activity")
ERASED: Final = "contact.erased"
#: After more positions or more profiles than that all is loaded anew.
BEHIND_MAX: Final = 1_000_000
CHANGED_MAX: Final = 20_000
#: What an activity takes while it is being loaded.
EVENT_BYTES: Final = 28
#: Values behind hashes that are fetched at a time.
VALUES_AT_ONCE: Final = 5_000
#: Slots that arrays have more than they need.
SPARE: Final = 1_000

T = TypeVar("T")


class TooLarge(Exception):
    """It takes more memory than there is for it."""


class OutOfDate(Exception):
    """What it is made of was replaced, or has gone on too far: it has to be loaded anew."""


class Standing(msgspec.Struct, frozen=True):
    """What a snapshot shows."""

    positions: dict[str, int]
    #: Numbers of the builds.
    builds: dict[str, int]
    #: From when on activity is kept.
    cut: datetime | None

    @property
    def position(self) -> int:
        """What all of it shows at least."""
        return min(self.positions.values())

    @property
    def newest(self) -> int:
        """What some of it shows already."""
        return max(self.positions.values())


async def read_standing(connection: AnyConnection, workspace_id: UUID, lane: int) -> Standing | None:
    """None while not all of the read models are there."""
    rows = await connection.fetch(SQL["standing"], lane, list(READ_MODELS))
    if len(rows) < len(READ_MODELS):
        return None
    cut = await connection.fetchval(SQL["cut"], workspace_id)
    return Standing({row["name"]: row["position"] for row in rows}, {row["name"]: row["build"] for row in rows}, cut)


class Copy:
    """Not safe for concurrent use. After an error in `renew` it is of no use any more."""

    def __init__(self, workspace_id: UUID, bytes_max: int) -> None:
        self.standing: Standing | None = None
        self.columns: dict[Column, Codes | Ordered | Events] = {}
        #: Columns that cannot be kept.
        self.declined: set[Column] = set()
        self._workspace_id = workspace_id
        self._bytes_max = bytes_max
        self._slots = Slots()
        self._shown: Mask = np.zeros(0, np.bool_)
        #: Of each slot both halves of the contact's id.
        self._ids = np.zeros((2, 0), np.uint64)
        #: Who stands for the absorbed.
        self._roots: dict[UUID, UUID] = {}
        self._members: tuple[Ints, Ints] = (np.zeros(0, np.int64), np.zeros(0, np.int64))

    def where(self, node: Node, moment: Moment, definitions: Mapping[UUID, Node]) -> Mask:
        """The slots of all profiles that it is true of. Raises Unanswerable."""
        answering = Answering(self.columns, len(self._shown), self._members, moment, definitions)
        return self._shown & answering.where(node)

    def ids(self, found: Mask) -> list[UUID]:
        """The contacts in these slots, in any order."""
        high, low = self._ids[:, np.flatnonzero(found)].tolist()
        return [UUID(int=of << 64 | rest) for of, rest in zip(high, low, strict=True)]

    @property
    def bytes(self) -> int:
        own = self._slots.bytes + self._shown.nbytes + self._ids.nbytes
        return own + sum(column.bytes for column in self.columns.values())

    async def renew(
        self, connection: AnyConnection, store: EventStore, standing: Standing, missing: Iterable[Column] = ()
    ) -> None:
        """Makes it what the snapshot of `connection` shows, which is `standing`.

        Raises OutOfDate, TooLarge.
        """
        before, self.standing = self.standing, None
        if standing.newest - (before or standing).position > BEHIND_MAX:
            raise OutOfDate
        if before is not None and before != standing:
            if before.builds != standing.builds or standing.position < before.position:
                raise OutOfDate
            await self._catch_up(connection, store, before.position, standing)
        fields = [each for each in missing if isinstance(each, Values)]
        if before is None:
            await self._load_absorbed(connection, None)
        if before is None or fields:
            await self._load_fields(connection, fields)
        for each in missing:
            if isinstance(each, Happened):
                await self._load_events(connection, each)
        if self.bytes > self._bytes_max:
            raise TooLarge
        self.standing = standing

    # -- loading ------------------------------------------------------------------------------------------------------

    async def _load_fields(self, connection: AnyConnection, fields: list[Values]) -> None:
        rows = await fetching.fetch_contacts(connection, self._workspace_id, fields, None)
        new = {each: fetching.new_column(each) for each in fields}
        shown = await asyncio.to_thread(self._slots_of, rows)
        self._shown[shown] = True
        for column in new.values():
            column.resize(len(self._shown))
        await self._put(connection, rows, new)
        self.columns.update((each, column) for each, column in new.items() if each not in self.declined)

    async def _load_events(self, connection: AnyConnection, column: Happened) -> None:
        room = self._bytes_max - self.bytes
        slots: list[Ints] = []
        times: list[Ints] = []

        def take(rows: Rows) -> None:
            slots.append(self._slots_of(rows))
            times.append(rows["v0"].astype(np.int64))
            if EVENT_BYTES * sum(map(len, times)) > room:
                raise TooLarge

        await fetching.fetch_events(connection, self._workspace_id, column, None, take)
        events = Events()
        events.add(slots, times)
        self.columns[column] = events

    async def _load_absorbed(self, connection: AnyConnection, only: list[UUID] | None) -> None:
        rows = await connection.fetch(SQL["absorbed"], self._workspace_id, only)
        self._roots.update((child, row["contact_id"]) for row in rows for child in row["absorbed"])
        pairs = list(self._roots.items())
        children, roots = (self.slots_of([pair[n] for pair in pairs]) for n in (0, 1))
        self._members = children, roots

    async def _put(self, connection: AnyConnection, rows: Rows, columns: Mapping[Values, Codes | Ordered]) -> None:
        """Columns that do not fit are declined; rows come in the order of `columns`."""
        slots = await asyncio.to_thread(self._slots_of, rows)
        for n, (each, column) in enumerate(columns.items()):
            raw = rows[f"v{n}"]
            raw = await asyncio.to_thread(raw.astype, raw.dtype.newbyteorder("="))
            try:
                if isinstance(column, Codes):
                    strange = await asyncio.to_thread(column.strange, raw)
                    for start in range(0, len(strange), VALUES_AT_ONCE):
                        ids = fetching.ids_of(rows[strange[start : start + VALUES_AT_ONCE]])
                        for hash_, known in await fetching.fetch_values(connection, self._workspace_id, each, ids):
                            column.learn(hash_, known)
                await asyncio.to_thread(column.put, slots, raw)
            except TooVaried:
                self.declined.add(each)

    # -- catching up --------------------------------------------------------------------------------------------------

    async def _catch_up(self, connection: AnyConnection, store: EventStore, after: int, standing: Standing) -> None:
        found = await find_changed(
            store, self._workspace_id, after=after, to_position=standing.newest, categories=CATEGORIES
        )
        erased = {each.stream_id for each in found if each.type == ERASED}
        active = {each.stream_id for each in found if each.category == "activity"} | erased
        rows = await connection.fetch(SQL["changed"], self._workspace_id, after)
        changed = {row["contact_id"] for row in rows} | erased
        if len(changed | active) > CHANGED_MAX:
            raise OutOfDate
        await self._change_fields(connection, changed, active)
        await self._change_events(connection, active, standing.cut)
        if erased:
            for column in self.columns.values():
                if isinstance(column, Codes):
                    column.forget_unused()

    async def _change_fields(self, connection: AnyConnection, changed: set[UUID], active: set[UUID]) -> None:
        columns: dict[Values, Codes | Ordered] = {}
        for each, column in self.columns.items():
            if isinstance(each, Values):
                assert isinstance(column, Codes | Ordered)
                columns[each] = column
        again = set(changed)
        if any(each.field.place == "engagement" for each in columns):
            again |= {self._roots.get(each, each) for each in active}
        if not again:
            return
        if changed:
            self._roots = {child: root for child, root in self._roots.items() if root not in changed}
            await self._load_absorbed(connection, list(changed))
        rows = await fetching.fetch_contacts(connection, self._workspace_id, list(columns), list(again))
        slots, shown = self.slots_of(list(again)), self._slots_of(rows)
        self._shown[slots] = False
        self._shown[shown] = True
        for kept in columns.values():
            kept.clear(slots)
        await self._put(connection, rows, columns)
        for gone in self.declined & columns.keys():
            del self.columns[gone]

    async def _change_events(self, connection: AnyConnection, active: set[UUID], cut: datetime | None) -> None:
        for each, column in self.columns.items():
            if not isinstance(each, Happened):
                continue
            assert isinstance(column, Events)
            if active:
                column.clear(self.slots_of(list(active)), len(self._shown))
                found: list[Rows] = []
                await fetching.fetch_events(connection, self._workspace_id, each, list(active), found.append)
                column.add([self._slots_of(rows) for rows in found], [rows["v0"].astype(np.int64) for rows in found])
            if cut is not None:
                column.cut(micros(cut))

    # -- slots --------------------------------------------------------------------------------------------------------

    def _slots_of(self, rows: Rows) -> Ints:
        slots = self._slots.of(Slots.key(rows["high"], rows["low"]))
        if self._slots.count > len(self._shown):
            size = self._slots.count * 11 // 10 + SPARE
            more = size - len(self._shown)
            self._shown = np.concatenate([self._shown, np.zeros(more, np.bool_)])
            self._ids = np.concatenate([self._ids, np.zeros((2, more), np.uint64)], axis=1)
            for column in self.columns.values():
                if not isinstance(column, Events):
                    column.resize(size)
        self._ids[0, slots], self._ids[1, slots] = rows["high"], rows["low"]
        return slots

    def slots_of(self, ids: Sequence[UUID]) -> Ints:
        rows = np.zeros(len(ids), [("high", np.uint64), ("low", np.uint64)])
        rows["high"] = [each.int >> 64 for each in ids]
        rows["low"] = [each.int & (1 << 64) - 1 for each in ids]
        return self._slots_of(rows)
