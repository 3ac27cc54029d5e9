"""The AsyncAPI 3 document of the micro service, generated from the endpoints as the OpenAPI description is.

`python -m contacts_api.micro.asyncapi` writes it to `deploy/asyncapi-service.json`; a test fails when that is stale.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import msgspec

from contacts_api.endpoint import PUBLIC, Endpoint
from contacts_api.errors import PROBLEM_MEDIA_TYPE, Problem
from contacts_api.hints import FIELDS
from contacts_api.micro.verbs import subject_of, verbs
from contacts_api.routes import ENDPOINTS

DOCUMENT: Final = Path(__file__).parents[3] / "deploy" / "asyncapi-service.json"
_REF: Final = "#/components/schemas/{name}"
_DESCRIPTION: Final = """\
The whole API by request and reply on NATS, as the micro service `rollbook` (`nats micro info rollbook`).

The payload of a request is one JSON object: parameters of the address and members of the body together, as OpenAPI
names them; or a CloudEvent with that as `data`. Headers: `Rollbook-Key` (or `Authorization: Bearer …`) with an API key
of the workspace in the subject, and those of HTTP: `Idempotency-Key`, `If-Match`, `Rollbook-Min-Position`. A reply has
`Rollbook-Status`, `Rollbook-Position` and `ETag` as HTTP has them. A refusal has `Nats-Service-Error-Code`,
`Nats-Service-Error`, and problem details as its payload.
"""


def document() -> dict[str, Any]:
    """The whole document as plain values, in an order that stays the same."""
    served = verbs(ENDPOINTS)
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Rollbook micro service", "version": version("rollbook"), "description": _DESCRIPTION},
        "defaultContentType": "application/json",
        "servers": {
            "nats": {
                "host": "{host}:{port}",
                "protocol": "nats",
                "variables": {"host": {"default": "localhost"}, "port": {"default": "4222"}},
            }
        },
        "channels": {verb: _channel(verb) for verb in served} | {"replies": _replies(served)},
        "operations": {verb: _operation(verb, endpoint) for verb, endpoint in served.items()},
        "components": {"messages": _messages(served), "schemas": _schemas(served)},
    }


def encoded() -> bytes:
    """The file's bytes."""
    return msgspec.json.format(msgspec.json.encode(document()), indent=1) + b"\n"


def _channel(verb: str) -> dict[str, Any]:
    return {
        "address": subject_of(verb, "{workspace}"),
        "parameters": {"workspace": {"description": "Id of the workspace; the key's."}},
        "messages": {f"{verb}.request": {"$ref": f"#/components/messages/{verb}.request"}},
    }


def _replies(served: Mapping[str, Endpoint]) -> dict[str, Any]:
    names = [*(f"{verb}.reply" for verb in served), "problem"]
    return {"address": None, "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names}}


def _operation(verb: str, endpoint: Endpoint) -> dict[str, Any]:
    assert endpoint.action is not PUBLIC
    summary, _, description = (inspect.getdoc(endpoint.run) or "").partition("\n\n")
    return {
        "action": "receive",
        "channel": {"$ref": f"#/channels/{verb}"},
        "summary": summary.replace("\n", " "),
        "description": f"{description}\n\nNeeds the permission `{endpoint.action.value}`.".strip(),
        "tags": [{"name": endpoint.tag}],
        "messages": [{"$ref": f"#/channels/{verb}/messages/{verb}.request"}],
        "reply": {
            "address": {"location": "$message.header#/reply"},
            "channel": {"$ref": "#/channels/replies"},
            "messages": [{"$ref": f"#/channels/replies/messages/{name}"} for name in (f"{verb}.reply", "problem")],
        },
    }


def _messages(served: Mapping[str, Endpoint]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for verb, endpoint in served.items():
        found[f"{verb}.request"] = {"name": verb, "payload": _request(endpoint)}
        found[f"{verb}.reply"] = {"name": f"{verb}.reply", "payload": _answer(endpoint)}
    problem = {"$ref": _REF.format(name="Problem")}
    return found | {"problem": {"name": "problem", "contentType": PROBLEM_MEDIA_TYPE, "payload": problem}}


def _request(endpoint: Endpoint) -> dict[str, Any]:
    """All parts in one object, so that only their members are referred to."""
    properties: dict[str, Any] = {}
    required: list[str] = []
    for type_ in _parts(endpoint):
        reference = _REF.format(name=type_.__name__)
        for field in msgspec.structs.fields(type_):
            properties[field.encode_name] = {"$ref": f"{reference}/properties/{_escaped(field.encode_name)}"}
            if field.required:
                required.append(field.encode_name)
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return schema | ({"required": required} if required else {})


def _answer(endpoint: Endpoint) -> dict[str, Any]:
    types = list(dict.fromkeys(type_ for each in endpoint.returns for type_ in _types(each.type)))
    references = [{"$ref": _REF.format(name=type_.__name__)} for type_ in types if isinstance(type_, type)]
    texts = [{"type": "string"}] if str in types or not types else []
    structs = [each for each in references if not each["$ref"].endswith("/str")]
    return {"anyOf": [*structs, *texts]} if len(structs) + len(texts) > 1 else [*structs, *texts][0]


def _types(type_: Any) -> tuple[Any, ...]:
    if type_ is None:
        return ()
    return type_ if isinstance(type_, tuple) else (type_,)


def _parts(endpoint: Endpoint) -> list[type[msgspec.Struct]]:
    return [endpoint.path_type, endpoint.query_type, *([endpoint.body_type] if endpoint.takes_body else [])]


def _schemas(served: Mapping[str, Endpoint]) -> dict[str, Any]:
    types: list[Any] = [Problem]
    for endpoint in served.values():
        types += _parts(endpoint)
        types += [type_ for each in endpoint.returns for type_ in _types(each.type) if type_ is not str]
    _, components = msgspec.json.schema_components(dict.fromkeys(types), ref_template=_REF)
    for name in components.keys() & FIELDS.keys():
        for field, hint in FIELDS[name].items():
            components[name]["properties"][field].update(hint)
    for schema in components.values():
        if "description" in schema:
            schema["description"] = inspect.cleandoc(schema["description"])
    return dict(sorted(components.items()))


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


if __name__ == "__main__":
    DOCUMENT.write_bytes(encoded())
    sys.stdout.write(f"{DOCUMENT.name} written\n")
