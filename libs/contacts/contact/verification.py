"""Compares a build of the contact read model row by row with a fold of the log, before it is swapped in.

Every stream is folded from its first event, every profile put together, every status found out of what the log says of
its addresses. Nothing of that is the projector's: no batches, no rows that were there before, no order of arrival.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby, islice
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from contacts.addresses import EMAIL, AddressKeys, Digest, address_id
from contacts.consent import record
from contacts.consent.reach import reach_of
from contacts.consent.record import AddressRecord
from contacts.consent.standing import Reach, Standing, standing_of
from contacts.contact import quota, standings
from contacts.contact.row import COLUMNS, row_of
from contacts.contact.state import Contact, fold, initial
from contacts.merge.view import tree, view
from contacts.proof import PROOF_OF, ProofDestroyed
from eventstore.envelope import Unreadable
from eventstore.sql import load

if TYPE_CHECKING:
    from asyncpg import Record

    from eventstore.envelope import RecordedEvent
    from eventstore.projection import Connection
    from eventstore.store import EventStore

PAGE_EVENTS: Final = 5_000
CHUNK_CONTACTS: Final = 1_000
#: Told of at most; all are counted.
PROBLEMS_MAX: Final = 20
#: Which event wrote a row last says nothing of what it holds.
COMPARED: Final = tuple(name for name in COLUMNS if name not in ("position", "state"))
JSON: Final = frozenset({"attributes", "extras"})

SQL: Final = load("contacts.contact", "verification.sql")
_decode: Final = msgspec.msgpack.Decoder(Contact).decode
_json: Final = msgspec.json.Decoder().decode


class Verification:
    """As `eventstore.swap.Verify`. One per rebuild."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._said = _Said(AddressKeys(store.keyring.hmac))
        self._problems: list[str] = []
        self._wrong = 0
        self._expected = 0
        #: Parked, or erased further on in the log: what their rows hold cannot be told.
        self._untold: set[UUID] = set()
        #: Whoever depends on others, by what each says itself: merged contacts, and all where a plan has a limit.
        self._aside: dict[UUID, Contact] = {}
        self._workspaces: dict[UUID, UUID] = {}

    async def __call__(self, snapshot: Connection, live: str | None, new: str) -> list[str]:
        """What is wrong with the build, without personal data."""
        await snapshot.execute("SELECT set_config('search_path', $1, true)", f'"{new}", public')
        self._untold = {row["key"] for row in await snapshot.fetch(SQL["parked"], new)}
        positions = [(row["lane"], row["position"]) for row in await snapshot.fetch(SQL["positions"], new)]
        for lane, position in positions:
            async for event in self._facts(snapshot, lane, position):
                self._said.take(event)
        for lane, position in positions:
            await self._compare_streams(snapshot, lane, position)
        await self._compare_aside(snapshot)
        await self._compare_totals(snapshot)
        more = [f"{self._wrong - PROBLEMS_MAX:,} more contacts differ"] if self._wrong > PROBLEMS_MAX else []
        return self._problems + more

    async def _facts(self, snapshot: Connection, lane: int, to: int) -> AsyncIterator[RecordedEvent[Any]]:
        types, after = sorted(standings.TYPES | quota.TYPES), 0
        while rows := await snapshot.fetch(SQL["facts"], lane, after, to, types, PAGE_EVENTS):
            for event in self._store.decode(rows):
                yield event
            after = rows[-1]["position"]

    async def _compare_streams(self, snapshot: Connection, lane: int, to: int) -> None:
        expected: list[Contact] = []
        async for own in self._contacts(snapshot, lane, to):
            if own.erased and own.erased_by is None:
                self._untold.add(own.id)
            elif own.composition or own.absorbed_into or self._said.has_limit(self._workspaces[own.id]):
                self._aside[own.id] = own
            elif not own.erased:
                expected.append(self._standing(own, (), over_limit=False))
            if len(expected) == CHUNK_CONTACTS:
                await self._compare(snapshot, expected)
                expected = []
        await self._compare(snapshot, expected)

    async def _contacts(self, snapshot: Connection, lane: int, to: int) -> AsyncIterator[Contact]:
        """What contacts say themselves, one after the other."""
        place = UUID(int=0), 0
        contact: Contact | None = None
        while rows := await snapshot.fetch(SQL["contacts"], lane, *place, to, PAGE_EVENTS):
            for id_, events in groupby(self._store.decode(rows), attrgetter("stream_id")):
                if contact is not None and contact.id != id_:
                    yield contact
                    contact = None
                for event in events:
                    contact = fold(contact or initial(id_), event)
                    self._workspaces[id_] = event.workspace_id
            place = rows[-1]["stream_id"], rows[-1]["version"]
        if contact is not None:
            yield contact

    # -- what is expected ----------------------------------------------------------------------------------------------

    async def _compare_aside(self, snapshot: Connection) -> None:
        roots = [own for own in self._aside.values() if own.absorbed_into is None and not own.erased]
        profiles = {root.id: self._profile(root) for root in roots}
        over = set(self._over_limit(profiles.values()))
        expected = (
            self._standing(profile, self._members(profile), over_limit=profile.id in over)
            for profile in profiles.values()
        )
        while chunk := list(islice(expected, CHUNK_CONTACTS)):
            await self._compare(snapshot, chunk)

    def _profile(self, root: Contact) -> Contact:
        return replace(view(root, self._aside), composition=root.composition) if tree(root, self._aside) else root

    def _members(self, profile: Contact) -> list[Contact]:
        return [self._aside[id_] for id_ in (profile.id, *profile.absorbed)] if profile.absorbed else []

    def _over_limit(self, profiles: Iterable[Contact]) -> Iterator[UUID]:
        """The newest of each workspace that are too many."""
        present: dict[UUID, list[tuple[datetime | None, UUID]]] = {}
        for profile in profiles:
            if not profile.deleted:
                present.setdefault(self._workspaces[profile.id], []).append((profile.created_at, profile.id))
        for workspace_id, contacts in present.items():
            limit = self._said.limit(workspace_id)
            if limit is not None:
                yield from (id_ for _, id_ in sorted(contacts, key=lambda place: (str(place[0]), place[1]))[limit:])

    def _standing(self, shown: Contact, members: Sequence[Contact], *, over_limit: bool) -> Contact:
        workspace_id, reach = self._workspaces[shown.id], self._said.reach(shown, members)
        if self._said.unread(workspace_id, reach):
            self._untold.add(shown.id)
        standing = self._said.standing(workspace_id, reach, over_limit=over_limit)
        return shown if standing is None else replace(shown, standing=standing)

    # -- what is there -------------------------------------------------------------------------------------------------

    async def _compare(self, snapshot: Connection, expected: Sequence[Contact]) -> None:
        wanted = [contact for contact in expected if contact.id not in self._untold]
        self._expected += len(wanted)
        workspaces = [self._workspaces[contact.id] for contact in wanted]
        rows = await snapshot.fetch(SQL["stored"], workspaces, [contact.id for contact in wanted])
        stored = {row["contact_id"]: row for row in rows}
        for contact in wanted:
            row = stored.get(contact.id)
            if row is None:
                self._report(f"contact {contact.id} has no row")
            elif differing := self._differing(contact, row):
                self._report(f"contact {contact.id}: {', '.join(differing)} not as its events say")

    def _differing(self, contact: Contact, row: Record) -> list[str]:
        made = dict(zip(COLUMNS, row_of(contact, self._workspaces[contact.id], row["position"]), strict=True))
        differing = [name for name in COMPARED if _plain(name, made[name]) != _plain(name, row[name])]
        return differing if _decode(row["state"]) == contact else [*differing, "state"]

    async def _compare_totals(self, snapshot: Connection) -> None:
        there = await snapshot.fetchval(SQL["rows"], list(self._untold))
        if there != self._expected:
            self._report(f"there are {there:,} rows, the log has {self._expected:,} contacts")
        if wrong := await snapshot.fetchval(SQL["totals"]):
            self._report(f"{wrong:,} totals are not those of the rows")
        if wrong := await snapshot.fetchval(SQL["recency"]):
            self._report(f"{wrong:,} contacts are at a wrong place in the order of changes")

    def _report(self, problem: str) -> None:
        self._wrong += 1
        if len(self._problems) < PROBLEMS_MAX:
            self._problems.append(problem)


class _Said:
    """What the log says of addresses and of plans' limits."""

    def __init__(self, keys: AddressKeys) -> None:
        self._keys = keys
        self._by_stream: dict[UUID, AddressRecord] = {}
        self._records: dict[UUID, dict[Digest, AddressRecord]] = {}
        self._closed: dict[Digest, dict[UUID, datetime]] = {}
        self._limits: dict[UUID, int | None] = {}
        #: Whose proof was destroyed further on in the log, by stream and category of the facts.
        self._unread: set[tuple[UUID, str]] = set()

    def take(self, event: RecordedEvent[Any]) -> None:
        if event.category not in record.CATEGORIES:
            self._limits |= {id_: limit.contacts for id_, limit in quota.limits_in([event]).items()}
            return
        if isinstance(event.event, Unreadable):
            self._unread.add((event.stream_id, event.category))
        elif isinstance(event.event, ProofDestroyed):
            self._unread.discard((event.stream_id, PROOF_OF[event.category]))
        before = self._by_stream.get(event.stream_id) or record.empty(event)
        after = self._by_stream[event.stream_id] = record.apply(before, event)
        self._records.setdefault(event.workspace_id, {})[after.address] = after
        entry = after.suppressed.blacklisting
        closing = self._closed.setdefault(after.address, {})
        closing.pop(event.workspace_id, None)
        if entry is not None and after.suppressed.family == EMAIL:
            closing[event.workspace_id] = entry.since

    def has_limit(self, workspace_id: UUID) -> bool:
        return self._limits.get(workspace_id) is not None

    def limit(self, workspace_id: UUID) -> int | None:
        return self._limits.get(workspace_id)

    def unread(self, workspace_id: UUID, reach: Reach) -> bool:
        """Whether words are gone that were there when the build was this far."""
        if not self._unread:
            return False
        streams = {address_id(workspace_id, digest) for digests in reach.addresses.values() for digest in digests}
        return any(stream_id in streams for stream_id, _ in self._unread)

    def reach(self, shown: Contact, members: Sequence[Contact]) -> Reach:
        return reach_of(shown, members, self._keys)

    def standing(self, workspace_id: UUID, reach: Reach, *, over_limit: bool) -> Standing | None:
        closed = {
            digest: min(elsewhere)
            for digest in reach.addresses.get(EMAIL, ())
            if (elsewhere := [at for id_, at in self._closed.get(digest, {}).items() if id_ != workspace_id])
        }
        found = standing_of(reach, self._records.get(workspace_id, {}), closed, over_limit=over_limit)
        return found if found.recorded or over_limit else None


def _plain(name: str, value: Any) -> Any:
    """Values of a row made and of one stored, alike."""
    if name in JSON and isinstance(value, str):
        return _json(value)
    return list(value) if isinstance(value, tuple) else value
