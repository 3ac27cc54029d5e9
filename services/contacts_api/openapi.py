"""The OpenAPI 3.1 description, built from the endpoints themselves, so that it cannot say anything they do not do."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from typing import Any, Final

import msgspec

from contacts_api import errors
from contacts_api.endpoint import PUBLIC, Endpoint
from contacts_api.errors import KINDS, PROBLEM_MEDIA_TYPE, Kind, Problem
from contacts_api.hints import FIELDS

_REF: Final = "#/components/schemas/{name}"
_TEXT: Final = {"type": "string"}
_POSITION: Final = {"type": "string", "pattern": r"^[0-9]{1,5}\.[0-9]{1,18}$", "examples": ["0.1"]}

INTRODUCTION: Final = """\
Every change is an event in a log that is never rewritten; everything that can be queried is built from that log.

- **Authorization**: `Authorization: Bearer <API key or JWT>` names workspace and role.
- **Errors** are problem details (RFC 9457). `type` is stable, `errors[]` says where: `pointer` is a JSON pointer into
  the body, `parameter` a query or path parameter, `header` a header. Unknown fields and parameters, repeated keys, NUL
  characters and half surrogate pairs are refused, never repaired.
- **Idempotency**: with `Idempotency-Key`, the same method, address and body, byte for byte, have one effect and give
  the same answer; another request with the same key is refused with 422. Keys belong to the workspace and never expire.
- **Read your writes**: every command answers with `Rollbook-Position`; send it as `Rollbook-Min-Position` (or
  `min_position=`) with a query, and the query waits until it shows that change. If that takes too long it answers 503
  with `Retry-After`.
- **Lost updates**: `ETag` is the version; `If-Match` refuses a change of another version with 412.
- **Lists**: `{"items", "next_cursor", "total"}`; pass `next_cursor` on as `cursor`. A cursor belongs to the same `sort`
  and filters.
- **Overload**: 429 or 503 with `Retry-After` in seconds.
"""

REQUEST_HEADERS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "Idempotency-Key": (
        "Makes a repeat of this request safe: one effect, the same answer.",
        {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    ),
    "If-Match": (
        "The version the change was decided on, as it came in `ETag`; another version answers 412.",
        {"type": "string", "pattern": r'^"[1-9][0-9]{0,8}"$|^\*$', "examples": ["*"]},
    ),
    "If-None-Match": ("The version the caller has; it answers 304 where that is the present one.", _TEXT),
    "Rollbook-Min-Position": ("Wait until the answer shows this position.", _POSITION),
}
RESPONSE_HEADERS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "Content-Location": (
        "Address of the contact that is answered, where another one stands for the one asked for (a merge).",
        {"type": "string", "format": "uri-reference"},
    ),
    "ETag": ("The version, to be sent as `If-Match`.", {"type": "string", "examples": ['"3"']}),
    "Location": ("Address of what was created.", {"type": "string", "format": "uri-reference"}),
    "Rollbook-Position": ("Where the change stands in the log, or up to where the answer has seen it.", _POSITION),
    "Retry-After": ("Seconds to wait before trying again.", {"type": "integer", "minimum": 0}),
    "WWW-Authenticate": ("What credentials are taken.", _TEXT),
}
#: Headers that only some answers of a kind have.
SOMETIMES: Final = frozenset({"Content-Location"})
_KIND_HEADERS: Final = {401: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}


def describe(endpoints: Iterable[Endpoint]) -> dict[str, Any]:
    """The whole document as JSON values."""
    shown = [endpoint for endpoint in endpoints if endpoint.in_schema]
    schemas = _Schemas([Problem, *_bodies(shown)], list(_parameter_structs(shown)))
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in shown:
        paths.setdefault(endpoint.template, {})[endpoint.method.lower()] = _operation(endpoint, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Rollbook", "version": version("rollbook"), "description": INTRODUCTION},
        "paths": paths,
        "components": {
            "schemas": schemas.components(),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "description": _BEARER}},
        },
        "tags": [{"name": tag} for tag in dict.fromkeys(endpoint.tag for endpoint in shown)],
    }


def problem_kinds(endpoint: Endpoint) -> list[Kind]:
    """Every problem type the endpoint can answer with, by status."""
    kinds = {errors.MALFORMED, *(KINDS[refusal] for refusal in endpoint.refuses)}
    if endpoint.action is not PUBLIC:
        kinds |= {errors.UNAUTHENTICATED, errors.FORBIDDEN, errors.OVERLOADED, errors.UNAVAILABLE}
        kinds.add(errors.KEYS_UNAVAILABLE)
    if endpoint.takes_body:
        kinds |= {errors.TOO_LARGE, errors.MEDIA_TYPE}
    if "Idempotency-Key" in endpoint.takes:
        kinds.add(errors.KEY_REUSED)
    if "If-Match" in endpoint.takes:
        kinds.add(errors.PRECONDITION_FAILED)
    if "Rollbook-Min-Position" in endpoint.takes:
        kinds.add(errors.NOT_YET_VISIBLE)
    return sorted(kinds, key=lambda kind: (kind.status, kind.slug))


_BEARER: Final = "An API key (`rbk_…`), or a JWT that names the workspace where the installation takes them."


class _Schemas:
    """JSON schemas of all types of the document, written once and referred to."""

    def __init__(self, bodies: list[Any], parameters: list[Any]) -> None:
        unique = list(dict.fromkeys((*bodies, *parameters)))
        written, self._components = msgspec.json.schema_components(unique, ref_template=_REF)
        self._of = dict(zip(unique, written, strict=True))
        for name, hints in FIELDS.items():
            for field, hint in hints.items():
                self._components[name]["properties"][field].update(hint)
        self._parameters = {each: self._components.pop(self._name(each)) for each in dict.fromkeys(parameters)}

    def of(self, type_: Any) -> dict[str, Any]:
        if isinstance(type_, tuple):
            return {"anyOf": [self._of[each] for each in type_]}
        return dict(self._of[type_])

    def fields(self, type_: type[msgspec.Struct]) -> Iterator[tuple[str, dict[str, Any], bool]]:
        """(name, schema, required) of a struct's fields."""
        schema = self._parameters[type_]
        for field, field_schema in schema["properties"].items():
            yield field, field_schema, field in schema.get("required", ())

    def _name(self, type_: Any) -> str:
        return str(self._of[type_]["$ref"]).rpartition("/")[2]

    def components(self) -> dict[str, Any]:
        return dict(sorted(self._components.items()))


def _parameter_structs(endpoints: Iterable[Endpoint]) -> Iterator[Any]:
    for endpoint in endpoints:
        yield from (endpoint.path_type, endpoint.query_type)


def _bodies(endpoints: Iterable[Endpoint]) -> Iterator[Any]:
    for endpoint in endpoints:
        if endpoint.takes_body:
            yield endpoint.body_type
        for returns in endpoint.returns:
            if returns.type is not None:
                yield from returns.type if isinstance(returns.type, tuple) else (returns.type,)


def _operation(endpoint: Endpoint, schemas: _Schemas) -> dict[str, Any]:
    summary, _, description = (inspect.getdoc(endpoint.run) or "").partition("\n\n")
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "tags": [endpoint.tag],
        "summary": summary.replace("\n", " "),
        "description": _description(endpoint, description),
        "parameters": list(_parameters(endpoint, schemas)),
        "responses": dict(_responses(endpoint, schemas)),
        "security": [] if endpoint.action is PUBLIC else [{"bearer": []}],
    }
    if endpoint.takes_body:
        operation["requestBody"] = _request_body(endpoint, schemas)
    return operation


def _description(endpoint: Endpoint, text: str) -> str:
    parts = [text] if text else []
    if endpoint.action is not PUBLIC:
        parts.append(f"Needs the permission `{endpoint.action.value}`.")
    if endpoint.takes_body:
        parts.append(f"The body may have {endpoint.body_bytes_max // 1024} KiB.")
    return "\n\n".join(parts)


def _parameters(endpoint: Endpoint, schemas: _Schemas) -> Iterator[dict[str, Any]]:
    for type_, place in ((endpoint.path_type, "path"), (endpoint.query_type, "query")):
        for name, schema, required in schemas.fields(type_):
            bare = {key: value for key, value in schema.items() if key != "description"}
            parameter = {"name": name, "in": place, "required": place == "path" or required, "schema": bare}
            yield parameter | ({"description": schema["description"]} if "description" in schema else {})
    for name in endpoint.takes:
        description, schema = REQUEST_HEADERS[name]
        yield {"name": name, "in": "header", "required": False, "description": description, "schema": schema}


def _request_body(endpoint: Endpoint, schemas: _Schemas) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": schemas.of(endpoint.body_type), "examples": {}}
    for name, value in endpoint.examples.items():
        content["examples"][name] = {"value": value}
    return {
        "required": endpoint.body_required,
        "content": dict.fromkeys(sorted(endpoint.media_types), content),
    }


def _responses(endpoint: Endpoint, schemas: _Schemas) -> Iterator[tuple[str, dict[str, Any]]]:
    for returns in endpoint.returns:
        response: dict[str, Any] = {"description": returns.description, "headers": _headers(returns.headers)}
        if returns.type is not None:
            content: dict[str, Any] = {"schema": schemas.of(returns.type)}
            if returns.example is not None:
                content["example"] = returns.example
            response["content"] = {returns.media_type: content}
        yield str(returns.status), response
    by_status: dict[int, list[Kind]] = {}
    for kind in problem_kinds(endpoint):
        by_status.setdefault(kind.status, []).append(kind)
    for status, kinds in by_status.items():
        yield str(status), _problem_response(status, kinds, schemas)


def _problem_response(status: int, kinds: list[Kind], schemas: _Schemas) -> dict[str, Any]:
    examples = {
        kind.slug: {
            "summary": kind.title,
            "value": {"type": kind.uri, "title": kind.title, "status": kind.status, "detail": "What is wrong here."},
        }
        for kind in kinds
    }
    return {
        "description": "; or: ".join(kind.title for kind in kinds),
        "headers": _headers(_KIND_HEADERS.get(status, ())),
        "content": {PROBLEM_MEDIA_TYPE: {"schema": schemas.of(Problem), "examples": examples}},
    }


def _headers(names: Iterable[str]) -> dict[str, Any]:
    return {
        name: {"description": description, "schema": schema, "required": name not in SOMETIMES}
        for name in names
        for description, schema in (RESPONSE_HEADERS[name],)
    }
