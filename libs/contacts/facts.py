"""Records facts about addresses: several addresses in one append, each with its proof and the rows that enforce it.

Suppression and consent share this way through the log; their rules are in the deciders of the two slices.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from contacts import errors
from contacts.addresses import address_id
from contacts.consent import decider as consent
from contacts.consent import rows as consent_rows
from contacts.consent.commands import AddressCommand
from contacts.consent.events import CATEGORY as CONSENT
from contacts.execution import ATTEMPTS_MAX, EPOCH, Besides, Request, kept_with_key
from contacts.proof import Proven, fact_writes
from contacts.suppression import commands, decider
from contacts.suppression import state as suppression
from contacts.suppression.events import CATEGORY as SUPPRESSION
from eventstore.aggregate import Aggregates
from eventstore.envelope import Appended, RecordedEvent, Stream, StreamWrite, Suppression, Write
from eventstore.errors import SubjectErased, WrongExpectedVersion
from eventstore.store import EventStore


class _Category(msgspec.Struct, frozen=True):
    """The pure side of one kind of fact."""

    name: str
    initial: Callable[[UUID], Any]
    decide: Callable[[Any, Any], Sequence[Any]]
    evolve: Callable[[Any, Any, datetime, str | None], Any]
    fold: Callable[[Any, RecordedEvent[Any]], Any]
    rows: Callable[[Any, UUID], tuple[Suppression, ...]]


_SUPPRESSION: Final = _Category(
    SUPPRESSION, decider.initial, decider.decide, decider.evolve, decider.fold, suppression.rows
)
_CONSENT: Final = _Category(
    CONSENT, consent.initial, consent.decide, consent.evolve, consent.fold, consent_rows.rows
)  # fmt: skip
CATEGORIES: Final = {category.name: category for category in (_SUPPRESSION, _CONSENT)}


def category_of(command: AddressCommand) -> str:
    return SUPPRESSION if isinstance(command, commands.BlacklistAddress | commands.UnblacklistAddress) else CONSENT


def stream_of(command: AddressCommand) -> Stream:
    id_ = address_id(command.workspace_id, command.address.widest)
    return Stream(command.workspace_id, category_of(command), id_)


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """What commands add to one stream, in their order."""

    workspace_id: UUID
    category: _Category
    before: Any
    proven: tuple[Proven, ...]

    @property
    def stream(self) -> Stream:
        return Stream(self.workspace_id, self.category.name, self.before.id)

    def after(self, at: datetime, actor: str | None) -> Any:
        state = self.before
        for each in self.proven:
            state = self.category.evolve(state, each.fact, at, actor)
        return state

    def writes(self, *, renew: bool) -> tuple[StreamWrite, ...]:
        if not self.proven:
            return ()
        return fact_writes(self.workspace_id, self.category.name, self.before, self.proven, renew=renew)

    def suppressions(self) -> tuple[Suppression, ...]:
        """Rows that the facts change. What begins now has no time yet: the append gives it its own."""
        before = set(map(_key, self.category.rows(self.before, self.workspace_id)))
        after = self.category.rows(self.after(EPOCH, None), self.workspace_id)
        return tuple(
            msgspec.structs.replace(row, since=None) if row.since == EPOCH else row
            for row in after
            if _key(row) not in before
        )


def _key(row: Suppression) -> tuple[Any, ...]:
    return msgspec.structs.astuple(row)


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """What was recorded."""

    appended: Appended
    #: By stream, as they are now.
    states: dict[Stream, Any]


class Facts:
    """One per process; safe to use concurrently."""

    def __init__(self, store: EventStore, *, cache_size: int = 50_000) -> None:
        self._store = store
        self._aggregates = {
            name: Aggregates[Any](
                store, category=name, initial=category.initial, evolve=category.fold, cache_size=cache_size
            )
            for name, category in CATEGORIES.items()
        }

    async def record(
        self, workspace_id: UUID, asked: Sequence[AddressCommand], request: Request, kept: tuple[UUID, int]
    ) -> Recorded:
        """All that was asked or nothing, durable when it returns. Commands about one address are decided in order.

        `kept` is what the idempotency key remembers beside the digest: the stream and version of the answer.

        Raises:
            Refusal: as the commands name, TooContended.
            DuplicateAppend: the idempotency key had its effect earlier.
            StoreUnavailable, Overloaded: repeat with the same key.
        """
        fresh = renew = False
        for _attempt in range(ATTEMPTS_MAX):
            try:
                decided = await self._decide(asked, fresh=fresh)
            except errors.Refusal:
                # A cached state may be behind: only a fresh one may refuse.
                if fresh:
                    raise
                fresh = True
                continue
            if not fresh and not any(each.proven for each in decided):
                fresh = True
                continue
            try:
                return await self._append(workspace_id, decided, request, kept, renew=renew)
            except WrongExpectedVersion:
                fresh = True
            except SubjectErased:
                # Either the facts say so, and reading them is enough, or somebody destroyed the key alone. An objection
                # is not refused for that.
                fresh, renew = True, fresh
        raise errors.TooContended(ATTEMPTS_MAX)

    async def load(self, category: str, workspace_id: UUID, id_: UUID, *, fresh: bool = True) -> Any:
        """The state of one address in one workspace, read anew where nothing else is said."""
        state, _ = await self._aggregates[category].load(Stream(workspace_id, category, id_), fresh=fresh)
        return state

    async def beside(self, asked: Sequence[AddressCommand], *, fresh: bool) -> Besides:
        """What the commands add, for an append that somebody else makes. Raises as the commands name."""
        decided = await self._decide(asked, fresh=fresh)
        for each in decided:
            # Somebody else appends, so the next look reads what came of it.
            self._aggregates[each.category.name].forget(each.stream)
        return Besides(
            tuple(write for each in decided for write in each.writes(renew=False)),
            tuple(row for each in decided for row in each.suppressions()),
        )

    async def _decide(self, asked: Sequence[AddressCommand], *, fresh: bool) -> list[Decided]:
        by_stream: dict[Stream, list[AddressCommand]] = {}
        for command in asked:
            by_stream.setdefault(stream_of(command), []).append(command)
        return list(await asyncio.gather(*(self._decide_one(*each, fresh=fresh) for each in by_stream.items())))

    async def _decide_one(self, stream: Stream, commands: Sequence[AddressCommand], *, fresh: bool) -> Decided:
        category = CATEGORIES[stream.category]
        before, _ = await self._aggregates[stream.category].load(stream, fresh=fresh)
        state = before
        proven: list[Proven] = []
        for command in commands:
            for fact in category.decide(command, state):
                state = category.evolve(state, fact, EPOCH, None)
                proven.append(Proven(fact, command.address, command.reason, command.proof))
        return Decided(workspace_id=stream.workspace_id, category=category, before=before, proven=tuple(proven))

    async def _append(
        self, workspace_id: UUID, decided: Sequence[Decided], request: Request, kept: tuple[UUID, int], *, renew: bool
    ) -> Recorded:
        write = Write(
            workspace_id=workspace_id,
            streams=tuple(write for each in decided for write in each.writes(renew=renew)),
            suppressions=tuple(row for each in decided for row in each.suppressions()),
            metadata=request.metadata,
            idempotency_key=request.idempotency_key,
            request_hash=kept_with_key(request, *kept),
        )
        if write.streams or write.idempotency_key is not None:
            appended = await self._store.append(write)
        else:
            lane = self._store.lane_of(workspace_id)
            appended = Appended(
                lane=lane, last_position=await self._store.head(lane), event_count=0, recorded_at=EPOCH
            )  # fmt: skip
        return Recorded(appended=appended, states=self._remember(decided, appended, request, renew=renew))

    def _remember(
        self, decided: Sequence[Decided], appended: Appended, request: Request, *, renew: bool
    ) -> dict[Stream, Any]:
        states: dict[Stream, Any] = {}
        for each in decided:
            aggregates = self._aggregates[each.category.name]
            if renew:
                aggregates.forget(each.stream)
                continue
            states[each.stream] = state = each.after(appended.recorded_at, request.metadata.actor)
            if each.proven:
                aggregates.remember(each.stream, state, state.version)
        return states
