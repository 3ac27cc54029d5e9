"""ROLLBOOK_SEGMENTS as the relay's read model: how far it is, and adding to it behind a fence.

As `contacts_bridge.feed` does it for events: every message says in the header `Rollbook-Changes` how far each lane is
in the stream, so the last message alone tells where to go on; batches are atomic and carry the sequence the stream must
stand at, so that of two relays only one can add.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import msgspec

from contacts_bridge import fenced
from contacts_bridge.broker import Broker
from contacts_bridge.definitions import StreamDefinition, bookmarked_stream
from contacts_bridge.fenced import Message, header_of, stored
from contacts_bridge.segments.message import BEGINNING, PREFIX, STREAM, Change, Place, message_of, parse_place

HEADER: Final = "Rollbook-Changes"
BYTES: Final = 1 << 30
"""Room for some two million changes; an operator may give the stream more or less."""


class Tail(msgspec.Struct, frozen=True):
    """The end of the stream at one moment."""

    #: Last sequence the stream has given out: the fence.
    sequence: int = 0
    #: How far each lane is in the stream.
    places: Mapping[int, Place] = MappingProxyType({})

    def place(self, lane: int) -> Place:
        return self.places.get(lane, BEGINNING)


def segments_stream(*, max_bytes: int = BYTES, replicas: int = 1) -> StreamDefinition:
    """The feed of who entered and left."""
    return bookmarked_stream(STREAM, f"{PREFIX}.>", max_bytes=max_bytes, replicas=replicas)


async def read_tail(broker: Broker) -> Tail:
    """What the stream really holds. Raises BrokerUnavailable, BrokerRefusal."""
    # The fence first: a message that comes in between then makes the fence too old, which refuses our next batch.
    state = (await broker.api(f"STREAM.INFO.{STREAM}"))["state"]
    for sequence in range(state["last_seq"], max(state["first_seq"], 1) - 1, -1):
        message = await stored(broker, STREAM, seq=sequence) if state["messages"] else None
        # What somebody removed, or wrote into our subjects, is passed over.
        if message is not None and (places := _places(message)) is not None:
            return Tail(sequence=state["last_seq"], places=places)
    return Tail(sequence=state["last_seq"])


def _places(message: dict[str, Any]) -> dict[int, Place] | None:
    text = header_of(message, HEADER)
    if text is None:
        return None
    parts = (token.partition(".") for token in text.split(","))
    return {int(lane): parse_place(place) for lane, _, place in parts}


async def add(broker: Broker, batch: Sequence[Change], tail: Tail, *, again: bool = False) -> Tail:
    """Adds the whole batch right after `tail`, or nothing; answers the new tail.

    `again` and what it raises are as `fenced.add` says.
    """
    sequence = await fenced.add(broker, STREAM, HEADER, _with_bookmarks(batch, tail), tail.sequence, again=again)
    return Tail(sequence=sequence, places={**tail.places, **{change.lane: change.place for change in batch}})


def _with_bookmarks(batch: Sequence[Change], tail: Tail) -> Iterator[Message]:
    places = dict(tail.places)
    for change in batch:
        places[change.lane] = change.place
        bookmark = ",".join(f"{lane}.{place.token}" for lane, place in places.items())
        payload = msgspec.json.encode(message_of(change))
        yield Message(id=str(change.id), subject=change.subject, payload=payload, bookmark=bookmark)
