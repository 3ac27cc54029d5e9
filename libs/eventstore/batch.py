"""One commit batch in memory: prepared commands in, the arguments of the append functions out. No I/O."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable, Iterable
from typing import Any, Final, Literal
from uuid import UUID

from eventstore.envelope import ANY_VERSION, NO_STREAM, Appended, StreamWrite, Write, slice_of
from eventstore.rows import EventRow

ClaimRow = tuple[str, bytes, UUID, bool]
"""Kind, HMAC of the value, holder, whether it is taken."""
KeyRow = tuple[UUID, bytes]
"""Subject, wrapped data key."""

Use = Literal["alone", "adding", "looking"]
"""How a command touches something: two of one batch may share it if both add at any version, or both only look."""
ALONE: Final = "alone"
ADDING: Final = "adding"
LOOKING: Final = "looking"

COMMANDS_MAX: Final = 128
EVENTS_MAX: Final = 1_000
BYTES_MAX: Final = 1 << 20


class Prepared:
    """A write whose rows are encoded, waiting for its verdict."""

    __slots__ = (
        "claim_rows", "event_count", "event_rows", "footprint", "future", "guarded", "key_rows", "losses",
        "needs_check", "outcome_unknown", "size", "write",
    )  # fmt: skip

    def __init__(
        self,
        write: Write,
        event_rows: list[list[EventRow]],
        claim_rows: list[ClaimRow],
        key_rows: list[KeyRow],
    ) -> None:
        self.write = write
        #: One list per stream of the write, in its order.
        self.event_rows = event_rows
        self.claim_rows = claim_rows
        self.key_rows = key_rows
        self.event_count = self.size = 0
        #: Its refusal would not show as a unique violation, or `log.append_in_hope` does not know how to write it.
        self.needs_check = bool(write.suppressions or write.destroy_subjects) or not all(row[3] for row in claim_rows)
        #: Subjects whose data key no expected version guards: it may have been destroyed since it was read.
        self.guarded: list[UUID] = []
        for part, rows in zip(write.streams, event_rows, strict=True):
            self._weigh(part, rows)
        self.footprint = self._footprint()
        self.future: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()
        #: A connection was lost while this command was under way: it may have been committed.
        self.outcome_unknown = False
        #: How many connections were lost while this command was under way.
        self.losses = 0

    def _weigh(self, part: StreamWrite, rows: list[EventRow]) -> None:
        self.event_count += len(rows)
        for row in rows:
            self.size += len(row[4])
        if not rows or part.expected_version == ANY_VERSION:
            self.needs_check = True
        if rows and part.expected_version <= NO_STREAM and part.subject_id is not None and not part.new_subject:
            self.guarded.append(part.subject_id)
            self.needs_check = True

    def _footprint(self) -> dict[Hashable, Use]:
        """What it touches and how: the append function decides on the state before the batch."""
        write = self.write
        touched: dict[Hashable, Use] = {}
        for part in write.streams:
            stream = (part.stream.id.int, part.stream.category)
            touched[stream] = ALONE if stream in touched else _use(part)
        if write.idempotency_key is not None:
            touched[write.workspace_id.int, write.idempotency_key] = ALONE
        for kind, value, _, _ in self.claim_rows:
            touched[kind, value] = ALONE
        return touched


def _use(part: StreamWrite) -> Use:
    if not part.events:
        return LOOKING
    return ADDING if part.expected_version == ANY_VERSION else ALONE


def take(queue: deque[Prepared], commands_max: int = COMMANDS_MAX) -> list[Prepared]:
    """Remove the next batch from the queue: in order, but a command stays that may not share with an earlier one.

    A command that destroys data keys goes alone: no other one of its batch may be encrypted with them.
    """
    batch: list[Prepared] = []
    left: list[Prepared] = []
    touched: dict[Hashable, Use] = {}
    events = size = 0
    while queue and len(batch) < commands_max and events < EVENTS_MAX and size < BYTES_MAX:
        command = queue.popleft()
        if command.future.done():  # its caller went away before it was sent
            continue
        alone = bool(command.write.destroy_subjects)
        if alone and (batch or left):
            queue.appendleft(command)
            break
        if _clashes(touched, command):
            left.append(command)
            continue
        batch.append(command)
        events += command.event_count
        size += command.size
        if alone:
            break
    queue.extendleft(reversed(left))
    return batch


def _clashes(touched: dict[Hashable, Use], command: Prepared) -> bool:
    """Whether it may not go with what was touched before; adds what it touches."""
    if touched.keys().isdisjoint(command.footprint):
        touched.update(command.footprint)
        return False
    clashes = False
    for thing, use in command.footprint.items():
        before = touched.get(thing)
        clashes |= before is not None and (before != use or use == ALONE)
        # Whoever comes later may share it with neither of two that may not share it.
        touched[thing] = use if before in (None, use) else ALONE
    return clashes


def rows(lane: int, batch: Iterable[Prepared]) -> tuple[Any, ...]:
    """Arguments of `log.append_in_hope`, see migrations/sql/0006_append.sql: rows for each table."""
    events: list[tuple[Any, ...]] = []
    keys: list[tuple[Any, ...]] = []
    expected: list[tuple[Any, ...]] = []
    claims: list[tuple[Any, ...]] = []
    data_keys: list[tuple[Any, ...]] = []
    for command in batch:
        write = command.write
        workspace_id = write.workspace_id
        for part, event_rows in zip(write.streams, command.event_rows, strict=True):
            id_, category, before = part.stream.id, part.stream.category, part.expected_version
            if before > 0:
                expected.append((workspace_id, id_, category, before))
            slice_ = slice_of(id_)
            for version, row in enumerate(event_rows, before + 1):
                events.append((workspace_id, id_, category, version, slice_, part.subject_id, *row))
        if write.idempotency_key is not None:
            keys.append((workspace_id, write.idempotency_key, write.request_hash, command.event_count, len(events)))
        claims.extend((workspace_id, kind, value, holder) for kind, value, holder, _ in command.claim_rows)
        data_keys.extend((subject_id, workspace_id, wrapped) for subject_id, wrapped in command.key_rows)
    return lane, events, keys, expected, claims, data_keys


def arrays(lane: int, batch: Iterable[Prepared]) -> tuple[Any, ...]:
    """Arguments of `log.append_checked`, see migrations/sql/0001_log.sql. Commands and writes count from 1."""
    commands: list[tuple[Any, ...]] = []
    streams: list[tuple[Any, ...]] = []
    events: list[tuple[Any, ...]] = []
    claims: list[tuple[Any, ...]] = []
    keys: list[tuple[Any, ...]] = []
    for n, command in enumerate(batch, 1):
        write = command.write
        commands.append((write.workspace_id, write.idempotency_key, write.request_hash, command.event_count))
        for part, rows in zip(write.streams, command.event_rows, strict=True):
            id_ = part.stream.id
            streams.append(
                (n, id_, part.stream.category, part.expected_version, len(events), slice_of(id_), part.subject_id)
            )
            place = len(streams)
            events.extend((place, *row) for row in rows)
        claims.extend((n, *row) for row in command.claim_rows)
        keys.extend((n, *row) for row in command.key_rows)
    return (
        lane,
        *_columns(commands, 4),
        *_columns(streams, 7),
        *_columns(events, 6),
        *_columns(claims, 5),
        *_columns(keys, 3),
    )


def suppression_arrays(batch: Iterable[Prepared]) -> tuple[Any, ...]:
    """The further arguments of `log.append_suppressing`, see migrations/sql/0004_suppression.sql."""
    rows = [
        (n, x.scope_id, x.holder_id, x.address, x.kind, x.channel, x.topic, x.status, x.cause, x.since)
        for n, command in enumerate(batch, 1)
        for x in command.write.suppressions
    ]
    return tuple(_columns(rows, 10))


def guard_arrays(batch: Iterable[Prepared]) -> tuple[Any, ...]:
    """The last arguments of `log.append_guarded`, see migrations/sql/0005_erasure.sql."""
    numbered = list(enumerate(batch, 1))
    guarded = [(n, subject) for n, command in numbered for subject in command.guarded]
    destroyed = [(n, subject) for n, command in numbered for subject in command.write.destroy_subjects]
    return (*_columns(guarded, 2), *_columns(destroyed, 2))


def _columns(rows: list[tuple[Any, ...]], width: int) -> Iterable[Any]:
    return zip(*rows, strict=True) if rows else ([],) * width
