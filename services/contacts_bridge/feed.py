"""ROLLBOOK_EVENTS as the relay's read model: how far it is (`Tail`), and adding to it behind a fence.

Every message carries in the header `Rollbook-Lanes` how far each lane of the log is in the stream, its own lane first.
So the last message alone tells where to go on: no table, no bucket and no file remembers it.

Batches are JetStream's atomic batches. The first message carries the sequence the stream must stand at
(`Nats-Expected-Last-Sequence`), so that of two relays only one can add, and a batch whose fate is unknown can be sent
again after a look at the tail. Measured with nats-py 2.16 and nats-server 2.15.1 on loopback, 600 byte messages with
fence and message id, in thousands a second:

| | windowed 256 / 2,000 | atomic 100 / 500 / 1,000 |
|---|---|---|
| `sync_interval: always` | 7.0 / 6.8 | 30 / 71 / 78 |
| default (flush every 2 minutes) | 103 / 125 | 34 / 70 / 82 |

Sending a second batch before the first is acknowledged gained nothing. The whole relay, from encrypted events in the
log to fsynced messages, does 20 thousand a second on two cores; nats-py's encoding of headers is its largest part.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from email.parser import BytesParser
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID, uuid4

import msgspec

from contacts_bridge.broker import (
    DUPLICATE_IN_BATCH,
    MESSAGE_NOT_FOUND,
    WRONG_LAST_SEQUENCE,
    Broker,
    raise_refusal,
)
from contacts_bridge.cloudevent import CONTENT_TYPE
from contacts_bridge.definitions import EVENTS, EVENTS_SUBJECTS
from contacts_bridge.errors import AlreadyStored, BrokerRefusal, BrokerUnavailable, Fenced
from eventstore.envelope import parse_position

LANES_HEADER: Final = "Rollbook-Lanes"
MAX_BATCH: Final = 500
"""Messages in one atomic batch; JetStream takes 1,000, and half of it is as fast."""
COMMIT_TIMEOUT_S: Final = 10.0


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """One public message on its way, and the place in the log it stands for."""

    lane: int
    position: int
    subject: str
    payload: bytes


class Tail(msgspec.Struct, frozen=True):
    """The end of the stream at one moment."""

    #: Last sequence the stream has given out: the fence.
    sequence: int = 0
    #: How far each lane of the log is in the stream; a lane that is not there is at 0.
    positions: Mapping[int, int] = MappingProxyType({})
    #: The lane and the event id of the last message; None where the stream holds nothing.
    last: tuple[int, UUID] | None = None

    def position(self, lane: int) -> int:
        return self.positions.get(lane, 0)

    def __str__(self) -> str:
        return ",".join(f"{lane}.{position}" for lane, position in self.positions.items())


async def read_tail(broker: Broker) -> Tail:
    """What the stream really holds. Raises BrokerUnavailable, BrokerRefusal (also where there is no stream)."""
    # The fence first: a message that comes in between then makes the fence too old, which refuses our next batch.
    # The other way round the fence would let us add what is there already.
    state = (await broker.api(f"STREAM.INFO.{EVENTS}"))["state"]
    if not state["messages"]:
        return Tail(sequence=state["last_seq"])
    found = await _message(broker, seq=state["last_seq"])
    if found is None:
        # Somebody removed the last ones. Not asked as ">", which looks no further than the last sequence.
        found = await _message(broker, last_by_subj=EVENTS_SUBJECTS)
    while found is not None:
        lanes = _header(found.get("hdrs", ""), LANES_HEADER)
        if lanes is not None:
            positions = dict(parse_position(token) for token in lanes.split(","))
            last = next(iter(positions)), _event_id(found["data"])
            return Tail(sequence=state["last_seq"], positions=positions, last=last)
        # Somebody else wrote into our subjects: what counts is the relay's last message before it.
        found = await _before(broker, found["seq"], state["first_seq"])
    return Tail(sequence=state["last_seq"])


async def _before(broker: Broker, sequence: int, first: int) -> dict[str, Any] | None:
    for earlier in range(sequence - 1, first - 1, -1):
        if (message := await _message(broker, seq=earlier)) is not None:
            return message
    return None


async def _message(broker: Broker, **which: Any) -> dict[str, Any] | None:
    try:
        message: dict[str, Any] = (await broker.api(f"STREAM.MSG.GET.{EVENTS}", which))["message"]
    except BrokerRefusal as refusal:
        if refusal.code != MESSAGE_NOT_FOUND:
            raise
        return None
    return message


async def add(broker: Broker, batch: Sequence[Outgoing], tail: Tail, *, again: bool = False) -> Tail:
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
            for message, headers in first:
                await broker.publish(message.subject, message.payload, headers=headers)
            message, headers = last
            answer = await broker.request(message.subject, message.payload, headers=headers, timeout_s=COMMIT_TIMEOUT_S)
    except TimeoutError as error:
        raise BrokerUnavailable("the batch was not acknowledged in time") from error
    return Tail(sequence=_stored_at(answer.data), positions=_positions_after(batch, tail))


def _with_headers(batch: Sequence[Outgoing], tail: Tail, *, again: bool) -> Iterator[tuple[Outgoing, dict[str, str]]]:
    batch_id = uuid4().hex
    suffix = f"+{tail.sequence}" if again else ""
    positions = dict(tail.positions)
    for number, message in enumerate(batch, 1):
        positions[message.lane] = message.position
        headers = {
            "Content-Type": CONTENT_TYPE,
            "Nats-Msg-Id": f"{message.lane}.{message.position}{suffix}",
            LANES_HEADER: _lanes(positions, first=message.lane),
            "Nats-Batch-Id": batch_id,
            "Nats-Batch-Sequence": str(number),
        }
        if number == 1:
            headers["Nats-Expected-Stream"] = EVENTS
            headers["Nats-Expected-Last-Sequence"] = str(tail.sequence)
        if number == len(batch):
            headers["Nats-Batch-Commit"] = "1"
        yield message, headers


def _positions_after(batch: Sequence[Outgoing], tail: Tail) -> dict[int, int]:
    return {**tail.positions, **{message.lane: message.position for message in batch}}


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


def _lanes(positions: Mapping[int, int], *, first: int) -> str:
    others = (f"{lane}.{position}" for lane, position in positions.items() if lane != first)
    return ",".join((f"{first}.{positions[first]}", *others))


def _header(encoded: str, name: str) -> str | None:
    """Value of a header out of JetStream's stored form: base64 of a `NATS/1.0` line and header lines."""
    lines = b64decode(encoded).partition(b"\r\n")[2]
    return BytesParser().parsebytes(lines, headersonly=True).get(name)


def _event_id(encoded: str) -> UUID:
    return msgspec.json.decode(b64decode(encoded), type=_Identified).id


class _Identified(msgspec.Struct):
    id: UUID
