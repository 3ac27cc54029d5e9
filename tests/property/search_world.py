"""Random contacts, what happened to them, and random filters (as JSON) that hit some of them and their edges."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from contacts.attributes import AttributeDefinition
from contacts.consent.standing import Standing, Status
from contacts.contact.events import Address, Location
from contacts.contact.state import Channel, Contact
from contacts.engagement.state import Engagement
from contacts.smartsearch.fields import FIELDS, Schema, resolve
from contacts.smartsearch.literals import OPS
from contacts.values import AttributeType, Country
from tests.property.search_model import Happened, Json, Person

#: Where clocks are turned at midnight, so that a day begins twice (Havana) or an hour late (Beirut); and some more.
ZONES: Final = (None, "UTC", "Europe/Berlin", "America/Havana", "Asia/Beirut", "Pacific/Kiritimati", "Asia/Kathmandu")
NOW: Final = datetime(2026, 11, 1, 4, 30, tzinfo=UTC)
NAMES: Final = ("Zoë", "zoe", "ZOE", "Łukasz", "Ann", "O’Neil", "Straße", "Anna-Lena", "李")
TAGS: Final = ("VIP", "vip", "Größe", "new", "a b")
EMAILS: Final = (
    "Ann@Example.com",
    "zoe@example.org",
    "lukasz+x@example.com",
    "müller@example.com",
    "o`neil@example.com",
)
PHONES: Final = ("+4930901820", "+4930901821", "+48221234567", "+12025550123;ext=12")
KINDS: Final = ("telegram", "web_push", "whatsapp")
CODES: Final[Mapping[str, tuple[str, ...]]] = {
    "country": ("DE", "PL", "GB"),
    "language": ("de", "pt-BR", "pl"),
    "time_zone": tuple(zone for zone in ZONES if zone),
    "source": ("api", "import", "manual"),
    "kind": KINDS,
}
STATUSES: Final = ("active", "blacklisted", "over_limit")
ATTRIBUTES: Final[dict[str, AttributeType]] = {
    "plan": "select", "note": "text", "score": "number", "paid": "boolean", "day": "date", "at": "datetime",
    "skills": "multi_select", "mobile": "phone", "home": "url",
}  # fmt: skip
CONVERSATION: Final[dict[str, AttributeType]] = {
    "topic": "text", "urgency": "number", "angry": "boolean", "day due": "date", "at due": "datetime",
}  # fmt: skip
#: What nobody checked may be: of another type, of no calendar, of no offset, longer than it should be.
UNREADABLE: Final = (
    3, True, "soon", "2026-02-30", "2026-11-01\n", "20261101", "2026-11-01T24:00:00Z", "2026-11-01T12:00",
    "2026-11-01T12:00:60Z", "9999-12-31T23:59:59-14:00", "2026-11-01 12:00Z", "2026-11-01T12:00+1400", "",
)  # fmt: skip
NUMBERS: Final = (0, 1, 2, 3, 2.5, -1, 0.1, 0.3, 100, 1e22)
DURATIONS: Final = ("1h", "90min", "1d", "2d", "7d", "1w", "30d", "1y")
IDS: Final = tuple(UUID(int=n) for n in range(1, 5))
ACTIVITY: Final = (
    "message.clicked",
    "message.sent",
    "order.placed",
    "order.paid",
    "web.viewed",
    "conversation.snoozed",
)
ORDERS: Final = ("order.placed", "order.paid")
COLOURS: Final = ("red", "RED", 3, True, ["Red", "Größe"], [1, "red"], None, {"red": 1})


def definitions() -> dict[str, AttributeDefinition]:
    found = {}
    for level, attributes in (("contact", ATTRIBUTES), ("conversation", CONVERSATION)):
        for key, type_ in attributes.items():
            options = TAGS if type_ in ("select", "multi_select") else ()
            found[key] = AttributeDefinition(key=key, name=key, type=type_, options=options, level=level)
    return found


SCHEMA: Final = Schema(attributes=definitions())


def instants(now: datetime) -> list[datetime]:
    """Ends of windows and of days, and their neighbours."""
    edges = [now, now - timedelta(days=1), now - timedelta(days=7), now - timedelta(days=30), now - timedelta(days=365)]
    edges += [datetime(2026, 11, 1, hour, tzinfo=UTC) for hour in (0, 4, 5, 23)]
    edges += [datetime(2026, 3, 28, hour, tzinfo=UTC) for hour in (21, 22)]
    edges += [now + timedelta(hours=5), now - timedelta(hours=1), now - timedelta(minutes=90)]
    return [edge + timedelta(microseconds=shift) for edge in edges for shift in (-1, 0, 1)]


class Chance:
    """Random people and filters, all out of one source."""

    def __init__(self, source: random.Random, now: datetime = NOW) -> None:
        self._random = source
        self.one = source.choice
        self._instants = instants(now)
        self._now = now

    def often(self, share: float = 0.7) -> bool:
        return self._random.random() < share

    def maybe(self, choices: Any, share: float = 0.7) -> Any:
        return self.one(choices) if self.often(share) else None

    def some(self, choices: Any, most: int = 3) -> tuple[Any, ...]:
        return tuple(dict.fromkeys(self.one(choices) for _ in range(self._random.randrange(most + 1))))

    def instant(self) -> datetime:
        return self.one(self._instants)

    def maybe_instant(self) -> datetime | None:
        return self.instant() if self.often() else None

    # -- people -------------------------------------------------------------------------------------------------------

    def person(self, contact_id: UUID, absorbed: tuple[UUID, ...] = ()) -> Person:
        happened = [self.happened(position) for position in range(1, self._random.randrange(12))]
        happened.sort(key=lambda each: (each.at, each.position))
        return Person(self.contact(contact_id, absorbed), self.engagement() if self.often() else None, happened)

    def contact(self, contact_id: UUID, absorbed: tuple[UUID, ...] = ()) -> Contact:
        plain = {name: self.maybe(CODES[name]) for name in ("country", "language", "time_zone")}
        return Contact(
            id=contact_id,
            version=1,
            external_id=self.maybe(("A-1", "a-1", "Ö`x", "b")),
            first_name=self.maybe(NAMES),
            last_name=self.maybe(NAMES),
            email=self.maybe(EMAILS),
            phone=self.maybe(PHONES),
            assignee=self.maybe(NAMES),
            campaign_opt_in=self.maybe((True, False)),
            address=self.maybe((Address(city="Łódź", country=Country("PL")), Address(street="Größe 1", postcode="1"))),
            location=self.maybe((Location(latitude=2.5, longitude=-1.0, source="GPS", at=self.instant()),)),
            tags=self.some(TAGS),
            lists=self.some(IDS),
            categories=self.some(TAGS),
            attributes=self.attributes(ATTRIBUTES),
            channels=self.channels(),
            blocked=self.often(0.2),
            source=self.one(CODES["source"]),
            created_at=self.instant(),
            changed_at=self.instant(),
            deleted_at=self.instant() if self.often(0.2) else None,
            deletion_reason=self.maybe(NAMES, 0.3),
            avatar_url=self.maybe(("https://Example.com/Ä",), 0.3),
            absorbed=absorbed,
            standing=self.standing() if self.often() else None,
            **plain,
        )

    def channels(self) -> tuple[Channel, ...]:
        found = []
        for kind in self.some(KINDS):
            first, last = self.instant(), self.instant()
            application = self.maybe(NAMES)
            found.append(Channel(kind=kind, token="t", application=application, first_seen_at=first, last_seen_at=last))
        return tuple(found)

    def standing(self) -> Standing:
        def status() -> Status:
            return Status(self.one(STATUSES), self.maybe_instant(), self.maybe(NAMES), self.maybe(("API", "import")))

        return Standing(email=status(), phone=status(), consents={self.one(("sms", "email")): "subscribed"})

    def attributes(self, types: Mapping[str, AttributeType]) -> dict[str, Any]:
        found = {key: self.attribute(type_) for key, type_ in types.items() if self.often(0.6)}
        return {key: value for key, value in found.items() if value not in (None, ())}

    def attribute(self, type_: AttributeType) -> Any:
        if type_ == "number":
            return self.one(NUMBERS)
        if type_ == "boolean":
            return self.often(0.5)
        if type_ == "date":
            return self.instant().date().isoformat()
        if type_ == "datetime":
            return self.instant().isoformat().replace("+00:00", "Z")
        if type_ == "multi_select":
            return self.some(TAGS)
        return self.one(PHONES) if type_ == "phone" else self.one((*TAGS, *NAMES))

    def engagement(self) -> Engagement:
        times = ("conversation_opened_at", "last_message_at", "last_incoming_at", "last_interaction_at")
        fields = {
            "topic": self.one((*NAMES, 3)),
            "urgency": self.one((*NUMBERS, "high")),
            "angry": self.one((True, "no")),
            "day due": self.one((self.instant().date().isoformat(), self.instant().isoformat(), *UNREADABLE)),
            "at due": self.one(
                (self.instant().isoformat(), self.instant().isoformat().replace("+00:00", "z"), *UNREADABLE)
            ),
        }
        return Engagement(
            conversation_status=self.maybe(("open", "closed", "snoozed")),
            conversation_assignee=self.maybe(NAMES),
            last_channel=self.maybe(KINDS),
            last_message_preview=self.maybe(NAMES),
            labels=self.some(TAGS),
            fields={key: value for key, value in fields.items() if self.often(0.6)},
            email_rating=self.maybe((0.0, 2.5, 0.3, 5.0)),
            **{name: self.maybe_instant() for name in times},
        )

    def happened(self, position: int) -> Happened:
        kind = self.one(ACTIVITY)
        data: dict[str, Any] = {}
        if kind.startswith("message"):
            data = {
                "channel": self.one(KINDS),
                "message_name": self.one(NAMES),
                "language": self.one(CODES["language"]),
            }
        if kind.startswith("order"):
            data = {"external_id": self.one("123"), "amount": self.one(NUMBERS), "status": self.one(NAMES)}
            data |= {"currency": self.one(("EUR", "PLN"))}
        if kind.startswith("web"):
            data = {"name": self.one(NAMES), "workflows": list(self.some(TAGS))}
        if kind == "conversation.snoozed":
            data = {"until": self.instant().isoformat()}
        kept = {key: value for key, value in data.items() if key in ("external_id", "name") or self.often(0.8)}
        if self.often(0.6):
            kept["properties"] = {"colour": self.one(COLOURS), "size": self.one(NUMBERS)}
        return Happened(kind, self.instant(), position, kept)

    # -- filters ------------------------------------------------------------------------------------------------------

    def filter(self, depth: int = 3) -> Json:
        if depth and self.often(0.45):
            group = self.one(("all", "any", "not", "all", "any"))
            if group == "not":
                return {"not": self.filter(depth - 1)}
            return {group: [self.filter(depth - 1) for _ in range(self.one((0, 1, 2, 2, 3, 3)))]}
        return self.one((self.field, self.field, self.field, self.activity, self.order, self.list))()

    def list(self) -> Json:
        return {"list": str(self.one(IDS))}

    def field(self) -> Json:
        name = self.one(FIELD_NAMES)
        type_, code = FIELD_TYPES[name]
        op = self.one(OPS[type_])  # type: ignore[index]
        node = {"field": name, "op": op, **self.value(type_, code, op, name)}
        if type_ in ("instant", "date") and self.often(0.5):
            node["time_zone"] = self.one(("contact", "contact", "workspace", "America/Havana"))
        return node

    def value(self, type_: str, code: str | None, op: str, name: str = "") -> Json:
        if op in ("exists", "is_empty"):
            return self.one(({}, {"value": True}, {"value": False}))
        if op in ("within_last", "not_within_last"):
            return {"value": self.one(("1d", "7d", "1w", "30d", "1y") if type_ == "date" else DURATIONS)}
        if op in ("contains", "starts_with", "ends_with") and type_ not in ("texts", "ids"):
            return {"value": self.one(("+49", "30 90", "1", "12")) if type_ == "phone" else self.one(PARTS)}
        make = self.values_of(type_, code, name)
        if op in ("in", "not_in", "has_any", "has_all", "has_none"):
            return {"value": [make() for _ in range(self.one((1, 2, 3)))]}
        if op == "between":
            low, high = sorted((make(), make()), key=lambda value: (str(value)[-1:] == "Z", len(str(value)), value))
            return {"value": [low, high] if type(low) is type(high) and comparable(low, high) else [low, low]}
        return {"value": make()}

    def values_of(self, type_: str, code: str | None, name: str) -> Callable[[], Json]:
        if type_ == "number":
            return lambda: self.one(NUMBERS)
        if type_ == "boolean":
            return lambda: self.often(0.5)
        if type_ == "date":
            return lambda: self.instant().date().isoformat()
        if type_ == "instant":
            return self.time
        if type_ in ("id", "ids"):
            return lambda: str(self.one(IDS))
        if type_ in ("email", "phone"):
            return lambda: self.one(EMAILS if type_ == "email" else PHONES)
        if options := OPTIONS.get(name):
            return lambda: self.one(options)
        return lambda: self.one(CODES.get(code or "", ANYTHING))

    def time(self) -> str:
        instant = self.instant()
        return str(
            self.one(
                (
                    instant.date().isoformat(),
                    "2026-11-01",
                    "2026-03-29",
                    instant.replace(tzinfo=None).isoformat(),
                    "2026-11-01T00:30",
                    "2026-03-29T00:30",
                    instant.isoformat().replace("+00:00", "Z"),
                )
            )
        )

    def activity(self) -> Json:
        kind = self.one((*ACTIVITY, "message.*", "order.*", "web.*"))
        node: Json = {"activity": kind}
        if self.often(0.6):
            node["within"] = self.one(DURATIONS)
        if self.often(0.6):
            op = self.one(("gte", "lt", "eq", "ne", "lte", "gt"))
            node["count"] = {"op": op, "value": self.one((0, 0, 1, 2, 3))}
        elif self.often(0.3):
            node["count"] = {"op": self.one(("in", "not_in")), "value": [0, 2]}
        if self.often(0.7):
            node["where"] = [self.where(PROPERTIES[kind]) for _ in range(self.one((1, 1, 2)))]
        return node

    def where(self, names: Mapping[str, str]) -> Json:
        name = self.one(tuple(names))
        type_ = names[name]
        if type_ == "dynamic":
            type_ = self.one(("text", "number", "boolean", "texts"))
        code = {"channel": "kind", "language": "language", "currency": None}.get(name)
        op = self.one(OPS["code" if code or name == "currency" else type_])  # type: ignore[index]
        node = {"property": name, "op": op, **self.value(type_, code, op)}
        if name == "currency" and op in ("eq", "ne", "in", "not_in"):
            node["value"] = "eur" if op in ("eq", "ne") else ["eur"]
        return node

    def order(self) -> Json:
        aggregate = self.one(("count", "sum", "last", "last"))
        order: Json = {"aggregate": aggregate}
        type_, name = "number", ""
        if aggregate == "last":
            name = self.one(("", "amount", "status", "properties.colour"))
            type_ = {"": "instant", "amount": "number"}.get(name, "text")
            if name:
                order["property"] = name
        elif aggregate == "sum":
            order["property"] = self.one(("amount", "properties.size"))
        op = self.one(OPS[type_])  # type: ignore[index]
        node: Json = {"order": order, "op": op, **self.value(type_, None, op)}
        if self.often(0.4):
            node["within"] = self.one(DURATIONS)
        if self.often(0.3):
            node["where"] = [self.where(PROPERTIES["order.*"])]
        if type_ == "instant" and self.often(0.5):
            node["time_zone"] = "contact"
        return node


def comparable(low: Json, high: Json) -> bool:
    """Two instants, or two local ones, the first first."""
    if isinstance(low, str):
        return bool(low.endswith("Z") == high.endswith("Z") and low[:19] <= high[:10])
    return bool(low <= high)


ANYTHING: Final = (*NAMES, *TAGS, "A-1", "gps", "łódź", "1")
PARTS: Final = ("zo", "AN", "ß", "e", "o'n", "1", "ub", "exam", "%", "_", "\\", "eu")
MESSAGE: Final = {"message_name": "text", "channel": "text", "language": "text"}
OWN: Final = {"properties.colour": "dynamic", "properties.size": "dynamic"}
ORDER: Final = {"amount": "number", "status": "text", "currency": "text", "external_id": "text", **OWN}
WEB: Final = {"name": "text", "workflows": "texts", **OWN}
PROPERTIES: Final[Mapping[str, Mapping[str, str]]] = {
    "message.clicked": {**MESSAGE, **OWN},
    "message.sent": {**MESSAGE, **OWN},
    "message.*": {**MESSAGE, **OWN},
    "order.placed": ORDER,
    "order.paid": ORDER,
    "order.*": ORDER,
    "web.viewed": WEB,
    "web.*": WEB,
    "conversation.snoozed": {"until": "instant", **OWN},
}
MADE: Final = (
    *(f"attributes.{key}" for key in ATTRIBUTES), *(f"conversation.fields.{key}" for key in CONVERSATION),
    "consents.sms", "consents.email", "channels.telegram.last_seen_at", "channels.web_push.first_seen_at",
)  # fmt: skip
FIELD_NAMES: Final = (*FIELDS, *MADE)


def _field_types() -> dict[str, tuple[str, str | None]]:
    found: dict[str, tuple[str, str | None]] = {}
    for name in FIELD_NAMES:
        field = resolve(name, SCHEMA)
        found[name] = (field.type, field.code)
        if field.options:
            OPTIONS[name] = field.options
    return found


OPTIONS: Final[dict[str, tuple[str, ...]]] = {}
FIELD_TYPES: Final = _field_types()
