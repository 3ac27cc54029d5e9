"""For R10: what comes in over NATS about canary persons before anybody knows them, and what becomes of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
import nats
from nats.aio.client import Client

from contacts_bridge.definitions import HELD, INBOX
from contacts_bridge.inbox.erasing import Erasing
from contacts_bridge.inbox.ingest import Ingest
from contacts_bridge.inbox.metrics import InboxFigures
from contacts_bridge.inbox.process import open_recorder
from eventstore.store import EventStore
from servicekit.dead_letters import STREAM as DEAD
from servicekit.settings import Settings
from tests.support.waiting import until

STREAM_BYTES: Final = 256 << 20
#: Later than the test ends, so that what is held is held when its person is erased.
MATCH_FIRST_S: Final = 3_600.0
AT_ONCE: Final = 256

Letter = tuple[str, bytes]


def letters_about(mark: str, number: int, phone: str) -> Iterable[Letter]:
    """(kind, body): three that nobody can place and one that is held."""

    def said(kind: str, contact: dict[str, Any], **fields: Any) -> Letter:
        return kind, msgspec.json.encode(
            {
                "id": f"{mark}-{kind}-{number}", "source": "shop", "type": kind, "time": "2026-03-01T12:00:00Z",
                "contact": contact, "data": {"channel": "email"}, **fields,
            }
        )  # fmt: skip

    yield said("message.clicked", {"email": f"{mark.upper()}.{number}@Example.com"})
    yield said("message.read", {"external_id": f"{mark}-{number}"}, data={"wrong": mark})
    yield "order.placed", b"{junk " + mark.encode() + b", call " + phone.removeprefix("+").encode()
    yield said("contact.upsert", {"id": str(UUID(int=number))}, data={"email": f"{mark}.{number}@example.com"})


class Mail:
    """The inbox of a workspace and the letters beside it."""

    def __init__(self, client: Client, workspace_id: UUID) -> None:
        self._client = client
        self._workspace_id = workspace_id

    async def arrive(self, letters: Sequence[Letter]) -> None:
        """They lie where they stay when it returns."""
        js, subject = self._client.jetstream(), f"rollbook.inbox.v1.{self._workspace_id}"
        for start in range(0, len(letters), AT_ONCE):
            some = letters[start : start + AT_ONCE]
            await asyncio.gather(*(js.publish(f"{subject}.{kind}", body) for kind, body in some))

        async def is_empty() -> bool:
            return await self.count(INBOX) == 0

        await until(is_empty, timeout_s=120, every_s=0.05, what="the inbox is empty")

    async def left(self, count: int) -> None:
        """Waits until there are no more letters than that."""

        async def are_gone() -> bool:
            return await self.count(DEAD) + await self.count(HELD) <= count

        await until(are_gone, timeout_s=120, every_s=0.05, what="the letters are gone")

    async def count(self, stream: str) -> int:
        return int((await self._client.jetstream().stream_info(stream)).state.messages)


@contextlib.asynccontextmanager
async def mail(
    settings: Settings, store: EventStore, workspace_id: UUID, erasing: Callable[..., Erasing] = Erasing
) -> AsyncIterator[Mail]:
    """With an ingest and whoever looks after letters; a relay has to run beside it."""
    async with open_recorder(settings) as recorder:
        ingest = Ingest(
            recorder, nats_url=settings.nats_url, figures=InboxFigures(), match_first_s=MATCH_FIRST_S,
            max_bytes=STREAM_BYTES,
        )  # fmt: skip
        await ingest.define()
        works = (ingest.run(), erasing(store, nats_url=settings.nats_url).run())
        tasks = [asyncio.ensure_future(work) for work in works]
        client = await nats.connect(settings.nats_url, allow_reconnect=False)
        try:
            yield Mail(client, workspace_id)
        finally:
            await client.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
