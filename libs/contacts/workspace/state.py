"""The present of one workspace as a fold of its stream: settings, attributes, members, keys. No rules, no I/O."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from contacts.attributes import AttributeDefinition
from contacts.values import Country, Language, TimeZone
from contacts.workspace import events as e
from eventstore.envelope import RecordedEvent, Unreadable

CATEGORY: Final = "workspace"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a workspace can adjust (W3)."""

    #: Whose national phone numbers are meant without a `+`; None refuses them.
    default_region: Country | None = None
    default_language: Language = Language("en")
    default_time_zone: TimeZone = TimeZone("UTC")
    #: Every contact must have an external id.
    external_id_required: bool = False
    #: Contacts of the plan; None is no limit.
    contact_limit: int | None = None
    #: Days after which a deleted contact is erased; None keeps it.
    deleted_retention_days: int | None = None
    #: Days for which activity is kept; None keeps it.
    activity_retention_days: int | None = None
    #: Messages on NATS hold the values themselves, personal data included.
    publish_values: bool = False
    #: What becomes of activity of somebody nobody knows.
    unknown_contacts: e.UnknownContacts = "refuse"
    #: Sources of contacts whose e-mail has to be confirmed first.
    double_opt_in: frozenset[str] = frozenset()


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """An API key as it is kept: never its text."""

    id: str
    name: str
    digest: bytes
    role: e.Role
    scopes: tuple[str, ...]
    issued_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None = None

    def active(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A person or machine with a role, known by the subject of its tokens."""

    id: str
    role: e.Role
    scopes: tuple[str, ...]
    added_at: datetime


class Workspace(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a workspace's stream says of it. Version 0 means it was never created."""

    id: UUID
    version: int = 0
    name: str = ""
    settings: Settings = Settings()
    #: By key, archived ones included.
    attributes: dict[str, AttributeDefinition] = {}
    #: By id, revoked ones included.
    keys: dict[str, Key] = {}
    members: dict[str, Member] = {}
    created_at: datetime | None = None

    @property
    def exists(self) -> bool:
        return self.version > 0


def initial(workspace_id: UUID) -> Workspace:
    """The state before the first event."""
    return Workspace(id=workspace_id)


def evolve(workspace: Workspace, event: e.WorkspaceEvent | Unreadable, at: datetime) -> Workspace:
    """The state after `event`, recorded `at`. Total: any event can follow any state, `Unreadable` too."""
    return _EVOLVE[type(event)](replace(workspace, version=workspace.version + 1), event, at)


def fold(workspace: Workspace, recorded: RecordedEvent[Any]) -> Workspace:
    """`evolve` for an event as the log holds it."""
    return evolve(workspace, recorded.event, recorded.recorded_at)


def _created(workspace: Workspace, event: e.WorkspaceCreated, at: datetime) -> Workspace:
    return replace(workspace, name=event.name, created_at=at)


_PLAIN_SETTINGS: Final = (
    "default_region",
    "default_language",
    "default_time_zone",
    "external_id_required",
    "contact_limit",
    "deleted_retention_days",
    "activity_retention_days",
    "publish_values",
    "unknown_contacts",
)


def _settings_changed(workspace: Workspace, event: e.WorkspaceSettingsChanged, _at: datetime) -> Workspace:
    changes = {name: value for name in _PLAIN_SETTINGS if (value := getattr(event, name)) is not UNSET}
    if event.double_opt_in is not UNSET:
        on = {source for source, value in event.double_opt_in.items() if value}
        changes["double_opt_in"] = (workspace.settings.double_opt_in - event.double_opt_in.keys()) | on
    name = workspace.name if event.name is UNSET else event.name
    return replace(workspace, name=name, settings=replace(workspace.settings, **changes))


def _key_issued(workspace: Workspace, event: e.WorkspaceKeyIssued, at: datetime) -> Workspace:
    key = Key(
        id=event.key_id,
        name=event.name,
        digest=event.digest,
        role=event.role,
        scopes=event.scopes,
        issued_at=at,
        expires_at=event.expires_at,
    )
    return replace(workspace, keys={**workspace.keys, key.id: key})


def _key_revoked(workspace: Workspace, event: e.WorkspaceKeyRevoked, at: datetime) -> Workspace:
    key = workspace.keys.get(event.key_id)
    return replace(workspace, keys={**workspace.keys, key.id: replace(key, revoked_at=at)}) if key else workspace


def _member_added(workspace: Workspace, event: e.WorkspaceMemberAdded, at: datetime) -> Workspace:
    member = Member(id=event.member_id, role=event.role, scopes=event.scopes, added_at=at)
    return replace(workspace, members={**workspace.members, member.id: member})


def _member_role_changed(workspace: Workspace, event: e.WorkspaceMemberRoleChanged, at: datetime) -> Workspace:
    known = workspace.members.get(event.member_id)
    added_at = known.added_at if known else at
    member = Member(id=event.member_id, role=event.role, scopes=event.scopes, added_at=added_at)
    return replace(workspace, members={**workspace.members, member.id: member})


def _member_removed(workspace: Workspace, event: e.WorkspaceMemberRemoved, _at: datetime) -> Workspace:
    members = {id_: member for id_, member in workspace.members.items() if id_ != event.member_id}
    return replace(workspace, members=members)


def _attribute_defined(workspace: Workspace, event: e.AttributeDefined, _at: datetime) -> Workspace:
    definition = AttributeDefinition(
        key=event.key, name=event.name, type=event.type, options=event.options, level=event.level
    )
    return replace(workspace, attributes={**workspace.attributes, event.key: definition})


def _attribute_renamed(workspace: Workspace, event: e.AttributeRenamed, _at: datetime) -> Workspace:
    known = workspace.attributes.get(event.key)
    if known is None:
        return workspace
    name = known.name if event.name is UNSET else event.name
    options = known.options if event.options is UNSET else event.options
    return replace(
        workspace, attributes={**workspace.attributes, event.key: replace(known, name=name, options=options)}
    )


def _attribute_archived(workspace: Workspace, event: e.AttributeArchived, _at: datetime) -> Workspace:
    known = workspace.attributes.get(event.key)
    if known is None:
        return workspace
    return replace(workspace, attributes={**workspace.attributes, event.key: replace(known, archived=True)})


def _unreadable(workspace: Workspace, _event: Unreadable, _at: datetime) -> Workspace:
    return workspace


_EVOLVE: Final[dict[type, Callable[[Workspace, Any, datetime], Workspace]]] = {
    e.WorkspaceCreated: _created,
    e.WorkspaceSettingsChanged: _settings_changed,
    e.WorkspaceKeyIssued: _key_issued,
    e.WorkspaceKeyRevoked: _key_revoked,
    e.WorkspaceMemberAdded: _member_added,
    e.WorkspaceMemberRoleChanged: _member_role_changed,
    e.WorkspaceMemberRemoved: _member_removed,
    e.AttributeDefined: _attribute_defined,
    e.AttributeRenamed: _attribute_renamed,
    e.AttributeArchived: _attribute_archived,
    Unreadable: _unreadable,
}
