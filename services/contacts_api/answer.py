"""What goes back over the wire: status, headers and bytes that are ready to be sent. No decision is made here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import msgspec

from contacts_api.errors import PROBLEM_MEDIA_TYPE, Problem

if TYPE_CHECKING:
    from litestar.types import Receive, Scope, Send

JSON: Final = b"application/json"
_PROBLEM: Final = PROBLEM_MEDIA_TYPE.encode()
#: Answers hold personal data: nobody on the way may keep them, and a kept one is to be checked before use.
_ALWAYS: Final = ((b"cache-control", b"private, no-cache"), (b"x-content-type-options", b"nosniff"))
encode_json = msgspec.json.Encoder().encode


class Answer:
    """A response to be sent once. Litestar takes any ASGI callable as one, which saves building and merging its own."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, body: bytes = b"", content_type: bytes = JSON) -> None:
        self.status = status
        self.body = body
        self.headers: list[tuple[bytes, bytes]] = [*_ALWAYS]
        if body:
            self.headers.append((b"content-type", content_type))
        if status not in (204, 304):
            self.headers.append((b"content-length", b"%d" % len(body)))

    def header(self, name: bytes, value: str) -> Answer:
        """Adds a header; the name in lower case."""
        self.headers.append((name, value.encode("latin-1")))
        return self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": False})


def json_answer(status: int, value: object) -> Answer:
    return Answer(status, encode_json(value))


def problem_answer(problem: Problem, headers: Iterable[tuple[str, str]] = ()) -> Answer:
    answer = Answer(problem.status, encode_json(problem), _PROBLEM)
    for name, value in headers:
        answer.header(name.encode(), value)
    return answer
