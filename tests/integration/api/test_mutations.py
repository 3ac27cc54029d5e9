"""Broken on purpose: thousands of mutated requests, never a 5xx, never a refusal without reason (R12, CI figure)."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote

import msgspec
import pytest
import structlog

from contacts_api import decoding
from contacts_api.endpoint import PUBLIC
from contacts_api.routes import ENDPOINTS
from tests.integration.api.conftest import Api, Tenant

SEED: Final = 9457
REQUESTS: Final = 5_000
AT_ONCE: Final = 32

WITH_BODY: Final = [each for each in ENDPOINTS if each.takes_body]
READS: Final = [each for each in ENDPOINTS if each.method == "GET" and each.action is not PUBLIC]
VALUES: Final = (
    *(b"null", b"true", b"-1", b"1e400", b"9" * 40, b"1.5", b'""', b"[]", b"{}", b'"\\u0000"', b'"\\ud800"'),
    *(b'"\xff"', b'"' + b"x" * 5_000 + b'"', b"[" * 3_000, b'{"a":' * 3_000, b"NaN", b'"2026-13-45T99:99:99Z"'),
)
TEXTS: Final = (
    "",
    " ",
    "\0",
    "\ud800",
    "%",
    "_",
    "'",
    '"',
    "\\",
    "ß",
    "🙂",
    "\u202e",
    "x" * 3_000,
    "0.1",
    "-1",
    "null",
)
Mutation = Callable[[random.Random, bytes], bytes]


def cut(chance: random.Random, body: bytes) -> bytes:
    return body[: chance.randrange(len(body))]


def flip(chance: random.Random, body: bytes) -> bytes:
    at = chance.randrange(len(body))
    return body[:at] + bytes([chance.randrange(256)]) + body[at + 1 :]


def insert(chance: random.Random, body: bytes) -> bytes:
    at = chance.randrange(len(body))
    return body[:at] + chance.choice(VALUES) + body[at:]


def swap_value(chance: random.Random, body: bytes) -> bytes:
    members = json.loads(body)
    members[chance.choice(list(members))] = "@"
    return json.dumps(members).encode().replace(b'"@"', chance.choice(VALUES))


def repeat_key(chance: random.Random, body: bytes) -> bytes:
    return body[:-1] + b"," + body[1:]


def add_key(chance: random.Random, body: bytes) -> bytes:
    return b'{"' + chance.choice((b"x", b"__class__", b"\\u0000", b"id", b"\xff")) + b'": 1,' + body[1:]


MUTATIONS: Final[tuple[Mutation, ...]] = (cut, flip, insert, swap_value, repeat_key, add_key)


def text(chance: random.Random, usual: str) -> str:
    """A piece of a path or query: mostly as usual, else anything."""
    if chance.random() < 0.6:
        return quote(usual, safe="")
    return quote(chance.choice(TEXTS).encode("utf-8", "surrogatepass"), safe="")


def request(chance: random.Random, contact_id: str) -> tuple[str, str, bytes]:
    """Method, address and body."""
    endpoint = chance.choice(WITH_BODY if chance.random() < 0.7 else READS)
    usual = {"contact_id": contact_id, "by": "email", "value": "a@example.com", "kind": "telegram", "token": "1"}
    names = [*msgspec.structs.fields(endpoint.path_type), *msgspec.structs.fields(endpoint.query_type)]
    values = {field.name: text(chance, usual.get(field.name, "x")) for field in names}
    query = "&".join(f"{field.name}={values[field.name]}" for field in names if chance.random() < 0.3)
    path = endpoint.template.format_map(values)
    body = b""
    if endpoint.takes_body:
        body = json.dumps(chance.choice(list(endpoint.examples.values()))).encode()
        for _ in range(chance.randint(1, 2)):
            try:
                body = chance.choice(MUTATIONS)(chance, body)
            except (ValueError, RecursionError):  # no JSON any more, or nothing left of it
                break
    return endpoint.method, f"{path}?{query}" if query else path, body


async def send_mutations(tenant: Tenant, count: int) -> Counter[int]:
    """Statuses of `count` mutated requests."""
    chance = random.Random(SEED)
    contact_id = (await tenant.contact())["id"]
    requests = [request(chance, contact_id) for _ in range(count)]
    found: Counter[int] = Counter()

    async def work() -> None:
        while requests:
            method, path, body = requests.pop()
            headers = {"Content-Type": "application/json"}
            answer = await tenant.owner.request(method, path, content=body, headers=headers)
            found[answer.status_code] += 1
            if answer.status_code >= 400:
                assert answer.headers["Content-Type"] == "application/problem+json", (method, path, body)
                problem: dict[str, Any] = answer.json()
                assert problem["status"] == answer.status_code
                assert problem["detail"]

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return found


async def test_mutated_requests_never_get_a_5xx(tenant: Tenant) -> None:
    found = await send_mutations(tenant, REQUESTS)
    print(f"seed {SEED}: {dict(sorted(found.items()))}")
    assert sum(found.values()) == REQUESTS
    assert not {status for status in found if status >= 500}
    # Mutations that are all refused at the first look would test little.
    assert len(found) >= 6
    assert found[200] + found[201] > REQUESTS / 50


async def test_a_decoder_that_lets_errors_through_would_be_caught(
    api: Api, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted bug without which a green run says nothing."""
    monkeypatch.setattr(decoding.BodyDecoder, "__call__", lambda self, raw: self._decode(raw))
    with structlog.testing.capture_logs():
        found = await send_mutations(tenant, 300)
    assert found[500] > 0
