"""Example requests and answers for the description; a test reads each one with the decoder of its route."""

from __future__ import annotations

from typing import Any, Final

ID: Final = "01936f5e-8c3a-7b21-9d4e-5f6a7b8c9d0e"
POSITION: Final = "0.1234"
CREATED_AT: Final = "2026-11-22T09:30:00Z"

NEW_CONTACTS: Final[dict[str, Any]] = {
    "the least": {"email": "ada@example.com"},
    "a person": {
        "external_id": "customer-4711",
        "first_name": "Zoë",
        "last_name": "Łukasiewicz",
        "email": "zoe@example.com",
        "phone": "+48 22 123 45 67",
        "country": "PL",
        "time_zone": "Europe/Warsaw",
        "language": "pl",
        "address": {"street": "ul. Prosta 1", "city": "Warszawa", "postcode": "00-838", "country": "PL"},
        "tags": ["vip"],
        "channels": [{"kind": "telegram", "token": "81234567"}],
    },
    "by hand": {"phone": "+4930901820", "source": "manual", "consent_attested": True},
}
PATCHES: Final[dict[str, Any]] = {
    "one field": {"first_name": "Zoe"},
    "clear and replace": {"phone": None, "tags": ["vip", "newsletter"], "address": {"city": "Kraków"}},
}
CONTACT: Final[dict[str, Any]] = {
    "id": ID,
    "version": 1,
    "external_id": "customer-4711",
    "messaging_id": None,
    "first_name": "Zoë",
    "last_name": "Łukasiewicz",
    "full_name": "Zoë Łukasiewicz",
    "email": "zoe@example.com",
    "email_status": {"status": "active", "since": None, "reason": None, "source": None, "actor": None},
    "email_rating": None,
    "phone": "+48221234567",
    "phone_status": {"status": "active", "since": None, "reason": None, "source": None, "actor": None},
    "country": "PL",
    "time_zone": "Europe/Warsaw",
    "language": "pl",
    "address": {"street": "ul. Prosta 1", "city": "Warszawa", "region": None, "postcode": "00-838", "country": "PL"},
    "location": None,
    "avatar_url": None,
    "tags": ["vip"],
    "lists": [],
    "categories": [],
    "attributes": {},
    "channels": [
        {
            "kind": "telegram",
            "application": None,
            "device": None,
            "token": "81234567",
            "first_seen_at": CREATED_AT,
            "last_seen_at": CREATED_AT,
        }
    ],
    "consents": {"email": "not_subscribed", "sms": "not_subscribed", "whatsapp": "not_subscribed"},
    "campaign_opt_in": None,
    "blocked": False,
    "assignee": None,
    "conversation": {
        "status": None,
        "assignee": None,
        "opened_at": None,
        "last_message_at": None,
        "last_incoming_at": None,
        "last_interaction_at": None,
        "last_channel": None,
        "last_message_preview": None,
        "labels": [],
        "fields": {},
    },
    "source": "api",
    "created_at": CREATED_AT,
    "changed_at": CREATED_AT,
    "deleted_at": None,
    "deletion_reason": None,
    "merged_into": None,
    "absorbed": [],
}
PAGE: Final[dict[str, Any]] = {"items": [CONTACT], "next_cursor": None, "total": {"count": 1, "exact": True}}
COUNTS: Final[dict[str, Any]] = {
    "total": 3,
    "email": {
        "all": 2,
        "active": 2,
        "not_confirmed": 0,
        "unsubscribed": 0,
        "spam_report": 0,
        "blacklisted": 0,
        "over_limit": 0,
    },
    "phone": {"all": 1, "active": 1, "blacklisted": 0, "over_limit": 0},
}
REASONS: Final[dict[str, Any]] = {"with a reason": {"reason": "asked for it on the phone"}}
RESTORES: Final[dict[str, Any]] = {
    "as it was": {"reason": "deleted by mistake"},
    "into whoever holds its external id now": {"on_conflict": "merge"},
    "without what was taken": {"on_conflict": "release"},
}
ERASURES: Final[dict[str, Any]] = {"the person asked": {"confirm": True, "reason": "person_asked"}}
ERASURE: Final[dict[str, Any]] = {
    "id": "01989f1e-7a10-7c3e-a2d4-5b1e8c9f0a11",
    "contact": ID,
    "contacts": [ID],
    "reason": "person_asked",
    "erased_at": CREATED_AT,
    "actor": "key:mzxw6ytboi",
    "position": POSITION,
    "streams": [{"category": "contact", "id": ID, "events": 1, "first_position": "0.7", "last_position": "0.7"}],
}
TAGS: Final[dict[str, Any]] = {"two tags": {"tags": ["vip", "newsletter"]}}
CHANNELS: Final[dict[str, Any]] = {
    "a push token": {
        "kind": "mobile_push",
        "application": "shop",
        "device": "pixel-8",
        "token": "dGhpcyBpcyBhIHRva2Vu",
    },
    "a messenger": {"kind": "whatsapp", "token": "48221234567"},
}
ATTRIBUTES: Final[dict[str, Any]] = {
    "text": {"key": "shoe_size", "type": "number", "name": "Shoe size"},
    "a choice": {"key": "plan", "type": "select", "options": ["free", "pro"]},
}
ATTRIBUTE_PATCHES: Final[dict[str, Any]] = {"another name": {"name": "Size of shoes"}}
SETTINGS_PATCHES: Final[dict[str, Any]] = {
    "phones of Poland": {"default_region": "PL", "default_language": "pl", "default_time_zone": "Europe/Warsaw"}
}
MEMBERS: Final[dict[str, Any]] = {
    "a colleague": {"member_id": "auth0|507f1f77", "role": "agent"},
    "a machine": {"member_id": "billing", "role": "service", "scopes": ["contacts.read"]},
}
MEMBER_PATCHES: Final[dict[str, Any]] = {"promotion": {"role": "manager"}}
KEYS: Final[dict[str, Any]] = {
    "for a machine": {"name": "billing", "role": "service", "scopes": ["contacts.read", "contacts.write"]},
    "for an audit": {"name": "audit 2027", "role": "auditor", "expires_at": "2037-12-31T00:00:00Z"},
}
PROOF: Final[dict[str, Any]] = {
    "text": "Yes, send me the newsletter.",
    "form_version": "2026-11",
    "source": "https://shop.example.com/newsletter",
    "ip": "192.0.2.17",
    "occurred_at": "2026-11-22T09:29:58Z",
}
BLACKLISTINGS: Final[dict[str, Any]] = {
    "the e-mail": {"channel": "email", "reason": "inactive address", "cause": "hard_bounce"},
    "the phone": {"channel": "phone", "reason": "asked for it on the phone"},
}
REOPENINGS: Final[dict[str, Any]] = {
    "with the reason": {"channel": "email", "reason": "the mailbox works again, the person wrote to us"}
}
UNSUBSCRIPTIONS: Final[dict[str, Any]] = {
    "from e-mail": {"channel": "email", "reason": "answered STOP"},
    "from one category": {"channel": "email", "category": "weekly"},
    "from everything": {"channel": "all"},
}
COMPLAINTS: Final[dict[str, Any]] = {"by feedback loop": {"channel": "email", "reason": "told by the provider"}}
OPT_INS: Final[dict[str, Any]] = {"with the proof": {"channel": "email", "proof": PROOF}}
CONSENTS: Final[dict[str, Any]] = {
    "objected": {"channel": "whatsapp", "status": "unsubscribed"},
    "agreed": {"channel": "sms", "status": "subscribed", "proof": PROOF},
}
NEW_SUPPRESSIONS: Final[dict[str, Any]] = {
    "an e-mail": {"channel": "email", "address": "ada@example.com", "reason": "hard bounce", "cause": "hard_bounce"},
    "a phone": {"channel": "phone", "address": "+48 22 123 45 67", "reason": "asked for it on the phone"},
}
SUPPRESSION: Final[dict[str, Any]] = {
    "id": "5b0c1c7e-2f1d-9a3e-6f58-1f8a3c6d2e10",
    "channel": "email",
    "address": "ada@example.com",
    "since": CREATED_AT,
    "cause": "hard_bounce",
    "reason": "hard bounce",
    "source": "api",
    "actor": "key:mzxw6ytboi",
    "contact": None,
}
SUPPRESSIONS: Final[dict[str, Any]] = {
    "items": [SUPPRESSION],
    "next_cursor": None,
    "total": {"count": 1, "exact": True},
}
MAY_SEND: Final[dict[str, Any]] = {
    "to addresses": {"channel": "email", "category": "weekly", "addresses": ["ada@example.com", "zoe@example.com"]},
    "to contacts": {"channel": "sms", "contacts": [ID]},
}
VERDICTS: Final[dict[str, Any]] = {
    "items": [
        {"allowed": False, "reason": "unsubscribed", "position": POSITION},
        {"allowed": True, "reason": None, "position": POSITION},
    ]
}
LEDGERS: Final[dict[str, Any]] = {"an e-mail": {"channel": "email", "address": "ada@example.com"}}
LINKS: Final[dict[str, Any]] = {
    "for two messages": {
        "base_url": "https://mail.example.com",
        "addresses": ["ada@example.com", "zoe@example.com"],
    },
    "to leave one category": {"base_url": "https://mail.example.com", "category": "weekly", "contacts": [ID]},
}
OTHER_ID: Final = "01936f5e-9d4b-7c32-8e5f-6a7b8c9d0e1f"
MERGE_ID: Final = "01936f61-1a2b-7c3d-8e4f-5a6b7c8d9e0f"
MERGES: Final[dict[str, Any]] = {
    "two contacts": {"primary": ID, "others": [OTHER_ID]},
    "with choices": {"primary": ID, "others": [OTHER_ID], "choices": {"first_name": OTHER_ID, "phone": ID}},
    "with one that is deleted": {"primary": ID, "others": [OTHER_ID], "restore": True},
}
MERGE: Final[dict[str, Any]] = {
    "id": MERGE_ID,
    "primary": ID,
    "others": [OTHER_ID],
    "merged": [OTHER_ID],
    "choices": {"first_name": OTHER_ID},
    "merged_at": CREATED_AT,
    "reversals": [],
}
UNMERGES: Final[dict[str, Any]] = {
    "all of the merge": {"mode": "subtree"},
    "one, alone": {"contacts": [OTHER_ID], "mode": "single"},
    "with an edit": {"contacts": [OTHER_ID], "assign": {"phone": OTHER_ID}},
    "without what somebody took meanwhile": {"on_conflict": "release"},
}
ACTIVITY: Final[dict[str, Any]] = {
    "a click": {
        "items": [
            {
                "id": "0197b0e0-8c3a",
                "source": "mailer",
                "type": "message.clicked",
                "time": CREATED_AT,
                "contact": {"email": "zoe@example.com"},
                "data": {"channel": "email", "message_name": "Spring", "url": "https://example.com/spring"},
            }
        ]
    },
    "an order and a message": {
        "items": [
            {
                "id": "4711-3",
                "source": "shop",
                "type": "order.delivered",
                "time": "2026-11-22T10:30:00+01:00",
                "contact": {"external_id": "customer-4711"},
                "data": {
                    "external_id": "4711",
                    "amount": 59.8,
                    "currency": "EUR",
                    "status": "delivered",
                    "items": [{"name": "Rain coat", "quantity": 2, "price": 29.9}],
                },
            },
            {
                "id": "t-81",
                "source": "desk",
                "type": "conversation.message_in",
                "time": CREATED_AT,
                "contact": {"channel": {"kind": "telegram", "token": "81234567"}, "phone": "+48 22 123 45 67"},
                "data": {"channel": "telegram", "preview": "Where is my coat?"},
            },
        ]
    },
}
ACTIVITY_REPORT: Final[dict[str, Any]] = {
    "items": [
        {"outcome": "recorded", "contact_id": ID, "problem": None},
        {
            "outcome": "refused",
            "contact_id": None,
            "problem": {
                "type": "urn:rollbook:problem:invalid-value",
                "title": "A value has the right type and still cannot be",
                "status": 422,
                "detail": "/items/1/data/channel: is missing",
                "errors": [{"detail": "is missing; expected a value", "pointer": "/items/1/data/channel"}],
            },
        },
    ],
    "counts": {"recorded": 1, "duplicate": 0, "dropped": 0, "refused": 1},
}
ACTIVITY_PAGE: Final[dict[str, Any]] = {
    "items": [
        {
            "id": "0197b0e0-8c3a",
            "source": "mailer",
            "type": "message.clicked",
            "category": "campaigns",
            "time": CREATED_AT,
            "recorded_at": "2026-11-22T09:30:02Z",
            "contact_id": ID,
            "addressed_to": ID,
            "addressed_as": {"by": "email", "value": "zoe@example.com", "channel": None, "application": None},
            "data": {"channel": "email", "message_name": "Spring", "url": "https://example.com/spring"},
        }
    ],
    "next_cursor": None,
    "total": {"count": 1, "exact": True},
}
