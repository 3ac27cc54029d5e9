"""The JSON of a workspace: settings, attributes, members, keys. No digest or secret is in it."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from contacts.attributes import AttributeDefinition
from contacts.values import AttributeType
from contacts.workspace.events import Role, UnknownContacts
from contacts.workspace.state import Key, Member, Workspace
from contacts_api.views import Total, View


class SettingsView(View, frozen=True, kw_only=True):
    """The settings of a workspace."""

    workspace_id: UUID
    name: str
    default_region: str | None
    default_language: str
    default_time_zone: str
    external_id_required: bool
    contact_limit: int | None
    deleted_retention_days: int | None
    activity_retention_days: int | None
    publish_values: bool
    unknown_contacts: UnknownContacts
    double_opt_in: dict[str, bool]


class AttributeView(View, frozen=True, kw_only=True):
    """A custom attribute."""

    key: str
    name: str
    type: AttributeType
    options: tuple[str, ...]
    level: str
    archived: bool


class MemberView(View, frozen=True, kw_only=True):
    """A person or machine with a role, known by the subject of its tokens."""

    member_id: str
    role: Role
    scopes: tuple[str, ...]
    added_at: datetime


class KeyView(View, frozen=True, kw_only=True):
    """An API key, without its text."""

    key_id: str
    name: str
    role: Role
    scopes: tuple[str, ...]
    issued_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class IssuedKeyView(View, frozen=True, kw_only=True):
    """An API key at the only moment its text is shown."""

    key_id: str
    name: str
    role: Role
    scopes: tuple[str, ...]
    issued_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    #: The text to send as `Authorization: Bearer`; null when the request is repeated with its idempotency key.
    key: str | None


class AttributePage(View, frozen=True):
    """One page of attributes."""

    items: tuple[AttributeView, ...]
    next_cursor: str | None
    total: Total


class MemberPage(View, frozen=True):
    """One page of members."""

    items: tuple[MemberView, ...]
    next_cursor: str | None
    total: Total


class KeyPage(View, frozen=True):
    """One page of keys."""

    items: tuple[KeyView, ...]
    next_cursor: str | None
    total: Total


def settings_view(workspace: Workspace) -> SettingsView:
    settings = workspace.settings
    return SettingsView(
        workspace_id=workspace.id,
        name=workspace.name,
        default_region=settings.default_region,
        default_language=settings.default_language,
        default_time_zone=settings.default_time_zone,
        external_id_required=settings.external_id_required,
        contact_limit=settings.contact_limit,
        deleted_retention_days=settings.deleted_retention_days,
        activity_retention_days=settings.activity_retention_days,
        publish_values=settings.publish_values,
        unknown_contacts=settings.unknown_contacts,
        double_opt_in=dict.fromkeys(sorted(settings.double_opt_in), True),
    )


def attribute_view(definition: AttributeDefinition) -> AttributeView:
    return AttributeView(
        key=definition.key,
        name=definition.name,
        type=definition.type,
        options=definition.options,
        level=definition.level,
        archived=definition.archived,
    )


def member_view(member: Member) -> MemberView:
    return MemberView(member_id=member.id, role=member.role, scopes=member.scopes, added_at=member.added_at)


def key_view(key: Key) -> KeyView:
    return KeyView(
        key_id=key.id,
        name=key.name,
        role=key.role,
        scopes=key.scopes,
        issued_at=key.issued_at,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
    )


def issued_key_view(key: Key, text: str | None) -> IssuedKeyView:
    return IssuedKeyView(
        key_id=key.id,
        name=key.name,
        role=key.role,
        scopes=key.scopes,
        issued_at=key.issued_at,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
        key=text,
    )
