"""What hangs on a contact one by one: tags and channels."""

from __future__ import annotations

from typing import Annotated, Final
from uuid import UUID

import msgspec

from contacts.contact import commands
from contacts.contact.decider import TAGS_MAX
from contacts.contact.input import ChannelInput, parse_channel, parse_tags
from contacts.errors import IdentityMissing, TooMany
from contacts.workspace.permissions import Action
from contacts_api import examples
from contacts_api.answer import Answer
from contacts_api.conventions import changed
from contacts_api.endpoint import Endpoint, Nothing, endpoint
from contacts_api.request import Call
from contacts_api.routes.contacts import CHANGE_REFUSALS, CHANGED, EDITING, TAG, ContactPath


class TagPath(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Addresses one tag of a contact."""

    contact_id: UUID
    tag: str


class ChannelPath(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Addresses the channel identities of one kind with one token."""

    contact_id: UUID
    kind: str
    token: str


class ChannelQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which application's token, where it belongs to one."""

    application: str | None = None


class TagsInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Tags to add."""

    tags: Annotated[list[str], msgspec.Meta(min_length=1, max_length=TAGS_MAX)]


@endpoint(
    "POST",
    "/v1/contacts/{contact_id}/tags",
    action=Action.CONTACTS_WRITE,
    tag=TAG,
    takes=EDITING,
    examples=examples.TAGS,
    returns=CHANGED,
    refuses=(*CHANGE_REFUSALS, TooMany),
)
async def tag_contact(call: Call[ContactPath, Nothing, TagsInput]) -> Answer:
    """Add tags. Tags that differ only in case are the same tag, spelt as it was first."""
    command = commands.TagContact(
        workspace_id=call.caller.workspace_id, contact_id=call.path.contact_id, tags=parse_tags(call.body.tags)
    )
    return await changed(call, command)


@endpoint(
    "DELETE",
    "/v1/contacts/{contact_id}/tags/{tag:path}",
    action=Action.CONTACTS_WRITE,
    tag=TAG,
    takes=EDITING,
    returns=CHANGED,
    refuses=CHANGE_REFUSALS,
)
async def untag_contact(call: Call[TagPath, Nothing, Nothing]) -> Answer:
    """Take a tag away. A tag the contact does not have changes nothing."""
    command = commands.UntagContact(
        workspace_id=call.caller.workspace_id,
        contact_id=call.path.contact_id,
        tags=parse_tags([call.path.tag], "/tag"),
    )
    return await changed(call, command)


@endpoint(
    "POST",
    "/v1/contacts/{contact_id}/channels",
    action=Action.CONTACTS_WRITE,
    tag=TAG,
    takes=EDITING,
    examples=examples.CHANNELS,
    returns=CHANGED,
    refuses=(*CHANGE_REFUSALS, TooMany),
)
async def connect_channel(call: Call[ContactPath, Nothing, ChannelInput]) -> Answer:
    """Connect a channel identity. A new token of a known application and device replaces the old one."""
    command = commands.ConnectChannel(
        workspace_id=call.caller.workspace_id, contact_id=call.path.contact_id, channel=parse_channel(call.body)
    )
    return await changed(call, command)


@endpoint(
    "DELETE",
    "/v1/contacts/{contact_id}/channels/{kind}/{token:path}",
    action=Action.CONTACTS_WRITE,
    tag=TAG,
    takes=EDITING,
    returns=CHANGED,
    refuses=(*CHANGE_REFUSALS, IdentityMissing),
)
async def disconnect_channel(call: Call[ChannelPath, ChannelQuery, Nothing]) -> Answer:
    """Disconnect a channel identity that reaches the person no more. One the contact does not have changes nothing."""
    channel = parse_channel(
        ChannelInput(kind=call.path.kind, token=call.path.token, application=call.query.application)
    )
    command = commands.DisconnectChannel(
        workspace_id=call.caller.workspace_id,
        contact_id=call.path.contact_id,
        kind=channel.kind,
        token=channel.token,
        application=channel.application,
    )
    return await changed(call, command)


ENDPOINTS: Final[tuple[Endpoint, ...]] = (tag_contact, untag_contact, connect_channel, disconnect_channel)
