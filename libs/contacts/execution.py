"""One command's way through the log: load, decide, append, retry, replay. Knows no rule and no category of its own.

The answer to an idempotency key must stay the same for ever, so what is kept with the key is the caller's digest, the
stream's id and the version the answer showed: folding that stream to that version makes the same answer again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final, Generic, Protocol, TypeVar
from uuid import UUID

import msgspec

from contacts import errors
from eventstore.aggregate import Aggregates
from eventstore.envelope import Appended, Claim, Metadata, RecordedEvent, Stream, StreamWrite, Suppression, Write
from eventstore.errors import ClaimTaken, DuplicateAppend, SubjectErased, WrongExpectedVersion
from eventstore.store import EventStore

S = TypeVar("S")
C = TypeVar("C")
C_contra = TypeVar("C_contra", contravariant=True)
S_contra = TypeVar("S_contra", contravariant=True)

ATTEMPTS_MAX: Final = 50
"""Every attempt that fails means that another one succeeded, so this is how many may overtake one command."""

#: Stands in for the time of recording where only the resulting values matter.
EPOCH: Final = datetime.fromtimestamp(0, UTC)
NOTHING: Final[Mapping[UUID, Any]] = MappingProxyType({})
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


class Met(msgspec.Struct, Generic[S], frozen=True, kw_only=True, gc=False):
    """What a command meets: the stream it acts on, which may be another than the one it named."""

    stream: Stream
    version: int
    #: The fold of the stream.
    state: S
    #: Folds of other streams that are shown and decided on together with it, by id; none for nearly all.
    others: Mapping[UUID, S] = NOTHING


class Rules(Protocol[C_contra, S]):
    """The pure side of one category."""

    category: str

    def initial(self, id_: UUID) -> S: ...
    def decide(self, command: C_contra, state: S) -> Sequence[Any]: ...
    def fold(self, state: S, recorded: RecordedEvent[Any]) -> S: ...
    def evolve(self, state: S, event: Any, at: datetime) -> S: ...
    def show(self, state: S, others: Mapping[UUID, S]) -> S:
        """What is decided on and answered; `state` itself where there are no `others`.

        Raises the Refusal of a state that nothing can be asked of, and that no answer can show any more.
        """
        ...

    def claims(self, before: S, after: S, others: Mapping[UUID, S]) -> Iterable[Claim]:
        """What the change from `before` to `after` takes and releases."""
        ...


class Surroundings(Protocol[S]):
    """Finds the stream that a command acts on, and what is shown together with it."""

    async def meet(self, stream: Stream, *, fresh: bool) -> Met[S]: ...
    async def others_at(self, stream: Stream, state: S, position: int) -> Mapping[UUID, S]:
        """As they were at a position at which `state` was the state of the stream."""
        ...


class Besides(msgspec.Struct, frozen=True):
    """What is appended together with a command's events, to streams of other categories."""

    streams: tuple[StreamWrite, ...] = ()
    suppressions: tuple[Suppression, ...] = ()


class Beside(Protocol[C_contra, S_contra]):
    """Says what a command causes in streams of other categories. Asked again with `fresh` after a conflict."""

    async def __call__(self, command: C_contra, before: S_contra, events: Sequence[Any], *, fresh: bool) -> Besides: ...


NOTHING_BESIDE: Final = Besides()


class Together(Generic[C_contra, S_contra]):
    """What several of them cause."""

    def __init__(self, *besides: Beside[C_contra, S_contra]) -> None:
        self._besides = besides

    async def __call__(self, command: C_contra, before: S_contra, events: Sequence[Any], *, fresh: bool) -> Besides:
        """Raises what any of them raises."""
        caused = [await beside(command, before, events, fresh=fresh) for beside in self._besides]
        if all(each is NOTHING_BESIDE for each in caused):
            return NOTHING_BESIDE
        return Besides(
            streams=tuple(write for each in caused for write in each.streams),
            suppressions=tuple(suppression for each in caused for suppression in each.suppressions),
        )


class Execution(Generic[C, S]):
    """Executes commands of one category. Safe to use concurrently."""

    def __init__(
        self,
        store: EventStore,
        rules: Rules[C, S],
        aggregates: Aggregates[S],
        surroundings: Surroundings[S] | None = None,
        beside: Beside[C, S] | None = None,
    ) -> None:
        """Without `surroundings` and `beside` a command acts on the stream it names, and on that alone."""
        self._store = store
        self._rules = rules
        self._aggregates = aggregates
        self._surroundings = surroundings
        self._beside = beside

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
        id_, version = recalled(kept, request)
        stream = Stream(workspace_id, self._rules.category, id_)
        state = self._rules.initial(stream.id)
        events = await self._store.read_stream(stream, to_version=version)
        for recorded in events:
            state = self._rules.fold(state, recorded)
        created = appended.event_count > 0 and events[0].position >= appended.first_position
        if self._surroundings is not None:
            others = await self._surroundings.others_at(stream, state, appended.last_position)
            state = self._rules.show(state, others)
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
                met = Met(stream=stream, version=0, state=self._rules.initial(stream.id))
            else:
                met = await self._meet(stream, fresh=fresh)
            try:
                events = self._decide(command, met, request)
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
                besides = NOTHING_BESIDE
                if self._beside is not None and events:
                    besides = await self._beside(command, met.state, events, fresh=fresh)
                return await self._append(met, request, events, claims, besides)
            except WrongExpectedVersion as conflict:
                if request.expected_version is not None and conflict.stream == met.stream:
                    raise errors.VersionMismatch(request.expected_version, conflict.actual) from None
                fresh = True
            except SubjectErased as erased:
                if erased.subject_id == met.stream.id:
                    raise errors.ContactIsErased(met.stream.id) from None
                fresh = True
        raise errors.TooContended(ATTEMPTS_MAX)

    async def _meet(self, stream: Stream, *, fresh: bool) -> Met[S]:
        if self._surroundings is not None:
            return await self._surroundings.meet(stream, fresh=fresh)
        state, version = await self._aggregates.load(stream, fresh=fresh)
        return Met(stream=stream, version=version, state=state)

    def _decide(self, command: C, met: Met[S], request: Request) -> tuple[Any, ...]:
        expected = request.expected_version
        # What never existed is answered as such, not as a mismatch.
        if met.version and expected is not None and expected != met.version:
            raise errors.VersionMismatch(expected, met.version)
        return tuple(self._rules.decide(command, self._rules.show(met.state, met.others)))

    async def _append(
        self, met: Met[S], request: Request, events: tuple[Any, ...], claims: tuple[Claim, ...], besides: Besides
    ) -> Executed[S]:
        stream, version = met.stream, met.version
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
                *besides.streams,
            ),
            suppressions=besides.suppressions,
            claims=claims + self._claims(met, events),
            metadata=request.metadata,
            idempotency_key=request.idempotency_key,
            request_hash=kept_with_key(request, stream.id, after_version),
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
        after = met.state
        for event in events:
            after = self._rules.evolve(after, event, appended.recorded_at)
        self._aggregates.remember(stream, after, after_version)
        return Executed(
            id=stream.id,
            state=self._rules.show(after, met.others),
            version=after_version,
            appended=appended,
            created=version == 0 and after_version > 0,
        )

    def _claims(self, met: Met[S], events: tuple[Any, ...]) -> tuple[Claim, ...]:
        if not events:
            return ()
        after = met.state
        for event in events:
            after = self._rules.evolve(after, event, EPOCH)
        return tuple(self._rules.claims(met.state, after, met.others))

    async def _nothing_appended(self, stream: Stream) -> Appended:
        """Where the log stands: whoever waits for this position sees the state that made the command needless."""
        lane = self._store.lane_of(stream.workspace_id)
        return Appended(lane=lane, last_position=await self._store.head(lane), event_count=0, recorded_at=EPOCH)


def kept_with_key(request: Request, id_: UUID, version: int) -> bytes:
    """What the log keeps with an idempotency key: from it `recalled` tells which answer the request got."""
    return request.digest + id_.bytes + version.to_bytes(8, "big")


def recalled(kept: bytes, request: Request) -> tuple[UUID, int]:
    """(stream id, version) that the answer showed. Raises IdempotencyKeyReused where it was another request."""
    if kept[_DIGEST_AT] != request.digest:
        raise errors.IdempotencyKeyReused
    return UUID(bytes=kept[_ID_AT]), int.from_bytes(kept[_VERSION_AT], "big")
