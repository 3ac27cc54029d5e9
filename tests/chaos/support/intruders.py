"""Requests of one workspace for what is another's, each made twice: once for what is there, once for what is nowhere.

Every route is walked by its declaration, so that new ones are walked as well.
"""

from __future__ import annotations

import itertools
import json
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final, Literal, get_args, get_origin
from uuid import UUID

import msgspec

from contacts_api.endpoint import PUBLIC, Endpoint
from contacts_api.routes import ENDPOINTS
from tests.support.wire import Reply, Wire, address

#: What one could know of the other workspace, so that it stands in requests, and what one cannot.
CANARY: Final = "canarybird"
HIDDEN: Final = "hiddenbird"
#: Stands for what is nowhere.
ABSENT: Final = "absentbird"
PROTECTED: Final = tuple(each for each in ENDPOINTS if each.action is not PUBLIC)
#: Would take away the keys that the intruders knock with.
NOT_OWN: Final = frozenset({"revoke_key"})
#: An e-mail blacklist binds every workspace, so that whoever adds to it does change what others see.
OF_THE_INSTALLATION: Final = frozenset({"blacklist_contact", "add_suppression"})

_UUID: Final = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)")
_POSITION: Final = re.compile(r'(?<=")\d+\.\d+(?=")')
_SECRET: Final = re.compile(
    r"rbk_\w+|whsec_[\w+/=]+|[A-Za-z0-9_-]{60,}|[0-9a-f]{32}|fresh-\d+|key:\w+|\b[a-z2-7]{16}\b"
)
_NUMBERS: Final = itertools.count()
#: Fields in which nothing may stand twice.
UNIQUE: Final = frozenset({"id", "external_id", "messaging_id"})
#: Fields of bodies that tell who is meant, filters among them.
ADDRESSES: Final = frozenset({
    "email", "phone", "external_id", "messaging_id", "address", "addresses", "value", "q", "cursor",
})  # fmt: skip
#: Parameters of queries that do, or that tell what is meant.
TEXT_FIELDS: Final = frozenset({
    "email", "phone", "external_id", "messaging_id", "token", "address", "addresses", "q", "value", "tag", "key",
    "member_id", "key_id", "cursor", "category", "kind", "name",
})  # fmt: skip


@dataclass
class Loot:
    """What the other workspace has: ids, and texts by the field they stand in."""

    ids: list[str] = field(default_factory=list)
    texts: dict[str, list[str]] = field(default_factory=dict)
    #: What no answer to an intruder may hold, unless the request held it.
    secrets: set[str] = field(default_factory=lambda: {HIDDEN})
    #: Of the other workspace's last command.
    position: str = "0.0"

    def learn(self, body: Any, name: str = "") -> None:
        """Keeps every id in an answer to the owner."""
        if isinstance(body, dict):
            for key, value in body.items():
                self.learn(value, key)
        elif isinstance(body, list):
            for value in body:
                self.learn(value, name)
        elif isinstance(body, str) and _UUID.fullmatch(body) and body not in self.secrets:
            self.ids.append(body)
            self.secrets.add(body)


def twin(text: str) -> str:
    """What is nowhere, in the same form: always the same for the same text."""
    if CANARY in text:
        # Part by part, so that what is found by a part is so of the twin, too.
        return text.replace(CANARY, ABSENT)
    digest = blake2b(text.encode(), digest_size=16).digest()
    if _UUID.fullmatch(text):
        return str(UUID(bytes=digest, version=4))
    if text.startswith("+"):
        return text[:-4] + f"{int.from_bytes(digest[:4], 'big') % 10_000:04}"
    return "".join(chr(ord("a") + byte % 26) for byte in digest * 8)[: len(text)]


class Probe(msgspec.Struct):
    """One request; `foreign` is what it asks for of the other workspace, if anything."""

    endpoint: Endpoint
    path: str
    body: Any
    foreign: tuple[str, ...] = ()
    headers: dict[str, str] = {}


@dataclass
class Door:
    """A workspace of intruders: a key for every role, and some contacts of its own."""

    keys: dict[str, str]
    own: list[str]
    #: Of its last command, which its requests wait for: both doors must see what they did alike.
    position: str = "0.0"


class Intruders:
    """Two workspaces that do the same: one asks for what is another's, the other for what is nowhere.

    One request after the other, so that both always are in the same state, whatever came of what they asked for.
    """

    def __init__(self, wire: Wire, doors: tuple[Door, Door], loot: Loot, seed: int) -> None:
        self._wire, self._doors, self._loot = wire, doors, loot
        self._pick = random.Random(seed)
        asked = {text for texts in loot.texts.values() for text in texts}.union(loot.ids)
        asked |= {twin(text) for text in asked}
        longest_first = sorted(asked, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE)
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []

    async def knock(self, requests: int, endpoints: Sequence[Endpoint] = PROTECTED) -> None:
        """What was wrong is in `wrong` afterwards."""
        while self.counts["requests"] < requests:
            endpoint = self._pick.choice(endpoints)
            situation = self._pick.choice(("path", "path", "body", "query", "key", "own"))
            if endpoint.name not in NOT_OWN or situation == "path":
                await self._pair(endpoint, situation, self._pick.choice(sorted(self._doors[0].keys)))

    async def _pair(self, endpoint: Endpoint, situation: str, role: str) -> None:
        seed = self._pick.randrange(1 << 30)
        one, other = (
            self._probe(
                endpoint, situation, Thief(self._loot, door.own, random.Random(seed), absent=door is self._doors[1])
            )
            for door in self._doors
        )
        if situation != "own" and not one.foreign:
            return
        replies = [await self._send(one, self._doors[0], role), await self._send(other, self._doors[1], role)]
        self.counts.update({"requests": 2, situation: 1, f"answered {replies[0].status}": 1})
        told = _told(replies[0].text, one.foreign, self._loot.secrets)
        shapes = [(reply.status, self._shape(reply.text)) for reply in replies]
        if told or shapes[0] != shapes[1] or replies[0].status >= 500 or replies[0].status == 401:
            said = "\n  ".join(map(str, (told, *shapes)))
            self.wrong.append(f"{role} {endpoint.method} {one.path} {one.headers} {one.body}:\n  {said}")

    def _shape(self, text: str) -> Any:
        """An answer without what differs from one moment to the next, and without what was ever asked for."""
        text = self._known.sub("<>", text)
        for pattern in (_UUID, _TIME, _POSITION, _SECRET):
            text = pattern.sub("<>", text)
        return _sorted(json.loads(text)) if text[:1] == "{" and "}\n{" not in text else text

    async def _send(self, probe: Probe, door: Door, role: str) -> Reply:
        # Commands wait as well where they start from a read model, as the removal of duplicates does.
        headers = probe.headers | {"Rollbook-Min-Position": door.position}
        reply = await self._wire.send(
            probe.endpoint.method, probe.path, probe.body, key=door.keys[role], headers=headers
        )
        door.position = reply.headers.get("rollbook-position", door.position)
        return reply

    @staticmethod
    def _probe(endpoint: Endpoint, situation: str, thief: Thief) -> Probe:
        values = {
            each.name: thief.pick.choice(get_args(each.type))
            if get_origin(each.type) is Literal
            else thief.take(each.name, as_id=each.type is UUID, own=situation != "path")
            for each in msgspec.structs.fields(endpoint.path_type)
        }
        query = {"reason": "x"} if endpoint.name == "delete_contact" else {}
        named = [each.name for each in msgspec.structs.fields(endpoint.query_type) if each.name in TEXT_FIELDS]
        if situation == "query" and named:
            name = thief.pick.choice(named)
            query[name] = thief.take(name, as_id=name not in thief.loot.texts)
        body = None
        if endpoint.examples:
            example = thief.pick.choice(list(endpoint.examples.values()))
            body = thief.fill(json.loads(msgspec.json.encode(example)), own=situation != "body")
            if endpoint.name in OF_THE_INSTALLATION:
                body["channel"] = "phone"
        headers = {}
        if situation == "key" and endpoint.method != "GET":
            headers["Idempotency-Key"] = thief.take("idempotency_key")
        path = address(endpoint.template, query or None, **values)
        return Probe(endpoint, path, body, tuple(thief.taken), headers)


def _told(text: str, asked: tuple[str, ...], secrets: set[str]) -> list[str]:
    """What of the other workspace is in an answer but what was asked for."""
    for said in asked:
        text = text.replace(said, "")
    return [secret for secret in secrets if secret in text]


class Thief:
    """Fills one request with what is another's, or with its twin that is nowhere; the choices are those of `pick`."""

    def __init__(self, loot: Loot, own: list[str], pick: random.Random, *, absent: bool) -> None:
        self.loot, self.pick = loot, pick
        self._own, self._absent = own, absent
        self.taken: list[str] = []

    def take(self, name: str, *, as_id: bool = False, own: bool = False) -> str:
        """What goes into a field of this name."""
        if own:
            return self.pick.choice(self._own) if as_id else f"own-{name}"
        found = self.pick.choice(self.loot.ids if as_id else self.loot.texts.get(name) or self.loot.texts["name"])
        self.taken.append(twin(found) if self._absent else found)
        return self.taken[-1]

    def fill(self, value: Any, name: str = "", *, own: bool) -> Any:
        """An example with its ids, and its texts that tell who is meant, replaced."""
        if isinstance(value, dict):
            return {key: self.fill(each, key, own=own) for key, each in value.items()}
        if isinstance(value, list):
            return [self.fill(each, name, own=own) for each in value]
        if not isinstance(value, str):
            return value
        if _UUID.fullmatch(value):
            return self.take(name, as_id=True, own=own)
        if name == "bounce":
            # A hard one blacklists the e-mail, for every workspace.
            return "soft"
        if own and name in UNIQUE:
            return f"fresh-{next(_NUMBERS)}"
        if own or name not in ADDRESSES:
            return value if name != "id" else f"fresh-{next(_NUMBERS)}"
        return self.take("email" if "@" in value else "phone" if value.startswith("+") else name)


def _sorted(value: Any) -> Any:
    """Lists in no order: some go by ids that nobody chose."""
    if isinstance(value, dict):
        return {key: _sorted(each) for key, each in value.items()}
    if isinstance(value, list):
        return sorted((_sorted(each) for each in value), key=lambda each: json.dumps(each, sort_keys=True))
    return value


def creations() -> Iterator[Endpoint]:
    """Routes by which an owner makes something new, of any kind."""
    return (each for each in PROTECTED if each.method == "POST" and "{" not in each.path and each.examples)


def readings() -> Iterator[Endpoint]:
    """Routes by which an owner sees everything."""
    return (each for each in PROTECTED if each.method == "GET" and "{" not in each.path)
