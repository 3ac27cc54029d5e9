"""Segments in the AsyncAPI document: who entered and who left, from the type that is sent."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from contacts_bridge.cloudevent import CONTENT_TYPE
from contacts_bridge.segments.feed import HEADER
from contacts_bridge.segments.message import PREFIX, STREAM, SegmentMessage

SUMMARIES: Final = {"entered": "A contact came into a segment", "left": "A contact left a segment"}
HEADERS: Final = {
    "type": "object",
    "required": ["Content-Type", "Nats-Msg-Id", HEADER],
    "properties": {
        "Content-Type": {"const": CONTENT_TYPE},
        "Nats-Msg-Id": {"type": "string", "description": "For JetStream's own use; messages are told apart by `id`."},
        HEADER: {"type": "string", "description": "How far every lane is in the stream."},
    },
}


def channels() -> dict[str, Any]:
    return {_name(change): _channel(change) for change in SUMMARIES}


def operations() -> dict[str, Any]:
    return {f"send.{_name(change)}": _operation(change) for change in SUMMARIES}


def messages() -> dict[str, Any]:
    return {_name(change): _message(change) for change in SUMMARIES}


def schema_types() -> tuple[type[msgspec.Struct], ...]:
    return (SegmentMessage,)


def _name(change: str) -> str:
    """Of the channel: an event of the log is `segment.created`, this is none."""
    return f"segment.{change}"


def _channel(change: str) -> dict[str, Any]:
    return {
        "address": f"{PREFIX}.{{workspace}}.{{segment}}.{change}",
        "summary": SUMMARIES[change],
        "description": f"On the JetStream stream `{STREAM}`.",
        "parameters": {
            "workspace": {"description": "Id of the workspace."},
            "segment": {"description": "Id of the segment."},
        },
        "messages": {_name(change): {"$ref": f"#/components/messages/{_name(change)}"}},
    }


def _operation(change: str) -> dict[str, Any]:
    channel = f"#/channels/{_name(change)}"
    return {
        "action": "send",
        "channel": {"$ref": channel},
        "messages": [{"$ref": f"{channel}/messages/{_name(change)}"}],
    }


def _message(change: str) -> dict[str, Any]:
    type_ = f"rollbook.segment.{change}.v1"
    return {
        "name": type_,
        "summary": SUMMARIES[change],
        "contentType": CONTENT_TYPE,
        "headers": {"$ref": "#/components/schemas/SegmentHeaders"},
        "payload": {
            "allOf": [
                {"$ref": "#/components/schemas/SegmentMessage"},
                {"type": "object", "properties": {"type": {"const": type_}}},
            ]
        },
    }
