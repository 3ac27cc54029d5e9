"""The micro service `rollbook` on NATS: listens, bounds what is under way, answers. Other processes share its queue."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from importlib.metadata import version
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog
from nats.errors import Error as NATSError
from nats.micro.request import ERROR_CODE_HEADER, ERROR_HEADER
from nats.micro.service import EndpointConfig, Service, ServiceConfig, ServiceStats

from contacts_api import metrics
from contacts_api.answer import Answer, problem_answer
from contacts_api.endpoint import PUBLIC, Endpoint, pipeline
from contacts_api.errors import (
    ANSWER_TOO_LARGE,
    OTHER_WORKSPACE,
    OVERLOADED,
    RETRY_AFTER_S,
    Rejected,
    problem_of,
)
from contacts_api.micro.message import Asked, Reader, reply_of, workspace_of
from contacts_api.micro.schemas import answer_schema, request_schema
from contacts_api.micro.verbs import subject_of, verbs

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.micro.request import Request

    from contacts_api.services import Services

log = structlog.get_logger(__name__)

NAME: Final = "rollbook"
QUEUE: Final = "rollbook"
#: Requests answered at the same time by one process, beside those over HTTP. More is refused at once, and said so.
IN_FLIGHT_MAX: Final = 512
#: Room that the headers of a reply may take beside its payload, in bytes.
HEADERS_BYTES: Final = 8 * 1024
DESCRIPTION: Final = (
    "Contacts, merges, suppression and the rest of the API by request and reply. The payload is one JSON object with "
    "the parameters and members that OpenAPI names; the header Rollbook-Key or Authorization holds the API key."
)


class MicroService:
    """The endpoints on one connection. Start it once; stopping answers what is under way."""

    def __init__(
        self, client: Client, services: Services, endpoints: Iterable[Endpoint], *, in_flight_max: int = IN_FLIGHT_MAX
    ) -> None:
        self._client = client
        self._tasks: set[asyncio.Task[None]] = set()
        room = _Room(in_flight_max)
        self._handlers = {
            verb: _Handler(verb, endpoint, services, client, room) for verb, endpoint in verbs(endpoints).items()
        }
        config = ServiceConfig(name=NAME, version=_semantic_version(), description=DESCRIPTION, queue_group=QUEUE)
        self._service = _Counted(_Concurrent(client, self._spawn), config, self._handlers)

    async def start(self) -> None:
        """Raises nats.errors.Error."""
        await self._service.start()
        for handler in self._handlers.values():
            await self._service.add_endpoint(handler.config)
        await self._client.flush()

    async def stop(self) -> None:
        """Takes no more requests; returns once those under way are answered."""
        if self._client.is_connected:
            # Without a connection it would only wait for answers to its farewells.
            await self._service.stop()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._client.is_connected:
            await self._client.flush()

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Room:
    """For so many requests at the same time, of all verbs together."""

    def __init__(self, size: int) -> None:
        self._left = size

    def __enter__(self) -> None:
        """Raises Rejected where there is none."""
        if not self._left:
            raise Rejected(OVERLOADED, "too many requests are being answered; nothing was done, try again later")
        self._left -= 1

    def __exit__(self, *_: object) -> None:
        self._left += 1


class _Concurrent:
    """The client as the library's service sees it: a subscription takes a message before the last one is answered."""

    def __init__(self, client: Client, spawn: Callable[[Awaitable[None]], None]) -> None:
        self._client = client
        self._spawn = spawn

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def subscribe(self, subject: str, queue: str = "", *, cb: Callable[[Msg], Awaitable[None]]) -> Any:
        async def spawn(message: Msg) -> None:
            self._spawn(cb(message))

        return await self._client.subscribe(subject, queue=queue, cb=spawn)


class _Counted(Service):
    """The library counts as errors only what is raised; here every refusal is one, and it is answered with a body."""

    def __init__(self, client: Any, config: ServiceConfig, handlers: Mapping[str, _Handler]) -> None:
        super().__init__(client, config)
        self._handlers = {handler.config.name: handler for handler in handlers.values()}

    def stats(self) -> ServiceStats:
        stats = super().stats()
        stats.endpoints = [
            replace(each, num_errors=self._handlers[each.name].errors, last_error=self._handlers[each.name].last_error)
            for each in stats.endpoints
        ]
        return stats


class _Handler:
    """One verb."""

    def __init__(self, verb: str, endpoint: Endpoint, services: Services, client: Client, room: _Room) -> None:
        assert endpoint.action is not PUBLIC
        self._verb = verb
        self._reader = Reader(endpoint)
        self._run = pipeline(endpoint, services)
        self._client = client
        self._room = room
        self.errors = 0
        #: The kind of problem, never its text: whoever may ask for stats may read it.
        self.last_error: str | None = None
        metadata = {
            "summary": (inspect.getdoc(endpoint.run) or "").partition("\n\n")[0],
            "permission": endpoint.action.value,
            "http": f"{endpoint.method} {endpoint.template}",
            "request_schema": msgspec.json.encode(request_schema(endpoint)).decode(),
        }
        if (answer := answer_schema(endpoint)) is not None:
            metadata["response_schema"] = msgspec.json.encode(answer).decode()
        self.config = EndpointConfig(
            name=verb.replace(".", "-"), subject=subject_of(verb), handler=self, metadata=metadata
        )

    async def __call__(self, request: Request) -> None:
        """Never raises."""
        started = perf_counter()
        asked: Asked | None = None
        try:
            with self._room:
                asked = self._reader.request(request.headers, request.data)
                workspace_id = workspace_of(request.subject)
                if workspace_id is None:
                    raise Rejected(OTHER_WORKSPACE, "the key belongs to another workspace than the one addressed")
                answer = await self._run(asked.scope, asked.receive, workspace_id)
                self._check_size(answer)
        except Exception as error:  # noqa: BLE001  # the last resort of every request
            answer = self._refusal(error, asked)
        metrics.MICRO_SECONDS.labels(self._verb, f"{answer.status // 100}xx").observe(perf_counter() - started)
        await self._reply(request, answer, asked)

    def _check_size(self, answer: Answer) -> None:
        if len(answer.body) + HEADERS_BYTES > self._client.max_payload:
            raise Rejected(
                ANSWER_TOO_LARGE,
                f"the request was carried out, but NATS takes messages of {self._client.max_payload} bytes only: "
                "ask for fewer items or fields, or over HTTP",
            )

    def _refusal(self, error: Exception, asked: Asked | None) -> Answer:
        problem, headers = problem_of(error)
        if problem.status == 500:
            request_id = asked.request_id if asked else None
            log.error("a request failed", exc_info=error, verb=self._verb, request_id=request_id)
        if problem.status == OVERLOADED.status:
            headers = headers or (("retry-after", str(RETRY_AFTER_S)),)
        self.errors += 1
        self.last_error = problem.type
        answer = problem_answer(problem, headers)
        return answer.header(ERROR_CODE_HEADER.lower().encode(), str(problem.status)).header(
            ERROR_HEADER.lower().encode(), problem.title
        )

    async def _reply(self, request: Request, answer: Answer, asked: Asked | None) -> None:
        source = ".".join(request.subject.split(".")[:4])
        payload, headers = reply_of(answer, asked, type_=f"rollbook.svc.v1.{self._verb}.reply", source=source)
        try:
            await request.respond(payload, headers=headers)
        except (NATSError, ValueError, OSError) as error:
            # Nobody to answer to, or no way: the caller's wait ends, and a repeat with the same key is safe.
            log.debug("a reply was not sent", verb=self._verb, reason=type(error).__name__)


def _semantic_version() -> str:
    return version("rollbook")
