"""The AsyncAPI document: up to date, valid by the vendored schema, and true of what is sent."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from contacts_bridge import asyncapi
from contacts_bridge.messages import MESSAGES, PublicMessage, public_message
from eventstore.envelope import Unreadable
from tests.unit.bridge.examples import recorded

VENDORED = Path(__file__).parent / "asyncapi" / "3.0.0.json"
SHA256 = "abe96881dbfaad495ccbb6bd8d3fb43ca18a13b9d7564849ccb66f39d5e5b20f"


@pytest.fixture(scope="module")
def written() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(asyncapi.DOCUMENT.read_bytes())
    return document


def faults(document: dict[str, Any], message: PublicMessage, body: Any) -> list[str]:
    """What the document finds wrong with a message that was sent."""
    payload = f"#/components/messages/{message.name}/payload"
    schema = {"components": document["components"], "allOf": [{"$ref": payload}]}
    validator = jsonschema.Draft7Validator(schema, format_checker=jsonschema.FormatChecker())
    return [error.message for error in validator.iter_errors(body)]


def test_the_document_in_deploy_is_what_the_message_types_say() -> None:
    assert asyncapi.DOCUMENT.read_bytes() == asyncapi.encoded(), "run python -m contacts_bridge.asyncapi"


def test_the_vendored_schema_is_unchanged() -> None:
    assert hashlib.sha256(VENDORED.read_bytes()).hexdigest() == SHA256


def test_the_document_is_valid_asyncapi(written: dict[str, Any]) -> None:
    validator = jsonschema.Draft7Validator(json.loads(VENDORED.read_bytes()))

    assert [error.message for error in validator.iter_errors(written)] == []


def test_the_validation_would_notice_a_wrong_document(written: dict[str, Any]) -> None:
    wrong = json.loads(json.dumps(written))
    wrong["operations"]["send.contact.created"]["action"] = "shout"

    assert list(jsonschema.Draft7Validator(json.loads(VENDORED.read_bytes())).iter_errors(wrong))


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.name)
@pytest.mark.parametrize("how", ["thin", "with values", "erased"])
def test_what_is_sent_is_what_the_document_says(written: dict[str, Any], message: PublicMessage, how: str) -> None:
    event = recorded(message.name, Unreadable(type=message.name) if how == "erased" else None)
    body = msgspec.json.decode(msgspec.json.encode(public_message(event, with_values=how == "with values")))

    assert faults(written, message, body) == []


def test_a_message_that_is_not_as_described_is_noticed(written: dict[str, Any]) -> None:
    message = MESSAGES[0]
    body = msgspec.json.decode(msgspec.json.encode(public_message(recorded(message.name))))

    assert faults(written, message, body | {"type": "rollbook.contact.tagged.v1"})
    assert faults(written, message, body | {"version": 0})
    assert faults(written, message, body | {"data": {"changed": "email"}})
    assert faults(written, message, {name: value for name, value in body.items() if name != "position"})
