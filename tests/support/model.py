"""What the log must answer, one command at a time, in Python that shares no code with it."""

from __future__ import annotations

import random
from typing import Any, NamedTuple
from uuid import UUID

from eventstore.envelope import ANY_VERSION, Claim, Stream, StreamWrite, Write
from tests.support.sample import Counted


class Verdict(NamedTuple):
    """`ok`, `duplicate` (same request?), `conflict` (stream id, version it is at) or `claim` (kind, holder)."""

    name: str
    detail: tuple[Any, ...] = ()


class Model:
    """Versions, keys and claims as they stand after the commands accepted so far."""

    def __init__(self) -> None:
        self.versions: dict[Stream, int] = {}
        self.keys: dict[tuple[UUID, str], bytes] = {}
        self.claims: dict[tuple[UUID, str, str], UUID] = {}

    def decide(self, write: Write) -> Verdict:
        """The verdict on a command, which takes effect where it is `ok`."""
        key = (write.workspace_id, write.idempotency_key or "")
        if write.idempotency_key is not None and key in self.keys:
            return Verdict("duplicate", (self.keys[key] == write.request_hash,))
        for part in write.streams:
            actual = self.versions.get(part.stream, 0)
            if part.expected_version not in (ANY_VERSION, actual):
                return Verdict("conflict", (part.stream.id, actual))
        claims = dict(self.claims)
        for claim in (c for c in write.claims if not c.take):
            place = (write.workspace_id, claim.kind, claim.value)
            if claims.get(place) == claim.holder:
                del claims[place]
        for claim in (c for c in write.claims if c.take):
            place = (write.workspace_id, claim.kind, claim.value)
            if claims.setdefault(place, claim.holder) != claim.holder:
                return Verdict("claim", (claim.kind, claims[place]))
        self._accept(write, claims)
        return Verdict("ok")

    def _accept(self, write: Write, claims: dict[tuple[UUID, str, str], UUID]) -> None:
        self.claims = claims
        for part in write.streams:
            self.versions[part.stream] = self.versions.get(part.stream, 0) + len(part.events)
        if write.idempotency_key is not None:
            self.keys[write.workspace_id, write.idempotency_key] = write.request_hash


class Commands:
    """Random commands over a few streams, keys and claim values, so that they meet one another all the time."""

    def __init__(self, seed: int, workspace: UUID, *, streams: int = 6, keys: int = 30, values: int = 4) -> None:
        self._random = random.Random(seed)
        self._workspace = workspace
        self._streams = [
            Stream(workspace, self._random.choice(("note", "list")), UUID(int=self._random.getrandbits(128)))
            for _ in range(streams)
        ]
        self._keys = [f"key {number}" for number in range(keys)]
        self._values = [f"value {number}" for number in range(values)]
        self._number = 0

    def next(self, model: Model, *, events_min: int = 0) -> Write:
        """Mostly what a careful caller would send after looking at `model`, sometimes stale or plainly wrong."""
        pick = self._random
        key = pick.choice(self._keys) if pick.random() < 0.3 else None
        parts = []
        for stream in pick.sample(self._streams, pick.choice((1, 1, 1, 2, 3))):
            expected = model.versions.get(stream, 0)
            if pick.random() < 0.2:
                expected = max(0, expected + pick.choice((-2, -1, 1, 2)))
            elif key is not None and pick.random() < 0.5:
                expected = ANY_VERSION
            events = tuple(self._event() for _ in range(max(events_min, pick.choice((0, 1, 1, 1, 2, 5)))))
            parts.append(StreamWrite(stream=stream, expected_version=expected, events=events))
        claims = {(c.kind, c.value, c.take): c for c in (self._claim(parts) for _ in range(pick.choice((0, 0, 1, 2))))}
        return Write(
            workspace_id=self._workspace, streams=tuple(parts), claims=tuple(claims.values()), idempotency_key=key,
            request_hash=pick.choice((b"one", b"other")),
        )  # fmt: skip

    def _event(self) -> Counted:
        self._number += 1
        return Counted(self._number)

    def _claim(self, parts: list[StreamWrite]) -> Claim:
        pick = self._random
        holder = pick.choice(self._streams if pick.random() < 0.3 else [part.stream for part in parts])
        return Claim(
            kind=pick.choice(("email", "tag")), value=pick.choice(self._values), holder=holder.id,
            take=pick.random() < 0.6,
        )  # fmt: skip
