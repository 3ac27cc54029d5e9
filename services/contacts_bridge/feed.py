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

from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

import msgspec

from contacts_bridge import fenced
from contacts_bridge.broker import Broker
from contacts_bridge.definitions import EVENTS, EVENTS_SUBJECTS
from contacts_bridge.fenced import Message, header_of, stored
from eventstore.envelope import parse_position

LANES_HEADER: Final = "Rollbook-Lanes"


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
    found = await stored(broker, EVENTS, seq=state["last_seq"])
    if found is None:
        # Somebody removed the last ones. Not asked as ">", which looks no further than the last sequence.
        found = await stored(broker, EVENTS, last_by_subj=EVENTS_SUBJECTS)
    while found is not None:
        lanes = header_of(found, LANES_HEADER)
        if lanes is not None:
            positions = dict(parse_position(token) for token in lanes.split(","))
            last = next(iter(positions)), _event_id(found["data"])
            return Tail(sequence=state["last_seq"], positions=positions, last=last)
        # Somebody else wrote into our subjects: what counts is the relay's last message before it.
        found = await _before(broker, found["seq"], state["first_seq"])
    return Tail(sequence=state["last_seq"])


async def _before(broker: Broker, sequence: int, first: int) -> dict[str, Any] | None:
    for earlier in range(sequence - 1, first - 1, -1):
        if (message := await stored(broker, EVENTS, seq=earlier)) is not None:
            return message
    return None


async def add(broker: Broker, batch: Sequence[Outgoing], tail: Tail, *, again: bool = False) -> Tail:
    """Adds the whole batch right after `tail`, or nothing; answers the new tail.

    `again` and what it raises are as `fenced.add` says.
    """
    sequence = await fenced.add(
        broker, EVENTS, LANES_HEADER, _with_bookmarks(batch, tail), tail.sequence, again=again
    )  # fmt: skip
    return Tail(sequence=sequence, positions={**tail.positions, **{each.lane: each.position for each in batch}})


def _with_bookmarks(batch: Sequence[Outgoing], tail: Tail) -> Iterator[Message]:
    positions = dict(tail.positions)
    for each in batch:
        positions[each.lane] = each.position
        lanes = _lanes(positions, first=each.lane)
        yield Message(id=f"{each.lane}.{each.position}", subject=each.subject, payload=each.payload, bookmark=lanes)


def _lanes(positions: Mapping[int, int], *, first: int) -> str:
    others = (f"{lane}.{position}" for lane, position in positions.items() if lane != first)
    return ",".join((f"{first}.{positions[first]}", *others))


def _event_id(encoded: str) -> UUID:
    return msgspec.json.decode(b64decode(encoded), type=_Identified).id


class _Identified(msgspec.Struct):
    id: UUID
