"""The relay of segments: a projection of the change tables whose read model is the stream ROLLBOOK_SEGMENTS.

It remembers nothing: where it goes on is read from the last message really in the stream. Changes are committed in the
order in which they are read (`reading`), so nothing can come behind a place that was passed. Of several relays exactly
one gets its batches in; the others stand by and take over when the stream does not move although there is something to
send.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final, NoReturn

import asyncpg
import structlog

from contacts_bridge.broker import Broker
from contacts_bridge.definitions import StreamDefinition, ensure_stream
from contacts_bridge.errors import AlreadyStored, BridgeError, Fenced
from contacts_bridge.segments import feed
from contacts_bridge.segments.feed import Tail
from contacts_bridge.segments.message import Change
from contacts_bridge.segments.reading import Changes
from eventstore.connection import BACKOFF_LAST_S, CONNECTION_ERRORS, Backoff

log = structlog.get_logger(__name__)

TAKEOVER_AFTER_S: Final = 2.0
#: How soon a change is seen that nobody announced.
POLL_S: Final = 0.1
#: A tail that somebody deleted is noticed only by looking.
LOOK_EVERY_S: Final = 0.5


class SegmentRelay:
    """Runs until cancelled; at most one `run` at a time. `pool` has sessions of rollbook_projector."""

    def __init__(
        self, pool: asyncpg.Pool, *, nats_url: str, definition: StreamDefinition, lanes: Sequence[int] = (0,),
        takeover_after_s: float = TAKEOVER_AFTER_S, poll_s: float = POLL_S,
    ) -> None:  # fmt: skip
        self._changes = Changes(pool, lanes)
        self._nats_url = nats_url
        self._definition = definition
        self._takeover_after_s = takeover_after_s
        self._poll_s = poll_s
        #: The end of the stream when it was last seen.
        self.tail = Tail()
        self._looked_at = 0.0
        self._backoff = Backoff()

    async def run(self) -> NoReturn:
        """Keeps the stream up with the read model, over every outage of NATS and of PostgreSQL."""
        while True:
            started = time.monotonic()
            try:
                await self._connected()
            except (*CONNECTION_ERRORS, BridgeError, asyncpg.UndefinedTableError) as error:
                if time.monotonic() - started > BACKOFF_LAST_S:
                    self._backoff.reset()
                delay_s = self._backoff.next_s()
                # Before projectors first run there is no read model, which is in order.
                tell = log.info if isinstance(error, asyncpg.UndefinedTableError) else log.warning
                tell("relay of segments interrupted", reason=_reason(error), retry_after_s=delay_s)
            await asyncio.sleep(delay_s)

    async def _connected(self) -> NoReturn:
        broker = await Broker.connect(self._nats_url, name="rollbook-segments")
        try:
            await ensure_stream(broker, self._definition)
            await self._look(broker)
            log.info("relay of segments connected", sequence=self.tail.sequence)
            while True:
                if time.monotonic() - self._looked_at > LOOK_EVERY_S:
                    await self._look(broker)
                batch = await self._changes.next_batch(self.tail)
                if batch:
                    await self._send(broker, batch)
                else:
                    await asyncio.sleep(self._poll_s)
        finally:
            await broker.close()

    async def _send(self, broker: Broker, batch: list[Change]) -> None:
        before = self.tail
        try:
            self.tail = await feed.add(broker, batch, before)
        except Fenced:
            await self._stand_by(broker)
            return
        except AlreadyStored:
            # Somebody removed our last messages, which JetStream still remembers by their ids.
            await self._look(broker)
            if self.tail.sequence != before.sequence:
                return
            self.tail = await feed.add(broker, batch, before, again=True)
        self._backoff.reset()

    async def _stand_by(self, broker: Broker) -> None:
        """Returns when whoever is at work shows no life although there is something to do."""
        await self._look(broker)
        moved_at = time.monotonic()
        while time.monotonic() - moved_at < self._takeover_after_s:
            before = self.tail
            await asyncio.sleep(self._takeover_after_s / 4)
            await self._look(broker)
            if self.tail.sequence != before.sequence or not await self._changes.next_batch(self.tail):
                moved_at = time.monotonic()
        log.info("relay of segments takes over", sequence=self.tail.sequence)

    async def _look(self, broker: Broker) -> None:
        tail = await feed.read_tail(broker)
        if tail != self.tail:
            self._changes.forget()
        self.tail = tail
        self._looked_at = time.monotonic()


def _reason(error: BaseException) -> str:
    # What PostgreSQL says of an error may hold a row.
    return f"{type(error).__name__}: {error}" if isinstance(error, BridgeError | OSError) else type(error).__name__
