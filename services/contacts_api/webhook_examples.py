"""Examples of requests and answers about webhooks, for the description and for the tests that walk it."""

from __future__ import annotations

from typing import Any, Final

ID: Final = "0199a1b2-0000-7000-8000-00000000c0de"
_AT: Final = "2026-11-22T09:30:00Z"
NEW_WEBHOOKS: Final[dict[str, Any]] = {
    "of contacts and merges": {
        "url": "https://hooks.example.com/rollbook",
        "events": ["contact.*", "merge.completed"],
        "description": "Shop",
    },
    "of everything": {"url": "https://hooks.example.com/all"},
}
PATCHES: Final[dict[str, Any]] = {
    "other events": {"events": ["contact.created"]},
    "off": {"enabled": False},
}
REPLAYS: Final[dict[str, Any]] = {
    "from an instant": {"since": "2026-11-20T00:00:00Z"},
    "after a position": {"after": "0.0"},
}
WEBHOOK: Final[dict[str, Any]] = {
    "id": ID,
    "version": 1,
    "url": "https://hooks.example.com/rollbook",
    "events": ["contact.*", "merge.completed"],
    "description": "Shop",
    "status": "enabled",
    "disabled_by": None,
    "disabled_at": None,
    "old_secret_until": None,
    "created_at": _AT,
    "changed_at": _AT,
}
WITH_SECRET: Final[dict[str, Any]] = {**WEBHOOK, "secret": "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}
STANDING: Final[dict[str, Any]] = {**WEBHOOK, "delivered_to": "0.4711", "failing_since": None}
DELIVERIES: Final[dict[str, Any]] = {
    "items": [
        {
            "event_id": "0199a1b2-0000-7000-8000-00000000e0e0",
            "type": "contact.created",
            "position": "0.4711",
            "attempt": 2,
            "outcome": "delivered",
            "status": 204,
            "reason": None,
            "duration_ms": 31,
            "at": _AT,
        }
    ],
    "next_cursor": None,
}
