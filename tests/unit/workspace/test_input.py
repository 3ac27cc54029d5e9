"""What callers send for a workspace: parsed whole, refused whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from contacts.errors import InvalidInput
from contacts.workspace import commands as c
from contacts.workspace import input as workspace_input
from contacts.workspace.events import WorkspaceSettingsChanged
from contacts.workspace.input import AttributeInput, AttributePatch, KeyInput, MemberInput, MemberPatch, SettingsInput
from contacts.workspace.keys import NewKey
from tests.unit.scenario import AT

SHOP = UUID("01900000-0000-7000-8000-000000000001")
KEY = NewKey("k1", "rbk_…", b"digest")


def sent(type_: type[Any], **body: Any) -> Any:
    return msgspec.json.decode(json.dumps(body), type=type_)


def pointers(parse: Callable[[], object]) -> set[str]:
    with pytest.raises(InvalidInput) as refused:
        parse()
    return {error.pointer for error in refused.value.errors}


def test_settings_are_parsed_and_the_rest_stays_unset() -> None:
    body = sent(SettingsInput, default_region="de", default_time_zone="europe/berlin", contact_limit=None)
    assert workspace_input.change_settings(body, SHOP).wanted == WorkspaceSettingsChanged(
        default_region="DE", default_time_zone="Europe/Berlin", contact_limit=None
    )


def test_every_wrong_setting_is_named() -> None:
    body = sent(
        SettingsInput,
        name="",
        default_region="UK",
        default_language="x",
        default_time_zone="x",
        contact_limit=-1,
        deleted_retention_days=10**9,
        double_opt_in={"magic": True},
    )
    assert pointers(lambda: workspace_input.change_settings(body, SHOP)) == {
        "/name",
        "/default_region",
        "/default_language",
        "/default_time_zone",
        "/contact_limit",
        "/deleted_retention_days",
        "/double_opt_in",
    }


def test_an_attribute_is_named_by_its_key_unless_it_has_a_name() -> None:
    body = sent(AttributeInput, key="plan", type="select", options=["gold", "gold", "silver"])
    assert workspace_input.define_attribute(body, SHOP) == c.DefineAttribute(
        workspace_id=SHOP, key="plan", name="plan", type="select", options=("gold", "silver")
    )


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({"key": "Plan", "type": "text"}, {"/key"}),
        ({"key": "plan", "type": "select"}, {"/options"}),
        ({"key": "plan", "type": "text", "options": ["a"]}, {"/options"}),
        ({"key": "plan", "type": "select", "options": ["a", " "], "name": ""}, {"/name", "/options/1"}),
        ({"key": "plan", "type": "select", "options": [str(n) for n in range(1_001)]}, {"/options"}),
    ],
)
def test_a_definition_that_makes_no_sense_is_refused(body: dict[str, Any], wrong: set[str]) -> None:
    assert pointers(lambda: workspace_input.define_attribute(sent(AttributeInput, **body), SHOP)) == wrong


def test_renaming_takes_a_name_or_options() -> None:
    body = sent(AttributePatch, options=["a"])
    assert workspace_input.rename_attribute("plan", body, SHOP) == c.RenameAttribute(
        workspace_id=SHOP, key="plan", options=("a",)
    )
    empty = sent(AttributePatch, options=[], name=" ")
    assert pointers(lambda: workspace_input.rename_attribute("plan", empty, SHOP)) == {"/name", "/options"}


def test_a_key_is_issued_with_sorted_scopes() -> None:
    body = sent(KeyInput, name="robot", role="service", scopes=["contacts.write", "contacts.read"])
    assert workspace_input.issue_key(body, SHOP, KEY, AT) == c.IssueKey(
        workspace_id=SHOP,
        key_id="k1",
        name="robot",
        digest=b"digest",
        role="service",
        scopes=("contacts.read", "contacts.write"),
    )


def test_keys_that_are_over_already_or_say_too_much_are_refused() -> None:
    expired = sent(KeyInput, name="x", role="agent", expires_at=(AT - timedelta(days=1)).isoformat())
    assert pointers(lambda: workspace_input.issue_key(expired, SHOP, KEY, AT)) == {"/expires_at"}
    scoped = sent(KeyInput, name="x", role="agent", scopes=["contacts.read"])
    assert pointers(lambda: workspace_input.issue_key(scoped, SHOP, KEY, AT)) == {"/scopes"}
    mighty = sent(KeyInput, name="x", role="service", scopes=["keys.write"])
    assert pointers(lambda: workspace_input.issue_key(mighty, SHOP, KEY, AT)) == {"/scopes"}


def test_members_are_parsed() -> None:
    assert workspace_input.add_member(sent(MemberInput, member_id=" joe ", role="agent"), SHOP) == c.AddMember(
        workspace_id=SHOP, member_id="joe", role="agent"
    )
    assert workspace_input.change_member_role("joe", sent(MemberPatch, role="owner"), SHOP) == c.ChangeMemberRole(
        workspace_id=SHOP, member_id="joe", role="owner"
    )
    assert pointers(lambda: workspace_input.add_member(sent(MemberInput, member_id="", role="agent"), SHOP)) == {
        "/member_id"
    }
