"""The rules of a workspace, command by command."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, get_args
from uuid import UUID

import pytest
from msgspec import UNSET

from contacts import errors
from contacts.catalog import CODEC
from contacts.workspace import commands as c
from contacts.workspace import decider, state
from contacts.workspace import events as e
from contacts.workspace.decider import Workspace, decide, evolve, initial
from eventstore.envelope import Unreadable
from tests.unit.scenario import AT, Scenario

SHOP = UUID("01900000-0000-7000-8000-000000000001")
CREATED = (
    e.WorkspaceCreated(name="Shop"),
    e.WorkspaceKeyIssued(key_id="k1", name="first key", digest=b"1", role="owner"),
)
MAY = e.WorkspaceMemberAdded(member_id="may", role="owner")
PLAN = e.AttributeDefined(key="plan", name="Plan", type="select", options=("silver", "gold"))


def nothing() -> Scenario[Workspace]:
    return Scenario(initial(SHOP), decide, evolve)


def shop(*events: Any) -> Scenario[Workspace]:
    return nothing().given(*CREATED, *events)


def of_shop(command: type, **fields: Any) -> Any:
    return command(workspace_id=SHOP, **fields)


def test_a_workspace_is_created_with_the_key_that_owns_it() -> None:
    command = of_shop(c.CreateWorkspace, name="Shop", key_id="k1", key_digest=b"1")
    nothing().when(command).then(*CREATED)
    shop().when(command).then_refused(errors.WorkspaceAlreadyExists, workspace_id=SHOP)


# -- settings ---------------------------------------------------------------------------------------------------------


def settings(**wanted: Any) -> Any:
    return of_shop(c.ChangeSettings, wanted=e.WorkspaceSettingsChanged(**wanted))


def test_settings_record_only_what_changes() -> None:
    after = (
        shop()
        .when(settings(name="Shop", default_region="DE", contact_limit=100, default_language="en"))
        .then(e.WorkspaceSettingsChanged(default_region="DE", contact_limit=100))
    )
    after.when(settings(contact_limit=None)).then(e.WorkspaceSettingsChanged(contact_limit=None))
    after.when(settings(default_region="DE")).then_nothing_happened()


def test_the_name_is_a_setting() -> None:
    assert shop().when(settings(name="Store")).then(e.WorkspaceSettingsChanged(name="Store")).state.name == "Store"


def test_double_opt_in_is_switched_per_source() -> None:
    after = (
        shop()
        .when(settings(double_opt_in={"api": True, "import": False, "order": None}))
        .then(e.WorkspaceSettingsChanged(double_opt_in={"api": True}))
    )
    after = after.when(settings(double_opt_in={"import": True})).then(
        e.WorkspaceSettingsChanged(double_opt_in={"import": True})
    )
    assert after.state.settings.double_opt_in == {"api", "import"}
    after = after.when(settings(double_opt_in={"api": None})).then(
        e.WorkspaceSettingsChanged(double_opt_in={"api": None})
    )
    assert after.state.settings.double_opt_in == {"import"}


# -- keys and members -------------------------------------------------------------------------------------------------


def test_a_key_is_issued_once() -> None:
    issue = of_shop(c.IssueKey, key_id="k2", name="robot", digest=b"2", role="service", scopes=("contacts.read",))
    after = (
        shop()
        .when(issue)
        .then(e.WorkspaceKeyIssued(key_id="k2", name="robot", digest=b"2", role="service", scopes=("contacts.read",)))
    )
    other = of_shop(c.IssueKey, key_id="k2", name="robot", digest=b"3", role="service")
    after.when(other).then_refused(errors.KeyAlreadyExists, key_id="k2")


def test_a_revoked_key_stays_known_and_is_inactive() -> None:
    second = e.WorkspaceKeyIssued(key_id="k2", name="second", digest=b"2", role="owner")
    after = (
        shop(second)
        .when(of_shop(c.RevokeKey, key_id="k1", reason="leaked"))
        .then(e.WorkspaceKeyRevoked(key_id="k1", reason="leaked"))
    )
    assert not after.state.keys["k1"].active(AT)
    assert after.state.keys["k2"].active(AT)


def test_a_key_is_active_until_it_expires() -> None:
    expiring = e.WorkspaceKeyIssued(key_id="k2", name="x", digest=b"2", role="owner", expires_at=AT)
    key = shop(expiring).state.keys["k2"]
    assert key.active(AT - timedelta(seconds=1))
    assert not key.active(AT)


def test_an_unknown_key_cannot_be_revoked() -> None:
    shop().when(of_shop(c.RevokeKey, key_id="k9")).then_refused(errors.KeyNotFound, key_id="k9")


def test_the_last_owner_stays() -> None:
    shop().when(of_shop(c.RevokeKey, key_id="k1")).then_refused(errors.LastOwner)
    expiring = e.WorkspaceKeyIssued(key_id="k2", name="x", digest=b"2", role="owner", expires_at=AT)
    shop(expiring).when(of_shop(c.RevokeKey, key_id="k1")).then_refused(errors.LastOwner)
    only_may = shop(MAY).when(of_shop(c.RevokeKey, key_id="k1")).then(e.WorkspaceKeyRevoked(key_id="k1"))
    only_may.when(of_shop(c.RemoveMember, member_id="may")).then_refused(errors.LastOwner)
    only_may.when(of_shop(c.ChangeMemberRole, member_id="may", role="agent")).then_refused(errors.LastOwner)


def test_members_are_added_changed_and_removed() -> None:
    added = (
        shop()
        .when(of_shop(c.AddMember, member_id="joe", role="agent"))
        .then(e.WorkspaceMemberAdded(member_id="joe", role="agent"))
    )
    added.when(of_shop(c.AddMember, member_id="joe", role="manager")).then_refused(
        errors.MemberAlreadyAdded, member_id="joe", role="agent"
    )
    changed = added.when(of_shop(c.ChangeMemberRole, member_id="joe", role="manager")).then(
        e.WorkspaceMemberRoleChanged(member_id="joe", role="manager")
    )
    assert changed.state.members["joe"].added_at == AT
    removed = changed.when(of_shop(c.RemoveMember, member_id="joe")).then(e.WorkspaceMemberRemoved(member_id="joe"))
    removed.when(of_shop(c.ChangeMemberRole, member_id="joe", role="agent")).then_refused(errors.MemberNotFound)


# -- attributes -------------------------------------------------------------------------------------------------------


def define(key: str = "plan", **fields: Any) -> Any:
    return of_shop(c.DefineAttribute, key=key, **{"name": "Plan", "type": "text", **fields})


def test_an_attribute_is_defined_once_and_its_type_never_changes() -> None:
    after = shop().when(define()).then(e.AttributeDefined(key="plan", name="Plan", type="text"))
    after.when(define(type="number")).then_refused(errors.AttributeAlreadyDefined, key="plan", type="text")
    after.when(define(level="conversation")).then_refused(errors.AttributeAlreadyDefined)
    after.when(define(name="Tariff")).then_refused(errors.AttributeAlreadyDefined)


def test_an_attribute_is_renamed_and_gets_other_options() -> None:
    after = (
        shop(PLAN)
        .when(of_shop(c.RenameAttribute, key="plan", name="Tariff", options=("silver", "gold")))
        .then(e.AttributeRenamed(key="plan", name="Tariff"))
    )
    after = after.when(of_shop(c.RenameAttribute, key="plan", options=("gold",))).then(
        e.AttributeRenamed(key="plan", options=("gold",))
    )
    definition = after.state.attributes["plan"]
    assert (definition.name, definition.options) == ("Tariff", ("gold",))


def test_options_belong_to_select_types_only() -> None:
    given = shop(e.AttributeDefined(key="note", name="Note", type="text"))
    given.when(of_shop(c.RenameAttribute, key="note", options=("a",))).then_refused(errors.InvalidInput)


def test_an_archived_attribute_takes_no_new_name_and_can_be_revived() -> None:
    archived = shop(PLAN).when(of_shop(c.ArchiveAttribute, key="plan")).then(e.AttributeArchived(key="plan"))
    assert archived.state.attributes["plan"].archived
    archived.when(of_shop(c.RenameAttribute, key="plan", name="X")).then_refused(errors.AttributeNotFound, key="plan")
    again = define(type="select", name="Tariff", options=("gold",))
    revived = archived.when(again).then(e.AttributeDefined(key="plan", name="Tariff", type="select", options=("gold",)))
    assert not revived.state.attributes["plan"].archived
    archived.when(define(type="text")).then_refused(errors.AttributeAlreadyDefined, type="select")


def test_an_unknown_attribute_cannot_be_archived() -> None:
    shop().when(of_shop(c.ArchiveAttribute, key="plan")).then_refused(errors.AttributeNotFound, key="plan")


# -- all of them ------------------------------------------------------------------------------------------------------


COMMANDS = [
    settings(name="X"),
    of_shop(c.IssueKey, key_id="k2", name="x", digest=b"2", role="owner"),
    of_shop(c.RevokeKey, key_id="k1"),
    of_shop(c.AddMember, member_id="joe", role="agent"),
    of_shop(c.ChangeMemberRole, member_id="joe", role="agent"),
    of_shop(c.RemoveMember, member_id="joe"),
    define(),
    of_shop(c.RenameAttribute, key="plan", name="X"),
    of_shop(c.ArchiveAttribute, key="plan"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: type(command).__name__)
def test_a_workspace_that_never_was_takes_no_commands(command: Any) -> None:
    nothing().when(command).then_refused(errors.WorkspaceNotFound, workspace_id=SHOP)


def test_every_command_has_a_rule_and_every_event_a_fold() -> None:
    assert {type(command) for command in COMMANDS} == set(decider._DECIDE)
    assert set(get_args(c.WorkspaceCommand)) - {c.CreateWorkspace} == set(decider._DECIDE)
    assert {*get_args(e.WorkspaceEvent), Unreadable} == set(state._EVOLVE)


EVENTS = [
    *CREATED,
    e.WorkspaceSettingsChanged(default_region=None, double_opt_in={"api": None}),
    e.WorkspaceKeyRevoked(key_id="k9"),
    MAY,
    e.WorkspaceMemberRoleChanged(member_id="joe", role="agent"),
    e.WorkspaceMemberRemoved(member_id="joe"),
    PLAN,
    e.AttributeRenamed(key="other", name="X"),
    e.AttributeArchived(key="other"),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_every_event_survives_the_log_and_folds_into_any_state(event: Any) -> None:
    name, schema_version, payload = CODEC.encode(event)
    assert CODEC.decode(name, schema_version, payload) == event
    assert evolve(initial(SHOP), event, AT).version == 1
    assert e.AttributeRenamed(key="x").name is UNSET
