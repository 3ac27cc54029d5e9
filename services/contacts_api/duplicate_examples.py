"""Example requests and answers about duplicates; a test reads each one with the decoder of its route."""

from __future__ import annotations

from typing import Any, Final

from contacts_api.examples import CREATED_AT, ID, OTHER_ID

DUPLICATES: Final[dict[str, Any]] = {
    "items": [{"key": "zoe@example.com", "count": 2, "contacts": [ID, OTHER_ID], "score": None, "evidence": []}],
    "next_cursor": None,
    "total": {"count": 1, "exact": True},
    "passed_over": None,
    "min_score": None,
}
_CONTACT: Final[dict[str, Any]] = {
    "id": ID,
    "version": 1,
    "full_name": "Zoë Łukasiewicz",
    "email": "zoe.lukasiewicz@example.com",
    "phone": "+48221234567",
    "external_id": "customer-4711",
    "source": "api",
    "blocked": False,
    "created_at": CREATED_AT,
    "changed_at": CREATED_AT,
}
DUPLICATE: Final[dict[str, Any]] = {
    "by": "likely",
    "key": f"{ID}_{OTHER_ID}",
    "count": 2,
    "dismissed": False,
    "score": 28.43,
    "evidence": [
        {"comparison": "given_name", "level": "same", "weight": 6.41, "says": "the same first name"},
        {"comparison": "family_name", "level": "same", "weight": 7.93, "says": "the same last name"},
        {"comparison": "email", "level": "close_long", "weight": 14.09, "says": "long e-mails that differ by a slip"},
    ],
    "contacts": [_CONTACT, _CONTACT | {"id": OTHER_ID, "email": "zoe.lukasievicz@example.com", "external_id": None}],
    "next_cursor": None,
    "merge": {"primary": ID, "others": [OTHER_ID]},
}
REMOVALS: Final[dict[str, Any]] = {
    "two groups": {
        "by": "email",
        "keep": "earliest",
        "keys": ["zoe@example.com", "ada@example.com"],
        "expected_count": 3,
        "reason": "imported twice",
    },
    "every group": {"by": "phone", "keep": "latest", "keys": "all", "reason": "cleaning up"},
}
REMOVED: Final[dict[str, Any]] = {
    "groups": 2,
    "contacts": 3,
    "deleted": 3,
    "skipped": 0,
    "remaining": 0,
    "operation_id": "01936f62-2b3c-7d4e-9f50-6b7c8d9e0f1a",
}
