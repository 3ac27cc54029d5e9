"""The outermost layer: request ids, counting, refusing at the door what cannot be served in time. Knows no route."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Final

from litestar.enums import ScopeType
from uuid_utils import uuid7

from contacts_api import metrics
from contacts_api.answer import problem_answer
from contacts_api.errors import OVERLOADED, RETRY_AFTER_S, Problem
from contacts_api.request import TOKEN

if TYPE_CHECKING:
    from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

#: Requests answered at the same time by one process; more would only wait longer for the same two cores.
IN_FLIGHT_MAX: Final = 1_024
#: Served however full the house is: whoever watches the process must see it.
ALWAYS_SERVED: Final = frozenset({"/healthz", "/readyz", "/metrics"})
_FULL: Final = Problem(
    type=OVERLOADED.uri,
    title=OVERLOADED.title,
    status=OVERLOADED.status,
    detail=f"{IN_FLIGHT_MAX} requests are being answered; nothing was done for this one, try again later",
)


class Edge:
    """Wraps the application. Everything it adds is for every answer, errors of the router included."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._times = metrics.RequestTimes()
        self._in_flight = 0
        metrics.IN_FLIGHT.set_function(lambda: self._in_flight)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            await self._answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _answer(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        started = perf_counter()
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        tag = (b"x-request-id", request_id.encode())
        status = 500

        async def send_tagged(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], tag]
            await send(message)

        self._in_flight += 1
        try:
            if self._in_flight > IN_FLIGHT_MAX and scope["path"] not in ALWAYS_SERVED:
                metrics.SHED.inc()
                full = problem_answer(_FULL, (("retry-after", str(RETRY_AFTER_S)),))
                await full(scope, receive, send_tagged)
            else:
                await self._app(scope, receive, send_tagged)
        finally:
            self._in_flight -= 1
            template = scope.get("path_template", metrics.UNMATCHED)
            self._times.observe(template, scope["method"], status, perf_counter() - started)


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and TOKEN.fullmatch(value):
            return value.decode("ascii")
    return str(uuid7())
