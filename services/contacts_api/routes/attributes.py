"""Custom attributes of the workspace: list, define, rename, archive."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from contacts.errors import AttributeAlreadyDefined, AttributeNotFound, InvalidInput, TooContended
from contacts.workspace import input as parse
from contacts.workspace.commands import ArchiveAttribute
from contacts.workspace.input import AttributeInput, AttributePatch
from contacts.workspace.permissions import Action
from contacts_api import examples
from contacts_api.answer import Answer, json_answer
from contacts_api.conventions import Cursor, Limit, page_by_key, present_workspace, workspace_answer
from contacts_api.endpoint import KIB, MERGE_PATCH_TYPES, Endpoint, Nothing, Returns, endpoint
from contacts_api.request import Call
from contacts_api.workspace_views import AttributePage, AttributeView, attribute_view

TAG: Final = "Attributes"
#: Room for a thousand options, in bytes.
ATTRIBUTE_BYTES_MAX: Final = 512 * KIB
CHANGED: Final = Returns(200, "The attribute as it is now", AttributeView, ("Rollbook-Position",))


class AttributePath(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Addresses one attribute."""

    key: str


class AttributeQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which attributes."""

    archived: Literal["false", "true"] = "false"
    limit: Limit = 50
    cursor: Cursor = None


@endpoint(
    "GET",
    "/v1/attributes",
    action=Action.ATTRIBUTES_READ,
    tag=TAG,
    takes=("Rollbook-Min-Position",),
    returns=Returns(200, "One page of attributes, by key", AttributePage),
)
async def list_attributes(call: Call[Nothing, AttributeQuery, Nothing]) -> Answer:
    """List the custom attributes, or the archived ones."""
    wanted = call.query.archived == "true"
    found = (each for each in (await present_workspace(call)).attributes.values() if each.archived == wanted)
    page, cursor, total = page_by_key(found, lambda each: each.key, call.query.limit, call.query.cursor)
    return json_answer(200, AttributePage(tuple(map(attribute_view, page)), cursor, total))


@endpoint(
    "POST",
    "/v1/attributes",
    action=Action.ATTRIBUTES_WRITE,
    tag=TAG,
    takes=("Idempotency-Key",),
    body_bytes_max=ATTRIBUTE_BYTES_MAX,
    examples=examples.ATTRIBUTES,
    returns=Returns(201, "The attribute", AttributeView, ("Rollbook-Position",)),
    refuses=(AttributeAlreadyDefined, InvalidInput, TooContended),
)
async def define_attribute(call: Call[Nothing, Nothing, AttributeInput]) -> Answer:
    """Define a custom attribute, or take an archived one of the same type back into use.

    Key, type and level never change; name and options can.
    """
    command = parse.define_attribute(call.body, call.caller.workspace_id)
    outcome = await call.services.workspace_handler.execute(command, **call.command())
    return workspace_answer(201, attribute_view(outcome.workspace.attributes[command.key]), outcome)


@endpoint(
    "PATCH",
    "/v1/attributes/{key}",
    action=Action.ATTRIBUTES_WRITE,
    tag=TAG,
    takes=("Idempotency-Key",),
    media_types=MERGE_PATCH_TYPES,
    body_bytes_max=ATTRIBUTE_BYTES_MAX,
    examples=examples.ATTRIBUTE_PATCHES,
    returns=CHANGED,
    refuses=(AttributeNotFound, InvalidInput, TooContended),
)
async def rename_attribute(call: Call[AttributePath, Nothing, AttributePatch]) -> Answer:
    """Change an attribute's name or options. What contacts hold stays, also where its option is gone."""
    command = parse.rename_attribute(call.path.key, call.body, call.caller.workspace_id)
    outcome = await call.services.workspace_handler.execute(command, **call.command())
    return workspace_answer(200, attribute_view(outcome.workspace.attributes[command.key]), outcome)


@endpoint(
    "DELETE",
    "/v1/attributes/{key}",
    action=Action.ATTRIBUTES_WRITE,
    tag=TAG,
    takes=("Idempotency-Key",),
    returns=CHANGED,
    refuses=(AttributeNotFound, TooContended),
)
async def archive_attribute(call: Call[AttributePath, Nothing, Nothing]) -> Answer:
    """Archive an attribute: it takes no new values, what contacts hold stays."""
    command = ArchiveAttribute(workspace_id=call.caller.workspace_id, key=call.path.key)
    outcome = await call.services.workspace_handler.execute(command, **call.command())
    return workspace_answer(200, attribute_view(outcome.workspace.attributes[command.key]), outcome)


ENDPOINTS: Final[tuple[Endpoint, ...]] = (list_attributes, define_attribute, rename_attribute, archive_attribute)
