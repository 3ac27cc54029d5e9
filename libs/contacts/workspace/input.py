"""What callers send for a workspace, and its way into commands. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from contacts import values
from contacts.attributes import OPTION_MAX, OPTIONS_MAX, parse_attribute_key
from contacts.errors import InvalidValue
from contacts.faults import Faults
from contacts.values import AttributeType
from contacts.workspace.commands import (
    AddMember,
    ChangeMemberRole,
    ChangeSettings,
    DefineAttribute,
    IssueKey,
    RenameAttribute,
)
from contacts.workspace.decider import SELECTS
from contacts.workspace.events import AttributeLevel, Role, UnknownContacts, WorkspaceSettingsChanged
from contacts.workspace.keys import NewKey
from contacts.workspace.permissions import GRANTABLE

#: Upper bound of limits and retention periods, so that they stay dates and counts.
COUNT_MAX = 1_000_000_000
DAYS_MAX = 36_500


class _Input(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Shared shape of what callers send: unknown fields are refused."""


class SettingsInput(_Input, frozen=True, kw_only=True):
    """Any subset of the settings; null clears what can be none."""

    name: str | UnsetType = UNSET
    default_region: str | UnsetType | None = UNSET
    default_language: str | UnsetType = UNSET
    default_time_zone: str | UnsetType = UNSET
    external_id_required: bool | UnsetType = UNSET
    contact_limit: int | UnsetType | None = UNSET
    deleted_retention_days: int | UnsetType | None = UNSET
    activity_retention_days: int | UnsetType | None = UNSET
    publish_values: bool | UnsetType = UNSET
    unknown_contacts: UnknownContacts | UnsetType = UNSET
    double_opt_in: dict[str, bool | None] | UnsetType = UNSET


class AttributeInput(_Input, frozen=True, kw_only=True):
    key: str
    type: AttributeType
    #: Shown to people; None shows the key.
    name: str | None = None
    options: list[str] = []
    level: AttributeLevel = "contact"


class AttributePatch(_Input, frozen=True, kw_only=True):
    name: str | UnsetType = UNSET
    options: list[str] | UnsetType = UNSET


class KeyInput(_Input, frozen=True, kw_only=True):
    name: str
    role: Role
    scopes: list[str] = []
    expires_at: datetime | None = None


class MemberInput(_Input, frozen=True, kw_only=True):
    """The subject of the member's tokens, and what it may do."""

    member_id: str
    role: Role
    scopes: list[str] = []


class MemberPatch(_Input, frozen=True, kw_only=True):
    role: Role
    scopes: list[str] = []


def change_settings(sent: SettingsInput, workspace_id: UUID) -> ChangeSettings:
    """Raises InvalidInput."""
    fault = Faults()
    parsers = {
        "name": values.parse_name,
        "default_region": values.parse_country,
        "default_language": values.parse_language,
        "default_time_zone": values.parse_time_zone,
        "contact_limit": _up_to(COUNT_MAX),
        "deleted_retention_days": _up_to(DAYS_MAX),
        "activity_retention_days": _up_to(DAYS_MAX),
    }
    wanted: dict[str, Any] = {
        "external_id_required": sent.external_id_required,
        "publish_values": sent.publish_values,
        "unknown_contacts": sent.unknown_contacts,
    }
    for name, parser in parsers.items():
        value = getattr(sent, name)
        wanted[name] = value if value is UNSET or value is None else fault.parse(f"/{name}", parser, value)
    if sent.double_opt_in is not UNSET:
        for source in sent.double_opt_in:
            fault.parse("/double_opt_in", values.parse_source, source)
        wanted["double_opt_in"] = sent.double_opt_in
    fault.raise_if_any()
    return ChangeSettings(workspace_id=workspace_id, wanted=WorkspaceSettingsChanged(**wanted))


def define_attribute(sent: AttributeInput, workspace_id: UUID) -> DefineAttribute:
    """Raises InvalidInput."""
    fault = Faults()
    key = fault.parse("/key", parse_attribute_key, sent.key)
    name = sent.key if sent.name is None else fault.parse("/name", values.parse_name, sent.name)
    options = _options(sent.options, fault)
    if sent.type in SELECTS and not sent.options:
        fault.add("/options", InvalidValue("is empty", f"at least one option for a {sent.type}"))
    if sent.type not in SELECTS and sent.options:
        fault.add("/options", InvalidValue(f"does not go with type {sent.type}", "no options, or a select type"))
    fault.raise_if_any()
    return DefineAttribute(
        workspace_id=workspace_id, key=key or "", name=name or "", type=sent.type, options=options, level=sent.level
    )


def rename_attribute(key: str, sent: AttributePatch, workspace_id: UUID) -> RenameAttribute:
    """Raises InvalidInput."""
    fault = Faults()
    name = sent.name if sent.name is UNSET else fault.parse("/name", values.parse_name, sent.name) or UNSET
    options = sent.options if sent.options is UNSET else _options(sent.options, fault)
    if options == ():
        fault.add("/options", InvalidValue("is empty", "at least one option"))
    fault.raise_if_any()
    return RenameAttribute(workspace_id=workspace_id, key=key, name=name, options=options)


def issue_key(sent: KeyInput, workspace_id: UUID, key: NewKey, now: datetime) -> IssueKey:
    """Raises InvalidInput."""
    fault = Faults()
    name = fault.parse("/name", values.parse_name, sent.name)
    expires_at = sent.expires_at and fault.parse("/expires_at", values.parse_instant, sent.expires_at)
    if expires_at is not None and expires_at <= now:
        fault.add("/expires_at", InvalidValue("is not in the future", "an instant to come, or null"))
    scopes = _scopes(sent.role, sent.scopes, fault)
    fault.raise_if_any()
    return IssueKey(
        workspace_id=workspace_id,
        key_id=key.id,
        name=name or "",
        digest=key.digest,
        role=sent.role,
        scopes=scopes,
        expires_at=expires_at,
    )


def add_member(sent: MemberInput, workspace_id: UUID) -> AddMember:
    """Raises InvalidInput."""
    fault = Faults()
    member_id = fault.parse("/member_id", values.parse_external_id, sent.member_id)
    scopes = _scopes(sent.role, sent.scopes, fault)
    fault.raise_if_any()
    return AddMember(workspace_id=workspace_id, member_id=member_id or "", role=sent.role, scopes=scopes)


def change_member_role(member_id: str, sent: MemberPatch, workspace_id: UUID) -> ChangeMemberRole:
    """Raises InvalidInput."""
    fault = Faults()
    scopes = _scopes(sent.role, sent.scopes, fault)
    fault.raise_if_any()
    return ChangeMemberRole(workspace_id=workspace_id, member_id=member_id, role=sent.role, scopes=scopes)


def _scopes(role: Role, scopes: Iterable[str], fault: Faults) -> tuple[str, ...]:
    wanted = sorted(set(scopes))
    if wanted and role != "service":
        fault.add("/scopes", InvalidValue(f"does not go with role {role}", "no scopes, or role service"))
    for scope in wanted:
        if scope not in GRANTABLE:
            fault.add("/scopes", InvalidValue(f"{scope[:50]!r} cannot be granted", ", ".join(sorted(GRANTABLE))))
    return tuple(wanted)


def _options(options: list[str], fault: Faults) -> tuple[str, ...]:
    if len(options) > OPTIONS_MAX:
        fault.add("/options", InvalidValue(f"has {len(options)} options", f"at most {OPTIONS_MAX}"))
        return ()
    parsed = [
        fault.parse(f"/options/{i}", lambda text: values.parse_text(text, OPTION_MAX), option)
        for i, option in enumerate(options)
    ]
    return tuple(dict.fromkeys(option for option in parsed if option is not None))


def _up_to(limit: int) -> Any:
    def parse(number: int) -> int:
        if not 0 <= number <= limit:
            raise InvalidValue("is out of range", f"a whole number from 0 to {limit}, or null for none")
        return number

    return parse
