"""Messages put aside in a stream of their own: the original as it came, beside it why, and under a name of its own.

Dead letters (ROLLBOOK_DEAD) could not be recorded; held ones (ROLLBOOK_HELD) wait for a contact. The name is made of
the message and its place in the inbox, and is the subject: putting it aside again, after a crash, changes nothing.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Final
from urllib.parse import quote, unquote_to_bytes
from uuid import UUID

import msgspec

from contacts_bridge.broker import MESSAGE_NOT_FOUND, NOTHING_TO_DELETE, Broker, raise_refusal
from contacts_bridge.definitions import DEAD, DEAD_PREFIX
from contacts_bridge.errors import BridgeError, BrokerRefusal
from contacts_bridge.inbox.message import Raw, headers_of

#: Of a letter whose message names no workspace.
NOBODY: Final = "unknown"
#: Room for the headers of a letter in bytes; what is larger than the rest is cut off, and says so.
HEADERS_BYTES: Final = 32 * 1024
REASON_BYTES_MAX: Final = 8 * 1024
ERRORS_MAX: Final = 20

ID: Final = "Rollbook-Letter-Id"
SUBJECT: Final = "Rollbook-Letter-Subject"
HEADERS: Final = "Rollbook-Letter-Headers"
REASON: Final = "Rollbook-Letter-Reason"
ATTEMPTS: Final = "Rollbook-Letter-Attempts"
AT: Final = "Rollbook-Letter-At"
CUT: Final = "Rollbook-Letter-Bytes"


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong with a message."""

    pointer: str
    reason: str
    expected: str


class Reason(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a message is put aside. Holds nothing of its values."""

    #: `invalid-input`, `contact-unknown`, `workspace-not-found`, …
    code: str
    detail: str
    errors: tuple[Fault, ...] = ()


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A message that was put aside."""

    id: str
    #: In its own stream.
    sequence: int
    subject: str
    reason: Reason
    #: How often it was tried.
    attempts: int
    at: datetime
    headers: bytes
    data: bytes
    #: Of the original, where that was too large to be kept whole.
    cut_from: int | None = None

    @property
    def workspace_id(self) -> UUID | None:
        return workspace_of(self.subject.encode(errors="surrogateescape"))


class NoSuchLetter(BridgeError):
    """It was retried or dropped, or never was."""

    def __init__(self, id_: str) -> None:
        super().__init__(f"there is no dead letter {id_}")


def workspace_of(subject: bytes) -> UUID | None:
    """Of any subject of ours: the fourth token; None where that is no workspace."""
    try:
        return UUID(subject.split(b".")[3].decode())
    except (IndexError, ValueError):
        return None


def letter_id(raw: Raw) -> str:
    """The same for every delivery of the same message, and of no other."""
    _, sequence = raw.place
    digest = blake2b(b"\0".join((raw.subject, raw.headers, raw.data)), digest_size=6)
    return f"{sequence}-{digest.hexdigest()}"


async def put_aside(broker: Broker, prefix: str, raw: Raw, reason: Reason) -> None:
    """Stored when it returns. Raises BrokerUnavailable, BrokerRefusal."""
    attempts, _ = raw.place
    id_ = letter_id(raw)
    data = raw.data[: max(0, broker.max_payload - HEADERS_BYTES)]
    kept = b64encode(raw.headers).decode()
    headers = {
        ID: id_,
        SUBJECT: quote(raw.subject),
        # Of senders who made up more of them than any has use for.
        HEADERS: kept if len(kept) < HEADERS_BYTES // 2 else "",
        REASON: _encoded(reason),
        ATTEMPTS: str(attempts),
        AT: datetime.now(UTC).isoformat(),
        **({CUT: str(len(raw.data))} if len(data) < len(raw.data) else {}),
    }
    subject = f"{prefix}.{workspace_of(raw.subject) or NOBODY}.{id_}"
    answer = await broker.request(subject, data, headers=headers)
    raise_refusal(msgspec.json.decode(answer.data))


def _encoded(reason: Reason) -> str:
    text = quote(msgspec.json.encode(reason), safe=" \"{}[]:,/'()")
    if len(text) <= REASON_BYTES_MAX:
        return text
    return quote(msgspec.json.encode(Reason(reason.code, reason.detail[:500])), safe=" \"{}[]:,/'()")[:HEADERS_BYTES]


def original(raw: Raw) -> Raw:
    """The message that a letter was made of, at the place of the letter. Raises InvalidInput for what is none."""
    headers = headers_of(raw.headers)
    subject = unquote_to_bytes(headers.get(SUBJECT, ""))
    return Raw(subject, raw.reply, b64decode(headers.get(HEADERS, "")), raw.data)


class DeadLetters:
    """What lies in ROLLBOOK_DEAD, to be looked at, sent again or dropped."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def list(self, workspace_id: UUID | None = None, *, after: int = 0, limit: int = 50) -> list[Letter]:
        """Oldest first, after a sequence; of one workspace, or all."""
        wanted = f"{DEAD_PREFIX}.{workspace_id or '*'}.*"
        letters: list[Letter] = []
        while len(letters) < limit:
            found = await self._get(seq=after + 1, next_by_subj=wanted)
            if found is None:
                break
            letters.append(found)
            after = found.sequence
        return letters

    async def get(self, id_: str, workspace_id: UUID | None = None) -> Letter:
        """Raises NoSuchLetter, also where it is another workspace's."""
        if not all(c.isalnum() or c == "-" for c in id_):
            raise NoSuchLetter(id_)
        found = await self._get(seq=1, next_by_subj=f"{DEAD_PREFIX}.{workspace_id or '*'}.{id_}")
        if found is None:
            raise NoSuchLetter(id_)
        return found

    async def retry(self, letter: Letter) -> None:
        """Sends the message to where it came from, as it was, and drops the letter once it is stored there.

        Raises BrokerRefusal where the original is not whole, or its subject is no more.
        """
        if letter.cut_from is not None:
            raise BrokerRefusal(0, f"only {len(letter.data)} of {letter.cut_from} bytes were kept")
        answer = await self._broker.request(letter.subject, letter.data, headers=headers_of(letter.headers) or None)
        raise_refusal(msgspec.json.decode(answer.data))
        await self.drop(letter)

    async def drop(self, letter: Letter) -> None:
        """For good; dropping it again changes nothing."""
        try:
            await self._broker.api(f"STREAM.MSG.DELETE.{DEAD}", {"seq": letter.sequence})
        except BrokerRefusal as refusal:
            if refusal.code not in (MESSAGE_NOT_FOUND, NOTHING_TO_DELETE):
                raise

    async def _get(self, **which: Any) -> Letter | None:
        try:
            message = (await self._broker.api(f"STREAM.MSG.GET.{DEAD}", which))["message"]
        except BrokerRefusal as refusal:
            if refusal.code != MESSAGE_NOT_FOUND:
                raise
            return None
        return _letter(message)


def _letter(message: Mapping[str, Any]) -> Letter:
    headers = headers_of(b64decode(message.get("hdrs", "")))
    return Letter(
        id=headers[ID],
        sequence=message["seq"],
        subject=unquote_to_bytes(headers[SUBJECT]).decode(errors="surrogateescape"),
        reason=msgspec.json.decode(unquote_to_bytes(headers[REASON]), type=Reason),
        attempts=int(headers[ATTEMPTS]),
        at=datetime.fromisoformat(headers[AT]),
        headers=b64decode(headers[HEADERS]),
        data=b64decode(message.get("data", "")),
        cut_from=int(headers[CUT]) if CUT in headers else None,
    )
