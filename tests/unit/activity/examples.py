"""Commands and contacts that the tests of activity start from."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from contacts.activity.commands import ContactReference, RecordActivity
from contacts.activity.events import AddressedAs
from contacts.values import Email

WORKSPACE: Final = UUID("01900000-0000-7000-8000-000000000001")
ANNA: Final = UUID("01900000-0000-7000-8000-00000000000a")
BEN: Final = UUID("01900000-0000-7000-8000-00000000000b")
MERGE: Final = UUID("01900000-0000-7000-8000-0000000000e1")
AT: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
BY_EMAIL: Final = AddressedAs(by="email", value="anna@example.com", contact_id=ANNA)
BY_ID: Final = AddressedAs(by="id", value=str(ANNA), contact_id=ANNA)

#: The least that each kind takes.
LEAST: Final[dict[str, dict[str, Any]]] = {
    "message.sent": {"channel": "email"},
    "message.delivered": {"channel": "email"},
    "message.undelivered": {"channel": "email"},
    "message.read": {"channel": "email"},
    "message.clicked": {"channel": "email"},
    "message.unsubscribed": {"channel": "email"},
    "message.spam_reported": {"channel": "email"},
    "conversation.opened": {},
    "conversation.closed": {},
    "conversation.snoozed": {},
    "conversation.assigned": {"assignee": None},
    "conversation.message_in": {},
    "conversation.message_out": {},
    "conversation.commented": {},
    "conversation.labels_changed": {"labels": []},
    "conversation.fields_changed": {"fields": {}},
    "order.placed": {"external_id": "o-1"},
    "web.page_viewed": {"name": "price list"},
    "widget.closed": {},
    "location.updated": {"latitude": 52.5, "longitude": 13.4},
}


def command(**fields: Any) -> RecordActivity:
    given: dict[str, Any] = {
        "workspace_id": WORKSPACE,
        "activity_id": "m-1",
        "source": "mailer",
        "kind": "message.clicked",
        "occurred_at": AT,
        "data": {"channel": "email"},
        "contact": ContactReference(email=Email("anna@example.com")),
        "digest": b"d" * 16,
    }
    return RecordActivity(**{**given, **fields})
