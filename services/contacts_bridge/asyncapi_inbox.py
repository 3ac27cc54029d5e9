"""The inbox in the AsyncAPI document: what may be sent in, from the types that decode it. Sending is `asyncapi.py`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec

from contacts.activity.input import ActivityInput
from contacts.activity.kinds import FAMILIES, Data
from contacts.contact.input import NewContactInput
from contacts_bridge.cloudevent import CONTENT_TYPE
from contacts_bridge.definitions import INBOX, INBOX_PREFIX
from contacts_bridge.inbox.message import UPSERT, CloudEventInput

#: Name of the parameter that stands for any other name of an open family.
_ANY: Final = "{name}"
_NAMES: Final = "^[a-z][a-z0-9_]*$"


class Accepted(NamedTuple):
    """A kind of message, or all of a family beyond those that are named."""

    #: `message.clicked`, `order.{name}`
    kind: str
    summary: str
    data_type: type[msgspec.Struct]

    @property
    def name(self) -> str:
        """Of the channel."""
        return f"inbox.{self.kind.replace(_ANY, 'any')}"

    @property
    def type_schema(self) -> dict[str, Any]:
        if _ANY not in self.kind:
            return {"const": self.kind}
        return {"pattern": f"^{re.escape(self.kind.removesuffix(_ANY))}{_NAMES[1:]}"}


def accepted() -> Iterator[Accepted]:
    """Every kind, families in their order."""
    for family_name, family in FAMILIES.items():
        for name, data_type in family.kinds.items():
            yield Accepted(f"{family_name}.{name}", _summary(data_type), data_type)
        if family.other is not None:
            yield Accepted(f"{family_name}.{_ANY}", _summary(family.other), family.other)
    yield Accepted(UPSERT, "A contact as the sender knows it: created, or brought up to date", NewContactInput)


def channels() -> dict[str, Any]:
    return {each.name: _channel(each) for each in accepted()}


def operations() -> dict[str, Any]:
    return {f"receive.{each.name}": _operation(each) for each in accepted()}


def messages() -> dict[str, Any]:
    return {name: message for each in accepted() for name, message in _messages(each)}


def schema_types() -> list[Any]:
    """Structs whose schemas the document needs."""
    return [ActivityInput, CloudEventInput, *dict.fromkeys(each.data_type for each in accepted())]


def _channel(each: Accepted) -> dict[str, Any]:
    workspace: dict[str, Any] = {"workspace": {"description": "Id of the workspace."}}
    name = {"name": {"description": "Letters, digits and _: `placed`, `page_viewed`, …"}} if _ANY in each.kind else {}
    return {
        "address": f"{INBOX_PREFIX}.{{workspace}}.{each.kind}",
        "summary": each.summary,
        "parameters": workspace | name,
        "messages": {message: {"$ref": f"#/components/messages/{message}"} for message, _ in _messages(each)},
    }


def _operation(each: Accepted) -> dict[str, Any]:
    channel = f"#/channels/{each.name}"
    return {
        "action": "receive",
        "summary": f"Taken from the JetStream stream `{INBOX}`, once by `source` and `id`",
        "channel": {"$ref": channel},
        "messages": [{"$ref": f"{channel}/messages/{message}"} for message, _ in _messages(each)],
    }


def _messages(each: Accepted) -> Iterator[tuple[str, dict[str, Any]]]:
    data = {"$ref": f"#/components/schemas/{each.data_type.__name__}"}
    forms = (
        (each.name, "plain", "application/json", "ActivityInput"),
        (f"{each.name}.event", "as a CloudEvent in structured JSON", CONTENT_TYPE, "CloudEventInput"),
    )
    for name, form, content_type, envelope in forms:
        narrowed = {"type": each.type_schema, "data": data}
        payload = {
            "allOf": [
                {"$ref": f"#/components/schemas/{envelope}"},
                {"type": "object", "properties": narrowed, **_required(each.data_type)},
            ]
        }
        yield name, {"name": name, "title": f"{each.kind}, {form}", "contentType": content_type, "payload": payload}


def _required(data_type: type[msgspec.Struct]) -> dict[str, Any]:
    # Data may be left out where none of its fields has to be there.
    needed = any(field.required for field in msgspec.structs.fields(data_type))
    return {"required": ["data"]} if needed else {}


def _summary(data_type: type[Data]) -> str:
    return (data_type.__doc__ or "").strip().split("\n")[0].rstrip(".") or "Something of a message"
