"""ROLLBOOK_SEGMENTS as the relay's read model: how far it is, and adding to it behind a fence.

As `contacts_bridge.feed` does it for events: every message says in the header `Rollbook-Changes` how far each lane is
in the stream, so the last message alone tells where to go on; batches are atomic and carry the sequence the stream must
stand at, so that of two relays only one can add.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from email.parser import BytesParser
from types import MappingProxyType
from typing import Any, Final
from uuid import uuid4

import msgspec

from contacts_bridge.broker import (
    DUPLICATE_IN_BATCH,
    MESSAGE_NOT_FOUND,
    WRONG_LAST_SEQUENCE,
    Broker,
    raise_refusal,
)
from contacts_bridge.cloudevent import CONTENT_TYPE
from contacts_bridge.definitions import StreamDefinition
from contacts_bridge.errors import AlreadyStored, BrokerRefusal, BrokerUnavailable, Fenced
from contacts_bridge.segments.message import BEGINNING, PREFIX, STREAM, Change, Place, message_of, parse_place

HEADER: Final = "Rollbook-Changes"
MAX_BATCH: Final = 500
COMMIT_TIMEOUT_S: Final = 10.0
BYTES: Final = 1 << 30
"""Room for some two million changes; an operator may give the stream more or less."""
_SECOND_NS: Final = 1_000_000_000


class Tail(msgspec.Struct, frozen=True):
    """The end of the stream at one moment."""

    #: Last sequence the stream has given out: the fence.
    sequence: int = 0
    #: How far each lane is in the stream.
    places: Mapping[int, Place] = MappingProxyType({})

    def place(self, lane: int) -> Place:
        return self.places.get(lane, BEGINNING)


def segments_stream(*, max_bytes: int = BYTES, replicas: int = 1) -> StreamDefinition:
    """Bounded by bytes and never by age: the newest message is the relay's bookmark."""
    return StreamDefinition(
        name=STREAM,
        subjects=(f"{PREFIX}.>",),
        fixed={"storage": "file", "retention": "limits"},
        managed={
            "discard": "old",
            "max_age": 0,
            "max_msgs": -1,
            "max_msgs_per_subject": -1,
            "duplicate_window": 120 * _SECOND_NS,
            "allow_atomic": True,
            "allow_direct": True,
        },
        initial={"max_bytes": max_bytes, "num_replicas": replicas, "compression": "s2"},
    )


async def read_tail(broker: Broker) -> Tail:
    """What the stream really holds. Raises BrokerUnavailable, BrokerRefusal."""
    # The fence first: a message that comes in between then makes the fence too old, which refuses our next batch.
    state = (await broker.api(f"STREAM.INFO.{STREAM}"))["state"]
    for sequence in range(state["last_seq"], max(state["first_seq"], 1) - 1, -1):
        message = await _message(broker, sequence) if state["messages"] else None
        # What somebody removed, or wrote into our subjects, is passed over.
        if message is not None and (places := _places(message.get("hdrs", ""))) is not None:
            return Tail(sequence=state["last_seq"], places=places)
    return Tail(sequence=state["last_seq"])


async def _message(broker: Broker, sequence: int) -> dict[str, Any] | None:
    try:
        message: dict[str, Any] = (await broker.api(f"STREAM.MSG.GET.{STREAM}", {"seq": sequence}))["message"]
    except BrokerRefusal as refusal:
        if refusal.code != MESSAGE_NOT_FOUND:
            raise
        return None
    return message


def _places(encoded: str) -> dict[int, Place] | None:
    lines = b64decode(encoded).partition(b"\r\n")[2]
    text = BytesParser().parsebytes(lines, headersonly=True).get(HEADER)
    if text is None:
        return None
    parts = (token.partition(".") for token in text.split(","))
    return {int(lane): parse_place(place) for lane, _, place in parts}


async def add(broker: Broker, batch: Sequence[Change], tail: Tail, *, again: bool = False) -> Tail:
    """Adds the whole batch right after `tail`, or nothing; answers the new tail.

    `again` gives the messages other ids: JetStream refuses those it remembers even where it no longer holds them.

    Raises:
        Fenced: the stream is not at `tail`.
        AlreadyStored: a message id is known; look at the tail, and if that has not moved, send `again`.
        BrokerRefusal: any other reason, such as no room.
        BrokerUnavailable: whether it was stored is unknown; look at the tail.
    """
    *first, last = _with_headers(batch, tail, again=again)
    try:
        async with asyncio.timeout(COMMIT_TIMEOUT_S):
            for change, payload, headers in first:
                await broker.publish(change.subject, payload, headers=headers)
            change, payload, headers = last
            answer = await broker.request(change.subject, payload, headers=headers, timeout_s=COMMIT_TIMEOUT_S)
    except TimeoutError as error:
        raise BrokerUnavailable("the batch was not acknowledged in time") from error
    places = {**tail.places, **{change.lane: change.place for change in batch}}
    return Tail(sequence=_stored_at(answer.data), places=places)


def _with_headers(
    batch: Sequence[Change], tail: Tail, *, again: bool
) -> Iterator[tuple[Change, bytes, dict[str, str]]]:
    batch_id = uuid4().hex
    suffix = f"+{tail.sequence}" if again else ""
    places = dict(tail.places)
    for number, change in enumerate(batch, 1):
        places[change.lane] = change.place
        headers = {
            "Content-Type": CONTENT_TYPE,
            "Nats-Msg-Id": f"{change.id}{suffix}",
            HEADER: ",".join(f"{lane}.{place.token}" for lane, place in places.items()),
            "Nats-Batch-Id": batch_id,
            "Nats-Batch-Sequence": str(number),
        }
        if number == 1:
            headers["Nats-Expected-Stream"] = STREAM
            headers["Nats-Expected-Last-Sequence"] = str(tail.sequence)
        if number == len(batch):
            headers["Nats-Batch-Commit"] = "1"
        yield change, msgspec.json.encode(message_of(change)), headers


def _stored_at(answer: bytes) -> int:
    try:
        decoded = msgspec.json.decode(answer)
        raise_refusal(decoded)
    except BrokerRefusal as refusal:
        if refusal.code == WRONG_LAST_SEQUENCE:
            raise Fenced(str(refusal)) from None
        if refusal.code == DUPLICATE_IN_BATCH:
            raise AlreadyStored(str(refusal)) from None
        raise
    sequence: int = decoded["seq"]
    return sequence
