"""What can happen to a workspace, as facts in its stream. No rules, no encoding."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from contacts.values import AttributeType, Country, Language, TimeZone

Role: TypeAlias = Literal["owner", "manager", "agent", "auditor", "service"]
#: What becomes of activity of somebody nobody knows.
UnknownContacts: TypeAlias = Literal["refuse", "create", "hold"]
AttributeLevel: TypeAlias = Literal["contact", "conversation"]


class _Fact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Shared shape of the workspace's events: immutable, defaults left out of the payload."""


class WorkspaceCreated(_Fact, frozen=True, kw_only=True):
    """The first event of every workspace; settings start at their defaults."""

    name: str


class WorkspaceSettingsChanged(_Fact, frozen=True, kw_only=True):
    """Settings that got another value: UNSET is untouched, None is cleared."""

    name: str | UnsetType = UNSET
    default_region: Country | UnsetType | None = UNSET
    default_language: Language | UnsetType = UNSET
    default_time_zone: TimeZone | UnsetType = UNSET
    external_id_required: bool | UnsetType = UNSET
    contact_limit: int | None | UnsetType = UNSET
    deleted_retention_days: int | None | UnsetType = UNSET
    activity_retention_days: int | None | UnsetType = UNSET
    publish_values: bool | UnsetType = UNSET
    unknown_contacts: UnknownContacts | UnsetType = UNSET
    #: By source of the contact; None goes back to the default (off).
    double_opt_in: dict[str, bool | None] | UnsetType = UNSET


class WorkspaceKeyIssued(_Fact, frozen=True, kw_only=True):
    """An API key; its text is shown once and never stored."""

    key_id: str
    name: str
    #: SHA-256 of the key's whole text.
    digest: bytes
    role: Role
    #: What a service key may do (`permissions.Action` values); empty for people's roles.
    scopes: tuple[str, ...] = ()
    expires_at: datetime | None = None


class WorkspaceKeyRevoked(_Fact, frozen=True, kw_only=True):
    key_id: str
    reason: str | None = None


class WorkspaceMemberAdded(_Fact, frozen=True, kw_only=True):
    """A person or machine known by the subject of its tokens (JWT `sub` or console user id)."""

    member_id: str
    role: Role
    scopes: tuple[str, ...] = ()


class WorkspaceMemberRoleChanged(_Fact, frozen=True, kw_only=True):
    member_id: str
    role: Role
    scopes: tuple[str, ...] = ()


class WorkspaceMemberRemoved(_Fact, frozen=True, kw_only=True):
    member_id: str


class AttributeDefined(_Fact, frozen=True, kw_only=True):
    """A custom attribute; key, type and level never change after this."""

    key: str
    name: str
    type: AttributeType
    #: What `select` and `multi_select` can choose from.
    options: tuple[str, ...] = ()
    #: Conversation attributes are filled from conversation events and read-only on the contact.
    level: AttributeLevel = "contact"


class AttributeRenamed(_Fact, frozen=True, kw_only=True):
    """Another display name or other options; the key, and so every stored value, stays."""

    key: str
    name: str | UnsetType = UNSET
    options: tuple[str, ...] | UnsetType = UNSET


class AttributeArchived(_Fact, frozen=True, kw_only=True):
    """No new values; what contacts hold is kept. Defining the same key and type again revives it."""

    key: str


WorkspaceEvent: TypeAlias = (
    WorkspaceCreated
    | WorkspaceSettingsChanged
    | WorkspaceKeyIssued
    | WorkspaceKeyRevoked
    | WorkspaceMemberAdded
    | WorkspaceMemberRoleChanged
    | WorkspaceMemberRemoved
    | AttributeDefined
    | AttributeRenamed
    | AttributeArchived
)
