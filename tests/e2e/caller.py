"""A caller of the HTTP API who remembers every answer to a command, and a subscriber who keeps every event."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple
from uuid import UUID

import httpx2
import msgspec
import nats
from nats.js.api import ConsumerConfig
from nats.js.client import JetStreamContext

from rollbook.folder import Running
from tests.support.waiting import until

CONNECTIONS: Final = 32
FETCHED: Final = 500


class Answered(NamedTuple):
    """The contact as a command left it."""

    position: str
    version: int
    body: dict[str, Any]


class Caller:
    """Every method asserts that the status is the one expected."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client
        self._room = asyncio.Semaphore(CONNECTIONS)
        #: By contact, what each of its commands answered, in order; repeats are not kept.
        self.answers: dict[str, list[Answered]] = defaultdict(list)
        #: By contact, the names of the events that were caused.
        self.caused: dict[str, list[str]] = defaultdict(list)
        #: The furthest position that a command was answered with.
        self.position = "0.0"

    async def send(
        self, method: str, path: str, body: Any = None, *, status: int = 200, **headers: str
    ) -> httpx2.Response:
        """One request; `_` in names of headers stands for `-`."""
        content = None if body is None else msgspec.json.encode(body)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if content is not None:
            sent["Content-Type"] = "application/json"
        async with self._room:
            answer = await self._client.request(method, path, content=content, headers=sent)
        assert answer.status_code == status, f"{method} {path} {body}: {answer.status_code} {answer.text}"
        return answer

    async def send_form(self, path: str, **fields: str) -> httpx2.Response:
        """As a page in a browser does; `_` in names stands for `-`."""
        async with self._room:
            answer = await self._client.post(path, data={name.replace("_", "-"): text for name, text in fields.items()})
        assert answer.status_code == 200, f"POST {path}: {answer.status_code} {answer.text}"
        return answer

    async def command(
        self, method: str, path: str, body: Any = None, *events: str, status: int = 200, **headers: str
    ) -> Answered:
        """A command on a contact that causes `events`."""
        answer = await self.send(method, path, body, status=status, **headers)
        answered = answered_of(answer)
        self.answers[answered.body["id"]].append(answered)
        self.caused[answered.body["id"]].extend(events)
        self.position = max(self.position, answered.position, key=number_of)
        return answered

    async def get(self, path: str, **parameters: Any) -> Any:
        async with self._room:
            answer = await self._client.get(path, params=parameters)
        assert answer.status_code == 200, f"GET {answer.url}: {answer.status_code} {answer.text}"
        return answer.json()

    async def pages(self, **parameters: Any) -> AsyncIterator[dict[str, Any]]:
        """The pages of the list, from the first to the last."""
        cursor: dict[str, str] = {}
        while True:
            page = await self.get("/v1/contacts", **parameters, **cursor)
            yield page
            if page["next_cursor"] is None:
                return
            cursor = {"cursor": page["next_cursor"]}

    async def ids(self, **parameters: Any) -> list[str]:
        """Ids of the whole list, in its order."""
        return [item["id"] async for page in self.pages(fields="id", **parameters) for item in page["items"]]

    def now(self, contact_id: str) -> Answered:
        return self.answers[contact_id][-1]

    @property
    def present(self) -> dict[str, dict[str, Any]]:
        """The contacts that are not deleted, as their last command left them."""
        return {id_: said[-1].body for id_, said in self.answers.items() if not said[-1].body["deleted_at"]}


def answered_of(answer: httpx2.Response) -> Answered:
    body = answer.json()
    assert answer.headers["ETag"] == f'"{body["version"]}"'
    return Answered(answer.headers["Rollbook-Position"], body["version"], body)


def number_of(position: str) -> int:
    return int(position.partition(".")[2])


class Event(NamedTuple):
    """One message of ROLLBOOK_EVENTS."""

    sequence: int
    subject: str
    headers: dict[str, str]
    data: bytes
    body: dict[str, Any]


class Subscriber:
    """Keeps all events of a workspace, in the order of the stream, until it is closed."""

    def __init__(self, jetstream: JetStreamContext, workspace: UUID) -> None:
        #: By sequence: a message that JetStream delivers again is the same message.
        self.events: dict[int, Event] = {}
        self._position = 0
        self._listening = asyncio.create_task(self._listen(jetstream, workspace))

    async def close(self) -> None:
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)

    async def reach(self, position: str) -> None:
        """Wait for the event at `position`."""
        wanted = number_of(position)
        await until(
            lambda: self._position >= wanted or self._listening.done(), timeout_s=20, what=f"event {position} on NATS"
        )
        if self._listening.done():
            self._listening.result()

    async def _listen(self, jetstream: JetStreamContext, workspace: UUID) -> None:
        subject = f"rollbook.events.v1.{workspace}.>"
        subscription = await jetstream.pull_subscribe(
            subject, durable="journey", stream="ROLLBOOK_EVENTS", config=ConsumerConfig(ack_wait=120)
        )
        while True:
            try:
                messages = await subscription.fetch(FETCHED, timeout=0.5)
            except TimeoutError:
                continue
            for message in messages:
                body = msgspec.json.decode(message.data)
                sequence = message.metadata.sequence.stream
                event = Event(sequence, message.subject, dict(message.headers or {}), message.data, body)
                self.events[sequence] = event
                self._position = max(self._position, number_of(body["position"]))
                await message.ack()


@asynccontextmanager
async def visiting(running: Running) -> AsyncIterator[tuple[Caller, Subscriber]]:
    """A caller and a subscriber of a stack, whose addresses come from its `stack.json`."""
    connection = await nats.connect(running.nats, name="journey")
    subscriber = Subscriber(connection.jetstream(), running.workspace)
    limits = httpx2.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    headers = {"Authorization": f"Bearer {running.api_key}"}
    try:
        async with httpx2.AsyncClient(base_url=running.api, headers=headers, timeout=30, limits=limits) as client:
            yield Caller(client), subscriber
    finally:
        await subscriber.close()
        await connection.close()
