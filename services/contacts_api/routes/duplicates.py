"""Duplicates: who shares an e-mail or phone, who is likely to be the same person, and what to do about it."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

from contacts.duplicate.commands import DismissDuplicate
from contacts.duplicate.input import RemovalInput, parse_key, remove_duplicates
from contacts.duplicate.keys import By
from contacts.duplicate.refusals import DuplicateNotFound, UnexpectedCount
from contacts.errors import InvalidInput, InvalidValue
from contacts.workspace.permissions import Action
from contacts_api import duplicate_examples as examples
from contacts_api.answer import Answer, json_answer
from contacts_api.conventions import Cursor, Limit, MinPosition, shown_position
from contacts_api.decoding import Fault, Malformed
from contacts_api.duplicate_views import (
    DismissedView,
    DuplicateDetailView,
    DuplicatePage,
    RemovedView,
    duplicate_detail,
    duplicate_page,
    removed_view,
)
from contacts_api.endpoint import KIB, Endpoint, Nothing, Returns, endpoint
from contacts_api.request import Call
from contacts_api.services import CONTACT, DUPLICATE

TAG: Final = "Duplicates"
#: A thousand addresses.
REMOVAL_BYTES_MAX: Final = 512 * KIB


class DuplicatesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which list of duplicates, and which part of it."""

    by: Annotated[By, msgspec.Meta(description="What they have in common.")] = "email"
    min_score: Annotated[
        Annotated[float, msgspec.Meta(ge=0, le=1_000)] | None,
        msgspec.Meta(description="Of `likely`: only pairs with this score; by default it grows with the workspace."),
    ] = None
    limit: Limit = 50
    cursor: Cursor = None
    min_position: MinPosition = None


class DuplicateQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which part of one group."""

    limit: Limit = 100
    cursor: Cursor = None
    min_position: MinPosition = None


class DuplicatePath(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Addresses one group or pair."""

    by: By
    key: Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]


@endpoint(
    "GET",
    "/v1/duplicates",
    action=Action.CONTACTS_READ,
    tag=TAG,
    takes=("Rollbook-Min-Position",),
    returns=Returns(200, "One page of groups or pairs", DuplicatePage, ("Rollbook-Position",), examples.DUPLICATES),
)
async def list_duplicates(call: Call[Nothing, DuplicatesQuery, Nothing]) -> Answer:
    """List contacts that may be one person: by e-mail or phone as groups, or likely ones as pairs.

    Groups come by the alphabet. Addresses are compared in their normal form, which also ignores dots and tags where the
    provider does. Deleted contacts, and those that are part of another, are in no group.

    Likely pairs come with the likeliest first, each with a score and the evidence it is made of: names with their short
    forms, misspelt or swapped, e-mails and phones that differ by a slip, addresses, days of birth (custom attributes
    named like one). The score is in bits: n bits outweigh odds of 2 to the power of n against it, so the more contacts
    there are, the more is asked of a pair (`min_score`). Who is compared is found by what two have in common; what more
    than 20 contacts have in common is passed over. What was dismissed is not shown again.
    """
    query = call.query
    position = await shown_position(call, query.min_position, DUPLICATE)
    try:
        page = await call.services.duplicate_queries.list(
            call.caller.workspace_id, query.by, limit=query.limit, cursor=query.cursor, min_score=query.min_score
        )
    except InvalidInput as refused:
        raise Malformed(Fault(refused.errors[0].reason, parameter="cursor")) from None
    return json_answer(200, duplicate_page(page)).header(b"rollbook-position", position)


@endpoint(
    "GET",
    "/v1/duplicates/{by}/{key}",
    action=Action.CONTACTS_READ,
    tag=TAG,
    takes=("Rollbook-Min-Position",),
    returns=Returns(200, "The group or pair", DuplicateDetailView, ("Rollbook-Position",), examples.DUPLICATE),
    refuses=(DuplicateNotFound,),
)
async def read_duplicate(call: Call[DuplicatePath, DuplicateQuery, Nothing]) -> Answer:
    """Read a group or pair with its contacts, those created first at the beginning.

    `key` is an e-mail or phone in any spelling (a slash in it is sent as `%252F`), or the ids of two contacts with an
    underscore between them. `merge` can be sent to `POST /v1/merges/preview` as it is.
    """
    query, services, workspace_id = call.query, call.services, call.caller.workspace_id
    key = await _key(call)
    # The group is of one read model, its contacts of the other.
    positions = [await shown_position(call, query.min_position, name) for name in (DUPLICATE, CONTACT)]
    try:
        found, next_cursor = await services.duplicate_queries.get(
            workspace_id, call.path.by, key, limit=query.limit, cursor=query.cursor
        )
    except InvalidInput as refused:
        raise Malformed(Fault(refused.errors[0].reason, parameter="cursor")) from None
    contacts = await services.contact_queries.get_many(workspace_id, found.contacts)
    present = [
        contact
        for id_ in found.contacts
        if (contact := contacts.get(id_)) and contact.id == id_ and not contact.deleted
    ]
    view = duplicate_detail(call.path.by, found, present, next_cursor)
    earlier = min(positions, key=lambda token: int(token.partition(".")[2]))
    return json_answer(200, view).header(b"rollbook-position", earlier)


@endpoint(
    "POST",
    "/v1/duplicates/{by}/{key}/dismiss",
    action=Action.CONTACTS_MERGE,
    tag=TAG,
    takes=("Idempotency-Key", "Rollbook-Min-Position"),
    returns=Returns(200, "It is dismissed", DismissedView, ("Rollbook-Position",)),
    refuses=(DuplicateNotFound,),
)
async def dismiss_duplicate(call: Call[DuplicatePath, Nothing, Nothing]) -> Answer:
    """Say that these are no duplicates, or that it does not matter: they are not shown again.

    A dismissed pair stays dismissed, and so does a dismissed address, whoever has it later.
    """
    key = await _key(call)
    await shown_position(call, None, DUPLICATE)
    command = DismissDuplicate(workspace_id=call.caller.workspace_id, by=call.path.by, key=key)
    appended = await call.services.duplicate_handler.dismiss(command, **_envelope(call))
    view = DismissedView(command.by, command.key, True)
    return json_answer(200, view).header(b"rollbook-position", appended.token)


@endpoint(
    "POST",
    "/v1/duplicates/remove",
    action=Action.CONTACTS_BULK,
    tag=TAG,
    takes=("Idempotency-Key", "Rollbook-Min-Position"),
    body_bytes_max=REMOVAL_BYTES_MAX,
    examples=examples.REMOVALS,
    returns=Returns(202, "What was deleted, and what is left", RemovedView, ("Rollbook-Position",), examples.REMOVED),
    refuses=(InvalidInput, UnexpectedCount),
)
async def remove_duplicates_of_groups(call: Call[Nothing, Nothing, RemovalInput]) -> Answer:
    """Delete all contacts of each group but the one created first, or last. They can be restored one by one.

    Of `keys`, what is no group (any more) is passed over. One request deletes at most 5,000 contacts; `remaining` says
    how many are left for the next. A contact is deleted only if the log still has it in the group, together with the
    one that stays: whatever was changed meanwhile is skipped. With `expected_count`, nothing is done where another
    number would be deleted.
    """
    services, workspace_id = call.services, call.caller.workspace_id
    workspace = await services.workspaces.get(workspace_id)
    command = remove_duplicates(call.body, workspace_id=workspace_id, region=workspace.settings.default_region)
    await shown_position(call, None, DUPLICATE)
    outcome = await services.duplicate_removal.execute(command, **_envelope(call))
    return json_answer(202, removed_view(outcome.removed)).header(b"rollbook-position", outcome.appended.token)


async def _key(call: Call[DuplicatePath, Any, Any]) -> str:
    """What the address names. Raises DuplicateNotFound for what cannot be the name of anything."""
    workspace = await call.services.workspaces.get(call.caller.workspace_id)
    # A slash that is encoded once would end the segment.
    text = call.path.key.replace("%2F", "/").replace("%2f", "/")
    try:
        return parse_key(call.path.by, text, workspace.settings.default_region)
    except InvalidValue:
        raise DuplicateNotFound(call.path.by) from None


def _envelope(call: Call[Any, Any, Any]) -> dict[str, Any]:
    """Neither has a version that a caller could have decided on."""
    envelope = call.command()
    return {name: envelope[name] for name in ("metadata", "idempotency_key", "request_hash")}


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    list_duplicates,
    read_duplicate,
    dismiss_duplicate,
    remove_duplicates_of_groups,
)
