"""The AsyncAPI 3 document of what Rollbook sends and takes over NATS, generated from the message types.

`python -m contacts_bridge.asyncapi` writes it to `deploy/asyncapi.json`; a test fails when that file is stale.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from contacts_bridge import asyncapi_inbox as inbox
from contacts_bridge import asyncapi_segments as segments
from contacts_bridge.cloudevent import CONTENT_TYPE, CloudEvent, subject_of
from contacts_bridge.definitions import EVENTS, INBOX
from contacts_bridge.messages import MESSAGES, PublicMessage
from contacts_bridge.segments.message import STREAM as SEGMENTS

DOCUMENT: Final = Path(__file__).parents[2] / "deploy" / "asyncapi.json"

_DESCRIPTION: Final = f"""\
Every event of every contact and workspace, as CloudEvents 1.0 in structured JSON, on the JetStream stream `{EVENTS}`.

At least once, and in order per contact: consumers remember the `id`, or the highest `version` per `subject`.
Personal data is left out unless the workspace's settings ask for it. Fields are only ever added; a change that breaks
readers comes as a new `type`, so pass over types and fields you do not know.

Who enters and leaves segments, as windows of time pass too, is told on the stream `{SEGMENTS}`.

The other way, what other services saw goes to the stream `{INBOX}`: in the plain form, as CloudEvents in structured
JSON, or as CloudEvents in binary mode (attributes in `ce-` headers, the body is the data). A repeat of `source` and
`id` has no effect; what cannot be recorded is put aside with the reason.
"""


def document() -> dict[str, Any]:
    """The whole document as plain values, in an order that stays the same."""
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Rollbook events", "version": "1.0.0", "description": _DESCRIPTION},
        "defaultContentType": CONTENT_TYPE,
        "servers": {
            "nats": {
                "host": "{host}:{port}",
                "protocol": "nats",
                "variables": {"host": {"default": "localhost"}, "port": {"default": "4222"}},
            }
        },
        "channels": {message.name: _channel(message) for message in MESSAGES} | segments.channels() | inbox.channels(),
        "operations": {f"send.{message.name}": _operation(message) for message in MESSAGES}
        | segments.operations()
        | inbox.operations(),
        "components": {
            "messages": {message.name: _message(message) for message in MESSAGES}
            | segments.messages()
            | inbox.messages(),
            "schemas": _schemas(),
        },
    }


def encoded() -> bytes:
    """The file's bytes."""
    return msgspec.json.format(msgspec.json.encode(document()), indent=2) + b"\n"


def payload_schema(message: PublicMessage) -> dict[str, Any]:
    """The envelope, narrowed to the type and the data of one message."""
    narrowed = {"type": {"const": message.type}, "data": _reference("schemas", message.data_type.__name__)}
    return {"allOf": [_reference("schemas", "CloudEvent"), {"type": "object", "properties": narrowed}]}


def _channel(message: PublicMessage) -> dict[str, Any]:
    return {
        "address": subject_of("{workspace}", message.name),
        "summary": message.summary,
        "parameters": {"workspace": {"description": "Id of the workspace."}},
        "messages": {message.name: _reference("messages", message.name)},
    }


def _operation(message: PublicMessage) -> dict[str, Any]:
    channel = f"#/channels/{message.name}"
    return {
        "action": "send",
        "channel": {"$ref": channel},
        "messages": [{"$ref": f"{channel}/messages/{message.name}"}],
    }


def _message(message: PublicMessage) -> dict[str, Any]:
    return {
        "name": message.type,
        "summary": message.summary,
        "contentType": CONTENT_TYPE,
        "headers": _reference("schemas", "Headers"),
        "payload": payload_schema(message),
    }


def _schemas() -> dict[str, Any]:
    own = dict.fromkeys(message.data_type for message in MESSAGES)
    types = [CloudEvent[Any], *own, *segments.schema_types(), *inbox.schema_types()]
    _, found = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    schemas = {"CloudEvent" if name.startswith("CloudEvent_") else name: schema for name, schema in found.items()}
    schemas["CloudEvent"]["title"] = "CloudEvent"
    for schema in schemas.values():
        schema["description"] = inspect.cleandoc(schema.get("description", ""))
    return {"Headers": _HEADERS, "SegmentHeaders": segments.HEADERS, **schemas}


def _reference(kind: str, name: str) -> dict[str, str]:
    return {"$ref": f"#/components/{kind}/{name}"}


_HEADERS: Final = {
    "type": "object",
    "required": ["Content-Type", "Nats-Msg-Id", "Rollbook-Lanes"],
    "properties": {
        "Content-Type": {"const": CONTENT_TYPE},
        "Nats-Msg-Id": {"type": "string", "description": "For JetStream's own use; events are told apart by `id`."},
        "Rollbook-Lanes": {"type": "string", "description": "How far every lane of the log is in the stream."},
    },
}


if __name__ == "__main__":
    DOCUMENT.write_bytes(encoded())
    sys.stdout.write(f"{DOCUMENT.name} written\n")
