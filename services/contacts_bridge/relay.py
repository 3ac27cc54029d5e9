"""The relay: a projection whose read model is the JetStream stream ROLLBOOK_EVENTS. It remembers nothing itself.

Where it goes on is read from the last message really in the stream, so a tail that JetStream lost, or a stream that was
deleted, is sent again from the log. One relay serves all lanes of one stream, because the fence is the stream's last
sequence: of several at once exactly one gets its batches in, the others stand by and take over when the stream does not
move although the log is ahead. It may be cancelled or killed at any moment, for what was under way is either in the
stream or not, and the next one looks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NoReturn, Protocol
from uuid import UUID

import msgspec
import structlog
from cryptography.exceptions import InvalidTag

from contacts_bridge import feed
from contacts_bridge.broker import Broker
from contacts_bridge.cloudevent import subject_of
from contacts_bridge.definitions import StreamDefinition, ensure_stream
from contacts_bridge.errors import AlreadyStored, BridgeError, Fenced, StreamAheadOfLog, UnmappedEvent
from contacts_bridge.feed import Outgoing, Tail
from contacts_bridge.fenced import MAX_BATCH
from contacts_bridge.messages import public_message
from eventstore.connection import BACKOFF_LAST_S, CONNECTION_ERRORS, Backoff
from eventstore.envelope import LaneBatch, RecordedEvent
from eventstore.errors import EventStoreError, StoreUnavailable, UnknownEventType

log = structlog.get_logger(__name__)

MAX_PAYLOAD_BYTES: Final = 512 * 1024
"""A message with values that is larger goes without them; NATS takes 1 MB by default, headers included."""
TAKEOVER_AFTER_S: Final = 2.0
IDLE_CHECK_S: Final = 1.0
BUSY_MESSAGES: Final = 10
REST_MAX_S: Final = 0.01
"""A batch is a flush of JetStream's disk whatever it holds. After so many messages in one that was not full, the relay
rests for as long as it took: a busy log is sent in fewer, fuller batches, a quiet one at once."""
LOOK_EVERY_S: Final = 0.05
"""A tail that went with its server is noticed by the fence. One that somebody deleted is noticed only by looking."""

#: What stops a lane at one event: this code cannot read it, or has no words for it.
_UNREADABLE: Final = (EventStoreError, UnmappedEvent, msgspec.MsgspecError, InvalidTag)


class Log(Protocol):
    """What the relay needs of the event store."""

    lanes: tuple[int, ...]

    async def read_lane(self, lane: int, *, after: int, limit: int) -> LaneBatch: ...
    async def head(self, lane: int) -> int: ...


class Signal(Protocol):
    """Says that a lane may have grown. May be wrong and may be silent: the relay looks for itself."""

    async def wait(self, after: int, timeout_s: float) -> None: ...


class Watcher(Protocol):
    """Is told how the relay fares, for metrics."""

    def state(self, state: str) -> None:
        """`at work`, `standing by`, `holding` or `offline`."""

    def published(self, count: int, seconds: float) -> None: ...


async def no_values(_: UUID) -> bool:
    """No workspace wants personal data in its messages."""
    return False


class Relay:
    """Runs until cancelled; at most one `run` at a time."""

    def __init__(
        self,
        log_: Log,
        *,
        nats_url: str,
        definition: StreamDefinition,
        signals: Mapping[int, Signal],
        watcher: Watcher,
        wants_values: Callable[[UUID], Awaitable[bool]] = no_values,
        batch_size: int = MAX_BATCH,
        takeover_after_s: float = TAKEOVER_AFTER_S,
        idle_check_s: float = IDLE_CHECK_S,
    ) -> None:
        self._log = log_
        self._nats_url = nats_url
        self._definition = definition
        self._signals = signals
        self._watcher = watcher
        self._wants_values = wants_values
        self._batch_size = min(batch_size, MAX_BATCH)
        self._takeover_after_s = takeover_after_s
        self._idle_check_s = idle_check_s
        self._held: dict[int, int] = {}
        #: The end of the stream when it was last seen.
        self.tail = Tail()
        self._looked_at = 0.0
        self._backoff = Backoff()

    async def run(self) -> NoReturn:
        """Keeps the stream up with the log, over every outage of NATS and of PostgreSQL."""
        while True:
            started = time.monotonic()
            try:
                await self._connected()
            except (*CONNECTION_ERRORS, BridgeError, EventStoreError) as error:
                if time.monotonic() - started > BACKOFF_LAST_S:
                    self._backoff.reset()
                delay_s = self._backoff.next_s()
                log.warning("relay interrupted", reason=_reason(error), retry_after_s=delay_s)
            self._watcher.state("offline")
            await asyncio.sleep(delay_s)

    async def _connected(self) -> NoReturn:
        broker = await Broker.connect(self._nats_url, name="rollbook-relay")
        try:
            await ensure_stream(broker, self._definition)
            await self._look(broker)
            await self._check_against_log()
            log.info("relay connected", sequence=self.tail.sequence, position=str(self.tail))
            while True:
                if time.monotonic() - self._looked_at > LOOK_EVERY_S:
                    await self._look_again(broker)
                batch = await self._next_batch()
                self._watcher.state("holding" if self._held else "at work")
                if batch:
                    began = time.monotonic()
                    await self._send(broker, batch)
                    if BUSY_MESSAGES <= len(batch) < self._batch_size:
                        await asyncio.sleep(min(time.monotonic() - began, REST_MAX_S))
                else:
                    await self._wait_for_events()
        finally:
            await broker.close()

    async def _wait_for_events(self) -> None:
        waits = [
            asyncio.ensure_future(signal.wait(self.tail.position(lane), self._idle_check_s))
            for lane, signal in self._signals.items()
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _send(self, broker: Broker, batch: list[Outgoing]) -> None:
        began = time.monotonic()
        before = self.tail
        try:
            self.tail = await feed.add(broker, batch, before)
        except Fenced:
            await self._look_again(broker)
            return
        except AlreadyStored:
            # Somebody removed our last messages, which JetStream still remembers by their ids.
            await self._look(broker)
            if self.tail.sequence != before.sequence:
                return
            self.tail = await feed.add(broker, batch, before, again=True)
        self._backoff.reset()
        self._watcher.published(len(batch), time.monotonic() - began)

    async def _stand_by(self, broker: Broker) -> None:
        """Returns when the relay that is at work shows no life although there is something to do."""
        log.info("relay stands by: another one is at work", position=str(self.tail))
        self._watcher.state("standing by")
        moved_at = time.monotonic()
        while time.monotonic() - moved_at < self._takeover_after_s:
            before = self.tail
            await asyncio.sleep(self._takeover_after_s / 4)
            await self._look(broker)
            if self.tail.positions != before.positions or not await self._log_is_ahead():
                moved_at = time.monotonic()
        log.info("relay takes over", position=str(self.tail))

    async def _log_is_ahead(self) -> bool:
        for lane in self._log.lanes:
            if await self._log.head(lane) > self.tail.position(lane):
                return True
        return False

    async def _look(self, broker: Broker) -> None:
        """Reads the tail anew. A tail that is shorter than we left it is lost, and is sent again from there."""
        tail = await feed.read_tail(broker)
        if _ahead(self.tail, tail):
            log.warning("the end of the stream was lost", position=str(tail), last_position=str(self.tail))
        self.tail = tail
        self._looked_at = time.monotonic()

    async def _look_again(self, broker: Broker) -> None:
        before = self.tail
        await self._look(broker)
        if _ahead(self.tail, before):
            await self._stand_by(broker)

    async def _check_against_log(self) -> None:
        """Raises StreamAheadOfLog where the stream holds what the log does not."""
        for lane, position in self.tail.positions.items():
            if lane not in self._log.lanes or await self._log.head(lane) < position:
                raise StreamAheadOfLog(lane, position)
        if self.tail.last is None:
            return
        lane, event_id = self.tail.last
        position = self.tail.position(lane)
        try:
            found = (await self._log.read_lane(lane, after=position - 1, limit=1)).events
        except UnknownEventType:
            return  # A newer relay knew it.
        if [event.event_id for event in found] != [event_id]:
            raise StreamAheadOfLog(lane, position)

    async def _next_batch(self) -> list[Outgoing]:
        share = max(1, self._batch_size // len(self._log.lanes))
        batch: list[Outgoing] = []
        for lane in self._log.lanes:
            batch += await self._next_of_lane(lane, share)
        return batch

    async def _next_of_lane(self, lane: int, limit: int) -> list[Outgoing]:
        after = self.tail.position(lane)
        try:
            events = (await self._log.read_lane(lane, after=after, limit=limit)).events
            outgoing = await self._outgoing(events)
        except StoreUnavailable:
            raise
        except _UNREADABLE as error:
            if limit > 1:
                return await self._next_of_lane(lane, limit // 2)
            self._hold(lane, after + 1, error)
            return []
        if events:
            self._held.pop(lane, None)
        return outgoing

    def _hold(self, lane: int, position: int, error: Exception) -> None:
        # Sending what comes after it would break the order for good: the lane waits for code that can read it.
        if self._held.get(lane) != position:
            self._held[lane] = position
            log.error("relay holds: an event cannot be sent", lane=lane, position=position, reason=_reason(error))

    async def _outgoing(self, events: list[RecordedEvent[Any]]) -> list[Outgoing]:
        with_values = {id_: await self._wants_values(id_) for id_ in {event.workspace_id for event in events}}
        return [_encode(event, with_values=with_values[event.workspace_id]) for event in events]


def _encode(event: RecordedEvent[Any], *, with_values: bool) -> Outgoing:
    payload = msgspec.json.encode(public_message(event, with_values=with_values))
    if with_values and len(payload) > MAX_PAYLOAD_BYTES:
        return _encode(event, with_values=False)
    return Outgoing(event.lane, event.position, subject_of(event.workspace_id, event.type), payload)


def _ahead(tail: Tail, before: Tail) -> bool:
    return any(position > before.position(lane) for lane, position in tail.positions.items())


def _reason(error: Exception) -> str:
    # What msgspec says of a payload may quote it, and what PostgreSQL says of a row.
    known = isinstance(error, EventStoreError | BridgeError | OSError)
    return f"{type(error).__name__}: {error}" if known else type(error).__name__
