"""Writers that remember what they were told, and the oracle that compares it with the log. Causes no faults itself."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import random
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final
from uuid import UUID

import asyncpg

from eventstore.envelope import ANY_VERSION, NO_STREAM, Appended, Claim, Stream, StreamWrite, Write
from eventstore.errors import DuplicateAppend, StoreUnavailable, SubjectErased, WrongExpectedVersion
from eventstore.store import EventStore
from eventstore.verify import verify_chain
from tests.support.sample import Counted, stream_of

#: Events of operation n carry the numbers n * EVENTS_MAX … n * EVENTS_MAX + EVENTS_MAX - 1.
EVENTS_MAX: Final = 10


class Outcome(enum.Enum):
    """What the caller of an operation knows: Jepsen's ok, fail and info."""

    OK = "acked"
    FAILED = "refused"
    UNKNOWN = "unknown"


class Journal:
    """Every operation with its outcome, small enough for millions."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.outcomes: dict[int, Outcome] = {}
        self.keyed: set[int] = set()
        self.wrongly_refused: list[str] = []
        self.event_counts = array("b")
        self.positions = array("q")

    def begin(self, event_count: int) -> int:
        """The number of a new operation."""
        self.event_counts.append(event_count)
        self.positions.append(0)
        return len(self.positions) - 1

    def acked(self, operation: int, appended: Appended) -> None:
        self.positions[operation] = appended.last_position
        self._end(operation, Outcome.OK)
        self.counts["events acked"] += appended.event_count

    def failed(self, operation: int) -> None:
        self._end(operation, Outcome.FAILED)

    def unknown(self, operation: int) -> None:
        self._end(operation, Outcome.UNKNOWN)

    def _end(self, operation: int, outcome: Outcome) -> None:
        self.outcomes[operation] = outcome
        self.counts[f"operations {outcome.value}"] += 1


class Writer:
    """Sends operations one after another: new streams, edits, events at any version, bare keys, bulk, claims."""

    def __init__(self, journal: Journal, store: Callable[[], EventStore], workspace: UUID, seed: int) -> None:
        self._journal = journal
        self._store = store
        self._workspace = workspace
        self._random = random.Random(seed)
        self._own: list[tuple[Stream, int, UUID | None]] = []
        self._shared = Stream(workspace, "shared", UUID(int=workspace.int ^ 1))

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            kind = self._random.choices(
                (self._create, self._edit, self._fact, self._key_only, self._bulk), (30, 40, 15, 10, 1)
            )[0]
            await kind()

    async def _create(self) -> None:
        operation, events = self._events()
        stream = stream_of(self._workspace, UUID(int=self._random.getrandbits(128)))
        subject = stream.id if self._random.random() < 0.3 else None
        claim = Claim(kind="email", value=str(operation), holder=stream.id)
        part = StreamWrite(
            stream=stream, expected_version=NO_STREAM, events=events, subject_id=subject,
            new_subject=subject is not None,
        )  # fmt: skip
        keyed = self._random.random() < 0.5
        if await self._send(operation, part, claims=(claim,), keyed=keyed) is Outcome.OK:
            self._own.append((stream, len(events), subject))

    async def _edit(self) -> None:
        if not self._own:
            return
        stream, version, subject = self._own.pop(self._random.randrange(len(self._own)))
        operation, events = self._events()
        part = StreamWrite(stream=stream, expected_version=version, events=events, subject_id=subject)
        outcome = await self._send(operation, part, keyed=self._random.random() < 0.5)
        if outcome is not Outcome.UNKNOWN:  # nobody else writes to the stream, so the version is known again
            self._own.append((stream, version + (len(events) if outcome is Outcome.OK else 0), subject))

    async def _fact(self) -> None:
        operation, events = self._events()
        await self._send(operation, StreamWrite(stream=self._shared, expected_version=ANY_VERSION, events=events))

    async def _key_only(self) -> None:
        await self._send(self._begin(0))

    async def _bulk(self) -> None:
        operations = [self._events() for _ in range(30)]
        parts = [
            StreamWrite(
                stream=stream_of(self._workspace, UUID(int=self._random.getrandbits(128))), expected_version=NO_STREAM,
                events=events,
            )
            for _, events in operations
        ]  # fmt: skip
        writes = [self._write(operation, (part,)) for (operation, _), part in zip(operations, parts, strict=True)]
        try:
            answers = await self._store().append_bulk(writes)
        except StoreUnavailable as error:
            for operation, _ in operations:
                (self._journal.unknown if error.outcome_unknown else self._journal.failed)(operation)
        else:
            for (operation, _), appended in zip(operations, answers, strict=True):
                self._journal.acked(operation, appended)

    async def _send(
        self, operation: int, *parts: StreamWrite, claims: tuple[Claim, ...] = (), keyed: bool = True
    ) -> Outcome:
        try:
            appended = await self._store().append(self._write(operation, parts, claims, keyed=keyed))
        except StoreUnavailable as error:
            (self._journal.unknown if error.outcome_unknown else self._journal.failed)(operation)
            await asyncio.sleep(0.01)  # as a polite caller would
        except (DuplicateAppend, WrongExpectedVersion, SubjectErased) as error:
            # Nobody else uses its key, stream or subject: it met itself, or what it was told before is not so.
            self._journal.wrongly_refused.append(f"operation {operation} was refused: {error}")
            self._journal.failed(operation)
        else:
            self._journal.acked(operation, appended)
        return self._journal.outcomes[operation]

    def _write(
        self, operation: int, parts: Sequence[StreamWrite], claims: tuple[Claim, ...] = (), *, keyed: bool = True
    ) -> Write:
        if keyed:
            self._journal.keyed.add(operation)
        return Write(
            workspace_id=self._workspace, streams=tuple(parts), claims=claims,
            idempotency_key=f"operation {operation}" if keyed else None,
        )  # fmt: skip

    def _begin(self, event_count: int) -> int:
        return self._journal.begin(event_count)

    def _events(self) -> tuple[int, tuple[Any, ...]]:
        count = self._random.choice((1, 1, 1, 2, 3))
        operation = self._begin(count)
        return operation, tuple(Counted(operation * EVENTS_MAX + n) for n in range(count))


async def broken_promises(store: EventStore, journal: Journal) -> list[str]:
    """What the log says otherwise than the callers were told; nothing may be under way. Counts what was unknown."""
    broken = list(journal.wrongly_refused)
    events_of: dict[int, list[int]] = {}
    after = 0
    while True:
        batch = await store.read_lane(0, after=after, limit=5_000)  # raises PositionGap where it is not dense
        if batch.last == after:
            break
        after = batch.last
        for event in batch.events:
            operation, n = divmod(event.event.number, EVENTS_MAX)
            places = events_of.setdefault(operation, [])
            if n != len(places) or (places and event.position != places[-1] + 1):
                broken.append(f"operation {operation}: its events do not stand together, or twice")
            places.append(event.position)
    for operation, outcome in journal.outcomes.items():
        places = events_of.pop(operation, [])
        wanted = journal.event_counts[operation]
        if outcome is Outcome.OK and wanted and (len(places) != wanted or places[-1] != journal.positions[operation]):
            broken.append(f"operation {operation} was acked at {journal.positions[operation]}, stands at {places}")
        if outcome is Outcome.FAILED and places:
            broken.append(f"operation {operation} was refused, stands at {places}")
        if outcome is Outcome.UNKNOWN and len(places) not in (0, wanted):
            broken.append(f"operation {operation} has {len(places)} of {wanted} events")
        if outcome is Outcome.UNKNOWN and places:
            journal.counts["unknown that had been committed"] += 1
    broken += [f"operation {operation} is in the log, and nobody knows of it" for operation in events_of]
    broken += await _broken_keys(store, journal)
    report = await verify_chain(store.pool, 0)
    if report.first_bad_position is not None:
        broken.append(f"the chain breaks at {report.first_bad_position}: {report.reason}")
    return broken


async def _broken_keys(store: EventStore, journal: Journal) -> list[str]:
    """A key is there exactly when its operation has taken effect, and tells the same place."""
    rows = await store.pool.fetch("SELECT key, last_position, event_count FROM log.idempotency")
    found = {int(row["key"].removeprefix("operation ")): (row["last_position"], row["event_count"]) for row in rows}
    broken: list[str] = []
    for operation in journal.keyed:
        outcome = journal.outcomes.get(operation)
        wanted = journal.positions[operation], journal.event_counts[operation]
        if outcome is Outcome.OK and found.get(operation) != wanted:
            broken.append(f"the key of operation {operation} says {found.get(operation)}, its caller was told {wanted}")
        if outcome is Outcome.FAILED and operation in found:
            broken.append(f"operation {operation} was refused, its key is there")
    return broken


async def reopened(open_store: Callable[[], Any], timeout_s: float = 20.0) -> EventStore:
    """A store, as soon as the database lets anybody in."""
    async with asyncio.timeout(timeout_s):
        while True:
            with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                store: EventStore = await open_store()
                return store
            await asyncio.sleep(0.02)
