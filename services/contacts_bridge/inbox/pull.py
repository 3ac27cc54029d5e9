"""Pulling from a durable consumer: what arrives gathers while the last batch is dealt with. Reads no message.

nats-py makes a message object of each delivery, and decodes subject and headers while it reads the socket: one with a
subject or status line that is not UTF-8 raises there and ends the connection, and is then delivered again. So what is
for this subscription is taken out before that, as bytes. That is quicker as well.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from typing import Final

import msgspec
from nats.aio.client import Client
from nats.aio.subscription import Subscription

from contacts_bridge.broker import Broker, connecting
from contacts_bridge.errors import BrokerUnavailable
from contacts_bridge.inbox.message import Raw

EXPIRES_S: Final = 30.0
HEARTBEAT_S: Final = 2.0
SILENT_AFTER_S: Final = 3 * HEARTBEAT_S
GATHER_S: Final = 0.02
"""A full batch costs a tenth per message of what a small one does."""


class PullClient(Client):
    """A client whose deliveries to one subscription stay bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.pulled: Pulled | None = None

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        pulled = self.pulled
        if pulled is not None and sid == pulled.sid:
            pulled.take(Raw(subject, reply, headers or b"", data))
        else:
            await super()._process_msg(sid, subject, reply, data, headers)


class Pulled:
    """What one subscription was given."""

    def __init__(self, sid: int) -> None:
        self.sid = sid
        self.messages: deque[Raw] = deque()
        self.arrived = asyncio.Event()
        #: Asked for and not yet given.
        self.outstanding = 0
        self.heard_at = time.monotonic()
        self.ended = ""

    def take(self, raw: Raw) -> None:
        self.heard_at = time.monotonic()
        if raw.reply.startswith(b"$JS.ACK."):
            self.outstanding -= 1
            self.messages.append(raw)
            self.arrived.set()
        elif not raw.headers.startswith(b"NATS/1.0 100"):
            self._status(raw.headers)

    def _status(self, headers: bytes) -> None:
        """The end of a request: in time, or because the consumer is gone."""
        status, *lines = headers.split(b"\r\n")
        pending = next((int(line.split(b":")[1]) for line in lines if line.startswith(b"Nats-Pending-Messages")), None)
        self.outstanding = 0 if pending is None else max(0, self.outstanding - pending)
        if status[9:12] != b"408" and b"Exceeded" not in status:
            self.ended = status[9:].decode(errors="replace")
        self.arrived.set()


class Pull:
    """One consumer over one connection, until that is lost."""

    def __init__(self, broker: Broker, client: PullClient, pulled: Pulled, subject: str, inbox: str) -> None:
        self.broker = broker
        self._client = client
        self._pulled = pulled
        self._subject = subject
        self._inbox = inbox

    @classmethod
    async def connect(cls, url: str, *, stream: str, consumer: str, name: str) -> Pull:
        """Raises BrokerUnavailable."""
        client = PullClient()
        lost = asyncio.Event()

        async def closed() -> None:
            lost.set()
            if client.pulled is not None:
                client.pulled.arrived.set()

        async with connecting(client, url, name=name, closed=closed):
            inbox = client.new_inbox()
            subscription: Subscription = await client.subscribe(inbox)
        client.pulled = Pulled(subscription._id)
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        return cls(Broker(client, lost), client, client.pulled, subject, inbox)

    async def next(self, most: int) -> list[Raw]:
        """At least one message, as soon as there is one. Raises BrokerUnavailable."""
        pulled = self._pulled
        while True:
            if self._client.is_closed or pulled.ended:
                raise BrokerUnavailable(f"pulling ended: {pulled.ended or 'connection lost'}")
            await self._ask(most)
            if pulled.messages:
                await self._gather(most)
                return [pulled.messages.popleft() for _ in range(min(most, len(pulled.messages)))]
            await self._wait()

    async def _gather(self, most: int) -> None:
        """Waits a moment for a fuller batch, where the last message says that more are to come."""
        messages = self._pulled.messages
        until = time.monotonic() + GATHER_S
        while len(messages) < most and messages[-1].pending and (left := until - time.monotonic()) > 0:
            self._pulled.arrived.clear()
            try:
                async with asyncio.timeout(left):
                    await self._pulled.arrived.wait()
            except TimeoutError:
                return
            if self._client.is_closed or self._pulled.ended:
                return

    async def _ask(self, most: int) -> None:
        """Keeps another batch on its way while this one is dealt with."""
        pulled = self._pulled
        if len(pulled.messages) + pulled.outstanding >= most:
            return
        body = {
            "batch": most,
            "expires": int(EXPIRES_S * 1e9),
            "idle_heartbeat": int(HEARTBEAT_S * 1e9),
        }
        pulled.outstanding += most
        await self.broker.publish(self._subject, msgspec.json.encode(body), reply=self._inbox)

    async def _wait(self) -> None:
        pulled = self._pulled
        pulled.arrived.clear()
        try:
            async with asyncio.timeout(HEARTBEAT_S):
                await pulled.arrived.wait()
        except TimeoutError:
            if pulled.outstanding and time.monotonic() - pulled.heard_at > SILENT_AFTER_S:
                raise BrokerUnavailable("nothing was heard of the consumer") from None

    async def acknowledge(self, replies: Iterable[bytes]) -> None:
        """That these need not be given out again; an acknowledgement that gets lost leads to a repeat."""
        for reply in replies:
            await self.broker.publish(reply.decode(), b"+ACK")

    async def working(self, replies: Iterable[bytes]) -> None:
        """That these are still being dealt with."""
        for reply in replies:
            await self.broker.publish(reply.decode(), b"+WPI")

    async def later(self, reply: bytes, delay_s: float) -> None:
        """That this one is to be given out again after a while."""
        await self.broker.publish(reply.decode(), b'-NAK {"delay": %d}' % int(delay_s * 1e9))

    async def close(self) -> None:
        await self.broker.close()
