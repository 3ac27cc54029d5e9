"""What the world is told of each event, and what it is not."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from contacts.catalog import CODEC
from contacts_bridge.cloudevent import subject_of
from contacts_bridge.errors import UnmappedEvent
from contacts_bridge.messages import MESSAGES, public_message
from eventstore.envelope import Metadata, Unreadable
from tests.unit.bridge.examples import EVENTS, WORKSPACE_ID, recorded


def sent(type_: str, event: Any = None, **options: Any) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(public_message(recorded(type_, event), **options)))
    return body


def test_every_event_of_the_domain_has_a_public_message_and_an_example() -> None:
    names = {event_type.name for event_type in CODEC}

    assert {message.name for message in MESSAGES} == names
    assert set(EVENTS) == names


def test_an_event_without_a_public_message_is_refused_by_name() -> None:
    with pytest.raises(UnmappedEvent, match=r"contact\.teleported"):
        public_message(recorded("contact.teleported", EVENTS["contact.blocked"]))


@pytest.mark.parametrize("type_", EVENTS)
def test_no_message_holds_personal_data_by_default(type_: str) -> None:
    text = msgspec.json.encode(public_message(recorded(type_))).lower().replace(type_.encode(), b"")

    for personal in (b"secret", b"4930123456", b"berlin", b"52.5"):
        assert personal not in text


#: Of merges, lists and erasures there are only ids to tell.
WITHOUT_VALUES = {"contact.merged", "contact.absorbed", "contact.unmerged", "contact.reinstated", "contact.erased"}
WITHOUT_VALUES |= {"contact.listed", "contact.unlisted"}
WITH_VALUES = [
    name for name in EVENTS if name.startswith(("contact.", "activity.")) and name not in WITHOUT_VALUES
]  # fmt: skip


@pytest.mark.parametrize("type_", WITH_VALUES)
def test_a_contact_s_message_holds_the_values_where_they_are_asked_for(type_: str) -> None:
    assert "secret" in str(sent(type_, with_values=True)["data"]["values"]).lower()


@pytest.mark.parametrize("type_", [name for name in EVENTS if name not in WITH_VALUES])
def test_messages_of_workspaces_and_merges_never_hold_values(type_: str) -> None:
    assert "secret" not in str(sent(type_, with_values=True)).lower().replace(type_, "")


def test_the_envelope_is_a_cloudevent() -> None:
    event = recorded("contact.blocked")
    body = msgspec.json.decode(msgspec.json.encode(public_message(event)))

    assert body == {
        "specversion": "1.0",
        "id": str(event.event_id),
        "source": f"/rollbook/{WORKSPACE_ID}",
        "type": "rollbook.contact.blocked.v1",
        "subject": str(event.stream_id),
        "time": "2026-03-01T12:30:15.250000Z",
        "datacontenttype": "application/json",
        "workspace": str(WORKSPACE_ID),
        "position": "0.7",
        "version": 3,
        "automation": True,
        "operation": str(event.metadata.operation_id),
        "actor": "user",
        "data": {},
    }


def test_attribute_names_follow_the_rules_of_cloudevents() -> None:
    for name in sent("contact.created"):
        assert name.isascii()
        assert name.isalnum()
        assert name.islower()


@pytest.mark.parametrize(
    ("actor", "told"),
    [("key:a1", "key:a1"), ("system:retention", "system:retention"), ("user:ada@example.com", "user"), ("x", "user")],
)
def test_who_acted_is_told_only_of_machines(actor: str, told: str) -> None:
    event = recorded("contact.blocked", metadata=Metadata(actor=actor))

    assert public_message(event).actor == told


def test_fields_that_changed_are_named_once_and_cleared_ones_marked() -> None:
    data = sent("contact.details_changed")["data"]

    assert data["changed"] == [
        "address", "attributes.nickname", "attributes.shoe_size", "categories", "first_name", "last_name", "lists",
    ]  # fmt: skip
    assert data["cleared"] == ["last_name", "attributes.shoe_size"]
    assert [len(data["lists_added"]), len(data["lists_removed"])] == [1, 1]


def test_an_erased_event_is_told_without_its_data() -> None:
    body = sent("contact.created", Unreadable(type="contact.created"))

    assert body["erased"] is True
    assert "data" not in body
    assert UUID(body["subject"])


def test_the_subject_names_workspace_aggregate_and_event() -> None:
    workspace_id = uuid4()

    assert subject_of(workspace_id, "contact.created") == f"rollbook.events.v1.{workspace_id}.contact.created"
