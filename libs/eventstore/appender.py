"""Group commit: drains the queue of one lane into one transaction after another and gives each command its verdict."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable
from itertools import chain, repeat
from typing import Any, Final, Protocol
from uuid import UUID

import asyncpg

from eventstore import batch as batches
from eventstore.batch import Prepared
from eventstore.envelope import Appended
from eventstore.errors import (
    ClaimTaken,
    DuplicateAppend,
    Overloaded,
    StoreUnavailable,
    SubjectErased,
    WrongExpectedVersion,
)
from eventstore.sql import load

SQL = load("eventstore", "queries.sql")

BATCHES_IN_FLIGHT: Final = 2
"""While PostgreSQL commits one batch, the next is encoded and sent; it waits for the lane lock inside the server."""
SHARE_MIN: Final = 16
CHECKS_AFTER_REFUSAL: Final = 16
"""Refusals come in bursts (a retried import): that many batches are looked at first before hoping again."""
QUEUED_MAX: Final = 20_000
RECONNECT_DELAYS_S: Final = (0.05, 0.1, 0.2, 0.4, 0.8, 1.0)
UNAVAILABLE_AFTER_S: Final = 10.0
"""How long a command waits for a lost database before it is told so."""
ANNOUNCE_EVERY_S: Final = 0.002
"""The first commit after a pause is announced at once, later ones together: readers gain more from fuller batches."""
LOSSES_MAX: Final = 5
"""Connections that a command may see lost, one of which may be its own doing."""
HANG_UP_TIMEOUT_S: Final = 2.0
DRAIN_S: Final = 10.0
"""How long closing waits for what is queued. A server that is silent would have every connection time out in turn."""
NOT_NOW: Final = frozenset({"25", "40", "53", "55", "58"})
"""Classes of SQLSTATE that would meet every command alike: read only, rolled back, out of resources, locked, I/O."""
NO_DATA_KEY: Final = "RB001"
"""SQLSTATE of our own, raised by `log.append_guarded`."""

Connect = Callable[[], Awaitable[asyncpg.Connection]]


class AppendObserver(Protocol):
    """Told of every commit; for metrics. Must not block."""

    def committed(self, lane: int, commands: int, events: int, seconds: float, last_position: int) -> None: ...


class Appender:
    """The only writer of a lane in this process. Other processes have their own; the lane lock orders them."""

    def __init__(self, lane: int, connect: Connect, observer: AppendObserver | None = None) -> None:
        self._lane = lane
        self._connect = connect
        self._observer = observer
        self._queue: deque[Prepared] = deque()
        self._work = asyncio.Event()
        self._closing = False
        self._announced = asyncio.Event()
        self._head = 0
        self._checks_due = 0
        #: Commands in batches that are not settled yet.
        self._sent = 0
        self._connected = 0
        self._tasks = [asyncio.create_task(self._run()) for _ in range(BATCHES_IN_FLIGHT)]
        self._announcer = asyncio.create_task(self._announce())

    async def append(self, command: Prepared) -> Appended:
        """Waits for the commit. Raises the refusals of EventStore.append."""
        if self._closing:
            raise StoreUnavailable("the event store is closing", outcome_unknown=False)
        if len(self._queue) >= QUEUED_MAX:
            raise Overloaded(len(self._queue), retry_after_s=1)
        self._queue.append(command)
        self._work.set()
        return await command.future

    def announce(self, position: int) -> None:
        """Wake the readers of the lane, of this and other processes, soon."""
        self._head = max(self._head, position)
        self._announced.set()

    async def close(self) -> None:
        """Commits what is queued, then stops. What is not answered within `DRAIN_S` is told so."""
        self._closing = True
        self._work.set()
        _, unanswered = await asyncio.wait(self._tasks, timeout=DRAIN_S)
        for task in unanswered:
            task.cancel()
        await asyncio.gather(*unanswered, return_exceptions=True)
        while self._queue:
            _give_up(self._queue.popleft(), "the event store is closing")
        self._announcer.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._announcer

    async def _run(self) -> None:
        connection: asyncpg.Connection | None = None
        while self._queue or not self._closing:
            if not self._queue:
                self._work.clear()
                await self._work.wait()
            elif connection is None or connection.is_closed():
                connection = await self._reach(connection)
            else:
                await self._serve(connection)
        if connection is not None:
            self._connected -= 1
            await _hang_up(connection)

    async def _reach(self, ended: asyncpg.Connection | None) -> asyncpg.Connection | None:
        """Connects, while the queue waits for this or another connection of the lane.

        Where there has been none for too long, everything that waits is told so.
        """
        if ended is not None:
            self._connected -= 1
        deadline, reason = time.monotonic() + UNAVAILABLE_AFTER_S, ""
        for delay in chain(RECONNECT_DELAYS_S, repeat(RECONNECT_DELAYS_S[-1])):
            try:
                connection = await self._connect()
            except Exception as error:  # noqa: BLE001 - whatever it is, there is no connection
                reason = type(error).__name__
            else:
                self._connected += 1
                return connection
            await asyncio.sleep(delay)
            if self._closing or time.monotonic() > deadline:
                break
        while self._queue and not self._connected:
            _give_up(self._queue.popleft(), reason)
        return None

    async def _serve(self, connection: asyncpg.Connection) -> None:
        """Takes a batch and settles it; leaves the connection closed where it is no good any more."""
        # An even share of all that is under way: while one batch commits, the other is answered and followed up in
        # Python. A share of the queue alone would be ever smaller batches, each at the price of a flush.
        share = max(SHARE_MIN, -(-(len(self._queue) + self._sent) // BATCHES_IN_FLIGHT))
        # What lost its connection twice goes alone: should it be the cause, its batch mates are out of it.
        suspect = self._queue[0].losses > 1
        commands = batches.take(self._queue, 1 if suspect else min(share, batches.COMMANDS_MAX))
        self._sent += len(commands)
        try:
            if commands and not await self._settle(connection, commands):
                connection.terminate()
        except asyncio.CancelledError:
            connection.terminate()
            for command in commands:
                command.outcome_unknown = True
                _give_up(command, "the event store is closing")
            raise
        finally:
            self._sent -= len(commands)

    async def _settle(self, connection: asyncpg.Connection, commands: list[Prepared]) -> bool:
        """Gives every command its answer, or puts it back; answers whether the connection is still good."""
        try:
            await self._commit(connection, commands)
        except Exception as error:  # noqa: BLE001 - handed to the callers; the lane goes on
            if lost(error):
                self._put_back(commands, type(error).__name__)
                return False
            if not_now(error):
                for command in commands:
                    _give_up(command, type(error).__name__)
            elif len(commands) == 1:
                _refuse(commands[0], _erased(error) or error)
            else:  # refused as a whole: they go again alone, so that only the bad one fails
                return await self._settle_alone(connection, commands)
        return True

    async def _settle_alone(self, connection: asyncpg.Connection, commands: list[Prepared]) -> bool:
        waiting = deque(command for command in commands if not command.future.done())
        while waiting:
            if not await self._settle(connection, [waiting.popleft()]):
                self._queue.extendleft(reversed(waiting))
                return False
        return True

    def _put_back(self, commands: list[Prepared], reason: str) -> None:
        """In front of the queue; the append function tells which were committed.

        A transaction that is still under way in the server holds the lane lock, so the repeat is decided after it.
        """
        for command in reversed(commands):
            command.outcome_unknown = True
            command.losses += 1
            if command.losses >= LOSSES_MAX:
                _give_up(command, reason)
            elif not command.future.done():
                self._queue.appendleft(command)
        self._work.set()

    async def _commit(self, connection: asyncpg.Connection, commands: list[Prepared]) -> None:
        started = time.perf_counter()
        rejected = await self._write(connection, commands)
        head, recorded_at = rejected[0]["at_position"], rejected[0]["at_time"]
        position = head
        for n, command in enumerate(commands, 1):
            if n in rejected:
                continue
            position += command.event_count
            _answer(command, Appended(
                lane=self._lane, last_position=position, event_count=command.event_count, recorded_at=recorded_at
            ))  # fmt: skip
        # Afterwards, because this may ask the database again: what was accepted is answered whatever comes of it.
        for n, command in enumerate(commands, 1):
            if (verdict := rejected.get(n)) is not None:
                await self._reject(connection, command, verdict)
        if position > head:
            self.announce(position)
        if self._observer is not None:
            self._observer.committed(
                self._lane, len(commands), position - head, time.perf_counter() - started, position
            )

    async def _write(self, connection: asyncpg.Connection, commands: list[Prepared]) -> dict[int, asyncpg.Record]:
        """Rows of the answer by command: 0 for the batch, then the rejected. One transaction, committed on return."""
        if self._checks_due == 0 and not any(c.needs_check or c.outcome_unknown for c in commands):
            with contextlib.suppress(asyncpg.UniqueViolationError):
                return await _ask(connection, "append_in_hope", batches.rows(self._lane, commands))
            self._checks_due = CHECKS_AFTER_REFUSAL
        arguments = batches.arrays(self._lane, commands)
        if any(c.guarded or c.write.destroy_subjects for c in commands):
            arguments += (*batches.suppression_arrays(commands), *batches.guard_arrays(commands))
            return await _ask(connection, "append_guarded", arguments)
        if any(c.write.suppressions for c in commands):
            return await _ask(connection, "append_suppressing", arguments + batches.suppression_arrays(commands))
        self._checks_due = max(0, self._checks_due - 1)
        return await _ask(connection, "append_checked", arguments)

    async def _reject(self, connection: asyncpg.Connection, command: Prepared, row: asyncpg.Record) -> None:
        write = command.write
        if row["verdict"] == "duplicate":
            original = Appended(
                lane=self._lane,
                last_position=row["at_position"],
                event_count=row["amount"],
                recorded_at=row["at_time"],
            )
            same_request = row["request"] == write.request_hash
            if command.outcome_unknown and same_request and await self._is_own(connection, command, original):
                _answer(command, original)  # it was our own commit whose answer was lost
            else:
                _refuse(command, DuplicateAppend(original, same_request=same_request))
        elif row["verdict"] == "claim":
            _refuse(command, ClaimTaken(row["request"].decode(), row["holder"]))
        elif command.outcome_unknown and (appended := await self._committed_before(connection, command)):
            _answer(command, appended)
        else:
            category = row["request"].decode()
            moved = next(s for s in write.streams if (s.stream.id, s.stream.category) == (row["holder"], category))
            _refuse(command, WrongExpectedVersion(moved.stream, moved.expected_version, row["amount"]))

    async def _is_own(self, connection: asyncpg.Connection, command: Prepared, original: Appended) -> bool:
        """Whether this very command wrote what its key is known for, and not an earlier one with the same key."""
        events = [row for rows in command.event_rows for row in rows]
        if not events or original.event_count != len(events):
            return original.event_count == len(events)
        found = await connection.fetchval(SQL["event_id_at"], self._lane, original.last_position)
        return bool(found == events[-1][0])

    async def _committed_before(self, connection: asyncpg.Connection, command: Prepared) -> Appended | None:
        """An append whose answer was lost: found again by the id of its last event."""
        written = [(s, rows[-1][0]) for s, rows in zip(command.write.streams, command.event_rows, strict=True) if rows]
        if not written:
            return None
        part, event_id = written[-1]
        row = await connection.fetchrow(
            SQL["find_event"], self._lane, part.stream.id, part.stream.category, part.expected_version, event_id
        )
        if row is None:
            return None
        return Appended(
            lane=self._lane,
            last_position=row["position"],
            event_count=command.event_count,
            recorded_at=row["recorded_at"],
        )

    async def _announce(self) -> None:
        """NOTIFY after commits on a connection of its own: inside them it would take a lock of the whole database."""
        connection: asyncpg.Connection | None = None
        try:
            while True:
                await self._announced.wait()
                self._announced.clear()
                try:
                    connection = connection or await self._connect()
                    await connection.execute(SQL["notify"], f"{self._lane} {self._head}")
                    await asyncio.sleep(ANNOUNCE_EVERY_S)
                except Exception:  # noqa: BLE001 - readers poll as well; the next commit announces again
                    if connection is not None:
                        connection.terminate()
                    connection = None
        finally:
            if connection is not None:
                connection.terminate()


def lost(error: Exception) -> bool:
    """Whether the session ended (shutdown, crash, failover, cut, silence) rather than refused the statement."""
    # The client's internal error is what it raises when it is used between the server's farewell and the end of TCP.
    return isinstance(
        error,
        OSError
        | TimeoutError
        | asyncpg.InterfaceError
        | asyncpg.InternalClientError
        | asyncpg.OperatorInterventionError
        | asyncpg.PostgresConnectionError,
    )


def not_now(error: Exception) -> bool:
    """Whether the statement was undone for a reason that is none of its own."""
    return isinstance(error, asyncpg.PostgresError) and (error.sqlstate or "")[:2] in NOT_NOW


def _erased(error: Exception) -> SubjectErased | None:
    """What the error of `log.append_guarded` means; None for any other."""
    if isinstance(error, asyncpg.PostgresError) and error.sqlstate == NO_DATA_KEY:
        return SubjectErased(UUID(error.detail))
    return None


async def _ask(
    connection: asyncpg.Connection, function: str, arguments: tuple[Any, ...]
) -> dict[int, asyncpg.Record]:  # fmt: skip
    return {row["command"]: row for row in await connection.fetch(SQL[function], *arguments)}


async def _hang_up(connection: asyncpg.Connection) -> None:
    try:
        await connection.close(timeout=HANG_UP_TIMEOUT_S)
    except Exception:  # noqa: BLE001 - it is over either way
        connection.terminate()


def _answer(command: Prepared, appended: Appended) -> None:
    if not command.future.done():
        command.future.set_result(appended)


def _refuse(command: Prepared, error: Exception) -> None:
    if not command.future.done():
        command.future.set_exception(error)


def _give_up(command: Prepared, reason: str) -> None:
    _refuse(command, StoreUnavailable(reason, outcome_unknown=command.outcome_unknown))
