"""What one can ask of a workspace. Values in commands are parsed (`workspace/input.py`); ids come from outside."""

from __future__ import annotations

from datetime import datetime
from typing import TypeAlias
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from contacts.values import AttributeType
from contacts.workspace.events import AttributeLevel, Role, WorkspaceSettingsChanged


class _Command(msgspec.Struct, frozen=True, kw_only=True):
    """Shared shape of commands: which workspace."""

    workspace_id: UUID


class CreateWorkspace(_Command, frozen=True, kw_only=True):
    """A new workspace with its first key, which owns it. Refused: WorkspaceAlreadyExists."""

    name: str
    key_id: str
    key_digest: bytes


class ChangeSettings(_Command, frozen=True, kw_only=True):
    """`wanted` may hold what is so already; only the rest is recorded."""

    wanted: WorkspaceSettingsChanged


class IssueKey(_Command, frozen=True, kw_only=True):
    """The text of the key stays with the caller; a repeat of the same key changes nothing."""

    key_id: str
    name: str
    digest: bytes
    role: Role
    scopes: tuple[str, ...] = ()
    expires_at: datetime | None = None


class RevokeKey(_Command, frozen=True, kw_only=True):
    """Refused: KeyNotFound, LastOwner."""

    key_id: str
    reason: str | None = None


class AddMember(_Command, frozen=True, kw_only=True):
    """Refused: MemberAlreadyAdded with another role."""

    member_id: str
    role: Role
    scopes: tuple[str, ...] = ()


class ChangeMemberRole(_Command, frozen=True, kw_only=True):
    """Refused: MemberNotFound, LastOwner."""

    member_id: str
    role: Role
    scopes: tuple[str, ...] = ()


class RemoveMember(_Command, frozen=True, kw_only=True):
    """Refused: LastOwner. Removing who is not there changes nothing."""

    member_id: str


class DefineAttribute(_Command, frozen=True, kw_only=True):
    """A new custom attribute, or an archived one of the same type revived. Refused: AttributeAlreadyDefined."""

    key: str
    name: str
    type: AttributeType
    options: tuple[str, ...] = ()
    level: AttributeLevel = "contact"


class RenameAttribute(_Command, frozen=True, kw_only=True):
    """Refused: AttributeNotFound, InvalidInput where options are given to a type that has none."""

    key: str
    name: str | UnsetType = UNSET
    options: tuple[str, ...] | UnsetType = UNSET


class ArchiveAttribute(_Command, frozen=True, kw_only=True):
    """Refused: AttributeNotFound."""

    key: str


WorkspaceCommand: TypeAlias = (
    CreateWorkspace
    | ChangeSettings
    | IssueKey
    | RevokeKey
    | AddMember
    | ChangeMemberRole
    | RemoveMember
    | DefineAttribute
    | RenameAttribute
    | ArchiveAttribute
)
