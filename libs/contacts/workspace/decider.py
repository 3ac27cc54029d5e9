"""Workspace rules: (command, state) -> events. No I/O, no clock; the fold itself is in `workspace/state.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from msgspec import UNSET
from msgspec.structs import replace

from contacts import errors
from contacts.workspace import commands as c
from contacts.workspace import events as e
from contacts.workspace.state import Workspace, evolve, fold, initial

__all__ = ["Workspace", "decide", "evolve", "fold", "initial"]

Events = list[e.WorkspaceEvent]
SELECTS: Final = ("select", "multi_select")


def decide(command: c.WorkspaceCommand, workspace: Workspace) -> Events:
    """The events `command` causes; none where everything is as wanted already.

    Raises:
        WorkspaceNotFound: nothing but a creation can be asked of it.
        Refusal: as each command names.
    """
    if isinstance(command, c.CreateWorkspace):
        return _create(command, workspace)
    if not workspace.exists:
        raise errors.WorkspaceNotFound(workspace.id)
    return _DECIDE[type(command)](command, workspace)


def _create(command: c.CreateWorkspace, workspace: Workspace) -> Events:
    if workspace.exists:
        raise errors.WorkspaceAlreadyExists(workspace.id)
    return [
        e.WorkspaceCreated(name=command.name),
        e.WorkspaceKeyIssued(key_id=command.key_id, name="first key", digest=command.key_digest, role="owner"),
    ]


def _change_settings(command: c.ChangeSettings, workspace: Workspace) -> Events:
    changed: dict[str, Any] = {}
    for name in command.wanted.__struct_fields__:
        value = getattr(command.wanted, name)
        present = workspace.name if name == "name" else getattr(workspace.settings, name)
        if value is not UNSET and name != "double_opt_in" and value != present:
            changed[name] = value
    if command.wanted.double_opt_in is not UNSET:
        on = workspace.settings.double_opt_in
        wanted = command.wanted.double_opt_in.items()
        if sources := {source: value for source, value in wanted if bool(value) != (source in on)}:
            changed["double_opt_in"] = sources
    return [e.WorkspaceSettingsChanged(**changed)] if changed else []


def _issue_key(command: c.IssueKey, workspace: Workspace) -> Events:
    known = workspace.keys.get(command.key_id)
    if known is not None:
        if known.digest == command.digest:
            return []
        raise errors.KeyAlreadyExists(command.key_id)
    return [
        e.WorkspaceKeyIssued(
            key_id=command.key_id,
            name=command.name,
            digest=command.digest,
            role=command.role,
            scopes=command.scopes,
            expires_at=command.expires_at,
        )
    ]


def _revoke_key(command: c.RevokeKey, workspace: Workspace) -> Events:
    known = workspace.keys.get(command.key_id)
    if known is None:
        raise errors.KeyNotFound(command.key_id)
    if known.revoked_at is not None:
        return []
    _require_owner_besides(workspace, key_id=command.key_id)
    return [e.WorkspaceKeyRevoked(key_id=command.key_id, reason=command.reason)]


def _add_member(command: c.AddMember, workspace: Workspace) -> Events:
    known = workspace.members.get(command.member_id)
    if known is None:
        return [e.WorkspaceMemberAdded(member_id=command.member_id, role=command.role, scopes=command.scopes)]
    if (known.role, known.scopes) != (command.role, command.scopes):
        raise errors.MemberAlreadyAdded(command.member_id, known.role)
    return []


def _change_member_role(command: c.ChangeMemberRole, workspace: Workspace) -> Events:
    known = workspace.members.get(command.member_id)
    if known is None:
        raise errors.MemberNotFound(command.member_id)
    if (known.role, known.scopes) == (command.role, command.scopes):
        return []
    if command.role != "owner":
        _require_owner_besides(workspace, member_id=command.member_id)
    return [e.WorkspaceMemberRoleChanged(member_id=command.member_id, role=command.role, scopes=command.scopes)]


def _remove_member(command: c.RemoveMember, workspace: Workspace) -> Events:
    if command.member_id not in workspace.members:
        return []
    _require_owner_besides(workspace, member_id=command.member_id)
    return [e.WorkspaceMemberRemoved(member_id=command.member_id)]


def _require_owner_besides(workspace: Workspace, *, key_id: str | None = None, member_id: str | None = None) -> None:
    # A key that will expire cannot be the last one, or the workspace would lose its owner by waiting.
    keys = any(
        key.role == "owner" and key.id != key_id and key.revoked_at is None and key.expires_at is None
        for key in workspace.keys.values()
    )
    members = any(member.role == "owner" and member.id != member_id for member in workspace.members.values())
    if not (keys or members):
        raise errors.LastOwner


def _define_attribute(command: c.DefineAttribute, workspace: Workspace) -> Events:
    known = workspace.attributes.get(command.key)
    defined = e.AttributeDefined(
        key=command.key, name=command.name, type=command.type, options=command.options, level=command.level
    )
    if known is None:
        return [defined]
    if (known.type, known.level) != (command.type, command.level):
        raise errors.AttributeAlreadyDefined(command.key, known.type)
    if known.archived:
        return [defined]
    if (known.name, known.options) != (command.name, command.options):
        raise errors.AttributeAlreadyDefined(command.key, known.type)
    return []


def _rename_attribute(command: c.RenameAttribute, workspace: Workspace) -> Events:
    known = workspace.attributes.get(command.key)
    if known is None or known.archived:
        raise errors.AttributeNotFound(command.key)
    if command.options is not UNSET and known.type not in SELECTS:
        fault = errors.InvalidField("/options", f"a {known.type} has no options", "options for select types only")
        raise errors.InvalidInput([fault])
    event = e.AttributeRenamed(key=command.key)
    if command.name is not UNSET and command.name != known.name:
        event = replace(event, name=command.name)
    if command.options is not UNSET and command.options != known.options:
        event = replace(event, options=command.options)
    return [] if event == e.AttributeRenamed(key=command.key) else [event]


def _archive_attribute(command: c.ArchiveAttribute, workspace: Workspace) -> Events:
    known = workspace.attributes.get(command.key)
    if known is None:
        raise errors.AttributeNotFound(command.key)
    return [] if known.archived else [e.AttributeArchived(key=command.key)]


_DECIDE: Final[dict[type, Callable[[Any, Workspace], Events]]] = {
    c.ChangeSettings: _change_settings,
    c.IssueKey: _issue_key,
    c.RevokeKey: _revoke_key,
    c.AddMember: _add_member,
    c.ChangeMemberRole: _change_member_role,
    c.RemoveMember: _remove_member,
    c.DefineAttribute: _define_attribute,
    c.RenameAttribute: _rename_attribute,
    c.ArchiveAttribute: _archive_attribute,
}
