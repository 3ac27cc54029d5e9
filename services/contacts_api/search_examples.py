"""Example requests and answers of smart search; a test reads each one with the decoder of its route."""

from __future__ import annotations

from typing import Any, Final

from contacts_api.examples import CONTACT

SEARCHES: Final[dict[str, Any]] = {
    "who clicked but did not order": {
        "filter": {
            "all": [
                {"field": "country", "op": "in", "value": ["DE", "AT"]},
                {"field": "tags", "op": "has_any", "value": ["vip"]},
                {"not": {"field": "consents.sms", "op": "eq", "value": "unsubscribed"}},
                {
                    "activity": "message.clicked",
                    "where": [{"property": "message_name", "op": "eq", "value": "Spring"}],
                    "within": "30d",
                    "count": {"op": "gte", "value": 3},
                },
                {"order": {"aggregate": "count"}, "op": "eq", "value": 0, "within": "1y"},
            ]
        },
        "sort": "-last_interaction_at",
        "total": "exact",
    },
    "everybody new": {"filter": {"field": "created_at", "op": "within_last", "value": "7d"}, "fields": ["id", "email"]},
}
PAGE: Final[dict[str, Any]] = {"items": [CONTACT], "next_cursor": None, "total": {"count": 1, "exact": True}}
