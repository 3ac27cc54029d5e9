"""Ingest: the inbox into the log. It remembers nothing: what is not acknowledged is given out again.

The order is always the same: recorded in PostgreSQL with its idempotency key, or put aside in a stream with its reason,
and then acknowledged. So a crash anywhere leads to a repeat, which is known by its key or its name. Nothing is trusted
to JetStream's own deduplication or to its count of deliveries, after which it would hide a message.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final, NoReturn

import structlog

from contacts.errors import InvalidInput
from contacts_bridge.broker import Broker
from contacts_bridge.definitions import (
    ACK_WAIT_S,
    DEAD_DAYS,
    HELD,
    HELD_PREFIX,
    INBOX,
    INGEST,
    MATCHING,
    dead_stream,
    ensure_consumer,
    ensure_stream,
    held_stream,
    inbox_stream,
    ingest_consumer,
    matching_consumer,
)
from contacts_bridge.errors import BridgeError, BrokerRefusal
from contacts_bridge.inbox.letters import original, put_aside
from contacts_bridge.inbox.message import Raw
from contacts_bridge.inbox.metrics import InboxFigures
from contacts_bridge.inbox.named import delete_for_good
from contacts_bridge.inbox.pull import Pull
from contacts_bridge.inbox.recorder import Outcome, Recorder
from eventstore.appender import lost, not_now
from eventstore.connection import CONNECTION_ERRORS, Backoff
from eventstore.errors import EventStoreError, KeyUnavailable, Overloaded, PositionTimeout, StoreUnavailable
from servicekit.dead_letters import PREFIX as DEAD_PREFIX
from servicekit.dead_letters import Reason

log = structlog.get_logger(__name__)

BATCH_MAX: Final = 1_000
AT_ONCE: Final = 2
"""While one batch is committed, the next is read and encrypted."""
TRIES_MAX: Final = 5
"""How often a message is given out that ends in an error nobody foresaw, before it is put aside."""
TRY_AGAIN_S: Final = 1.0
NO_ROOM_S: Final = 10.0
"""Until a full stream of dead letters is tried again."""
MATCH_FIRST_S: Final = 5.0
MATCH_LAST_S: Final = 60.0

#: What ends by itself, and is no fault of a message.
_PASSING: Final = (StoreUnavailable, Overloaded, PositionTimeout, KeyUnavailable)


class Ingest:
    """Runs until cancelled; any number of them share the work."""

    def __init__(
        self, recorder: Recorder, *, nats_url: str, figures: InboxFigures, replicas: int = 1,
        batch_max: int = BATCH_MAX, match_first_s: float = MATCH_FIRST_S, max_bytes: int | None = None,
        ack_wait_s: float = ACK_WAIT_S, dead_days: int = DEAD_DAYS,
    ) -> None:  # fmt: skip
        self._recorder = recorder
        self._nats_url = nats_url
        self._figures = figures
        self._batch_max = batch_max
        self._match_first_s = match_first_s
        sizes = {} if max_bytes is None else {"max_bytes": max_bytes}
        self._streams = (
            inbox_stream(replicas=replicas, **sizes),
            dead_stream(replicas=replicas, days=dead_days, **sizes),
            held_stream(replicas=replicas, **sizes),
        )
        self._consumers = (ingest_consumer(ack_wait_s=ack_wait_s), matching_consumer(ack_wait_s=ack_wait_s))
        self._backoff = Backoff()

    async def run(self) -> NoReturn:
        """Over every outage of NATS and of PostgreSQL."""
        while True:
            try:
                await self._connected()
            except* (*CONNECTION_ERRORS, BridgeError, EventStoreError) as errors:
                why = _said(errors)
                self._figures.down(why)
                log.warning("ingest interrupted", reason=why)
            await asyncio.sleep(self._backoff.next_s())

    async def _connected(self) -> NoReturn:
        await self.define()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._consume(INBOX, INGEST))
            group.create_task(self._consume(HELD, MATCHING))
        raise AssertionError("consuming ends with an error only")

    async def define(self) -> None:
        """Sees to it that streams and consumers are as they must be. Raises BridgeError."""
        broker = await Broker.connect(self._nats_url, name="rollbook-ingest")
        try:
            for stream in self._streams:
                await ensure_stream(broker, stream)
            for consumer in self._consumers:
                await ensure_consumer(broker, consumer)
        finally:
            await broker.close()

    async def _consume(self, stream: str, consumer: str) -> NoReturn:
        pull = await Pull.connect(self._nats_url, stream=stream, consumer=consumer, name=f"rollbook-{consumer}")
        if stream == INBOX:
            self._figures.up()
        room = asyncio.Semaphore(AT_ONCE)
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    await room.acquire()
                    batch = await pull.next(self._batch_max)
                    self._backoff.reset()
                    task = group.create_task(self._settle(pull, stream, batch))
                    task.add_done_callback(lambda _: room.release())
        finally:
            await pull.close()

    async def _settle(self, pull: Pull, stream: str, batch: Sequence[Raw]) -> None:
        started = time.perf_counter()
        waiting = stream == HELD
        messages = [_of_letter(raw) for raw in batch] if waiting else batch
        outcomes = await self._patiently(pull, messages)
        done: list[tuple[Raw, Outcome]] = []
        for raw, outcome in zip(messages, outcomes, strict=True):
            if outcome is None:
                await pull.later(raw.reply, TRY_AGAIN_S)
            elif outcome.fate == "held" and waiting:
                await pull.later(raw.reply, self._match_again_s(raw))
            else:
                done.append((raw, outcome))
        done = await self._put_aside(pull, done)
        if waiting:
            # An acknowledged message leaves its bytes in the file for as long as others in it wait.
            await asyncio.gather(*(delete_for_good(pull.broker, stream, raw.place[1]) for raw, _ in done))
        await self._acknowledge(pull, [raw.reply for raw, _ in done])
        self._figures.settled([outcome for _, outcome in done], time.perf_counter() - started)

    async def _put_aside(self, pull: Pull, done: list[tuple[Raw, Outcome]]) -> list[tuple[Raw, Outcome]]:
        """Those that are done with now. What finds no room waits in the inbox, and nobody else does."""
        aside = [(raw, outcome) for raw, outcome in done if outcome.reason is not None]
        answers = await asyncio.gather(*(_put_aside(pull.broker, *each) for each in aside), return_exceptions=True)
        waiting: set[bytes] = set()
        for (raw, _), answer in zip(aside, answers, strict=True):
            if isinstance(answer, BrokerRefusal):
                waiting.add(raw.reply)
                log.error("a message cannot be put aside", reason=str(answer), sequence=raw.place[1])
                await pull.later(raw.reply, NO_ROOM_S)
            elif answer is not None:
                raise answer
        return [each for each in done if each[0].reply not in waiting] if waiting else done

    async def _acknowledge(self, pull: Pull, replies: Sequence[bytes]) -> None:
        await pull.acknowledge(replies)

    async def _patiently(self, pull: Pull, batch: Sequence[Raw]) -> list[Outcome | None]:
        """Waits for a database that is away; JetStream is told, so that it gives nothing to anybody else meanwhile."""
        backoff = Backoff()
        while True:
            try:
                outcomes = await self._outcomes(batch)
                self._figures.up()
                return outcomes
            except (*_PASSING, *CONNECTION_ERRORS) as error:
                self._figures.down(_said(error))
                log.warning("ingest waits", reason=_said(error), count=len(batch))
                await asyncio.sleep(backoff.next_s())
                await pull.working(raw.reply for raw in batch)

    async def _outcomes(self, batch: Sequence[Raw]) -> list[Outcome | None]:
        """None for what has to be tried again."""
        try:
            return list(await self._recorder.record(batch))
        except Exception as error:
            if isinstance(error, _PASSING) or lost(error) or not_now(error):
                raise
            if len(batch) > 1:
                half = len(batch) // 2
                return [*await self._outcomes(batch[:half]), *await self._outcomes(batch[half:])]
            return [_unforeseen(batch[0], error)]

    def _match_again_s(self, raw: Raw) -> float:
        tries, _ = raw.place
        return float(min(MATCH_LAST_S, self._match_first_s * 2 ** min(tries - 1, 20)))


async def _put_aside(broker: Broker, raw: Raw, outcome: Outcome) -> None:
    assert outcome.reason is not None, "what is put aside has a reason"
    await put_aside(broker, DEAD_PREFIX if outcome.fate == "dead" else HELD_PREFIX, raw, outcome.reason)


def _unforeseen(raw: Raw, error: Exception) -> Outcome | None:
    tries, sequence = raw.place
    log.error("a message cannot be recorded", sequence=sequence, reason=type(error).__name__, attempt=tries)
    if tries < TRIES_MAX:
        return None
    return Outcome("dead", Reason("internal-error", f"it cannot be recorded: {type(error).__name__}"))


def _of_letter(raw: Raw) -> Raw:
    try:
        return original(raw)
    except (InvalidInput, ValueError):
        # Somebody else wrote into our stream: read as it is, it will be put aside with a reason.
        return raw


def _said(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return _said(error.exceptions[0])
    known = isinstance(error, EventStoreError | BridgeError | OSError)
    return f"{type(error).__name__}: {error}" if known else type(error).__name__
