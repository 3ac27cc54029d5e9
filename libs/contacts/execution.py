"""One command's way through the log: load, decide, append, retry, replay. Knows no rule and no category of its own.

The answer to an idempotency key must stay the same for ever, so what is kept with the key is the caller's digest, the
stream's id and the version the answer showed: folding that stream to that version makes the same answer again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Generic, Protocol, TypeVar
from uuid import UUID

import msgspec

from contacts import errors
from eventstore.aggregate import Aggregates
from eventstore.envelope import Appended, Claim, Metadata, RecordedEvent, Stream, StreamWrite, Write
from eventstore.errors import ClaimTaken, DuplicateAppend, SubjectErased, WrongExpectedVersion
from eventstore.store import EventStore

S = TypeVar("S")
C = TypeVar("C")
C_contra = TypeVar("C_contra", contravariant=True)

ATTEMPTS_MAX: Final = 50
"""Every attempt that fails means that another one succeeded, so this is how many may overtake one command."""

#: Stands in for the time of recording where only the resulting values matter.
EPOCH: Final = datetime.fromtimestamp(0, UTC)
_ID_AT: Final = slice(-24, -8)
_VERSION_AT: Final = slice(-8, None)
_DIGEST_AT: Final = slice(None, -24)


class Executed(msgspec.Struct, Generic[S], frozen=True, kw_only=True):
    """What a command led to. A replay of the same request answers an equal one, but for `replayed`."""

    id: UUID
    #: The state right after the command.
    state: S
    version: int
    appended: Appended
    #: The command brought the stream into being.
    created: bool
    #: The idempotency key had its effect earlier.
    replayed: bool = False


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What surrounds a command: who sent it, and how a repeat of it is recognised."""

    metadata: Metadata = Metadata()
    idempotency_key: str | None = None
    #: Digest of the request, so that another one with the same key is told apart.
    digest: bytes = b""
    #: The version the caller saw (`If-Match`); None takes the present one, whatever it is.
    expected_version: int | None = None


class Rules(Protocol[C_contra, S]):
    """The pure side of one category."""

    category: str

    def initial(self, id_: UUID) -> S: ...
    def decide(self, command: C_contra, state: S) -> Sequence[Any]: ...
    def fold(self, state: S, recorded: RecordedEvent[Any]) -> S: ...
    def evolve(self, state: S, event: Any, at: datetime) -> S: ...
    def claims(self, before: S, after: S) -> Iterable[Claim]:
        """What the change from `before` to `after` takes and releases."""
        ...


class Execution(Generic[C, S]):
    """Executes commands of one category. Safe to use concurrently."""

    def __init__(self, store: EventStore, rules: Rules[C, S], aggregates: Aggregates[S]) -> None:
        self._store = store
        self._rules = rules
        self._aggregates = aggregates

    async def execute(
        self, command: C, stream: Stream, request: Request, *, new: bool = False, claims: tuple[Claim, ...] = ()
    ) -> Executed[S]:
        """`new` says that the stream's id was just made, which saves a read; `claims` go with those of the rules.

        Raises:
            Refusal: the rules or the log said no, and the key has had no effect before.
            IdempotencyKeyReused: it had one, with another request.
            StoreUnavailable, Overloaded: repeat with the same key.
        """
        try:
            return await self._settle(command, stream, request, new, claims)
        except errors.Refusal:
            # What is refused now may have been done before: then the answer is the one it got then.
            replayed = await self.replay(stream.workspace_id, request)
            if replayed is None:
                raise
            return replayed

    async def replay(self, workspace_id: UUID, request: Request) -> Executed[S] | None:
        """The outcome that the request's idempotency key had; None if it had none. Raises IdempotencyKeyReused."""
        if request.idempotency_key is None:
            return None
        found = await self._store.find_idempotent(workspace_id, request.idempotency_key)
        if found is None:
            return None
        appended, kept = found
        if kept[_DIGEST_AT] != request.digest:
            raise errors.IdempotencyKeyReused
        stream = Stream(workspace_id, self._rules.category, UUID(bytes=kept[_ID_AT]))
        version = int.from_bytes(kept[_VERSION_AT], "big")
        state = self._rules.initial(stream.id)
        for recorded in await self._store.read_stream(stream, to_version=version):
            state = self._rules.fold(state, recorded)
        created = 0 < version == appended.event_count
        return Executed(id=stream.id, state=state, version=version, appended=appended, created=created, replayed=True)

    async def load(self, stream: Stream, *, fresh: bool = False) -> tuple[S, int]:
        """(state, version) as `Aggregates.load` has it."""
        return await self._aggregates.load(stream, fresh=fresh)

    async def _settle(
        self, command: C, stream: Stream, request: Request, new: bool, claims: tuple[Claim, ...]
    ) -> Executed[S]:
        fresh = False
        for attempt in range(ATTEMPTS_MAX):
            if new and attempt == 0:
                before, version = self._rules.initial(stream.id), 0
            else:
                before, version = await self._aggregates.load(stream, fresh=fresh)
            try:
                events = self._decide(command, before, version, request)
            except errors.Refusal:
                # A cached state may be behind: only a fresh one may refuse.
                if fresh or (new and attempt == 0):
                    raise
                fresh = True
                continue
            if not events and not fresh and request.idempotency_key is None:
                # Nothing will be appended that could find out that the state was behind.
                fresh = True
                continue
            try:
                return await self._append(stream, request, before, version, events, claims)
            except WrongExpectedVersion as conflict:
                if request.expected_version is not None:
                    raise errors.VersionMismatch(request.expected_version, conflict.actual) from None
                fresh = True
        raise errors.TooContended(ATTEMPTS_MAX)

    def _decide(self, command: C, before: S, version: int, request: Request) -> tuple[Any, ...]:
        expected = request.expected_version
        # What never existed is answered as such, not as a mismatch.
        if version and expected is not None and expected != version:
            raise errors.VersionMismatch(expected, version)
        return tuple(self._rules.decide(command, before))

    async def _append(
        self,
        stream: Stream,
        request: Request,
        before: S,
        version: int,
        events: tuple[Any, ...],
        claims: tuple[Claim, ...],
    ) -> Executed[S]:
        after_version = version + len(events)
        write = Write(
            workspace_id=stream.workspace_id,
            streams=(
                StreamWrite(
                    stream=stream,
                    expected_version=version,
                    events=events,
                    subject_id=stream.id,
                    new_subject=version == 0,
                ),
            ),
            claims=claims + self._claims(before, events),
            metadata=request.metadata,
            idempotency_key=request.idempotency_key,
            request_hash=request.digest + stream.id.bytes + after_version.to_bytes(8, "big"),
        )
        if not events and request.idempotency_key is None:
            appended = await self._nothing_appended(stream)
        else:
            try:
                appended = await self._store.append(write)
            except DuplicateAppend:
                replayed = await self.replay(stream.workspace_id, request)
                assert replayed is not None, "the log has just said that the key was used"
                return replayed
            except ClaimTaken as taken:
                raise errors.ClaimTakenRefusal(taken.kind, taken.holder) from None
            except SubjectErased:
                raise errors.ContactIsErased(stream.id) from None
        after = before
        for event in events:
            after = self._rules.evolve(after, event, appended.recorded_at)
        self._aggregates.remember(stream, after, after_version)
        created = version == 0 and after_version > 0
        return Executed(id=stream.id, state=after, version=after_version, appended=appended, created=created)

    def _claims(self, before: S, events: tuple[Any, ...]) -> tuple[Claim, ...]:
        if not events:
            return ()
        after = before
        for event in events:
            after = self._rules.evolve(after, event, EPOCH)
        return tuple(self._rules.claims(before, after))

    async def _nothing_appended(self, stream: Stream) -> Appended:
        """Where the log stands: whoever waits for this position sees the state that made the command needless."""
        lane = self._store.lane_of(stream.workspace_id)
        return Appended(lane=lane, last_position=await self._store.head(lane), event_count=0, recorded_at=EPOCH)
