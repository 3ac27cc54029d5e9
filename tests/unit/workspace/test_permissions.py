"""Roles and actions: the table, written a second time by hand, and what a service can be given."""

from __future__ import annotations

from uuid import UUID

import pytest

from contacts.errors import NotAllowed
from contacts.workspace.events import Role
from contacts.workspace.permissions import ALLOWED, GRANTABLE, Action, Principal, allowed_actions

# o owner, m manager, a agent, u auditor; a service may only be granted what is marked s.
TABLE = {
    "contacts.read": "omaus",
    "contacts.history": "omaus",
    "contacts.write": "omas",
    "contacts.delete": "omas",
    "contacts.merge": "oms",
    "contacts.import": "oms",
    "contacts.export": "oms",
    "contacts.bulk": "oms",
    "contacts.erase": "o",
    "activity.write": "omas",
    "segments.read": "omaus",
    "segments.write": "oms",
    "suppressions.add": "omas",
    "suppressions.lift": "oms",
    "suppressions.read": "omaus",
    "attributes.read": "omaus",
    "attributes.write": "oms",
    "settings.read": "omaus",
    "settings.write": "oms",
    "webhooks.read": "omu",
    "webhooks.write": "om",
    "dead-letters.read": "omus",
    "dead-letters.write": "oms",
    "members.read": "omu",
    "members.write": "o",
    "keys.read": "omu",
    "keys.write": "o",
    "audit.read": "ou",
}
LETTERS: dict[Role, str] = {"owner": "o", "manager": "m", "agent": "a", "auditor": "u"}


@pytest.mark.parametrize("action", list(Action))
def test_each_role_may_do_what_the_table_says_and_nothing_else(action: Action) -> None:
    allowed = {letter for role, letter in LETTERS.items() if action in ALLOWED[role]}
    assert allowed == set(TABLE[action.value]) - {"s"}
    assert (action in GRANTABLE) == ("s" in TABLE[action.value])


def test_the_table_names_every_action() -> None:
    assert set(TABLE) == {action.value for action in Action}


def test_an_auditor_changes_nothing() -> None:
    assert all(action.value.endswith((".read", ".history")) for action in ALLOWED["auditor"])


def test_a_service_may_do_what_its_scopes_say() -> None:
    assert allowed_actions("service", ("contacts.read", "keys.write", "no.such")) == {Action.CONTACTS_READ}
    assert allowed_actions("service", ()) == frozenset()
    assert allowed_actions("agent", ("contacts.merge",)) == ALLOWED["agent"]


def test_a_refusal_names_the_action_and_the_role() -> None:
    auditor = Principal(workspace_id=UUID(int=1), actor="key:x", role="auditor", allowed=ALLOWED["auditor"])
    auditor.require(Action.CONTACTS_READ)
    assert not auditor.may(Action.CONTACTS_WRITE)
    with pytest.raises(NotAllowed) as refused:
        auditor.require(Action.CONTACTS_WRITE)
    assert (refused.value.action, refused.value.role) == ("contacts.write", "auditor")
