"""What a route declares, and how a request goes through it: who, may they, decode, run, answer. No route is here."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, get_args, get_type_hints

import msgspec
from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from contacts.workspace.permissions import Action
from contacts_api.access import authorised
from contacts_api.answer import Answer, problem_answer
from contacts_api.decoding import BodyDecoder, QueryDecoder, convert_parameters
from contacts_api.errors import problem_of
from contacts_api.forms import FORM_TYPES, FormDecoder
from contacts_api.request import Call, check_media_type, read_body, rest_of_path

if TYPE_CHECKING:
    from uuid import UUID

    from litestar.types import HTTPScope, Method, Receive, Scope

    from contacts_api.services import Services

KIB: Final = 1024
#: Body limit of a route that does not state its own, in bytes.
BODY_BYTES_MAX: Final = 64 * KIB
JSON_TYPES: Final = frozenset({"application/json"})
MERGE_PATCH_TYPES: Final = frozenset({"application/json", "application/merge-patch+json"})


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No parameters, or no body. A body sent all the same is not read."""


class Public(Enum):
    """Says of a route that it needs no credentials."""

    PUBLIC = "public"


PUBLIC: Final = Public.PUBLIC
Handler: TypeAlias = Callable[[Call[Any, Any, Any]], Awaitable[Answer]]
Pipeline: TypeAlias = Callable[["HTTPScope", "Receive", "UUID | None"], Awaitable[Answer]]
OnFailure: TypeAlias = Callable[[Exception, "Scope"], None]


class Returns(NamedTuple):
    """One documented success."""

    status: int
    description: str
    #: Struct of the body, or a tuple of those it can be; None for no body.
    type: Any = None
    #: Headers that come with it, as `openapi.HEADERS` describes them.
    headers: tuple[str, ...] = ()
    example: Any = None
    media_type: str = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One method of one address: what it takes, who may, what it answers, and the function that does it."""

    method: Method
    #: With `{name}` for a segment; `{name:path}` last, for all that is left, slashes included.
    path: str
    action: Action | Public
    run: Handler
    path_type: type[msgspec.Struct]
    query_type: type[msgspec.Struct]
    body_type: type[msgspec.Struct]
    body_bytes_max: int
    body_required: bool
    media_types: frozenset[str]
    #: What goes into the body, by what it shows.
    examples: Mapping[str, Any]
    #: Headers it heeds, as `openapi.REQUEST_HEADERS` describes them.
    takes: tuple[str, ...]
    returns: tuple[Returns, ...]
    #: Refusals of the domain that it can answer with, beyond those every route of its kind has.
    refuses: tuple[type[Exception], ...]
    tag: str
    in_schema: bool

    @property
    def name(self) -> str:
        return self.run.__name__

    @property
    def template(self) -> str:
        """The address as OpenAPI writes it."""
        return self.path.replace(":path}", "}")

    @property
    def takes_body(self) -> bool:
        return self.body_type is not Nothing


def endpoint(
    method: Method,
    path: str,
    *,
    action: Action | Public,
    returns: Returns | tuple[Returns, ...],
    tag: str,
    takes: tuple[str, ...] = (),
    refuses: tuple[type[Exception], ...] = (),
    examples: Mapping[str, Any] | None = None,
    body_bytes_max: int = BODY_BYTES_MAX,
    body_required: bool = True,
    media_types: frozenset[str] = JSON_TYPES,
    in_schema: bool = True,
) -> Callable[[Handler], Endpoint]:
    """Makes an endpoint of a handler; what it takes is read from its annotation `Call[path, query, body]`."""

    def declare(run: Handler) -> Endpoint:
        path_type, query_type, body_type = get_args(next(iter(get_type_hints(run).values())))
        return Endpoint(
            method=method,
            path=path,
            action=action,
            run=run,
            path_type=path_type,
            query_type=query_type,
            body_type=body_type,
            body_bytes_max=body_bytes_max,
            body_required=body_required,
            media_types=media_types,
            examples=examples or {},
            takes=takes,
            returns=(returns,) if isinstance(returns, Returns) else returns,
            refuses=refuses,
            tag=tag,
            in_schema=in_schema,
        )

    return declare


def route_handlers(endpoints: Iterable[Endpoint], services: Services, on_failure: OnFailure) -> list[HTTPRouteHandler]:
    """One Litestar handler per address, for all of its methods. `on_failure` is told of every error that is ours."""
    by_path: dict[str, list[Endpoint]] = {}
    for each in endpoints:
        by_path.setdefault(each.path, []).append(each)
    return [_route_handler(path, group, services, on_failure) for path, group in by_path.items()]


def _route_handler(path: str, endpoints: list[Endpoint], services: Services, on_failure: OnFailure) -> HTTPRouteHandler:
    pipelines = {each.method: pipeline(each, services) for each in endpoints}
    if "GET" in pipelines:
        pipelines["HEAD"] = pipelines["GET"]

    async def handle(request: Request[Any, Any, Any]) -> ASGIApp:
        try:
            return await pipelines[request.scope["method"]](request.scope, request.receive, None)
        except Exception as error:  # noqa: BLE001  # the last resort of every request
            problem, headers = problem_of(error)
            if problem.status == 500:
                on_failure(error, request.scope)
            return problem_answer(problem, headers)

    # The status is only there because Litestar checks it; each answer brings its own.
    handler = HTTPRouteHandler(
        re.sub(r"\{(\w+)\}", r"{\1:str}", path), http_method=list(pipelines), status_code=200, include_in_schema=False
    )
    return handler(handle)


def pipeline(endpoint: Endpoint, services: Services) -> Pipeline:
    """How a request of the endpoint is answered, over HTTP and over NATS alike.

    It takes the request as ASGI has it, and the workspace that the address names where it names one: the caller's has
    to be that one. Raises whatever `problem_of` knows.
    """
    path_of = _path_decoder(endpoint)
    query_of = QueryDecoder(endpoint.query_type)
    body_of = _body_decoder(endpoint)
    run, action, takes_body, limit = endpoint.run, endpoint.action, endpoint.takes_body, endpoint.body_bytes_max
    no_body = None if endpoint.takes_body and endpoint.body_required else endpoint.body_type()

    async def answer(scope: HTTPScope, receive: Receive, workspace_id: UUID | None) -> Answer:
        headers = dict(scope["headers"])
        caller = None if action is PUBLIC else await authorised(services, headers, action, workspace_id)
        path, query = path_of(scope), query_of(scope["query_string"])
        raw, body = b"", no_body
        if takes_body:
            raw = await read_body(receive, headers, limit)
            if raw or no_body is None:
                body = body_of(headers, raw)
        return await run(Call(services, caller, scope, headers, path, query, body, raw))

    return answer


def _body_decoder(endpoint: Endpoint) -> Callable[[Mapping[bytes, bytes], bytes], msgspec.Struct]:
    if endpoint.media_types == FORM_TYPES:
        return FormDecoder(endpoint.body_type)
    decode, media_types = BodyDecoder(endpoint.body_type), endpoint.media_types

    def body_of(headers: Mapping[bytes, bytes], raw: bytes) -> msgspec.Struct:
        check_media_type(headers, media_types)
        return decode(raw)

    return body_of


def _path_decoder(endpoint: Endpoint) -> Callable[[Scope], msgspec.Struct]:
    type_ = endpoint.path_type
    known = [field.encode_name for field in msgspec.structs.fields(type_)]
    if not known:
        nothing = type_()
        return lambda scope: nothing
    rest = known[-1] if endpoint.path.endswith(":path}") else None
    segments = endpoint.path.count("/") - 1

    def decode(scope: Scope) -> msgspec.Struct:
        found: dict[str, str] = dict(scope["path_params"])
        if rest is not None:
            found[rest] = rest_of_path(scope, segments)
        return convert_parameters(found, type_, known)

    return decode
