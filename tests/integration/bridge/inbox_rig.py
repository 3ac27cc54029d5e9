"""Helpers of the inbox's tests: a workspace with contacts, senders of every form, and what lies where in JetStream."""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg
import msgspec
import nats
from uuid_utils.compat import uuid7

from contacts.activity.events import ActivityRecorded
from contacts.catalog import CODEC, PROJECTIONS
from contacts.contact import input as contact_input
from contacts.contact.handler import ContactHandler
from contacts.contact.input import NewContactInput
from contacts.workspace.events import WorkspaceCreated, WorkspaceSettingsChanged
from contacts.workspace.state import Workspace
from contacts_bridge.inbox.ingest import Ingest
from contacts_bridge.inbox.metrics import InboxFigures
from contacts_bridge.inbox.process import open_recorder
from eventstore import builds
from eventstore.cipher import Keyring
from eventstore.envelope import Metadata, Stream, StreamWrite, Write
from eventstore.projector import Projector
from eventstore.store import EventStore
from servicekit.dead_letters import Letter, dead_letters
from servicekit.settings import Settings
from tests.support.waiting import until

MASTER_KEY: Final = base64.b64encode(bytes(32)).decode()
NOON: Final = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
STREAM_BYTES: Final = 128 << 20


class InboxRig:
    """A workspace on a log, a NATS server, and any number of ingests between them."""

    def __init__(self, database: str, nats_url: str, store: EventStore) -> None:
        self.database = database
        self.nats_url = nats_url
        self.store = store
        self.settings = Settings(database_url=database, nats_url=nats_url, master_key=MASTER_KEY, position_wait_s=20.0)
        self.workspace_id = uuid4()
        self.contacts = ContactHandler(store)
        self.figures = InboxFigures()
        self._running: list[asyncio.Task[Any]] = []

    async def begin(self, **settings: Any) -> None:
        """Makes the workspace."""
        events: list[msgspec.Struct] = [WorkspaceCreated(name="Inbox")]
        if settings:
            events.append(WorkspaceSettingsChanged(**settings))
        stream = Stream(self.workspace_id, "workspace", self.workspace_id)
        write = StreamWrite(stream=stream, expected_version=0, events=tuple(events))
        await self.store.append(Write(workspace_id=self.workspace_id, streams=(write,)))

    async def create(self, **fields: Any) -> UUID:
        workspace = Workspace(id=self.workspace_id, version=1)
        command = contact_input.create_contact(NewContactInput(**fields), workspace, contact_id=uuid7())
        return (await self.contacts.execute(command, metadata=Metadata())).contact_id

    def subject(self, kind: str) -> str:
        return f"rollbook.inbox.v1.{self.workspace_id}.{kind}"

    async def start(self, ingest_type: type[Ingest] = Ingest, **options: Any) -> asyncio.Task[None]:
        """One more process, as far as anybody can tell; it is ready when this returns."""

        async def run() -> None:
            async with open_recorder(self.settings) as recorder:
                await ingest_type(
                    recorder, nats_url=self.nats_url, figures=self.figures,
                    **{"max_bytes": STREAM_BYTES, "match_first_s": 0.2, **options},
                ).run()  # fmt: skip

        await self.define()
        task = asyncio.ensure_future(run())
        self._running.append(task)
        return task

    async def define(self) -> None:
        """Makes the streams, so that something can be sent before anybody takes it."""
        async with open_recorder(self.settings) as recorder:
            await Ingest(recorder, nats_url=self.nats_url, figures=self.figures, max_bytes=STREAM_BYTES).define()

    async def stop(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[nats.NATS]:
        client = await nats.connect(self.nats_url, allow_reconnect=False)
        try:
            yield client
        finally:
            await client.close()

    async def send(self, *messages: tuple[str, bytes, dict[str, str] | None]) -> None:
        """Stored in the inbox when it returns: (kind, body, headers)."""
        async with self.client() as client:
            js = client.jetstream()
            for start in range(0, len(messages), 256):
                await asyncio.gather(
                    *(
                        js.publish(self.subject(kind), body, headers=headers)
                        for kind, body, headers in messages[start : start + 256]
                    )
                )

    async def pending(self, stream: str = "ROLLBOOK_INBOX") -> int:
        async with self.client() as client:
            return int((await client.jetstream().stream_info(stream)).state.messages)

    async def empty(self, timeout_s: float = 30.0) -> None:
        """Waits until every message of the inbox is done with."""

        async def is_empty() -> bool:
            return await self.pending() == 0

        await until(is_empty, timeout_s=timeout_s, every_s=0.05, what="the inbox is empty")

    async def letters(self) -> list[Letter]:
        async with dead_letters(self.nats_url, application="test") as dead:
            return await dead.list(limit=10_000)

    async def recorded(self) -> Counter[str]:
        """How often each activity id of the workspace is in the log."""
        found: Counter[str] = Counter()
        after = 0
        while (batch := await self.store.read_lane(0, after=after, limit=5_000)).last > after:
            after = batch.last
            found.update(
                each.event.activity_id
                for each in batch.events
                if isinstance(each.event, ActivityRecorded) and each.workspace_id == self.workspace_id
            )
        return found


def body(id_: str, kind: str = "message.clicked", minute: int = 0, **fields: Any) -> dict[str, Any]:
    return {
        "id": id_, "source": "mailer", "type": kind, "time": (NOON + timedelta(minutes=minute)).isoformat(),
        "contact": {"external_id": "c-0"}, "data": {"channel": "email"}, **fields,
    }  # fmt: skip


def plain(id_: str, kind: str = "message.clicked", **fields: Any) -> tuple[str, bytes, None]:
    return kind, msgspec.json.encode(body(id_, kind, **fields)), None


@asynccontextmanager
async def open_rig(database: str, nats_url: str, *, projecting: bool = True) -> AsyncIterator[InboxRig]:
    """With a projector, because e-mails and phones are looked up in read models."""
    keyring = Keyring.from_secret(bytes(32))
    store = await EventStore.open(database, codec=CODEC, keyring=keyring, pool_size=4)
    projector = await asyncpg.connect(database, server_settings={"role": "rollbook_projector"})
    await builds.ensure_builds(projector, PROJECTIONS)
    await projector.close()
    running = asyncio.create_task(Projector(store, database, PROJECTIONS if projecting else ()).run())
    rig = InboxRig(database, nats_url, store)
    try:
        yield rig
    finally:
        await rig.stop()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await store.close()
