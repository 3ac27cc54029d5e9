"""One request as a handler sees it: parsed path, query, body, and the headers of the conventions. Builds no answer."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final, Generic, TypedDict, TypeVar
from urllib.parse import unquote_to_bytes

from contacts_api.decoding import Fault, Malformed
from contacts_api.errors import MALFORMED, MEDIA_TYPE, PRECONDITION_FAILED, TOO_LARGE, Rejected
from eventstore.envelope import Metadata, parse_position

if TYPE_CHECKING:
    from collections.abc import Mapping

    from litestar.types import HTTPScope, Receive, Scope

    from contacts.workspace.permissions import Principal
    from contacts_api.services import Services

P = TypeVar("P")
Q = TypeVar("Q")
B = TypeVar("B")

#: An `Idempotency-Key` or `X-Request-Id`: visible ASCII, 1 to 255 characters.
TOKEN: Final = re.compile(rb"[\x21-\x7e]{1,255}")
POSITION_WANTED: Final = "takes a position as it came in Rollbook-Position, such as 0.1234"
_ENTITY_TAG: Final = re.compile(r'(?:W/)?"[^"]*"')
_VERSION_TAG: Final = re.compile(r'"([1-9][0-9]{0,8})"')


class Envelope(TypedDict):
    """Keyword arguments that every command handler takes."""

    metadata: Metadata
    idempotency_key: str | None
    request_hash: bytes
    expected_version: int | None


class Call(Generic[P, Q, B]):
    """What a handler gets: `path`, `query` and `body` fit their structs, all was checked that needs no domain."""

    __slots__ = ("_caller", "_raw_body", "body", "headers", "path", "query", "scope", "services")

    def __init__(
        self,
        services: Services,
        caller: Principal | None,
        scope: HTTPScope,
        headers: Mapping[bytes, bytes],
        path: P,
        query: Q,
        body: B,
        raw_body: bytes,
    ) -> None:
        self.services = services
        self._caller = caller
        self.scope = scope
        self.headers = headers
        self.path = path
        self.query = query
        self.body = body
        self._raw_body = raw_body

    @property
    def caller(self) -> Principal:
        """Who is asking; not to be asked of a public route."""
        assert self._caller is not None
        return self._caller

    @property
    def request_id(self) -> str:
        """The caller's `X-Request-Id`, or the one made for this request."""
        return str(self.scope["state"]["request_id"])

    @property
    def idempotency_key(self) -> str | None:
        """Raises Rejected."""
        raw = self.headers.get(b"idempotency-key")
        if raw is None:
            return None
        if not TOKEN.fullmatch(raw):
            raise bad_header("Idempotency-Key", "takes 1 to 255 visible ASCII characters")
        return raw.decode("ascii")

    def command(self) -> Envelope:
        """What goes with a command: who, what a repeat is known by, the version wanted. Raises Rejected."""
        key = self.idempotency_key
        return {
            "metadata": Metadata(actor=self.caller.actor, source="api", correlation_id=self.request_id),
            "idempotency_key": key,
            "request_hash": b"" if key is None else self.request_hash(),
            "expected_version": self.if_match,
        }

    def request_hash(self) -> bytes:
        """Digest of what was asked: method, address and body, byte for byte."""
        scope = self.scope
        digest = hashlib.sha256(scope["method"].encode())
        digest.update(b" " + scope["raw_path"] + b"?" + scope["query_string"] + b"\n" + self._raw_body)
        return digest.digest()

    @property
    def if_match(self) -> int | None:
        """The version the caller decided on; None without `If-Match` or with `*`. Raises Rejected."""
        text = self.headers.get(b"if-match", b"*").decode("latin-1").strip()
        if text == "*":
            return None
        version = _VERSION_TAG.fullmatch(text)
        if version:
            return int(version[1])
        if _ENTITY_TAG.fullmatch(text):
            raise Rejected(PRECONDITION_FAILED, f"no version has the entity tag {text[:40]}")
        raise bad_header("If-Match", 'takes one entity tag as it came in ETag, such as "4", or *')

    def is_known(self, etag: str) -> bool:
        """Whether `If-None-Match` names this entity tag, so that 304 is the answer."""
        text = self.headers.get(b"if-none-match", b"").decode("latin-1")
        return text.strip() == "*" or etag in _ENTITY_TAG.findall(text.replace("W/", ""))

    def min_position(self, parameter: str | None) -> tuple[int, int] | None:
        """(lane, position) that the answer must show at least: of header and query parameter the later.

        Raises Malformed, Rejected.
        """
        header = self.headers.get(b"rollbook-min-position")
        wanted = []
        if header is not None:
            position = _position(header.decode("latin-1").strip())
            if position is None:
                raise bad_header("Rollbook-Min-Position", POSITION_WANTED)
            wanted.append(position)
        if parameter is not None:
            position = _position(parameter)
            if position is None:
                raise Malformed(Fault(POSITION_WANTED, parameter="min_position"))
            wanted.append(position)
        return max(wanted, default=None)


def _position(token: str) -> tuple[int, int] | None:
    try:
        return parse_position(token)
    except ValueError:
        return None


def bad_header(name: str, what: str) -> Rejected:
    return Rejected(MALFORMED, f"the header {name} {what}", Fault(what, header=name))


def check_media_type(headers: Mapping[bytes, bytes], taken: frozenset[str]) -> None:
    """A missing `Content-Type` counts as JSON. Raises Rejected."""
    declared = headers.get(b"content-type")
    if declared is not None:
        media_type, _, parameters = declared.decode("latin-1").lower().partition(";")
        charset = parameters.strip().removeprefix("charset=").strip('"')
        if media_type.strip() not in taken or charset not in ("", "utf-8", "utf8"):
            raise Rejected(MEDIA_TYPE, f"send the header Content-Type: {' or '.join(sorted(taken))}, in UTF-8")
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise Rejected(MEDIA_TYPE, "send the body without Content-Encoding")


async def read_body(receive: Receive, headers: Mapping[bytes, bytes], limit: int) -> bytes:
    """The whole body. Raises Rejected as soon as it is, or says it will be, longer than `limit` bytes."""
    declared = headers.get(b"content-length", b"0")
    if len(declared) > 15 or int(declared) > limit:
        raise _too_large(limit)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Rejected(MALFORMED, "the connection was closed before the body was complete")
        assert message["type"] == "http.request"
        chunk = message["body"]
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        if not message["more_body"]:
            return chunk if not chunks else b"".join((*chunks, chunk))
        chunks.append(chunk)


def _too_large(limit: int) -> Rejected:
    return Rejected(TOO_LARGE, f"this route takes at most {limit} bytes of body")


def rest_of_path(scope: Scope, segments: int) -> str:
    """What follows the first `segments` of the path, percent-decoded once, slashes included. Raises Malformed."""
    raw = re.sub(rb"^(?:/+[^/]*){%d}/+" % segments, b"", scope["raw_path"])
    try:
        return unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed(Fault("is not percent-encoded UTF-8", parameter="value")) from None
