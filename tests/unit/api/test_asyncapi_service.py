"""The AsyncAPI document of the micro service: up to date, valid by the vendored schema, and true of the endpoints."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from contacts_api.decoding import Malformed
from contacts_api.micro import asyncapi
from contacts_api.micro.message import Reader
from contacts_api.micro.verbs import verbs
from contacts_api.routes import ENDPOINTS

VENDORED = Path(__file__).parents[1] / "bridge" / "asyncapi" / "3.0.0.json"
VERBS = verbs(ENDPOINTS)
WITH_EXAMPLES = [verb for verb, endpoint in VERBS.items() if endpoint.examples]


@cache
def document() -> dict[str, Any]:
    written: dict[str, Any] = json.loads(asyncapi.DOCUMENT.read_bytes())
    return written


@cache
def validator(verb: str) -> jsonschema.Draft202012Validator:
    payload = f"#/components/messages/{verb}.request/payload"
    return jsonschema.Draft202012Validator({"components": document()["components"], "$ref": payload})


def test_the_document_in_deploy_is_what_the_endpoints_say() -> None:
    assert asyncapi.DOCUMENT.read_bytes() == asyncapi.encoded(), "run python -m contacts_api.micro.asyncapi"


def test_the_document_is_valid_asyncapi() -> None:
    schema = jsonschema.Draft7Validator(json.loads(VENDORED.read_bytes()))
    assert [error.message for error in schema.iter_errors(document())] == []


def test_every_verb_is_described() -> None:
    assert document()["operations"].keys() == VERBS.keys()
    assert {each["address"] for name, each in document()["channels"].items() if name != "replies"} == {
        f"rollbook.svc.v1.{{workspace}}.{verb}" for verb in VERBS
    }


@pytest.mark.parametrize("verb", WITH_EXAMPLES)
def test_the_examples_of_the_endpoints_are_requests_of_the_verb(verb: str) -> None:
    endpoint = VERBS[verb]
    address = dict.fromkeys(endpoint.path_type.__struct_encode_fields__, "email")
    for example in endpoint.examples.values():
        request = {**address, **example}
        assert [error.message for error in validator(verb).iter_errors(request)] == []
        assert not validator(verb).is_valid({**request, "teleported": True})


def test_what_is_no_parameter_is_refused_by_both() -> None:
    reader = Reader(VERBS["contacts.get"])
    assert not validator("contacts.get").is_valid({"contact_id": "x", "teleported": True})
    with pytest.raises(Malformed):
        reader.request({}, b'{"contact_id": "x", "teleported": true}')
    with pytest.raises(Malformed):
        reader.request({}, b"{}")
