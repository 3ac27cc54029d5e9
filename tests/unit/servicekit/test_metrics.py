"""The small endpoint of processes without HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from servicekit.metrics import Endpoint, known


async def well() -> str | None:
    return None


async def behind() -> str | None:
    return "40 s behind"


async def broken() -> str | None:
    raise ValueError("ann@example.org")


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    endpoint = Endpoint("127.0.0.1", 0, {"database": well, "projection": behind, "nats": broken})
    await endpoint.start()
    yield endpoint
    await endpoint.stop()


async def get(port: int, request: bytes) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    return (int(head.split()[1]) if head else 0), body


async def test_health_metrics_and_unknown_paths_are_answered(endpoint: Endpoint) -> None:
    assert (await get(endpoint.port, b"GET /healthz HTTP/1.1\r\n\r\n"))[0] == 200
    status, body = await get(endpoint.port, b"GET /metrics?name=x HTTP/1.1\r\nHost: x\r\n\r\n")
    assert status == 200
    assert b"python_info" in body
    assert (await get(endpoint.port, b"GET /other HTTP/1.1\r\n\r\n"))[0] == 404
    assert (await get(endpoint.port, b"POST /metrics HTTP/1.1\r\n\r\n"))[0] == 405


async def test_readiness_names_each_check_without_the_text_of_errors(endpoint: Endpoint) -> None:
    status, body = await get(endpoint.port, b"GET /readyz HTTP/1.1\r\n\r\n")
    assert status == 503
    assert json.loads(body)["checks"] == {"database": "ok", "projection": "40 s behind", "nats": "ValueError"}


async def test_what_is_not_http_is_closed_without_an_answer(endpoint: Endpoint) -> None:
    assert (await get(endpoint.port, b"x" * 20_000 + b"\r\n\r\n"))[0] == 0


def test_a_label_that_is_not_known_becomes_other() -> None:
    assert (known("GET", {"GET"}), known("BREW", {"GET"})) == ("GET", "other")
