"""The description: complete, true to the contract, and every example in it readable by the route it is for."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from contacts import errors as domain
from contacts_api.decoding import BodyDecoder
from contacts_api.endpoint import PUBLIC, Endpoint
from contacts_api.errors import KINDS, PROBLEM_MEDIA_TYPE, problem_of
from contacts_api.openapi import describe
from contacts_api.routes import ENDPOINTS
from eventstore import errors as log

#: The routes of the contract that this service has so far.
CONTRACT: Final = {
    "/v1/contacts": "GET POST",
    "/v1/contacts/counts": "GET",
    "/v1/contacts/{contact_id}": "GET PATCH DELETE",
    "/v1/contacts/by/{by}/{value}": "PUT",
    "/v1/contacts/{contact_id}/restore": "POST",
    "/v1/contacts/{contact_id}/erase": "POST",
    "/v1/erasures/{erasure_id}": "GET",
    "/v1/contacts/{contact_id}/block": "POST",
    "/v1/contacts/{contact_id}/unblock": "POST",
    "/v1/contacts/{contact_id}/blacklist": "POST",
    "/v1/contacts/{contact_id}/unblacklist": "POST",
    "/v1/contacts/{contact_id}/unsubscribe": "POST",
    "/v1/contacts/{contact_id}/resubscribe": "POST",
    "/v1/contacts/{contact_id}/report-spam": "POST",
    "/v1/contacts/{contact_id}/clear-spam": "POST",
    "/v1/contacts/{contact_id}/confirm": "POST",
    "/v1/contacts/{contact_id}/consents": "POST",
    "/v1/suppressions": "GET POST",
    "/v1/suppressions/{suppression_id}": "DELETE",
    "/v1/may-send": "POST",
    "/v1/contacts/{contact_id}/tags": "POST",
    "/v1/contacts/{contact_id}/tags/{tag}": "DELETE",
    "/v1/contacts/{contact_id}/channels": "POST",
    "/v1/contacts/{contact_id}/activity": "GET",
    "/v1/contacts/{contact_id}/history": "GET",
    "/v1/contacts/{contact_id}/provenance": "GET",
    "/v1/contacts/{contact_id}/diff": "GET",
    "/v1/activity": "POST",
    "/v1/attributes": "GET POST",
    "/v1/settings": "GET PATCH",
    "/v1/members": "GET POST",
    "/v1/keys": "GET POST",
    "/healthz": "GET",
    "/readyz": "GET",
    "/metrics": "GET",
}

#: What a POST only asks, and what a mail provider sends, who knows no header of ours; a repeat changes nothing.
QUESTIONS: Final = {
    "POST /v1/may-send",
    "POST /v1/unsubscribe-links",
    "POST /v1/consent-ledgers",
    "POST /unsubscribe/{token}",
    "POST /v1/merges/preview",
    "POST /v1/contacts/search",
    "POST /v1/segments/{segment_id}/members",
    "POST /v1/contacts/{contact_id}/explain",
    "POST /v1/merges/{merge_id}/unmerge/preview",
}

DOCUMENT = describe(ENDPOINTS)
SHOWN = [endpoint for endpoint in ENDPOINTS if endpoint.in_schema]
#: What the event store says that is not turned into a refusal of the domain first.
FROM_THE_LOG = {log.Overloaded, log.StoreUnavailable, log.PositionTimeout, log.SubjectErased, log.KeyUnavailable}


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_every_route_of_the_contract_is_described() -> None:
    wanted = {f"{method} {path}" for path, methods in CONTRACT.items() for method in methods.split()}
    assert wanted <= {name for name, _ in operations()}


def test_operations_have_names_of_their_own_summaries_and_tags() -> None:
    found = [operation for _, operation in operations()]
    assert len({operation["operationId"] for operation in found}) == len(found)
    assert all(operation["summary"].endswith((".", "?")) or operation["summary"] for operation in found)
    assert all(len(operation["tags"]) == 1 for operation in found)


@pytest.mark.parametrize(("name", "operation"), list(operations()), ids=[name for name, _ in operations()])
def test_refusals_are_documented_as_problems(name: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    for status, response in responses.items():
        if status[0] in "45" and name != "GET /readyz":
            assert list(response["content"]) == [PROBLEM_MEDIA_TYPE], status
    assert "400" in responses
    if operation["security"]:
        assert {"401", "403", "429", "503"} <= responses.keys()
    if "requestBody" in operation:
        assert {"413", "415"} <= responses.keys()
        assert "KiB" in operation["description"]
        assert all(content["examples"] for content in operation["requestBody"]["content"].values())
    if name.startswith(("POST", "PUT", "PATCH", "DELETE")) and name not in QUESTIONS:
        assert any(parameter["name"] == "Idempotency-Key" for parameter in operation["parameters"])


def test_component_schemas_are_valid_and_refer_to_each_other() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    text = msgspec.json.encode(DOCUMENT).decode()
    for reference in text.split('"$ref":"#/components/schemas/')[1:]:
        assert reference.split('"')[0] in schemas


def examples() -> Iterator[tuple[str, Endpoint, Any]]:
    for endpoint in SHOWN:
        for title, value in endpoint.examples.items():
            yield f"{endpoint.name}: {title}", endpoint, value


@pytest.mark.parametrize(("title", "endpoint", "value"), list(examples()), ids=[title for title, _, _ in examples()])
def test_an_example_body_is_read_by_its_route(title: str, endpoint: Endpoint, value: Any) -> None:
    BodyDecoder(endpoint.body_type)(msgspec.json.encode(value))


def example_answers() -> Iterator[tuple[str, dict[str, Any], Any]]:
    for name, operation in operations():
        for status, response in operation["responses"].items():
            for content in response.get("content", {}).values():
                if "example" in content:
                    yield f"{name} {status}", content["schema"], content["example"]


@pytest.mark.parametrize(
    ("title", "schema", "value"), list(example_answers()), ids=[title for title, _, _ in example_answers()]
)
def test_an_example_answer_fits_its_schema(title: str, schema: dict[str, Any], value: Any) -> None:
    Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(value)


def test_refusals_answer_with_the_status_their_name_promises() -> None:
    refusals = [error for error in vars(domain).values() if inspect.isclass(error)]
    not_found = {error for error in refusals if error.__name__.endswith("NotFound") and error in KINDS}
    assert not_found >= {domain.ContactNotFound, domain.AttributeNotFound, domain.KeyNotFound, domain.MemberNotFound}
    assert {KINDS[error].status for error in not_found} == {404}
    assert {KINDS[error].status for error in FROM_THE_LOG} == {410, 429, 503}


def test_a_refusal_that_nobody_mapped_is_no_failure() -> None:
    class NewRule(domain.Refusal):
        pass

    assert problem_of(NewRule("no"))[0].status == 422


def test_what_is_no_refusal_tells_nothing_of_itself() -> None:
    problem, _ = problem_of(RuntimeError("ann@example.com"))
    assert problem.status == 500
    assert "ann" not in msgspec.json.encode(problem).decode()


def test_a_public_route_is_public_on_purpose() -> None:
    for endpoint in ENDPOINTS:
        assert endpoint.action is PUBLIC or endpoint.path.startswith("/v1/")
