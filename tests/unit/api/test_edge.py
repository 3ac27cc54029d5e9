"""The outermost layer and the refusals that ask to come back later."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import msgspec
import pytest

from contacts_api import edge
from contacts_api.answer import Answer
from contacts_api.edge import Edge
from contacts_api.errors import problem_of
from eventstore.errors import Overloaded, PositionTimeout, StoreUnavailable


async def ask(app: Edge, path: str, *headers: tuple[bytes, bytes]) -> tuple[int, dict[bytes, bytes], bytes]:
    """Status, headers and body of the answer to a GET."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope: Any = {"type": "http", "method": "GET", "path": path, "headers": list(headers)}
    await app(scope, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


async def test_a_full_house_refuses_at_once_and_still_says_how_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge, "IN_FLIGHT_MAX", 2)
    free = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/v1/contacts":
            await free.wait()
        await Answer(200, b"{}")(scope, receive, send)

    app = Edge(slow)
    busy = [asyncio.create_task(ask(app, "/v1/contacts")) for _ in range(2)]
    await asyncio.sleep(0)
    status, headers, body = await ask(app, "/v1/contacts")
    assert (status, headers[b"retry-after"]) == (429, b"1")
    assert msgspec.json.decode(body)["type"] == "urn:rollbook:problem:overloaded"
    for path in ("/healthz", "/readyz", "/metrics"):
        assert (await ask(app, path))[0] == 200
    free.set()
    assert [status for status, _, _ in await asyncio.gather(*busy)] == [200, 200]
    assert (await ask(app, "/v1/contacts"))[0] == 200


@pytest.mark.parametrize("sent", [b"", b"a b", b"x" * 256, b"\xff", b"a\nb"])
async def test_a_request_id_that_could_break_a_log_is_replaced(sent: bytes) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await Answer(200, scope["state"]["request_id"].encode())(scope, receive, send)

    _, headers, body = await ask(Edge(app), "/", (b"x-request-id", sent))
    assert headers[b"x-request-id"] == body != sent
    assert len(body) == 36


@pytest.mark.parametrize(
    ("error", "status", "retry_after_s"),
    [
        (Overloaded(9, retry_after_s=7), 429, "7"),
        (StoreUnavailable("gone", outcome_unknown=True), 503, "1"),
        (PositionTimeout("contact", 2, 1), 503, "1"),
        (asyncpg.CannotConnectNowError("starting up"), 503, "1"),
        (asyncpg.InterfaceError("connection is closed"), 503, "1"),
        (ConnectionRefusedError(), 503, "1"),
        (TimeoutError(), 503, "1"),
    ],
)
def test_what_passes_asks_to_come_back(error: Exception, status: int, retry_after_s: str) -> None:
    problem, headers = problem_of(error)
    assert (problem.status, dict(headers)["retry-after"]) == (status, retry_after_s)
    assert problem.status < 500 or "try again" in problem.detail
