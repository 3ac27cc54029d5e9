"""A message on NATS as the request it stands for, and an answer as the reply. Connects to nothing, decides nothing.

The request is the one that HTTP would have brought, address and all: so it is decoded, allowed and refused by the same
code, and an idempotency key means the same request whichever way it came.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote, urlencode
from uuid import UUID

import msgspec
from uuid_utils import uuid7

from contacts_api.answer import Answer
from contacts_api.decoding import Fault, Malformed, clipped, refuse_nul_and_repeats
from contacts_api.endpoint import Endpoint
from contacts_api.request import TOKEN

if TYPE_CHECKING:
    from litestar.types import HTTPReceiveMessage, HTTPScope

CLOUDEVENTS: Final = "application/cloudevents+json"
STATUS_HEADER: Final = "Rollbook-Status"
#: The key without the word `Bearer`, for clients that find `Authorization` odd here.
KEY_HEADER: Final = "rollbook-key"
_HEEDED: Final = frozenset(
    {
        "authorization",
        "content-encoding",
        "content-type",
        "idempotency-key",
        "if-match",
        "if-none-match",
        "rollbook-min-position",
        "x-request-id",
    }
)
#: Of an answer's headers, what only HTTP has a use for.
_OF_HTTP: Final = frozenset({b"cache-control", b"content-length", b"x-content-type-options"})
_SPELLED: Final = {b"etag": "ETag", b"www-authenticate": "WWW-Authenticate"}


class _Event(msgspec.Struct, frozen=True, kw_only=True):
    """What is read of a CloudEvent: its data; the attributes say nothing that the subject does not."""

    specversion: str
    data: msgspec.Raw = msgspec.Raw(b"")


class Asked(NamedTuple):
    """One request, as ASGI has it."""

    scope: HTTPScope
    receive: Callable[[], Awaitable[HTTPReceiveMessage]]
    request_id: str
    #: The reply is a CloudEvent as well.
    is_event: bool


class Reader:
    """Makes requests of one endpoint out of messages."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._method = endpoint.method
        self._takes_body = endpoint.takes_body
        self._body_required = endpoint.body_required
        body = _names(endpoint.body_type) if endpoint.takes_body else frozenset()
        self._path = _names(endpoint.path_type)
        # What the address and the body both have a place for belongs into the body.
        self._query = _names(endpoint.query_type) - body
        self._pieces: list[str] = re.split(r"\{(\w+)(?::path)?\}", endpoint.path)

    def request(self, headers: Mapping[str, str] | None, payload: bytes) -> Asked:
        """Raises Malformed."""
        heeded = _heeded(headers or {})
        is_event = heeded.get("content-type", "").partition(";")[0].strip().lower() == CLOUDEVENTS
        if is_event:
            heeded["content-type"] = "application/json"
            payload = bytes(_event_of(payload).data)
        body, path, query = self._split(payload)
        request_id = heeded.get("x-request-id", "")
        if not TOKEN.fullmatch(request_id.encode("latin-1", "replace")):
            request_id = str(uuid7())
        scope: Any = {
            "type": "http",
            "method": self._method,
            "raw_path": self._address(path),
            "query_string": urlencode(query).encode(),
            "headers": [(name.encode(), value.encode("latin-1", "replace")) for name, value in heeded.items()],
            "path_params": path,
            "state": {"request_id": request_id},
            "client": None,
        }
        return Asked(scope, _received(body), request_id, is_event)

    def _split(self, payload: bytes) -> tuple[bytes, dict[str, str], dict[str, str]]:
        """The members of the object by where HTTP has them: body, path, query."""
        if not (self._path or self._query) and self._takes_body:
            return payload, {}, {}
        members = _members(payload)
        path = {name: _text(name, members.pop(name)) for name in self._path & members.keys()}
        given = {name: _text(name, members.pop(name)) for name in sorted(self._query & members.keys())}
        query = {name: value for name, value in given.items() if value}
        for name in self._path:
            if not path.get(name):
                raise Malformed(Fault("required and missing", parameter=name))
        if self._takes_body:
            return msgspec.json.encode(members) if members or self._body_required else b"", path, query
        for name in members:
            known = ", ".join(sorted(self._path | self._query)) or "none"
            raise Malformed(Fault(f"unknown parameter; known here: {known}", parameter=clipped(name)))
        return b"", path, query

    def _address(self, path: Mapping[str, str]) -> bytes:
        # Fixed pieces and names take turns.
        pieces = [quote(path[piece], safe="") if number % 2 else piece for number, piece in enumerate(self._pieces)]
        return "".join(pieces).encode()


def reply_of(answer: Answer, asked: Asked | None, *, type_: str, source: str) -> tuple[bytes, dict[str, str]]:
    """Payload and headers of the reply."""
    headers = {STATUS_HEADER: str(answer.status)}
    for name, value in answer.headers:
        if name not in _OF_HTTP:
            headers[_SPELLED.get(name) or name.decode().title()] = value.decode("latin-1")
    if asked is None:
        return answer.body, headers
    headers["X-Request-Id"] = asked.request_id
    if not asked.is_event or answer.status >= 300 or headers.get("Content-Type") != "application/json":
        return answer.body, headers
    headers["Content-Type"] = CLOUDEVENTS
    event = {
        "specversion": "1.0",
        "id": str(uuid7()),
        "source": source,
        "type": type_,
        "time": datetime.now(UTC),
        "datacontenttype": "application/json",
        "data": msgspec.Raw(answer.body),
    }
    return msgspec.json.encode(event), headers


def workspace_of(subject: str) -> UUID | None:
    """The workspace that a subject names; None where it is no id, or not written as ids are."""
    token = subject.split(".")[3]
    try:
        workspace_id = UUID(token)
    except ValueError:
        return None
    return workspace_id if str(workspace_id) == token else None


def _names(type_: type[msgspec.Struct]) -> frozenset[str]:
    return frozenset(field.encode_name for field in msgspec.structs.fields(type_))


def _heeded(headers: Mapping[str, str]) -> dict[str, str]:
    # The client library keeps names as they were sent; theirs is the first one, as everywhere in NATS.
    found: dict[str, str] = {}
    for name, value in headers.items():
        lowered = name.lower()
        if lowered in _HEEDED:
            found.setdefault(lowered, value)
        elif lowered == KEY_HEADER:
            found.setdefault("authorization", f"Bearer {value}")
    return found


_decode_event: Final = msgspec.json.Decoder(_Event).decode
_decode_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def _event_of(payload: bytes) -> _Event:
    try:
        return _decode_event(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Malformed(Fault("the payload is no CloudEvent in structured JSON, as its Content-Type says")) from None


def _members(payload: bytes) -> dict[str, msgspec.Raw]:
    if not payload.strip():
        return {}
    try:
        members = _decode_members(payload)
        refuse_nul_and_repeats(payload)
    except (ValueError, RecursionError):
        raise Malformed(Fault("the payload is not one JSON object in UTF-8", pointer="")) from None
    return members


def _text(name: str, raw: msgspec.Raw) -> str:
    """A parameter as the address has it: texts, numbers and booleans; null is not given."""
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        value = ()
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise Malformed(Fault("takes a text, a number or a boolean", parameter=name))


def _received(body: bytes) -> Callable[[], Awaitable[HTTPReceiveMessage]]:
    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
