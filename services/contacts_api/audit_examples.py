"""Example answers of history, provenance and differences for the description."""

from __future__ import annotations

from typing import Any, Final

from contacts_api.examples import ID, MERGE_ID, OTHER_ID, POSITION

_CREATED: Final[dict[str, Any]] = {
    "event": "contact.created",
    "event_id": "01936f5e-8c3a-7000-8000-000000000001",
    "contact": OTHER_ID,
    "position": "0.7",
    "recorded_at": "2026-11-22T09:30:00Z",
    "occurred_at": None,
    "actor": "key:mzxw6ytboi",
    "actor_name": "API key “shop”",
    "source": "api",
    "correlation_id": None,
    "operation_id": None,
}
_CHANGED: Final[dict[str, Any]] = {
    **_CREATED,
    "event": "contact.details_changed",
    "event_id": "01936f60-0000-7000-8000-000000000001",
    "contact": ID,
    "position": POSITION,
    "recorded_at": "2026-11-22T09:31:00Z",
    "correlation_id": "checkout-77",
}
_MERGED: Final[dict[str, Any]] = {
    **_CREATED,
    "event": "contact.merged",
    "event_id": "01936f61-0000-7000-8000-000000000001",
    "contact": ID,
    "position": "0.1240",
}
HISTORY: Final[dict[str, Any]] = {
    "items": [
        {
            **_CHANGED,
            "version": 2,
            "before_merge": False,
            "merge": None,
            "sentence": "API key “shop” edited this contact over the API: changed first name from “Zoë” to “Zoe”.",
            "erased": False,
            "changes": [{"field": "first_name", "old": "Zoë", "new": "Zoe"}],
        }
    ],
    "next_cursor": None,
    "total": {"count": 1, "exact": True},
}
PROVENANCE: Final[dict[str, Any]] = {
    "id": ID,
    "version": 3,
    "fields": [
        {
            "field": "first_name",
            "element": None,
            "value": "Zoe",
            "contact": ID,
            "merge": None,
            "set_by": _CHANGED,
            "shown_since": _CHANGED,
            "earlier": [
                {
                    "value": "Zoë",
                    "contact": ID,
                    "merge": None,
                    "set_by": {**_CREATED, "contact": ID},
                    "shown_since": {**_CREATED, "contact": ID},
                    "until": _CHANGED,
                }
            ],
        },
        {
            "field": "tags",
            "element": "vip",
            "value": "vip",
            "contact": OTHER_ID,
            "merge": MERGE_ID,
            "set_by": _CREATED,
            "shown_since": _MERGED,
            "earlier": [],
        },
    ],
}
DIFFERENCE: Final[dict[str, Any]] = {
    "before": {"position": "0.1233", "contact": ID, "version": 1},
    "after": {"position": POSITION, "contact": ID, "version": 2},
    "fields": [{"field": "first_name", "before": "Zoë", "after": "Zoe", "events": [_CHANGED]}],
}
