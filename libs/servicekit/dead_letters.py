"""Dead letters: inbound messages that could not be recorded, to be looked at, sent again or dropped.

They lie in the JetStream stream ROLLBOOK_DEAD, one subject each; the bridge puts them there. Here is how one looks, and
what the command line and the API do with them.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final
from urllib.parse import unquote_to_bytes
from uuid import UUID

import msgspec
import nats.errors
from nats.aio.client import Client

from servicekit.connect import hang_up

STREAM: Final = "ROLLBOOK_DEAD"
PREFIX: Final = "rollbook.dead.v1"
TIMEOUT_S: Final = 5.0
CONNECT_TIMEOUT_S: Final = 3
NOT_FOUND: Final = frozenset({10037, 10057, 10059})
"""No such message, nothing to delete, no such stream."""

# Headers of a letter. Beside them is the message's body as it came.
ID: Final = "Rollbook-Letter-Id"
#: Percent-encoded.
SUBJECT: Final = "Rollbook-Letter-Subject"
#: The original's, as base64 of their block.
HEADERS: Final = "Rollbook-Letter-Headers"
#: As JSON, percent-encoded.
REASON: Final = "Rollbook-Letter-Reason"
ATTEMPTS: Final = "Rollbook-Letter-Attempts"
AT: Final = "Rollbook-Letter-At"
#: Of the original, where only its beginning was kept.
BYTES: Final = "Rollbook-Letter-Bytes"


class DeadLettersUnavailable(Exception):
    """NATS does not answer, or refused."""


class NoSuchLetter(Exception):
    """It was sent again or dropped, or never was; also the answer for another workspace's."""

    def __init__(self, id_: str) -> None:
        super().__init__(f"there is no dead letter {id_}")


class NotWhole(Exception):
    """Only the beginning was kept, so it cannot be sent again."""


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
    #: In the stream of letters.
    sequence: int
    #: Of the original; bytes that are no text stand as surrogates.
    subject: str
    reason: Reason
    #: How often it was given out.
    attempts: int
    at: datetime
    #: Of the original: a whole block, or nothing.
    headers: bytes
    data: bytes
    #: Bytes of the original, where only its beginning was kept.
    cut_from: int | None = None

    @property
    def workspace_id(self) -> UUID | None:
        try:
            return UUID(self.subject.split(".")[3])
        except (IndexError, ValueError):
            return None

    @property
    def kind(self) -> str:
        """`message.clicked`, …; what stands behind the workspace."""
        return ".".join(self.subject.split(".")[4:])


def parse_headers(block: bytes) -> dict[str, str]:
    """By name as sent. Raises ValueError where it is no block of headers in UTF-8."""
    if not block:
        return {}
    status, *lines = block.decode().split("\r\n")
    if status.strip() != "NATS/1.0":
        raise ValueError("are not NATS headers")
    found: dict[str, str] = {}
    for line in filter(None, lines):
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError("hold a line without a colon")
        found.setdefault(name.strip(), value.strip())
    return found


class DeadLetters:
    """Over one connection. Raises DeadLettersUnavailable wherever NATS is asked."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def list(self, workspace_id: UUID | None = None, *, after: int = 0, limit: int = 50) -> list[Letter]:
        """Oldest first, those after a sequence; of one workspace, or of all and nobody."""
        letters: list[Letter] = []
        while len(letters) < limit:
            found = await self._get(seq=after + 1, next_by_subj=f"{PREFIX}.{workspace_id or '*'}.*")
            if found is None:
                break
            letters.append(found)
            after = found.sequence
        return letters

    async def count(self, workspace_id: UUID) -> int:
        """How many of a workspace there are."""
        wanted = {"subjects_filter": f"{PREFIX}.{workspace_id}.*"}
        answer = await self._api(f"STREAM.INFO.{STREAM}", wanted)
        return 0 if answer is None else len(answer["state"].get("subjects") or ())

    async def get(self, id_: str, workspace_id: UUID | None = None) -> Letter:
        """Raises NoSuchLetter."""
        if not id_ or not all(c.isalnum() or c == "-" for c in id_) or not id_.isascii():
            raise NoSuchLetter(id_)
        found = await self._get(seq=1, next_by_subj=f"{PREFIX}.{workspace_id or '*'}.{id_}")
        if found is None:
            raise NoSuchLetter(id_)
        return found

    async def retry(self, letter: Letter) -> None:
        """Sends the message to where it came from, as it was, and drops the letter once it is stored there.

        Should that be cut off in between, it is recorded once all the same. Raises NotWhole.
        """
        if letter.cut_from is not None:
            raise NotWhole(f"only {len(letter.data)} of {letter.cut_from} bytes were kept")
        try:
            headers = parse_headers(letter.headers)
        except ValueError as error:
            raise NotWhole(f"its headers {error}") from None
        answer = await self._request(letter.subject, letter.data, headers or None)
        if "error" in answer:
            raise DeadLettersUnavailable(answer["error"].get("description", "refused"))
        await self.drop(letter)

    async def drop(self, letter: Letter) -> None:
        """For good; dropping it again changes nothing."""
        await self._api(f"STREAM.MSG.DELETE.{STREAM}", {"seq": letter.sequence})

    async def _get(self, **which: Any) -> Letter | None:
        answer = await self._api(f"STREAM.MSG.GET.{STREAM}", which)
        return None if answer is None else _letter(answer["message"])

    async def _api(self, verb: str, body: Mapping[str, Any]) -> dict[str, Any] | None:
        """None where there is no such thing."""
        answer = await self._request(f"$JS.API.{verb}", msgspec.json.encode(body), None)
        error = answer.get("error")
        if error is None:
            return answer
        if error.get("err_code") in NOT_FOUND:
            return None
        raise DeadLettersUnavailable(error.get("description", "refused"))

    async def _request(self, subject: str, payload: bytes, headers: dict[str, str] | None) -> dict[str, Any]:
        try:
            message = await self._client.request(subject, payload, timeout=TIMEOUT_S, headers=headers)
        except (nats.errors.Error, OSError, UnicodeEncodeError) as error:
            raise DeadLettersUnavailable(type(error).__name__) from error
        found: dict[str, Any] = msgspec.json.decode(message.data)
        return found


@asynccontextmanager
async def dead_letters(nats_url: str, *, application: str) -> AsyncIterator[DeadLetters]:
    """A connection for one look. Raises DeadLettersUnavailable."""

    async def ignore(_: Exception) -> None:
        """Every error reaches whoever asks."""

    client = Client()
    try:
        try:
            await client.connect(
                nats_url.split(","),
                name=f"rollbook-{application}-dead-letters",
                inbox_prefix=f"_INBOX_{application}",
                allow_reconnect=False,
                connect_timeout=CONNECT_TIMEOUT_S,
                error_cb=ignore,
            )
        except (nats.errors.Error, OSError) as error:
            raise DeadLettersUnavailable(type(error).__name__) from error
        yield DeadLetters(client)
    finally:
        await hang_up(client)


def _letter(message: Mapping[str, Any]) -> Letter:
    headers = parse_headers(b64decode(message.get("hdrs", "")))
    return Letter(
        id=headers[ID],
        sequence=message["seq"],
        subject=unquote_to_bytes(headers[SUBJECT]).decode(errors="surrogateescape"),
        reason=msgspec.json.decode(unquote_to_bytes(headers[REASON]), type=Reason),
        attempts=int(headers[ATTEMPTS]),
        at=datetime.fromisoformat(headers[AT]),
        headers=b64decode(headers[HEADERS]),
        data=b64decode(message.get("data", "")),
        cut_from=int(headers[BYTES]) if BYTES in headers else None,
    )
