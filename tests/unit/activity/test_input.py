"""How what a sender says becomes a command, and what is wrong with it where it does not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from contacts.activity.commands import ChannelReference
from contacts.activity.input import ActivityInput, record_activity
from contacts.errors import InvalidInput
from contacts.values import Country
from contacts.workspace.state import Settings, Workspace
from tests.unit.activity.examples import WORKSPACE

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
GERMAN = Workspace(id=WORKSPACE, version=1, settings=Settings(default_region=Country("DE")))
SENT: dict[str, Any] = {
    "id": "m-1",
    "source": "mailer",
    "type": "message.clicked",
    "time": "2026-03-01T11:59:00+01:00",
    "contact": {"external_id": "c-1"},
    "data": {"channel": "email"},
}


def sent(**fields: Any) -> ActivityInput:
    return msgspec.json.decode(msgspec.json.encode({**SENT, **fields}), type=ActivityInput)


def refusals(**fields: Any) -> dict[str, str]:
    with pytest.raises(InvalidInput) as refused:
        record_activity(sent(**fields), GERMAN, now=NOW)
    return {error.pointer: error.reason for error in refused.value.errors}


def test_the_time_is_kept_in_utc() -> None:
    command = record_activity(sent(), GERMAN, now=NOW)
    assert command.occurred_at == datetime(2026, 3, 1, 10, 59, tzinfo=UTC)
    assert command.occurred_at.utcoffset() == timedelta(0)


def test_addresses_are_parsed_as_those_of_contacts() -> None:
    contact = {"email": " Anna@Example.com ", "phone": "030 901820", "channel": {"kind": "Telegram", "token": " 7 "}}
    command = record_activity(sent(contact=contact), GERMAN, now=NOW)
    assert (command.contact.email, command.contact.phone) == ("Anna@Example.com", "+4930901820")
    assert command.contact.channel == ChannelReference("telegram", "7", None)


def test_what_is_known_of_the_contact_counts_in_a_fixed_order() -> None:
    contact = {
        "channel": {"kind": "viber", "token": "7"},
        "phone": "+4930901820",
        "email": "a@example.com",
        "messaging_id": "m",
        "external_id": "x",
        "id": str(uuid4()),
    }
    command = record_activity(sent(contact=contact), GERMAN, now=NOW)
    assert [reading.by for reading in command.contact.readings()] == [
        "id", "external_id", "messaging_id", "email", "phone", "channel",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"id": " "}, "/id"),
        ({"id": "x" * 256}, "/id"),
        ({"source": "a\x00b"}, "/source"),
        ({"type": "message.clickd"}, "/type"),
        ({"time": "2026-03-01T12:00:00"}, "/time"),
        ({"time": "1970-01-20T12:00:00Z"}, "/time"),
        ({"time": "2026-03-02T12:00:01Z"}, "/time"),
        ({"time": "0001-01-01T00:00:00+14:00"}, "/time"),
        ({"contact": {}}, "/contact"),
        ({"contact": {"email": "nobody"}}, "/contact/email"),
        ({"contact": {"phone": "12"}}, "/contact/phone"),
        ({"contact": {"channel": {"kind": "?", "token": "7"}}}, "/contact/channel/kind"),
        ({"contact": {"channel": {"kind": "viber", "token": ""}}}, "/contact/channel/token"),
        ({"data": {}}, "/data/channel"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(fields: dict[str, Any], pointer: str) -> None:
    assert list(refusals(**fields)) == [pointer]


def test_everything_that_is_wrong_is_said_at_once() -> None:
    assert set(refusals(id="", source="", time="1970-01-01T00:00:00Z", contact={"email": "x"}, data={})) == {
        "/id", "/source", "/time", "/contact/email", "/data/channel",
    }  # fmt: skip


def test_a_repeat_is_known_by_what_was_sent_whatever_the_order_of_its_members() -> None:
    first = record_activity(sent(data={"channel": "email", "url": "https://a"}), GERMAN, now=NOW)
    again = record_activity(sent(data={"url": "https://a", "channel": "email"}), GERMAN, now=NOW + timedelta(1))
    other = record_activity(sent(data={"channel": "email", "url": "https://b"}), GERMAN, now=NOW)
    assert first.digest == again.digest != other.digest
