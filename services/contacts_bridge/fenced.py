"""What streams that hold their own bookmark share: atomic batches behind a fence, stored messages read back.

What a bookmark says, and how the newest one is found, is each stream's own affair.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import Iterable, Iterator
from email.parser import BytesParser
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
from contacts_bridge.errors import AlreadyStored, BrokerRefusal, BrokerUnavailable, Fenced

MAX_BATCH: Final = 500
"""Messages in one atomic batch; JetStream takes 1,000, and half of it is as fast."""
COMMIT_TIMEOUT_S: Final = 10.0


class Message(msgspec.Struct, frozen=True, gc=False):
    """One message of a batch."""

    #: Unique in the stream: JetStream refuses those it remembers.
    id: str
    subject: str
    payload: bytes
    #: How far the stream is with this message.
    bookmark: str


async def add(
    broker: Broker, stream: str, header: str, messages: Iterable[Message], sequence: int, *, again: bool
) -> int:
    """Adds the whole batch right after `sequence`, or nothing; answers the new last sequence.

    `header` is where the bookmark goes. `again` gives the messages other ids: JetStream refuses those it remembers even
    where it no longer holds them.

    Raises:
        Fenced: the stream is not at `sequence`.
        AlreadyStored: a message id is known; look at the tail, and if that has not moved, send `again`.
        BrokerRefusal: any other reason, such as no room.
        BrokerUnavailable: whether it was stored is unknown; look at the tail.
    """
    *first, last = _with_headers(stream, header, list(messages), sequence, again=again)
    try:
        async with asyncio.timeout(COMMIT_TIMEOUT_S):
            for message, headers in first:
                await broker.publish(message.subject, message.payload, headers=headers)
            message, headers = last
            answer = await broker.request(message.subject, message.payload, headers=headers, timeout_s=COMMIT_TIMEOUT_S)
    except TimeoutError as error:
        raise BrokerUnavailable("the batch was not acknowledged in time") from error
    return _stored_at(answer.data)


def _with_headers(
    stream: str, header: str, messages: list[Message], sequence: int, *, again: bool
) -> Iterator[tuple[Message, dict[str, str]]]:
    batch_id = uuid4().hex
    suffix = f"+{sequence}" if again else ""
    for number, message in enumerate(messages, 1):
        headers = {
            "Content-Type": CONTENT_TYPE,
            "Nats-Msg-Id": f"{message.id}{suffix}",
            header: message.bookmark,
            "Nats-Batch-Id": batch_id,
            "Nats-Batch-Sequence": str(number),
        }
        if number == 1:
            headers["Nats-Expected-Stream"] = stream
            headers["Nats-Expected-Last-Sequence"] = str(sequence)
        if number == len(messages):
            headers["Nats-Batch-Commit"] = "1"
        yield message, headers


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


async def stored(broker: Broker, stream: str, **which: Any) -> dict[str, Any] | None:
    """A message as JetStream's API has it (`which` in its words), None where there is none."""
    try:
        message: dict[str, Any] = (await broker.api(f"STREAM.MSG.GET.{stream}", which))["message"]
    except BrokerRefusal as refusal:
        if refusal.code != MESSAGE_NOT_FOUND:
            raise
        return None
    return message


def header_of(message: dict[str, Any], name: str) -> str | None:
    """Value of a header out of its stored form: base64 of a `NATS/1.0` line and header lines."""
    lines = b64decode(message.get("hdrs", "")).partition(b"\r\n")[2]
    return BytesParser().parsebytes(lines, headersonly=True).get(name)
