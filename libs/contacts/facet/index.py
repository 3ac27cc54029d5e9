"""Exact counts of filters at the present, for workspaces so large that SQL takes its time. It is never asked in vain:
where it has no answer it says so at once, and makes itself ready for the next time.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple, Self
from uuid import UUID

import numpy as np

from contacts.contact.filtering import Filter
from contacts.facet.fetching import SQL
from contacts.facet.kept import HISTORY, Copy, OutOfDate, Standing, TooLarge, read_standing
from contacts.facet.questions import Column, Unanswerable, asked, columns_of
from contacts.reading import reading
from contacts.smartsearch.moment import Moment
from contacts.smartsearch.nodes import Node

if TYPE_CHECKING:
    import asyncpg

    from eventstore.sql import AnyConnection
    from eventstore.store import EventStore

CONTACT: Final = "contact"
#: From so many contacts on a copy is worth it.
CONTACTS_MIN: Final = 20_000
#: How long a count waits for the history of profiles, which is written a moment after them.
WAIT_S: Final = 0.25
LOOK_EVERY_S: Final = 0.02
#: Nor does it wait where that is so many positions behind.
SOON_MAX: Final = 5_000
#: What was not asked for so long is let go, and with it what may have been erased meanwhile.
IDLE_S: Final = 900.0
#: A workspace that was too large is not tried again for so long; no copy gets older than that.
AGE_S: Final = 3_600.0
#: How long nothing is tried after an error.
PAUSE_S: Final = 60.0
#: After more positions than that a question does not wait until they are read.
AT_ONCE_MAX: Final = 20_000
LOAD_TIMEOUT_MS: Final = 300_000

_log: Final = logging.getLogger(__name__)


class Found(NamedTuple):
    """How many contacts a filter holds of, and which where they are few."""

    matches: int
    ids: list[UUID] | None
    #: The snapshot it is of.
    standing: Standing


class _Kept:
    """A copy with what is going on with it."""

    def __init__(self, copy: Copy) -> None:
        self.copy = copy
        self.lock = asyncio.Lock()
        self.loading: asyncio.Task[None] | None = None
        self.idle: asyncio.TimerHandle | None = None
        loop = asyncio.get_running_loop()
        self.until = loop.time() + AGE_S
        #: Nothing is tried before.
        self.not_before = 0.0


class FacetIndex:
    """Safe to use concurrently, in one event loop. `pool` has sessions of rollbook_reader; `bytes_max` 0 is off."""

    def __init__(
        self, pool: asyncpg.Pool, store: EventStore, *, bytes_max: int, contacts_min: int = CONTACTS_MIN,
        wait_s: float = WAIT_S,
    ) -> None:  # fmt: skip
        self.contacts_min = contacts_min
        self._wait_s = wait_s
        self._pool = pool
        self._store = store
        self._bytes_max = bytes_max
        self._kept: OrderedDict[UUID, _Kept] = OrderedDict()
        self._one_load = asyncio.Semaphore(1)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [kept.loading for kept in self._kept.values() if kept.loading is not None]
        for workspace_id in list(self._kept):
            self.drop(workspace_id)
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def bytes(self) -> int:
        return sum(kept.copy.bytes for kept in self._kept.values())

    async def count(
        self, workspace_id: UUID, wanted: Filter, node: Node | None, *, moment: Moment,
        definitions: Mapping[UUID, Node], at_least: int,
    ) -> int | None:  # fmt: skip
        """How many contacts match, as of `at_least` or a later position; None where SQL has to say."""
        found = await self.find(
            workspace_id, wanted, node, moment=moment, definitions=definitions, at_least=at_least, ids_max=-1
        )  # fmt: skip
        return None if found is None else found.matches

    async def find(
        self, workspace_id: UUID, wanted: Filter, node: Node | None, *, moment: Moment,
        definitions: Mapping[UUID, Node], at_least: int, ids_max: int,
    ) -> Found | None:  # fmt: skip
        """The same, and who they are if they are no more than `ids_max`."""
        if not self._bytes_max or moment.position is not None:
            return None
        try:
            question = asked(wanted, node)
            columns = columns_of(question, moment, definitions)
            kept = self._ready(workspace_id, columns)
            if kept is None:
                return None
            async with kept.lock:
                if not await self._is_fresh(workspace_id, kept, at_least) or columns - kept.copy.columns.keys():
                    return None
                found = await asyncio.to_thread(kept.copy.where, question, moment, definitions)
                count = int(np.count_nonzero(found))
                assert kept.copy.standing is not None
                return Found(count, kept.copy.ids(found) if count <= ids_max else None, kept.copy.standing)
        except Unanswerable:
            return None

    async def shows(self, connection: AnyConnection, workspace_id: UUID, standing: Standing) -> bool:
        """Whether a snapshot shows the same as another one did."""
        if await self.position(connection, workspace_id) > standing.positions[HISTORY]:
            return False
        return await read_standing(connection, workspace_id, self._store.lane_of(workspace_id)) == standing

    async def position(self, connection: AnyConnection, workspace_id: UUID) -> int:
        """Up to where a snapshot shows contacts."""
        lane = self._store.lane_of(workspace_id)
        rows = await connection.fetch(SQL["standing"], lane, [CONTACT])
        return rows[0]["position"] if rows else 0

    async def loaded(self, workspace_id: UUID) -> None:
        """Waits for what is being loaded."""
        kept = self._kept.get(workspace_id)
        if kept is not None and kept.loading is not None:
            await asyncio.wait([kept.loading])

    def drop(self, workspace_id: UUID) -> None:
        kept = self._kept.pop(workspace_id, None)
        if kept is not None and kept.idle is not None:
            kept.idle.cancel()
        if kept is not None and kept.loading is not None:
            kept.loading.cancel()

    def _ready(self, workspace_id: UUID, columns: frozenset[Column]) -> _Kept | None:
        """A copy that has all of this; otherwise it is being made."""
        loop = asyncio.get_running_loop()
        kept = self._kept.get(workspace_id)
        if kept is not None and loop.time() > kept.until:
            self.drop(workspace_id)
            kept = None
        if kept is None:
            kept = self._kept[workspace_id] = _Kept(Copy(workspace_id, self._bytes_max))
        self._kept.move_to_end(workspace_id)
        if kept.idle is not None:
            kept.idle.cancel()
        kept.idle = loop.call_later(IDLE_S, self.drop, workspace_id)
        if kept.loading is not None or loop.time() < kept.not_before or kept.copy.declined & columns:
            return None
        missing = columns - kept.copy.columns.keys()
        if missing or kept.copy.standing is None:
            self._start(workspace_id, kept, missing)
            return None
        return kept

    async def _is_fresh(self, workspace_id: UUID, kept: _Kept, at_least: int) -> bool:
        """Brings the copy to a snapshot of now, once that has the position."""
        deadline = asyncio.get_running_loop().time() + self._wait_s
        lane = self._store.lane_of(workspace_id)
        while True:
            async with reading(self._pool, workspace_id) as connection:
                standing = await read_standing(connection, workspace_id, lane)
                if standing is None:
                    return False
                if standing.positions[HISTORY] >= at_least:
                    return await self._renew(workspace_id, kept, connection, standing)
            late = at_least - standing.positions[HISTORY] > SOON_MAX
            if late or asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(LOOK_EVERY_S)

    async def _renew(self, workspace_id: UUID, kept: _Kept, connection: AnyConnection, standing: Standing) -> bool:
        """Whether the copy shows the snapshot now. Where much has happened, whoever asks later finds that it does."""
        before = kept.copy.standing
        if before == standing:
            return True
        if before is None:
            return False
        if standing.newest - before.position > AT_ONCE_MAX:
            self._start(workspace_id, kept, ())
            return False
        try:
            await kept.copy.renew(connection, self._store, standing)
        except BaseException as error:
            # Also where whoever asked went away: it is halfway between two snapshots.
            self._give_up(workspace_id, kept, error)
            if isinstance(error, Exception):
                return False
            raise
        self._make_room(workspace_id)
        return True

    def _start(self, workspace_id: UUID, kept: _Kept, missing: Iterable[Column]) -> None:
        if kept.loading is None:
            kept.loading = asyncio.create_task(self._load(workspace_id, kept, missing))

    async def _load(self, workspace_id: UUID, kept: _Kept, missing: Iterable[Column]) -> None:
        is_first = kept.copy.standing is None
        try:
            async with self._one_load, kept.lock, reading(self._pool, workspace_id) as connection:
                await connection.execute(f"SET LOCAL statement_timeout = {LOAD_TIMEOUT_MS}")
                standing = await read_standing(connection, workspace_id, self._store.lane_of(workspace_id))
                if standing is None:
                    raise OutOfDate
                await kept.copy.renew(connection, self._store, standing, sorted(missing, key=repr))
            self._make_room(workspace_id)
        except Exception as error:  # noqa: BLE001 whatever it was, SQL answers
            # What grew too large question by question may well do for the next one alone.
            pause_s = AGE_S if is_first and isinstance(error, TooLarge) else PAUSE_S
            self._give_up(workspace_id, kept, error, pause_s)
        finally:
            kept.loading = None

    def _give_up(self, workspace_id: UUID, kept: _Kept, error: BaseException, pause_s: float = PAUSE_S) -> None:
        """Nothing is left of the copy; later a question makes one with what it asks for itself."""
        if not isinstance(error, OutOfDate):
            kept.not_before = asyncio.get_running_loop().time() + pause_s
        kept.copy = Copy(workspace_id, self._bytes_max)
        _log.warning("the facet index lets go of a workspace, which SQL counts: %s", type(error).__name__)

    def _make_room(self, workspace_id: UUID) -> None:
        """The copies that were asked least recently go."""
        for other in list(self._kept):
            if self.bytes <= self._bytes_max:
                return
            if other != workspace_id:
                self.drop(other)
