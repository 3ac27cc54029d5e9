"""The service itself: health, metrics, its description and the page that shows it. No credentials are needed here."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, Literal

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from contacts_api import docs, health
from contacts_api.answer import JSON, Answer, json_answer
from contacts_api.endpoint import PUBLIC, Endpoint, Nothing, Returns, endpoint
from contacts_api.errors import NOT_FOUND, Rejected
from contacts_api.request import Call

TAG: Final = "Service"


class HealthView(msgspec.Struct, frozen=True):
    """The process answers."""

    status: Literal["ok"]


class ReadinessView(msgspec.Struct, frozen=True):
    """Whether requests can be served, and the state of each check: `ok`, or what is wrong."""

    status: Literal["ready", "not ready"]
    checks: dict[str, str]


class AssetPath(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Addresses a file of the documentation page."""

    file: str


@endpoint("GET", "/healthz", action=PUBLIC, tag=TAG, returns=Returns(200, "It does", HealthView))
async def healthz(call: Call[Nothing, Nothing, Nothing]) -> Answer:
    """Whether the process answers. It asks nothing of the database."""
    return json_answer(200, HealthView("ok"))


@endpoint(
    "GET",
    "/readyz",
    action=PUBLIC,
    tag=TAG,
    returns=(
        Returns(200, "It can", ReadinessView),
        Returns(503, "It cannot; `checks` says why", ReadinessView),
    ),
)
async def readyz(call: Call[Nothing, Nothing, Nothing]) -> Answer:
    """Whether requests can be served: database, schema revision, lag of the read models."""
    is_ready, body = await health.ready(call.services)
    return Answer(200 if is_ready else 503, body)


@endpoint(
    "GET",
    "/metrics",
    action=PUBLIC,
    tag=TAG,
    returns=Returns(200, "Metrics in the Prometheus text format", str, media_type="text/plain"),
)
async def metrics(call: Call[Nothing, Nothing, Nothing]) -> Answer:
    """What this process counted."""
    return Answer(200, generate_latest(), CONTENT_TYPE_LATEST.encode())


@endpoint("GET", "/schema", action=PUBLIC, tag=TAG, in_schema=False, returns=Returns(200, "This description"))
async def schema(call: Call[Nothing, Nothing, Nothing]) -> Answer:
    """The OpenAPI description."""
    return Answer(200, _description(), JSON)


@lru_cache(maxsize=1)
def _description() -> bytes:
    # The description is of all endpoints, this module's among them.
    from contacts_api.openapi import describe  # noqa: PLC0415
    from contacts_api.routes import ENDPOINTS as ALL  # noqa: PLC0415

    return msgspec.json.encode(describe(ALL))


@endpoint("GET", "/docs", action=PUBLIC, tag=TAG, in_schema=False, returns=Returns(200, "The page"))
async def docs_page(call: Call[Nothing, Nothing, Nothing]) -> Answer:
    """The page that shows the description."""
    return _asset(call, "index.html")


@endpoint("GET", "/docs/{file}", action=PUBLIC, tag=TAG, in_schema=False, returns=Returns(200, "The file"))
async def docs_file(call: Call[AssetPath, Nothing, Nothing]) -> Answer:
    """A file of the page."""
    return _asset(call, call.path.file)


def _asset(call: Call[Any, Any, Any], name: str) -> Answer:
    try:
        asset = docs.asset(name)
    except KeyError:
        raise Rejected(NOT_FOUND, "no such file") from None
    known = call.is_known(asset.etag)
    answer = Answer(304) if known else Answer(200, asset.content, asset.content_type.encode())
    answer.header(b"etag", asset.etag)
    return answer.header(b"content-security-policy", docs.CONTENT_SECURITY_POLICY)


ENDPOINTS: Final[tuple[Endpoint, ...]] = (healthz, readyz, metrics, schema, docs_page, docs_file)
