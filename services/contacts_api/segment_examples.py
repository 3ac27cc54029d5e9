"""Example requests and answers of lists and segments; a test reads each one with the decoder of its route."""

from __future__ import annotations

from typing import Any, Final

from contacts_api.examples import CREATED_AT, ID, POSITION

LIST_ID: Final = "01936f60-1a2b-7c3d-8e4f-0123456789ab"
EVENT_ID: Final = "01936f60-0000-7000-8000-000000000001"
FILTER: Final[dict[str, Any]] = {
    "all": [
        {"field": "country", "op": "eq", "value": "DE"},
        {"activity": "message.clicked", "within": "30d", "count": {"op": "gte", "value": 3}},
    ]
}
LISTS: Final[dict[str, Any]] = {"a list": {"name": "Summer fair 2026"}}
MEMBERS: Final[dict[str, Any]] = {
    "two contacts": {"contacts": [ID, "01936f5e-8c3a-7b21-9d4e-5f6a7b8c9d0f"]},
    "all that match": {"filter": {"field": "country", "op": "eq", "value": "DE"}},
}
SEGMENTS: Final[dict[str, Any]] = {"Germans who click": {"name": "Germans who click", "filter": FILTER}}
SEGMENT_PATCHES: Final[dict[str, Any]] = {
    "another name": {"name": "Fans"},
    "another filter": {"filter": {"field": "country", "op": "in", "value": ["DE", "AT"]}},
}
FILTERS: Final[dict[str, Any]] = {"Germans who click": {"filter": FILTER}}
LIST: Final[dict[str, Any]] = {
    "id": LIST_ID,
    "name": "Summer fair 2026",
    "version": 1,
    "members": 0,
    "created_at": CREATED_AT,
    "changed_at": CREATED_AT,
    "archived_at": None,
}
SEGMENT: Final[dict[str, Any]] = {**LIST, "name": "Germans who click", "filter": FILTER, "counting": None}
MEMBERS_CHANGED: Final[dict[str, Any]] = {
    "changed": 1,
    "unchanged": 0,
    "refused": 1,
    "refusals": [
        {"contact_id": ID, "type": "urn:rollbook:problem:not-found", "detail": f"contact {ID} does not exist"}
    ],
}
DIFF: Final[dict[str, Any]] = {
    "entered": 1,
    "left": 0,
    "items": [
        {
            "contact_id": ID,
            "change": "entered",
            "at": CREATED_AT,
            "position": POSITION,
            "cause": {"type": "activity.recorded", "event_id": EVENT_ID},
        }
    ],
    "next_cursor": None,
}
EXPLANATION: Final[dict[str, Any]] = {
    "contact_id": ID,
    "member": True,
    "deleted": False,
    "until": "2026-12-22T09:30:00Z",
    "truth": {
        "true": True,
        "filter": {"activity": "message.clicked", "within": "30d"},
        "value": 1,
        "because": [
            {
                "event_id": EVENT_ID,
                "type": "activity.recorded",
                "position": POSITION,
                "recorded_at": CREATED_AT,
                "kind": "message.clicked",
                "occurred_at": CREATED_AT,
            }
        ],
        "until": "2026-12-22T09:30:00Z",
        "items": [],
    },
}
