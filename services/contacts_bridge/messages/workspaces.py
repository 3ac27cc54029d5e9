"""Messages of a workspace: settings, keys, members, custom attributes. Never values."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from contacts.workspace import events as workspace
from contacts_bridge.messages.public import Changed, Data, PublicMessage, names


class WorkspaceCreated(Data, frozen=True, kw_only=True, gc=False):
    """A new workspace."""


class WorkspaceSettingsChanged(Data, frozen=True, kw_only=True, gc=False):
    """Other settings of a workspace."""

    changed: Changed


class WorkspaceKey(Data, frozen=True, kw_only=True, gc=False):
    """An API key came or went."""

    key: Annotated[str, Meta(description="Id of the key; its text is never told.")]


class WorkspaceMember(Data, frozen=True, kw_only=True, gc=False):
    """Somebody came, went or got another role. Who is not told: a member's id may be an e-mail address."""

    role: Annotated[str, Meta(description="The role held from now on.")] | UnsetType = UNSET


class AttributeChanged(Data, frozen=True, kw_only=True, gc=False):
    """The definition of a custom attribute."""

    key: str


def _settings(event: workspace.WorkspaceSettingsChanged, _: bool) -> WorkspaceSettingsChanged:
    return WorkspaceSettingsChanged(changed=names(msgspec.to_builtins(event)))


def _key(event: workspace.WorkspaceKeyIssued | workspace.WorkspaceKeyRevoked, _: bool) -> WorkspaceKey:
    return WorkspaceKey(key=event.key_id)


def _member(event: workspace.WorkspaceMemberAdded | workspace.WorkspaceMemberRoleChanged, _: bool) -> WorkspaceMember:
    return WorkspaceMember(role=event.role)


def _attribute(event: workspace.AttributeDefined | workspace.AttributeArchived, _: bool) -> AttributeChanged:
    return AttributeChanged(key=event.key)


MESSAGES: Final = (
    PublicMessage("workspace.created", "A workspace was created", WorkspaceCreated, lambda _e, _v: WorkspaceCreated()),
    PublicMessage("workspace.settings_changed", "Settings changed", WorkspaceSettingsChanged, _settings),
    PublicMessage("workspace.key_issued", "An API key was issued", WorkspaceKey, _key),
    PublicMessage("workspace.key_revoked", "An API key was revoked", WorkspaceKey, _key),
    PublicMessage("workspace.member_added", "Somebody joined the workspace", WorkspaceMember, _member),
    PublicMessage("workspace.member_role_changed", "Somebody has another role", WorkspaceMember, _member),
    PublicMessage(
        "workspace.member_removed", "Somebody left the workspace", WorkspaceMember, lambda _e, _v: WorkspaceMember()
    ),
    PublicMessage("attribute.defined", "A custom attribute was defined", AttributeChanged, _attribute),
    PublicMessage("attribute.renamed", "A custom attribute was renamed", AttributeChanged, _attribute),
    PublicMessage("attribute.archived", "A custom attribute takes no new values", AttributeChanged, _attribute),
)
