"""What the description says of fields beyond types: meaning, limits, examples. The domain enforces it, with 422."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from contacts import attributes, values
from contacts.activity.kinds import FAMILIES, Data
from contacts.contact import decider


def _text(description: str, limit: int, *examples: str, **more: Any) -> dict[str, Any]:
    return {"description": description, "minLength": 1, "maxLength": limit, "examples": list(examples)} | more


_REASON: Final = _text("Why; kept in the history.", values.REASON_MAX, "asked for it on the phone")
_COUNTRY: Final = {"description": "ISO 3166-1 alpha-2.", "pattern": "^[A-Za-z]{2}$", "examples": ["PL"]}
_LANGUAGE: Final = _text("BCP 47.", values.LANGUAGE_MAX, "pl", "pt-BR")
_TIME_ZONE: Final = _text("A name of the IANA time zone database.", 100, "Europe/Warsaw")
_CHANNEL_KIND: Final = _text(
    "Kind of the channel; the set is open.", values.KIND_MAX, "telegram", "web_push", pattern="^[a-z][a-z0-9_]*$"
)
_CHANNEL_TOKEN: Final = _text("The push token, or the person's id on that channel.", values.TOKEN_MAX, "81234567")
_APPLICATION: Final = _text("The application, bot or page it belongs to.", values.LINE_MAX, "shop")
_DAYS: Final = {"minimum": 0, "maximum": 36_500}


def _activity_data() -> str:
    """The fields of every type of activity, from the types themselves."""
    lines = ["The fields of the type, and whatever else in `properties`. By type (`!` is required):"]
    for family_name, family in FAMILIES.items():
        for name, type_ in {**family.kinds, **({"*": family.other} if family.other else {})}.items():
            lines.append(f"- `{family_name}.{name}`: {', '.join(_fields_of(type_))}")
    return "\n".join(lines)


def _fields_of(type_: type[Data]) -> list[str]:
    fields = [field for field in msgspec.structs.fields(type_) if field.name != "properties"]
    return [f"`{field.name}{'!' if field.required else ''}`" for field in fields]


_PROFILE: Final[dict[str, dict[str, Any]]] = {
    "external_id": _text("The contact's key in the caller's system; unique.", values.EXTERNAL_ID_MAX, "customer-4711"),
    "messaging_id": _text("The contact's id in the messaging system; unique.", values.EXTERNAL_ID_MAX, "m-81"),
    "first_name": _text("As given.", values.NAME_MAX, "Zoë"),
    "last_name": _text("As given.", values.NAME_MAX, "Łukasiewicz"),
    "email": _text("One address; kept as typed.", 254, "zoe@example.com"),
    "phone": _text("International, or national in the workspace's region; kept in E.164.", 250, "+48 22 123 45 67"),
    "country": _COUNTRY,
    "time_zone": _TIME_ZONE,
    "language": _LANGUAGE,
    "address": {"description": "Patched part by part; null clears it."},
    "location": {"description": "Where the person was last known to be."},
    "avatar_url": _text("A picture of the person.", attributes.URL_MAX, "https://example.com/zoe.png"),
    "assignee": _text("Who looks after the contact.", values.LINE_MAX, "support-2"),
    "campaign_opt_in": {"description": "Whether the person wants campaigns."},
    "tags": {"description": "The whole set.", "maxItems": decider.TAGS_MAX},
    "lists": {"description": "Ids of static lists: the whole set.", "maxItems": decider.LISTS_MAX},
    "categories": {"description": "Subscription categories: the whole set.", "maxItems": decider.CATEGORIES_MAX},
    "attributes": {"description": "Custom attributes by key, patched one by one; null clears one."},
}
#: By component and field.
FIELDS: Final[dict[str, dict[str, dict[str, Any]]]] = {
    "ContactInput": _PROFILE,
    "NewContactInput": {
        **_PROFILE,
        "channels": {"description": "Channel identities to begin with.", "maxItems": decider.CHANNELS_MAX},
        "consent_attested": {"description": "Somebody vouches for consent; demanded where `source` is `manual`."},
        "source": {
            "description": "How the contact came about; `api` where nothing is said.",
            "enum": [*sorted(values.SOURCES), None],
        },
    },
    "AddressInput": {
        **{part: _text("", values.LINE_MAX) for part in ("street", "city", "region", "postcode")},
        "country": _COUNTRY,
    },
    "LocationInput": {
        "latitude": {"minimum": -90, "maximum": 90},
        "longitude": {"minimum": -180, "maximum": 180},
        "source": _text("Who says so.", values.KIND_MAX, "gps", pattern="^[a-z][a-z0-9_]*$"),
        "at": {"description": "When it was observed."},
    },
    "ChannelInput": {
        "kind": _CHANNEL_KIND,
        "token": _CHANNEL_TOKEN,
        "application": _APPLICATION,
        "device": _text("A device holds one token per application.", values.LINE_MAX, "pixel-8"),
    },
    "ChannelPath": {"kind": _CHANNEL_KIND, "token": _CHANNEL_TOKEN},
    "ChannelQuery": {"application": _APPLICATION},
    "TagPath": {"tag": _text("Percent-encoded.", values.TAG_MAX, "vip")},
    "ReasonInput": {"reason": _REASON},
    "ReasonQuery": {"reason": _REASON},
    "ContactKey": {
        "by": {"description": "What the contact is known by."},
        "value": _text("Percent-encoded; a phone in any spelling.", 255, "zoe@example.com"),
    },
    "ActivityInput": {"data": {"description": _activity_data()}},
    "SettingsInput": {
        "name": _text("Of the workspace.", values.NAME_MAX, "Shop"),
        "default_region": {**_COUNTRY, "description": "Whose national phone numbers are meant without a +."},
        "default_language": _LANGUAGE,
        "default_time_zone": _TIME_ZONE,
        "external_id_required": {"description": "Every contact must have an external id."},
        "contact_limit": {"description": "Contacts of the plan; null is no limit.", "minimum": 0, "maximum": 10**9},
        "deleted_retention_days": {"description": "After which a deleted contact is erased; null keeps it.", **_DAYS},
        "activity_retention_days": {"description": "For which activity is kept; null keeps it.", **_DAYS},
        "publish_values": {"description": "Messages on NATS hold the values too, personal data among them."},
        "unknown_contacts": {
            "description": "What becomes of activity of somebody nobody knows: `refuse` it (over NATS it becomes a dead"
            " letter), `create` a contact, or `hold` it (over NATS) until there is one."
        },
        "double_opt_in": {
            "description": "By source: whether an e-mail has to be confirmed first.",
            "propertyNames": {"enum": sorted(values.SOURCES)},
        },
    },
    "NewWebhookInput": {
        "url": _text("Where events are sent to: https, a public host.", 2_048, "https://hooks.example.com/rollbook"),
        "events": {"description": "Names of events, `contact.*` for all of a kind; none for every event."},
        "description": _text("For people.", values.REASON_MAX, "Shop"),
    },
    "WebhookPatch": {
        "url": _text("Where events are sent to: https, a public host.", 2_048, "https://hooks.example.com/rollbook"),
        "events": {"description": "The whole choice; none for every event."},
        "description": _text("For people; null clears it.", values.REASON_MAX, "Shop"),
        "enabled": {"description": "Switched on, it gets all that it has missed."},
    },
    "AttributeInput": {
        "key": _text("Stored with every value.", attributes.KEY_MAX, "shoe_size", pattern="^[a-z][a-z0-9_]*$"),
        "name": _text("Shown to people; the key where nothing is said.", values.NAME_MAX, "Shoe size"),
        "options": {"description": "For `select` and `multi_select` only.", "maxItems": attributes.OPTIONS_MAX},
        "level": {"description": "`conversation` attributes are filled from conversations."},
    },
    "AttributePatch": {
        "name": _text("Shown to people.", values.NAME_MAX, "Shoe size"),
        "options": {"description": "For select types only.", "minItems": 1, "maxItems": attributes.OPTIONS_MAX},
    },
    "MemberInput": {
        "member_id": _text("The subject of the member's tokens.", values.EXTERNAL_ID_MAX, "auth0|507f1f77"),
        "scopes": {"description": "What a service may do; for the role `service` only."},
    },
    "MemberPatch": {"scopes": {"description": "What a service may do; for the role `service` only."}},
    "KeyInput": {
        "name": _text("To tell keys apart.", values.NAME_MAX, "billing"),
        "scopes": {"description": "What a service may do; for the role `service` only."},
        "expires_at": {"description": "An instant to come; null never expires."},
    },
}
