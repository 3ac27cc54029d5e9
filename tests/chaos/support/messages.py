"""Requests of intruders as messages to the NATS micro service: the same ones, asked the other way."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import parse_qsl, unquote
from uuid import UUID

import msgspec
from nats.aio.client import Client

from contacts.workspace.keys import parse_key
from contacts_api.micro.message import STATUS_HEADER
from contacts_api.micro.verbs import subject_of, verbs
from contacts_api.routes import ENDPOINTS
from tests.support.wire import Reply

VERBS: Final = verbs(ENDPOINTS)
SERVED: Final = tuple(VERBS.values())
TIMEOUT_S: Final = 30.0


class MessageWire:
    """Takes what `Wire` takes."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._routes = [
            (
                endpoint.method,
                re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(endpoint.template))),
                verb,
            )
            for verb, endpoint in VERBS.items()
        ]

    async def send(
        self, method: str, path: str, body: Any = None, *, key: str | None, headers: dict[str, str] | None = None
    ) -> Reply:
        """To the subject of the key's own workspace."""
        assert key is not None
        parsed = parse_key(key)
        assert parsed is not None
        place, _, query = path.partition("?")
        verb, members = self._found(method, place)
        sent = {**(body or {}), **dict(parse_qsl(query)), **members}
        return await self.ask(verb, parsed[0], sent, key, headers or {})

    async def ask(self, verb: str, workspace: UUID, sent: Any, key: str, headers: dict[str, str]) -> Reply:
        """To any subject."""
        reply = await self._client.request(
            subject_of(verb, workspace), msgspec.json.encode(sent), timeout=TIMEOUT_S,
            headers={**headers, "Rollbook-Key": key},
        )  # fmt: skip
        said = {name.lower(): value for name, value in (reply.headers or {}).items()}
        return Reply(int(said[STATUS_HEADER.lower()]), said, reply.data)

    def _found(self, method: str, place: str) -> tuple[str, dict[str, str]]:
        return next(self._matches(method, place))

    def _matches(self, method: str, place: str) -> Iterator[tuple[str, dict[str, str]]]:
        for of, pattern, verb in self._routes:
            if of == method and (match := pattern.fullmatch(place)):
                yield verb, {name: unquote(value) for name, value in match.groupdict().items()}
