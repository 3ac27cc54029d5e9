"""Keeps the likely pairs: who shares a block with whom, how alike they are, and which blocks have become full."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Final, TypeAlias
from uuid import UUID

import msgspec

from contacts.duplicate.blocks import BLOCK_MAX, KINDS, Keys
from contacts.duplicate.candidates import Change
from contacts.duplicate.keys import LIKELY, DismissalIds, pair_key, pair_of
from contacts.duplicate.model import judge
from contacts.duplicate.traits import Traits
from eventstore.sql import load

if TYPE_CHECKING:
    from eventstore.projection import Connection

#: Contacts whose pairs are looked for at a time, so that what is held in memory has a bound.
CHUNK: Final = 500
#: A kind of key and a key of it.
Block: TypeAlias = tuple[str, int]
Pair: TypeAlias = tuple[UUID, UUID]

SQL: Final = load("contacts.duplicate", "projection.sql")
_decode: Final = msgspec.msgpack.Decoder(Traits).decode
_encode: Final = msgspec.msgpack.Encoder().encode


async def relate(
    connection: Connection, workspace_id: UUID, changes: Sequence[Change], ids: DismissalIds
) -> Counter[tuple[UUID, str]]:
    """Brings the pairs up to the candidates, which are written; answers how many more are shown."""
    relating = _Relating(connection, workspace_id, changes, ids)
    await relating.forget()
    for start in range(0, len(changes), CHUNK):
        await relating.take(changes[start : start + CHUNK])
    return Counter({(workspace_id, LIKELY): relating.shown})


class _Relating:
    """One batch in one workspace."""

    def __init__(
        self, connection: Connection, workspace_id: UUID, changes: Sequence[Change], ids: DismissalIds
    ) -> None:
        self._connection = connection
        self._workspace_id = workspace_id
        self._changes = changes
        self._ids = ids
        self._traits: dict[UUID, Traits] = {change.contact_id: change.after for change in changes if change.after}
        #: How many more pairs are shown than before.
        self.shown = 0

    async def forget(self) -> None:
        """All pairs of those who changed: they are found anew."""
        changed = [change.contact_id for change in self._changes if change.before is not None]
        if changed:
            self.shown -= await self._connection.fetchval(SQL["drop_pairs_of"], self._workspace_id, changed)

    async def take(self, changes: Sequence[Change]) -> None:
        """Finds the pairs of some of those who changed, and of the blocks that they made full or no longer full."""
        joined = {change.contact_id: list(_blocks(change.joined)) for change in changes}
        left = {block for change in changes for block in _blocks(change.left)}
        touched = left.union(*joined.values())
        if not touched:
            return
        members = await self._members(touched, BLOCK_MAX + 1)
        full = {block for block, ids in members.items() if len(ids) > BLOCK_MAX}
        # One that nobody left and that is not full now was not full before.
        was_full = await self._known_full(full | left)
        await self._mark(full - was_full, was_full - full)
        if full - was_full:
            await self._part(full - was_full)
        pairs = set(_new_pairs(joined, members, full))
        for block in was_full - full:
            pairs.update(pair_of(*two) for two in combinations(members.get(block, ()), 2))
        await self._keep(pairs)

    async def _members(self, blocks: Iterable[Block], limit: int | None) -> dict[Block, list[UUID]]:
        """At most `limit` of each block; those with one contact are left out."""
        keys: dict[str, list[int]] = {kind: [] for kind in KINDS}
        for kind, key in blocks:
            keys[kind].append(key)
        rows = await self._connection.fetch(SQL["members"], self._workspace_id, *keys.values(), limit)
        return {(row["kind"], row["key"]): row["contact_ids"] for row in rows}

    async def _known_full(self, blocks: Collection[Block]) -> set[Block]:
        if not blocks:
            return set()
        rows = await self._connection.fetch(SQL["known_full"], self._workspace_id, *_columns(blocks))
        return {(row["kind"], row["key"]) for row in rows}

    async def _mark(self, full: Iterable[Block], no_longer: Iterable[Block]) -> None:
        for statement, blocks in (("mark_full", full), ("unmark_full", no_longer)):
            if blocks:
                await self._connection.execute(SQL[statement], self._workspace_id, *_columns(blocks))

    async def _part(self, blocks: Iterable[Block]) -> None:
        """Takes away the pairs that nothing but a block that is full now had brought together."""
        members = await self._members(blocks, None)
        everybody = {contact_id for ids in members.values() for contact_id in ids}
        rows = await self._connection.fetch(SQL["pairs_of"], self._workspace_id, list(everybody))
        shared = {
            (row["first_id"], row["second_id"]): set(_shared(row["first_keys"], row["second_keys"])) for row in rows
        }
        full = await self._known_full({block for blocks in shared.values() for block in blocks})
        parted = [pair for pair, blocks in shared.items() if blocks <= full]
        if parted:
            self.shown -= await self._connection.fetchval(SQL["drop_pairs"], self._workspace_id, *_columns(parted))

    async def _keep(self, pairs: set[Pair]) -> None:
        if not pairs:
            return
        traits = await self._traits_of({contact_id for pair in pairs for contact_id in pair})
        likely = list(self._judged(pairs, traits))
        if likely:
            self.shown += await self._connection.fetchval(SQL["keep_pairs"], self._workspace_id, *_columns(likely))

    async def _traits_of(self, wanted: set[UUID]) -> Mapping[UUID, Traits]:
        missing = wanted.difference(self._traits)
        rows = await self._connection.fetch(SQL["traits"], self._workspace_id, list(missing)) if missing else ()
        return self._traits | {row["contact_id"]: _decode(row["traits"]) for row in rows}

    def _judged(self, pairs: Iterable[Pair], traits: Mapping[UUID, Traits]) -> Iterator[tuple[object, ...]]:
        for first, second in pairs:
            verdict = judge(traits[first], traits[second])
            if verdict.is_likely:
                dismissal_id = self._ids.of(self._workspace_id, LIKELY, pair_key(first, second))
                yield first, second, verdict.score, _encode(verdict.evidence), dismissal_id


def _blocks(keys: Keys) -> Iterator[Block]:
    return ((kind, key) for kind, key in zip(KINDS, keys, strict=True) if key is not None)


def _shared(first: Sequence[int | None], second: Sequence[int | None]) -> Iterator[Block]:
    for kind, key, other in zip(KINDS, first, second, strict=True):
        if key is not None and key == other:
            yield kind, key


def _new_pairs(
    joined: Mapping[UUID, Iterable[Block]], members: Mapping[Block, Sequence[UUID]], full: set[Block]
) -> Iterator[Pair]:
    for contact_id, blocks in joined.items():
        for block in blocks:
            if block not in full:
                yield from (pair_of(contact_id, other) for other in members.get(block, ()) if other != contact_id)


def _columns(records: Iterable[tuple[object, ...]]) -> list[list[object]]:
    return [list(column) for column in zip(*records, strict=True)]
