"""Puts messages aside in a stream of their own: the original as it came, beside it why, and under a name of its own.

Dead letters (ROLLBOOK_DEAD) could not be recorded; held ones (ROLLBOOK_HELD) wait for a contact. The name is made of
the message and its place in the inbox, and is the subject: putting it aside again, after a crash, changes nothing.
What is done with dead letters is in `servicekit.dead_letters`.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Final
from urllib.parse import quote, unquote_to_bytes
from uuid import UUID

import msgspec

from contacts_bridge.broker import WRONG_LAST_SEQUENCE, Broker, raise_refusal
from contacts_bridge.errors import BrokerRefusal
from contacts_bridge.inbox.message import Raw, headers_of
from servicekit.dead_letters import AT as LETTER_AT
from servicekit.dead_letters import ATTEMPTS, BYTES, HEADERS, ID, REASON, SUBJECT, Reason

#: Of a letter whose message names no workspace.
NOBODY: Final = "unknown"
#: Room for the headers of a letter in bytes; what is larger than the rest is cut off, and says so.
HEADERS_BYTES: Final = 32 * 1024
REASON_BYTES_MAX: Final = 8 * 1024
ID_BYTES: Final = 6
NOT_YET_THERE: Final = "Nats-Expected-Last-Subject-Sequence"


def workspace_of(subject: bytes) -> UUID | None:
    """Of any subject of ours: the fourth token; None where that is no workspace."""
    try:
        return UUID(subject.split(b".")[3].decode())
    except (IndexError, ValueError):
        return None


def letter_id(raw: Raw) -> str:
    """The same for every delivery of the same message, and of no other."""
    _, sequence = raw.place
    digest = blake2b(b"\0".join((raw.subject, raw.headers, raw.data)), digest_size=ID_BYTES)
    return f"{sequence}-{digest.hexdigest()}"


async def put_aside(broker: Broker, prefix: str, raw: Raw, reason: Reason) -> None:
    """Stored when it returns. Raises BrokerUnavailable, BrokerRefusal."""
    attempts, _ = raw.place
    id_ = letter_id(raw)
    data = raw.data[: max(0, broker.max_payload - HEADERS_BYTES)]
    block = b64encode(raw.headers).decode()
    headers = {
        ID: id_,
        SUBJECT: quote(raw.subject),
        # Of senders who made up more of them than any has use for.
        HEADERS: block if len(block) < HEADERS_BYTES // 2 else "",
        REASON: _encoded(reason),
        ATTEMPTS: str(attempts),
        LETTER_AT: datetime.now(UTC).isoformat(),
        # One that is there already is not replaced: what is replaced leaves its bytes in the file.
        NOT_YET_THERE: "0",
        **({BYTES: str(len(raw.data))} if len(data) < len(raw.data) else {}),
    }
    subject = f"{prefix}.{workspace_of(raw.subject) or NOBODY}.{id_}"
    answer = await broker.request(subject, data, headers=headers)
    try:
        raise_refusal(msgspec.json.decode(answer.data))
    except BrokerRefusal as refusal:
        if refusal.code != WRONG_LAST_SEQUENCE:
            raise


def _encoded(reason: Reason) -> str:
    text = quote(msgspec.json.encode(reason), safe=" \"{}[]:,/'()")
    if len(text) <= REASON_BYTES_MAX:
        return text
    return quote(msgspec.json.encode(Reason(reason.code, reason.detail[:500])), safe=" \"{}[]:,/'()")


def original(raw: Raw) -> Raw:
    """The message that a letter was made of, at the place of the letter. Raises InvalidInput, ValueError."""
    headers = headers_of(raw.headers)
    subject = unquote_to_bytes(headers.get(SUBJECT, ""))
    return Raw(subject, raw.reply, b64decode(headers.get(HEADERS, "")), raw.data)
