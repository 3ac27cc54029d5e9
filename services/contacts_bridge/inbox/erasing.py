"""Takes letters away for good: those that name somebody who was erased, and those that are too old.

A letter belongs to nobody: its message could not be recorded for anyone, so no data key dies with the person it names.
Each erasure says by digests what its contacts were ever known by (`contacts.erasure.marks`); they are looked for in all
letters. What is to be done is remembered by a durable consumer of ROLLBOOK_EVENTS, shared by all bridges.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, NoReturn
from uuid import UUID

import msgspec
import structlog
from prometheus_client import Counter

from contacts.contact.state import initial
from contacts.erasure.events import ErasureCompleted
from contacts.erasure.marks import Marks
from contacts.erasure.state import CATEGORY
from contacts.errors import WorkspaceNotFound
from contacts.values import Country
from contacts.workspace.directory import Workspaces
from contacts_bridge.broker import Broker
from contacts_bridge.definitions import (
    DEAD_DAYS,
    EVENTS,
    HELD,
    HELD_DAYS,
    ensure_consumer,
    ensure_stream,
    erasing_consumer,
    events_stream,
)
from contacts_bridge.errors import BridgeError
from contacts_bridge.inbox.message import Raw
from contacts_bridge.inbox.named import Letters
from contacts_bridge.inbox.pull import Pull
from eventstore.connection import CONNECTION_ERRORS, Backoff
from eventstore.envelope import Stream
from eventstore.errors import EventStoreError
from servicekit.dead_letters import STREAM as DEAD

if TYPE_CHECKING:
    from eventstore.store import EventStore

log = structlog.get_logger(__name__)

BATCH_MAX: Final = 100
ON_ITS_WAY_S: Final = 60
"""A message may have been on its way into the letters when its person was erased: so much later they are looked at
again."""
LOOK_FOR_OLD_EVERY_S: Final = 600.0

REMOVED: Final = Counter("rollbook_letters_removed_total", "Letters taken away for good, by why", ["cause"])


class Erasure(msgspec.Struct, frozen=True):
    """What the message of one says of where its certificate is."""

    workspace: UUID
    #: Id of the erasure.
    subject: UUID


class Wanted(msgspec.Struct, frozen=True):
    """Whose letters are to go."""

    workspace_id: UUID
    marks: frozenset[bytes]
    before: datetime


_erasure: Final = msgspec.json.Decoder(Erasure).decode


class Erasing:
    """Runs until cancelled; any number of processes share the work."""

    def __init__(
        self, store: EventStore, *, nats_url: str, replicas: int = 1, dead_days: int = DEAD_DAYS,
        look_for_old_every_s: float = LOOK_FOR_OLD_EVERY_S,
    ) -> None:  # fmt: skip
        """`store` is only read."""
        self._store = store
        self._workspaces = Workspaces(store)
        self._marks = Marks(store.keyring.hmac)
        self._nats_url = nats_url
        self._replicas = replicas
        self._days: Mapping[str, int] = {DEAD: dead_days, HELD: HELD_DAYS}
        self._letters = {stream: Letters(stream, self._marks, self._region_of) for stream in self._days}
        self._look_for_old_every_s = look_for_old_every_s

    async def run(self) -> NoReturn:
        """Over every outage of NATS and of PostgreSQL."""
        backoff = Backoff()
        while True:
            try:
                await self._connected(backoff)
            except* (*CONNECTION_ERRORS, BridgeError, EventStoreError) as errors:
                log.warning("letters are not looked after", reason=_said(errors))
            await asyncio.sleep(backoff.next_s())

    async def _connected(self, backoff: Backoff) -> NoReturn:
        broker = await Broker.connect(self._nats_url, name="rollbook-letters")
        try:
            await ensure_stream(broker, events_stream(replicas=self._replicas))
            await ensure_consumer(broker, erasing_consumer())
            async with asyncio.TaskGroup() as group:
                group.create_task(self._consume(backoff))
                group.create_task(self._look_for_old(broker))
        finally:
            await broker.close()
        raise AssertionError("consuming ends with an error only")

    async def _consume(self, backoff: Backoff) -> NoReturn:
        consumer = erasing_consumer().name
        pull = await Pull.connect(self._nats_url, stream=EVENTS, consumer=consumer, name=f"rollbook-{consumer}")
        try:
            while True:
                batch = await pull.next(BATCH_MAX)
                backoff.reset()
                await self._settle(pull, batch)
        finally:
            await pull.close()

    async def _settle(self, pull: Pull, batch: Sequence[Raw]) -> None:
        await self.take_away(pull.broker, await self._wanted([_erasure(raw.data) for raw in batch]))
        for raw in batch:
            deliveries, _ = raw.place
            if deliveries == 1:
                await pull.later(raw.reply, ON_ITS_WAY_S)
            else:
                await pull.acknowledge([raw.reply])

    async def take_away(self, broker: Broker, wanted: Sequence[Wanted]) -> None:
        """Again changes nothing."""
        for letters in self._letters.values():
            await letters.read_on(broker)
            naming = {
                sequence
                for each in wanted
                for sequence in letters.naming(each.workspace_id, each.marks, before=each.before)
            }
            for sequence in naming:
                if await letters.delete(broker, sequence):
                    REMOVED.labels("erasure").inc()

    async def _wanted(self, erasures: Sequence[Erasure]) -> list[Wanted]:
        streams = [Stream(erasure.workspace, CATEGORY, erasure.subject) for erasure in erasures]
        read = await self._store.read_streams(streams)
        return [
            Wanted(
                stream.workspace_id,
                self._marks_of(recorded.event),
                recorded.recorded_at + timedelta(seconds=ON_ITS_WAY_S),
            )
            for stream, events in read.items()
            for recorded in events
            if isinstance(recorded.event, ErasureCompleted)
        ]

    def _marks_of(self, erasure: ErasureCompleted) -> frozenset[bytes]:
        """Of one that was recorded before there were marks, those of the contacts' ids."""
        ids = (self._marks.of_contact(initial(contact_id)) for contact_id in erasure.contacts)
        return frozenset(erasure.marks).union(*ids)

    async def _region_of(self, workspace_id: UUID) -> Country | None:
        try:
            return (await self._workspaces.get(workspace_id)).settings.default_region
        except WorkspaceNotFound:
            return None

    async def _look_for_old(self, broker: Broker) -> NoReturn:
        # JetStream's own limit of age leaves the bytes in its files for as long as they hold younger messages.
        while True:
            for stream, days in self._days.items():
                count = await self._letters[stream].delete_older_than(broker, datetime.now(UTC) - timedelta(days=days))
                REMOVED.labels("age").inc(count)
            await asyncio.sleep(self._look_for_old_every_s)


def _said(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return _said(error.exceptions[0])
    known = isinstance(error, EventStoreError | BridgeError | OSError)
    return f"{type(error).__name__}: {error}" if known else type(error).__name__
