"""What the AsyncAPI document says of the inbox is what is accepted: on traffic, and on traffic with one thing wrong."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

import jsonschema
import msgspec
import pytest

from contacts.activity.data import parse_data
from contacts.activity.kinds import parse_kind
from contacts.contact.input import NewContactInput
from contacts.errors import InvalidInput, InvalidValue
from contacts_bridge import asyncapi
from contacts_bridge.asyncapi_inbox import accepted
from contacts_bridge.inbox.message import UPSERT, Raw, read
from rollbook.traffic import Traffic

NOW = datetime(2026, 11, 22, tzinfo=UTC)
WORKSPACE = UUID(int=1)
NEEDED = ("id", "source", "type", "time", "contact")
DOCUMENT: dict[str, Any] = json.loads(asyncapi.DOCUMENT.read_bytes())


@cache
def validator(message: str) -> jsonschema.Draft7Validator:
    schema = {"components": DOCUMENT["components"], "$ref": f"#/components/messages/{message}/payload"}
    return jsonschema.Draft7Validator(schema, format_checker=jsonschema.FormatChecker())


def channel_of(kind: str) -> str:
    names = {each.name for each in accepted()}
    return f"inbox.{kind}" if f"inbox.{kind}" in names else f"inbox.{kind.partition('.')[0]}.any"


def documented(kind: str, body: Any, form: str = "") -> bool:
    return bool(validator(channel_of(kind) + form).is_valid(body))


def is_accepted(kind: str, body: Any) -> bool:
    raw = Raw(f"rollbook.inbox.v1.{WORKSPACE}.{kind}".encode(), b"", b"", msgspec.json.encode(body))
    try:
        sent = read(raw).sent
        if kind == UPSERT:
            msgspec.convert(sent.data, NewContactInput)
        else:
            parse_data(parse_kind(kind), sent.data)
    except (InvalidInput, InvalidValue, msgspec.ValidationError):
        return False
    return True


def traffic(count: int) -> list[tuple[str, dict[str, Any]]]:
    made = Traffic(3, 40, run=UUID(int=3))
    found = [made.next(NOW + timedelta(milliseconds=20 * number)) for number in range(count)]
    return [(each.kind, each.body) for each in found]


def test_every_kind_has_a_channel_whose_messages_exist() -> None:
    for each in accepted():
        channel, messages = DOCUMENT["channels"][each.name], DOCUMENT["components"]["messages"]
        assert channel["address"] == f"rollbook.inbox.v1.{{workspace}}.{each.kind}"
        assert channel["messages"].keys() == {each.name, f"{each.name}.event"} <= messages.keys()
        assert DOCUMENT["operations"][f"receive.{each.name}"]["action"] == "receive"


def test_what_the_document_allows_is_accepted() -> None:
    for kind, body in traffic(400):
        assert documented(kind, body), body
        assert is_accepted(kind, body), body


def test_cloudevents_of_the_same_are_allowed_and_accepted() -> None:
    for kind, body in traffic(200):
        event = {"specversion": "1.0", **body}
        assert documented(kind, event, ".event"), event
        assert is_accepted(kind, event), event


def test_what_the_document_forbids_is_refused() -> None:
    refused = 0
    for kind, body in traffic(120):
        for wrong in (
            *({name: body[name] for name in body if name != left_out} for left_out in NEEDED),
            body | {"data": body["data"] | {"teleported": 1}},
            body | {"time": 5},
            body | {"type": "message.teleported"},
            body | {"contact": {"nickname": "x"}},
            body | {"extra": 1},
        ):
            assert not documented(kind, wrong), wrong
            assert not is_accepted(kind, wrong), wrong
            refused += 1
    assert refused > 1_000


@pytest.mark.parametrize("kind", ["order.", "web.Page", "order.page-viewed", "fax.sent"])
def test_names_that_are_none_are_refused(kind: str) -> None:
    with pytest.raises(InvalidValue):
        parse_kind(kind)
