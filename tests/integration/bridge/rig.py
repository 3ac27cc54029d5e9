"""Helpers of the bridge's tests: append contacts, run relays, read what the stream holds."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID, uuid4

import msgspec
import nats
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from contacts.contact.events import ContactCreated, ContactDetailsChanged
from contacts_bridge.broker import Broker
from contacts_bridge.definitions import EVENTS, events_stream
from contacts_bridge.metrics import Figures
from contacts_bridge.relay import Relay
from eventstore.cipher import Keyring
from eventstore.envelope import Appended, Stream, StreamWrite, Write
from eventstore.signals import LogSignals
from eventstore.store import EventStore
from rollbook.embedded.nats import Nats
from tests.support.waiting import until

KEYRING = Keyring.from_secret(bytes(32))


class Stored(msgspec.Struct, frozen=True):
    """One message as the stream holds it."""

    sequence: int
    subject: str
    headers: dict[str, str]
    body: dict[str, Any]
    data: bytes

    @property
    def id(self) -> UUID:
        return UUID(self.body["id"])


class Rig:
    def __init__(self, store: EventStore, server: Nats, stack: contextlib.AsyncExitStack) -> None:
        self.store = store
        self.server = server
        self.workspace_id = uuid4()
        self._stack = stack

    async def append(self, contact_id: UUID, version: int, *events: msgspec.Struct) -> Appended:
        """Appends events to a contact that is at `version`."""
        stream_write = StreamWrite(
            stream=Stream(self.workspace_id, "contact", contact_id),
            expected_version=version,
            events=events,
            subject_id=contact_id,
            new_subject=version == 0,
        )
        return await self.store.append(Write(workspace_id=self.workspace_id, streams=(stream_write,)))

    async def contact(self, edits: int = 0) -> UUID:
        """A new contact with `edits` edits: 1 + `edits` events."""
        contact_id = uuid4()
        await self.append(contact_id, 0, ContactCreated(source="api", first_name="Ada"))
        for version in range(1, edits + 1):
            await self.append(contact_id, version, ContactDetailsChanged(first_name=f"Ada {version}"))
        return contact_id

    def relay(self, relay_type: type[Relay] = Relay, *, store: EventStore | None = None, **options: Any) -> Relay:
        """A relay that is not running yet, eager enough for tests."""
        log = store or self.store
        signals = LogSignals(log.connect)
        self._start(signals.run())
        return relay_type(
            log,
            **{
                "nats_url": self.server.url,
                "definition": events_stream(max_bytes=256 << 20),
                "signals": {lane: signals.of_lane(lane) for lane in log.lanes},
                "watcher": Figures(),
                "takeover_after_s": 0.4,
                "idle_check_s": 0.1,
                **options,
            },
        )

    def start(self, relay: Relay) -> asyncio.Task[None]:
        """Runs a relay until it is cancelled or the test ends."""
        return self._start(relay.run())

    def _start(self, work: Any) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._stack.push_async_callback(stop, task)
        return task

    async def logged(self) -> list[tuple[UUID, UUID]]:
        """(event id, contact id) of the whole log, in order."""
        found: list[tuple[UUID, UUID]] = []
        while True:
            batch = await self.store.read_lane(0, after=len(found), limit=1000)
            if not batch.events:
                return found
            found += [(event.event_id, event.stream_id) for event in batch.events]

    async def stored(self) -> list[Stored]:
        """Everything the stream holds, in order."""
        client = await nats.connect(self.server.url, allow_reconnect=False)
        try:
            return [message async for message in _all_messages(client)]
        finally:
            await client.close()

    async def stored_or_nothing(self, at_least: int = 0) -> list[Stored]:
        """As `stored`; empty where the server is down, the stream is not there, or holds fewer messages."""
        try:
            stored = await self.stored()
        except (nats.errors.Error, OSError):
            return []
        return stored if len(stored) >= at_least else []

    async def caught_up(self, timeout_s: float = 15.0) -> list[Stored]:
        """What the stream holds once it holds every event of the log."""

        async def complete() -> list[Stored]:
            wanted = {event_id for event_id, _ in await self.logged()}
            stored = await self.stored_or_nothing()
            return stored if {message.id for message in stored} >= wanted else []

        return await until(complete, timeout_s=timeout_s, every_s=0.05, what="the stream holds the whole log")

    @contextlib.asynccontextmanager
    async def broker(self) -> AsyncIterator[Broker]:
        broker = await Broker.connect(self.server.url, name="test")
        try:
            yield broker
        finally:
            await broker.close()


async def stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def _all_messages(client: nats.NATS) -> AsyncIterator[Stored]:
    js = client.jetstream()
    state = (await js.stream_info(EVENTS)).state
    if not state.messages:
        return
    config = ConsumerConfig(ack_policy=AckPolicy.NONE, deliver_policy=DeliverPolicy.ALL, mem_storage=True)
    subscription = await js.pull_subscribe("rollbook.events.v1.>", stream=EVENTS, config=config)
    left = state.messages
    while left:
        for message in await subscription.fetch(min(left, 500), timeout=2):
            left -= 1
            yield Stored(
                sequence=message.metadata.sequence.stream,
                subject=message.subject,
                headers=dict(message.headers or {}),
                body=msgspec.json.decode(message.data),
                data=message.data,
            )
    await subscription.unsubscribe()


def delivery_faults(stored: Sequence[Stored], logged: Sequence[tuple[UUID, UUID]]) -> list[str]:
    """The oracle: what the stream, as it stands, owes to somebody who reads it from the start. Empty when all is well.

    Every event of the log is there, once, nothing else is, and each contact's events stand in the order of the log.
    That is more than the promise, which is at least once: what is sent again replaces what was lost.
    """
    found = [message.id for message in stored]
    known = dict(logged)
    faults = {
        "events of the log are not in the stream": len(known.keys() - set(found)),
        "events of the stream are not in the log": len(set(found) - known.keys()),
        "events are in the stream more than once": len(found) - len(set(found)),
        "contacts are out of order": _contacts_out_of_order(found, logged),
    }
    return [f"{count} {what}" for what, count in faults.items() if count]


def _contacts_out_of_order(found: Sequence[UUID], logged: Sequence[tuple[UUID, UUID]]) -> int:
    places = {event_id: place for place, (event_id, _) in enumerate(logged)}
    contacts = dict(logged)
    orders: dict[UUID, list[int]] = defaultdict(list)
    for event_id in found:
        if event_id in places:
            orders[contacts[event_id]].append(places[event_id])
    return sum(order != sorted(order) for order in orders.values())
