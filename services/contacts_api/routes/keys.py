"""API keys of the workspace: list, issue, revoke."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import msgspec

from contacts.errors import InvalidInput, KeyNotFound, LastOwner, TooContended
from contacts.workspace.commands import RevokeKey
from contacts.workspace.input import KeyInput
from contacts.workspace.input import issue_key as parse_key_input
from contacts.workspace.keys import make_key
from contacts.workspace.permissions import Action
from contacts_api import examples
from contacts_api.answer import Answer, json_answer
from contacts_api.conventions import page_by_key, present_workspace, workspace_answer
from contacts_api.endpoint import Endpoint, Nothing, Returns, endpoint
from contacts_api.request import Call
from contacts_api.routes.workspace import PageQuery
from contacts_api.workspace_views import IssuedKeyView, KeyPage, KeyView, issued_key_view, key_view

TAG: Final = "API keys"


class KeyPath(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Addresses one key by its id, the third part of its text."""

    key_id: str


@endpoint(
    "GET",
    "/v1/keys",
    action=Action.KEYS_READ,
    tag=TAG,
    takes=("Rollbook-Min-Position",),
    returns=Returns(200, "One page of keys, by id", KeyPage),
)
async def list_keys(call: Call[Nothing, PageQuery, Nothing]) -> Answer:
    """List the API keys, revoked ones too. Their texts are not kept."""
    keys = (await present_workspace(call)).keys.values()
    page, cursor, total = page_by_key(keys, lambda each: each.id, call.query.limit, call.query.cursor)
    return json_answer(200, KeyPage(tuple(map(key_view, page)), cursor, total))


@endpoint(
    "POST",
    "/v1/keys",
    action=Action.KEYS_WRITE,
    tag=TAG,
    takes=("Idempotency-Key",),
    examples=examples.KEYS,
    returns=Returns(201, "The key, with its text", IssuedKeyView, ("Rollbook-Position",)),
    refuses=(InvalidInput, TooContended),
)
async def issue_key(call: Call[Nothing, Nothing, KeyInput]) -> Answer:
    """Issue an API key. Its text is in this answer and nowhere else.

    A repeat with the same idempotency key issues no second key and answers the first one without its text: if that
    answer was lost, revoke the key and issue another.
    """
    workspace_id = call.caller.workspace_id
    new = make_key(workspace_id)
    command = parse_key_input(call.body, workspace_id, new, datetime.now(UTC))
    outcome = await call.services.workspace_handler.execute(command, **call.command())
    # The event of this command is the last one folded, so its key is the last one held.
    key = next(reversed(outcome.workspace.keys.values()))
    return workspace_answer(201, issued_key_view(key, None if outcome.replayed else new.text), outcome)


@endpoint(
    "DELETE",
    "/v1/keys/{key_id}",
    action=Action.KEYS_WRITE,
    tag=TAG,
    takes=("Idempotency-Key",),
    returns=Returns(200, "The key as it is now", KeyView, ("Rollbook-Position",)),
    refuses=(KeyNotFound, LastOwner, TooContended),
)
async def revoke_key(call: Call[KeyPath, Nothing, Nothing]) -> Answer:
    """Revoke an API key, for every process within a second. The last key of the last owner stays."""
    command = RevokeKey(workspace_id=call.caller.workspace_id, key_id=call.path.key_id)
    outcome = await call.services.workspace_handler.execute(command, **call.command())
    return workspace_answer(200, key_view(outcome.workspace.keys[command.key_id]), outcome)


ENDPOINTS: Final[tuple[Endpoint, ...]] = (list_keys, issue_key, revoke_key)
