"""Whom the letters of a stream name: read from the stream itself and kept by digest, in memory only. Deletes letters.

Letters never change, so each is read once. They are found by what they say and not by how they were sent, so that one
which nobody could read is found as well.
"""

from __future__ import annotations

import asyncio
import contextlib
from base64 import b64decode
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from typing import Any, Final
from urllib.parse import unquote
from uuid import UUID

import msgspec

from contacts.erasure.marks import Marks
from contacts.errors import InvalidInput
from contacts.values import Country
from contacts_bridge.broker import MESSAGE_NOT_FOUND, NOTHING_TO_DELETE, STREAM_NOT_FOUND, Broker
from contacts_bridge.errors import BrokerRefusal
from contacts_bridge.inbox.letters import original, workspace_of
from contacts_bridge.inbox.message import Raw, headers_of

_GONE: Final = frozenset({MESSAGE_NOT_FOUND, NOTHING_TO_DELETE, STREAM_NOT_FOUND})


class Named(msgspec.Struct, frozen=True):
    """What one letter says of whom it is about."""

    #: None where the message named no workspace: it may be of any.
    workspace_id: UUID | None
    stored_at: datetime
    marks: frozenset[bytes]


class Letters:
    """Of one stream. Not to be used concurrently. Raises BrokerUnavailable, BrokerRefusal wherever NATS is asked."""

    def __init__(self, stream: str, marks: Marks, region_of: Callable[[UUID], Awaitable[Country | None]]) -> None:
        """`region_of` says whose national phone numbers a workspace's senders mean."""
        self._stream = stream
        self._marks = marks
        self._region_of = region_of
        self._created = ""
        self._read_up_to = 0
        self._named: dict[int, Named] = {}
        #: Sequences by mark.
        self._naming: defaultdict[bytes, set[int]] = defaultdict(set)

    async def read_on(self, broker: Broker) -> None:
        """Takes in what was put aside since."""
        if not await self._is_same_stream(broker):
            self._read_up_to = 0
            self._named.clear()
            self._naming.clear()
        while (found := await self._next(broker, self._read_up_to)) is not None:
            named = self._named[found["seq"]] = await self._read(found)
            for mark in named.marks:
                self._naming[mark].add(found["seq"])
            self._read_up_to = found["seq"]

    def naming(self, workspace_id: UUID, marks: frozenset[bytes], *, before: datetime) -> Iterator[int]:
        """Sequences of those that name somebody by one of the marks, and were put aside before then."""
        for sequence in sorted({each for mark in marks for each in self._naming.get(mark, ())}):
            named = self._named[sequence]
            if named.workspace_id in (None, workspace_id) and named.stored_at < before:
                yield sequence

    async def delete(self, broker: Broker, sequence: int) -> bool:
        """Writes over its bytes in the stream's files as well. False where it was gone already."""
        self._forget(sequence)
        return await delete_for_good(broker, self._stream, sequence)

    async def delete_older_than(self, broker: Broker, moment: datetime) -> int:
        """How many there were."""
        count = 0
        while (found := await self._next(broker, 0)) is not None and _stored_at(found) < moment:
            count += await self.delete(broker, found["seq"])
        return count

    async def _is_same_stream(self, broker: Broker) -> bool:
        answer = await asked(broker, f"STREAM.INFO.{self._stream}")
        created, before = "" if answer is None else answer["created"], self._created
        first = 0 if answer is None else answer["state"]["first_seq"]
        for sequence in [sequence for sequence in self._named if sequence < first]:
            self._forget(sequence)
        self._created = created
        return bool(created == before)

    def _forget(self, sequence: int) -> None:
        named = self._named.pop(sequence, None)
        for mark in named.marks if named is not None else ():
            self._naming[mark].discard(sequence)
            if not self._naming[mark]:
                del self._naming[mark]

    async def _next(self, broker: Broker, after: int) -> dict[str, Any] | None:
        answer = await asked(broker, f"STREAM.MSG.GET.{self._stream}", {"seq": after + 1, "next_by_subj": ">"})
        return None if answer is None else answer["message"]

    async def _read(self, found: dict[str, Any]) -> Named:
        raw = Raw(found["subject"].encode(), b"", b64decode(found.get("hdrs", "")), b64decode(found.get("data", "")))
        with contextlib.suppress(InvalidInput, ValueError):
            raw = original(raw)  # or somebody else wrote into our stream: what it says counts all the same
        workspace_id = workspace_of(raw.subject)
        region = None if workspace_id is None else await self._region_of(workspace_id)
        # Not on the loop: a message may be long, and made up to be slow.
        marks = await asyncio.to_thread(self._marks.of_message, raw.data, _headers(raw), region)
        return Named(workspace_id, _stored_at(found), frozenset(marks))


def _headers(raw: Raw) -> dict[str, str]:
    """The subject among them: it is somebody else's words as well."""
    try:
        headers = {name: unquote(value) for name, value in headers_of(raw.headers).items()}
    except InvalidInput:
        headers = {"": raw.headers.decode(errors="replace")}
    return {**headers, "subject": raw.subject.decode(errors="replace")}


def _stored_at(found: dict[str, Any]) -> datetime:
    return msgspec.convert(found["time"], datetime)


async def delete_for_good(broker: Broker, stream: str, sequence: int) -> bool:
    """Writes over the message's bytes. False where it was gone already. Raises BrokerUnavailable, BrokerRefusal."""
    return await asked(broker, f"STREAM.MSG.DELETE.{stream}", {"seq": sequence}) is not None


async def asked(broker: Broker, verb: str, body: dict[str, Any] | None = None) -> dict[str, Any] | None:
    """None where there is no such message, or no such stream."""
    try:
        return await broker.api(verb, body)
    except BrokerRefusal as refusal:
        if refusal.code not in _GONE:
            raise
        return None
