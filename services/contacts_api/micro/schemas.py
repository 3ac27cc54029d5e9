"""What each verb takes and answers, as JSON Schema: built from the endpoint itself, as the OpenAPI description is."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from contacts_api.endpoint import Endpoint
from contacts_api.hints import FIELDS

_REF: Final = "#/$defs/{name}"


def request_schema(endpoint: Endpoint) -> dict[str, Any]:
    """One object: parameters of the address, of the query, and members of the body."""
    parts = [endpoint.path_type, endpoint.query_type, *([endpoint.body_type] if endpoint.takes_body else [])]
    references, components = _components(parts)
    properties: dict[str, Any] = {}
    required: list[str] = []
    for reference in dict.fromkeys(each["$ref"].rpartition("/")[2] for each in references):
        part = components.pop(reference)
        properties |= part.get("properties", {})
        required += part.get("required", [])
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return schema | ({"required": required} if required else {}) | ({"$defs": components} if components else {})


def answer_schema(endpoint: Endpoint) -> dict[str, Any] | None:
    """None where nothing, or no JSON, comes back."""
    json = [each for each in endpoint.returns if each.type is not None and each.media_type == "application/json"]
    types = [type_ for each in json for type_ in (each.type if isinstance(each.type, tuple) else (each.type,))]
    if not types:
        return None
    references, components = _components(list(dict.fromkeys(types)))
    return {"anyOf": references, "$defs": components} if len(references) > 1 else references[0] | {"$defs": components}


def _components(types: list[Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    references, components = msgspec.json.schema_components(types, ref_template=_REF)
    for name in components.keys() & FIELDS.keys():
        for field, hint in FIELDS[name].items():
            components[name]["properties"][field].update(hint)
    return list(references), components
