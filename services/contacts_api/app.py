"""Composition root: endpoints on Litestar behind the edge. Nothing here decides anything about contacts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import structlog
from litestar import Litestar, Request, Response
from litestar.exceptions import HTTPException

from contacts_api.answer import encode_json
from contacts_api.edge import Edge
from contacts_api.endpoint import Endpoint, route_handlers
from contacts_api.errors import MALFORMED, METHOD_NOT_ALLOWED, NOT_FOUND, PROBLEM_MEDIA_TYPE, Kind, Rejected, problem_of
from contacts_api.routes import ENDPOINTS

if TYPE_CHECKING:
    from litestar.types import Scope

    from contacts_api.services import Services

log = structlog.get_logger(__name__)


def create_app(services: Services, *, more: Sequence[Endpoint] = ()) -> Edge:
    """The ASGI application. `more` endpoints come to those of the contract and are not described."""
    app = Litestar(
        route_handlers((*ENDPOINTS, *more), services, _log_failure),
        exception_handlers={Exception: _answer_router},
        openapi_config=None,
        logging_config=None,
    )
    return Edge(app)


def _log_failure(error: Exception, scope: Scope) -> None:
    route, request_id = scope.get("path_template"), scope["state"].get("request_id")
    log.error("a request failed", exc_info=error, method=scope.get("method"), route=route, request_id=request_id)


#: What Litestar's router raises before any endpoint is reached.
_ROUTER_KINDS: Final[dict[int, tuple[Kind, str]]] = {
    400: (MALFORMED, "the request line or the Host header is malformed"),
    404: (NOT_FOUND, "no route has this address; /docs shows those there are, /schema lists them"),
    405: (METHOD_NOT_ALLOWED, "the header Allow names the methods of this address"),
}


def _answer_router(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    if isinstance(error, HTTPException) and error.status_code in _ROUTER_KINDS:
        kind, detail = _ROUTER_KINDS[error.status_code]
        allow = (error.headers or {}).get("allow")
        error = Rejected(kind, detail, headers=(("allow", allow),) if allow else ())
    else:
        _log_failure(error, request.scope)
    problem, headers = problem_of(error)
    return Response(
        encode_json(problem), media_type=PROBLEM_MEDIA_TYPE, status_code=problem.status, headers=dict(headers)
    )
