"""Dead letters: inbound messages of this workspace that could not be recorded. The bridge puts them aside."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec

from contacts.errors import IdempotencyKeyReused
from contacts.workspace.permissions import Action
from contacts_api.answer import Answer, json_answer
from contacts_api.conventions import Limit
from contacts_api.endpoint import Endpoint, Nothing, Returns, endpoint
from contacts_api.request import Call
from contacts_api.views import Total, View
from eventstore.envelope import Write
from eventstore.errors import DuplicateAppend
from servicekit.dead_letters import DeadLetters, DeadLettersUnavailable, Letter, NoSuchLetter, NotWhole, dead_letters

TAG: Final = "Dead letters"
APPLICATION: Final = "api"


class DeadLetterPath(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Addresses one letter."""

    letter_id: Annotated[str, msgspec.Meta(max_length=100)]


class DeadLettersQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which part of the list."""

    limit: Limit = 50
    cursor: Annotated[
        Annotated[int, msgspec.Meta(ge=0, le=2**53)] | None,
        msgspec.Meta(description="`next_cursor` of the page before."),
    ] = None


class LetterFaultView(View, frozen=True):
    """One thing that is wrong with the message."""

    pointer: str
    reason: str
    expected: str


class LetterReasonView(View, frozen=True):
    """Why it could not be recorded."""

    #: `invalid-input`, `contact-unknown`, `workspace-not-found`, `internal-error`, …
    code: str
    detail: str
    errors: tuple[LetterFaultView, ...]


class DeadLetterView(View, frozen=True, kw_only=True):
    """A message that was put aside."""

    id: str
    #: `message.clicked`, `order.placed`, …: what its subject says.
    kind: str
    reason: LetterReasonView
    #: How often it was tried.
    attempts: int
    #: When it was put aside.
    at: datetime
    #: Bytes of the original.
    size: int
    #: The original, as far as it was kept: text where it is text, else base64.
    message: str
    encoding: str


class DeadLetterPage(View, frozen=True):
    """One page of letters, oldest first."""

    items: tuple[DeadLetterView, ...]
    next_cursor: str | None
    total: Total


_EXAMPLE: Final[dict[str, Any]] = {
    "id": "1742-5f1d0c9a77e2",
    "kind": "message.clicked",
    "reason": {"code": "contact-unknown", "detail": "nobody is known by this external_id", "errors": []},
    "attempts": 1,
    "at": "2026-11-22T09:30:00Z",
    "size": 27,
    "message": '{"id": "m-1", "data": {}}',
    "encoding": "utf-8",
}
LETTERS: Final = {"items": [_EXAMPLE], "next_cursor": None, "total": {"count": 1, "exact": True}}


@endpoint(
    "GET",
    "/v1/dead-letters",
    action=Action.DEAD_LETTERS_READ,
    tag=TAG,
    returns=Returns(200, "One page of letters", DeadLetterPage, (), LETTERS),
    refuses=(DeadLettersUnavailable,),
)
async def list_dead_letters(call: Call[Nothing, DeadLettersQuery, Nothing]) -> Answer:
    """List the inbound NATS messages that could not be recorded, oldest first, each with its reason."""
    workspace_id, limit = call.caller.workspace_id, call.query.limit
    async with _letters(call) as letters:
        if letters is None:
            return json_answer(200, DeadLetterPage((), None, Total(0, True)))
        found = await letters.list(workspace_id, after=call.query.cursor or 0, limit=limit + 1)
        count = await letters.count(workspace_id)
    page = found[:limit]
    cursor = str(page[-1].sequence) if len(found) > limit else None
    return json_answer(200, DeadLetterPage(tuple(map(_view, page)), cursor, Total(count, True)))


@endpoint(
    "GET",
    "/v1/dead-letters/{letter_id}",
    action=Action.DEAD_LETTERS_READ,
    tag=TAG,
    returns=Returns(200, "The letter", DeadLetterView, (), _EXAMPLE),
    refuses=(NoSuchLetter, DeadLettersUnavailable),
)
async def read_dead_letter(call: Call[DeadLetterPath, Nothing, Nothing]) -> Answer:
    """Read one."""
    async with _letters(call) as letters:
        return json_answer(200, _view(await _letter(call, letters)))


@endpoint(
    "POST",
    "/v1/dead-letters/{letter_id}/retry",
    action=Action.DEAD_LETTERS_WRITE,
    tag=TAG,
    takes=("Idempotency-Key",),
    returns=Returns(204, "It was sent again"),
    refuses=(NoSuchLetter, NotWhole, DeadLettersUnavailable, IdempotencyKeyReused),
)
async def retry_dead_letter(call: Call[DeadLetterPath, Nothing, Nothing]) -> Answer:
    """Send the message to the inbox again, as it came, once its reason is gone.

    It is recorded once, however often it is sent. Where it cannot be recorded this time either, it becomes another dead
    letter.
    """
    return await _once(call, lambda letters, letter: letters.retry(letter))


@endpoint(
    "DELETE",
    "/v1/dead-letters/{letter_id}",
    action=Action.DEAD_LETTERS_WRITE,
    tag=TAG,
    takes=("Idempotency-Key",),
    returns=Returns(204, "It is gone for good"),
    refuses=(NoSuchLetter, DeadLettersUnavailable, IdempotencyKeyReused),
)
async def drop_dead_letter(call: Call[DeadLetterPath, Nothing, Nothing]) -> Answer:
    """Drop one for good."""
    return await _once(call, lambda letters, letter: letters.drop(letter))


async def _once(call: Call[DeadLetterPath, Any, Any], act: Callable[[DeadLetters, Letter], Awaitable[None]]) -> Answer:
    """A repeat with the same key finds the letter gone, and is answered as the first one was."""
    store, workspace_id, key = call.services.store, call.caller.workspace_id, call.idempotency_key
    digest = b"" if key is None else call.request_hash()
    found = None if key is None else await store.find_idempotent(workspace_id, key)
    if found is not None:
        if found[1] != digest:
            raise IdempotencyKeyReused
        return Answer(204)
    async with _letters(call) as letters:
        letter = await _letter(call, letters)
        assert letters is not None, "a letter was found there"
        await act(letters, letter)
    if key is not None:
        try:
            await store.append(Write(workspace_id=workspace_id, streams=(), idempotency_key=key, request_hash=digest))
        except DuplicateAppend as duplicate:
            if not duplicate.same_request:
                raise IdempotencyKeyReused from None
    return Answer(204)


@asynccontextmanager
async def _letters(call: Call[Any, Any, Any]) -> AsyncIterator[DeadLetters | None]:
    """None where nothing comes in over NATS, so that nothing can be put aside."""
    url = call.services.settings.nats_url
    if not url:
        yield None
        return
    async with dead_letters(url, application=APPLICATION) as letters:
        yield letters


async def _letter(call: Call[DeadLetterPath, Any, Any], letters: DeadLetters | None) -> Letter:
    if letters is None:
        raise NoSuchLetter(call.path.letter_id)
    return await letters.get(call.path.letter_id, call.caller.workspace_id)


def _view(letter: Letter) -> DeadLetterView:
    reason = letter.reason
    try:
        message, encoding = letter.data.decode(), "utf-8"
    except UnicodeDecodeError:
        message, encoding = b64encode(letter.data).decode(), "base64"
    return DeadLetterView(
        id=letter.id,
        kind=letter.kind.encode(errors="replace").decode(),
        reason=LetterReasonView(
            reason.code, reason.detail, tuple(LetterFaultView(f.pointer, f.reason, f.expected) for f in reason.errors)
        ),
        attempts=letter.attempts,
        at=letter.at,
        size=letter.cut_from or len(letter.data),
        message=message,
        encoding=encoding,
    )


ENDPOINTS: Final[tuple[Endpoint, ...]] = (list_dead_letters, read_dead_letter, retry_dead_letter, drop_dead_letter)
