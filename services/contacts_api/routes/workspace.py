"""The caller's workspace: settings and members. Keys are in `keys.py`, attributes in `attributes.py`."""

from __future__ import annotations

from typing import Final

import msgspec

from contacts.errors import InvalidInput, LastOwner, MemberAlreadyAdded, MemberNotFound, TooContended
from contacts.workspace import input as parse
from contacts.workspace.commands import RemoveMember
from contacts.workspace.input import MemberInput, MemberPatch, SettingsInput
from contacts.workspace.permissions import Action
from contacts_api import examples
from contacts_api.answer import Answer, json_answer
from contacts_api.conventions import Cursor, Limit, etag, page_by_key, present_workspace, workspace_answer
from contacts_api.endpoint import MERGE_PATCH_TYPES, Endpoint, Nothing, Returns, endpoint
from contacts_api.request import Call
from contacts_api.workspace_views import MemberPage, MemberView, SettingsView, member_view, settings_view

SETTINGS: Final = "Settings"
MEMBERS: Final = "Members"


class MemberPath(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Addresses one member, percent-encoded."""

    member_id: str


class PageQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which page."""

    limit: Limit = 50
    cursor: Cursor = None


@endpoint(
    "GET",
    "/v1/settings",
    action=Action.SETTINGS_READ,
    tag=SETTINGS,
    takes=("Rollbook-Min-Position",),
    returns=Returns(200, "The settings", SettingsView, ("ETag",)),
)
async def read_settings(call: Call[Nothing, Nothing, Nothing]) -> Answer:
    """Read the workspace's settings, its id among them."""
    workspace = await present_workspace(call)
    return json_answer(200, settings_view(workspace)).header(b"etag", etag(workspace.version))


@endpoint(
    "PATCH",
    "/v1/settings",
    action=Action.SETTINGS_WRITE,
    tag=SETTINGS,
    takes=("Idempotency-Key", "If-Match"),
    media_types=MERGE_PATCH_TYPES,
    examples=examples.SETTINGS_PATCHES,
    returns=Returns(200, "The settings as they are now", SettingsView, ("ETag", "Rollbook-Position")),
    refuses=(InvalidInput, TooContended),
)
async def change_settings(call: Call[Nothing, Nothing, SettingsInput]) -> Answer:
    """Change any of the settings (merge-patch). They hold for what is created from now on."""
    command = parse.change_settings(call.body, call.caller.workspace_id)
    outcome = await call.services.workspace_handler.execute(command, **call.command())
    return workspace_answer(200, settings_view(outcome.workspace), outcome).header(b"etag", etag(outcome.version))


@endpoint(
    "GET",
    "/v1/members",
    action=Action.MEMBERS_READ,
    tag=MEMBERS,
    takes=("Rollbook-Min-Position",),
    returns=Returns(200, "One page of members, by id", MemberPage),
)
async def list_members(call: Call[Nothing, PageQuery, Nothing]) -> Answer:
    """List the members and their roles."""
    members = (await present_workspace(call)).members.values()
    page, cursor, total = page_by_key(members, lambda each: each.id, call.query.limit, call.query.cursor)
    return json_answer(200, MemberPage(tuple(map(member_view, page)), cursor, total))


@endpoint(
    "POST",
    "/v1/members",
    action=Action.MEMBERS_WRITE,
    tag=MEMBERS,
    takes=("Idempotency-Key",),
    examples=examples.MEMBERS,
    returns=Returns(201, "The member", MemberView, ("Rollbook-Position",)),
    refuses=(InvalidInput, MemberAlreadyAdded, TooContended),
)
async def add_member(call: Call[Nothing, Nothing, MemberInput]) -> Answer:
    """Add a member, known by the subject of its tokens."""
    command = parse.add_member(call.body, call.caller.workspace_id)
    outcome = await call.services.workspace_handler.execute(command, **call.command())
    return workspace_answer(201, member_view(outcome.workspace.members[command.member_id]), outcome)


@endpoint(
    "PATCH",
    "/v1/members/{member_id:path}",
    action=Action.MEMBERS_WRITE,
    tag=MEMBERS,
    takes=("Idempotency-Key",),
    media_types=MERGE_PATCH_TYPES,
    examples=examples.MEMBER_PATCHES,
    returns=Returns(200, "The member as it is now", MemberView, ("Rollbook-Position",)),
    refuses=(InvalidInput, LastOwner, MemberNotFound, TooContended),
)
async def change_member_role(call: Call[MemberPath, Nothing, MemberPatch]) -> Answer:
    """Give a member another role. The last owner stays one."""
    command = parse.change_member_role(call.path.member_id, call.body, call.caller.workspace_id)
    outcome = await call.services.workspace_handler.execute(command, **call.command())
    return workspace_answer(200, member_view(outcome.workspace.members[command.member_id]), outcome)


@endpoint(
    "DELETE",
    "/v1/members/{member_id:path}",
    action=Action.MEMBERS_WRITE,
    tag=MEMBERS,
    takes=("Idempotency-Key",),
    returns=Returns(204, "The member is not there any more", headers=("Rollbook-Position",)),
    refuses=(LastOwner, TooContended),
)
async def remove_member(call: Call[MemberPath, Nothing, Nothing]) -> Answer:
    """Remove a member. The last owner stays; who is not there is not missed."""
    command = RemoveMember(workspace_id=call.caller.workspace_id, member_id=call.path.member_id)
    outcome = await call.services.workspace_handler.execute(command, **call.command())
    return Answer(204).header(b"rollbook-position", outcome.appended.token)


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    read_settings,
    change_settings,
    list_members,
    add_member,
    change_member_role,
    remove_member,
)
