"""Group commit: drains the queue of one lane into one transaction after another and gives each command its verdict."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import asyncpg

from eventstore import batch as batches
from eventstore.batch import Prepared
from eventstore.envelope import Appended
from eventstore.errors import (
    ClaimTaken,
    DuplicateAppend,
    EventStoreError,
    Overloaded,
    StoreUnavailable,
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
        """Commits what is queued, then stops."""
        self._closing = True
        self._work.set()
        await asyncio.gather(*self._tasks)
        self._announcer.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._announcer

    async def _run(self) -> None:
        connection: asyncpg.Connection | None = None
        while True:
            if not self._queue:
                if self._closing:
                    break
                self._work.clear()
                await self._work.wait()
                continue
            # An even share, so that while one batch commits the other is answered and followed up in Python.
            share = -(-len(self._queue) // BATCHES_IN_FLIGHT)
            commands = batches.take(self._queue, min(max(share, SHARE_MIN), batches.COMMANDS_MAX))
            if not commands:
                continue
            connection = await self._settle(connection, commands)
        if connection is not None:
            await connection.close()

    async def _settle(
        self, connection: asyncpg.Connection | None, commands: list[Prepared]
    ) -> asyncpg.Connection | None:
        """Gives every command its answer, or puts it back; answers the connection to go on with."""
        try:
            connection = connection or await self._connect()
            await self._commit(connection, commands)
        except (OSError, asyncpg.InterfaceError, TimeoutError) as error:
            return await self._recover(connection, commands, error)
        except asyncpg.PostgresError as error:
            if _gone(error):
                return await self._recover(connection, commands, error)
            if len(commands) > 1:  # refused as a whole: they go again alone, so that only the bad one fails
                for command in commands:
                    connection = await self._settle(connection, [command])
            else:
                _fail(commands, error)
        except Exception as error:  # noqa: BLE001 - handed to the callers; the lane goes on
            _fail(commands, error)
        return connection

    async def _commit(self, connection: asyncpg.Connection, commands: list[Prepared]) -> None:
        started = time.perf_counter()
        rejected = await self._write(connection, commands)
        head, recorded_at = rejected[0]["at_position"], rejected[0]["at_time"]
        position = head
        for n, command in enumerate(commands, 1):
            if (verdict := rejected.get(n)) is not None:
                await self._reject(connection, command, verdict)
                continue
            position += command.event_count
            _answer(command, Appended(
                lane=self._lane, last_position=position, event_count=command.event_count, recorded_at=recorded_at
            ))  # fmt: skip
        if position > head:
            self.announce(position)
        if self._observer is not None:
            self._observer.committed(
                self._lane, len(commands), position - head, time.perf_counter() - started, position
            )

    async def _write(self, connection: asyncpg.Connection, commands: list[Prepared]) -> dict[int, asyncpg.Record]:
        """Rows of the answer by command: 0 for the batch, then the rejected. One transaction, committed on return."""
        arguments = batches.arrays(self._lane, commands)
        if self._checks_due == 0 and not any(c.needs_check or c.outcome_unknown for c in commands):
            with contextlib.suppress(asyncpg.UniqueViolationError):
                return {0: await connection.fetchrow(SQL["append"], *arguments)}
            self._checks_due = CHECKS_AFTER_REFUSAL
        self._checks_due = max(0, self._checks_due - 1)
        return {row["command"]: row for row in await connection.fetch(SQL["append_checked"], *arguments)}

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
            if command.outcome_unknown and same_request:
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

    async def _recover(
        self, connection: asyncpg.Connection | None, commands: list[Prepared], error: BaseException
    ) -> asyncpg.Connection | None:
        """Connects again and puts the commands back in front; the append function tells which were committed.

        A transaction that is still under way in the server holds the lane lock, so the repeat is decided after it.
        """
        if connection is not None:
            connection.terminate()
            for command in commands:
                command.outcome_unknown = True
        deadline = time.monotonic() + UNAVAILABLE_AFTER_S
        for attempt in range(1_000):
            try:
                fresh = await self._connect()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as again:
                error = again
            else:
                self._queue.extendleft(c for c in reversed(commands) if not c.future.done())
                self._work.set()
                return fresh
            if time.monotonic() > deadline or self._closing:
                break
            await asyncio.sleep(RECONNECT_DELAYS_S[min(attempt, len(RECONNECT_DELAYS_S) - 1)])
        for command in commands:
            _refuse(command, StoreUnavailable(type(error).__name__, outcome_unknown=command.outcome_unknown))
        while self._queue:
            command = self._queue.popleft()
            _refuse(command, StoreUnavailable(type(error).__name__, outcome_unknown=command.outcome_unknown))
        return None

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
                except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
                    connection = None  # readers poll as well; the next commit announces again
        finally:
            if connection is not None:
                connection.terminate()


def _gone(error: asyncpg.PostgresError) -> bool:
    """Whether the server ended the session (shutdown, crash, failover) rather than refused the statement."""
    return isinstance(error, asyncpg.OperatorInterventionError | asyncpg.PostgresConnectionError)


def _answer(command: Prepared, appended: Appended) -> None:
    if not command.future.done():
        command.future.set_result(appended)


def _refuse(command: Prepared, error: EventStoreError) -> None:
    if not command.future.done():
        command.future.set_exception(error)


def _fail(commands: list[Prepared], error: BaseException) -> None:
    for command in commands:
        if not command.future.done():
            command.future.set_exception(error)
