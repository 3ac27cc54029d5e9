"""ROLLBOOK_SEGMENTS as the relay's read model: how far it is, and adding to it behind a fence.

As `contacts_bridge.feed` does it for events: every message says in the header `Rollbook-Changes` how far each lane is
in the stream (`0.…`, and `0f.…` for first changes), so the last message alone tells where to go on; batches are atomic
and carry the sequence the stream must stand at, so that of two relays only one can add.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import msgspec
from msgspec.structs import replace

from contacts_bridge import fenced
from contacts_bridge.broker import Broker
from contacts_bridge.definitions import StreamDefinition, bookmarked_stream
from contacts_bridge.fenced import Message, header_of, stored
from contacts_bridge.segments.message import (
    BEGINNING,
    FIRST_BEGINNING,
    PREFIX,
    STREAM,
    Change,
    FirstPlace,
    Place,
    message_of,
    parse_first_place,
    parse_place,
)

HEADER: Final = "Rollbook-Changes"
FIRST: Final = "f"
BYTES: Final = 1 << 30
"""Room for some two million changes; an operator may give the stream more or less."""


class Tail(msgspec.Struct, frozen=True):
    """The end of the stream at one moment."""

    #: Last sequence the stream has given out: the fence.
    sequence: int = 0
    #: How far each lane is in the stream.
    places: Mapping[int, Place] = MappingProxyType({})
    #: The same of first changes.
    firsts: Mapping[int, FirstPlace] = MappingProxyType({})

    def place(self, lane: int) -> Place:
        return self.places.get(lane, BEGINNING)

    def first(self, lane: int) -> FirstPlace:
        return self.firsts.get(lane, FIRST_BEGINNING)

    def moved_to(self, change: Change) -> Tail:
        """With the bookmark of a change; one that is carried moves none."""
        if change.first is None:
            return replace(self, places={**self.places, change.lane: change.place})
        if change.is_carried:
            return self
        return replace(self, firsts={**self.firsts, change.lane: change.first})

    @property
    def bookmark(self) -> str:
        tokens = [f"{lane}.{place.token}" for lane, place in self.places.items()]
        return ",".join([*tokens, *(f"{lane}{FIRST}.{place.token}" for lane, place in self.firsts.items())])


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
        if message is not None and (text := header_of(message, HEADER)) is not None:
            return _tail(text, state["last_seq"])
    return Tail(sequence=state["last_seq"])


def _tail(bookmark: str, sequence: int) -> Tail:
    parts = [token.partition(".")[::2] for token in bookmark.split(",") if token]
    places = {int(lane): parse_place(place) for lane, place in parts if not lane.endswith(FIRST)}
    firsts = {int(lane.removesuffix(FIRST)): parse_first_place(place) for lane, place in parts if lane.endswith(FIRST)}
    return Tail(sequence, places, firsts)


async def add(broker: Broker, batch: Sequence[Change], tail: Tail, *, again: bool = False) -> Tail:
    """Adds the whole batch right after `tail`, or nothing; answers the new tail.

    `again` and what it raises are as `fenced.add` says.
    """
    messages = list(_with_bookmarks(batch, tail))
    sequence = await fenced.add(broker, STREAM, HEADER, messages, tail.sequence, again=again)
    for change in batch:
        tail = tail.moved_to(change)
    return replace(tail, sequence=sequence)


def _with_bookmarks(batch: Sequence[Change], tail: Tail) -> Iterator[Message]:
    for change in batch:
        tail = tail.moved_to(change)
        payload = msgspec.json.encode(message_of(change))
        yield Message(id=str(change.id), subject=change.subject, payload=payload, bookmark=tail.bookmark)
