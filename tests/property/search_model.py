"""What a filter means, written apart from the code that parses, compiles and evaluates it: as JSON, naively.

Shares with it the folding of texts and the facts themselves (`Contact`, `Engagement`), nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from contacts.contact.state import Contact
from contacts.engagement.state import Engagement
from contacts.folding import fold

Json = Any
UNITS: Final = {"min": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400, "y": 365 * 86_400}
NEVER_UNSET: Final = ("tags", "categories", "lists", "absorbed", "channels", "conversation.labels")


class Happened(NamedTuple):
    kind: str
    at: datetime
    position: int
    data: dict[str, Any]


class Person(NamedTuple):
    contact: Contact
    engagement: Engagement | None
    #: Of everybody that the contact stands for.
    happened: Sequence[Happened]


class World(NamedTuple):
    now: datetime
    zone: str
    #: Definitions by id.
    segments: Mapping[str, Json]


def holds(node: Json, person: Person, world: World) -> bool:
    if "all" in node:
        return not [item for item in node["all"] if not holds(item, person, world)]
    if "any" in node:
        return bool([item for item in node["any"] if holds(item, person, world)])
    if "not" in node:
        return not holds(node["not"], person, world)
    if "segment" in node:
        return holds(world.segments[node["segment"]], person, world)
    if "list" in node:
        return node["list"] in [str(id_) for id_ in person.contact.lists]
    if "activity" in node:
        return activity_holds(node, person, world)
    if "order" in node:
        return order_holds(node, person, world)
    zone = zone_of(node, person, world)
    return compare(field_value(node["field"], person), node["op"], node.get("value"), world.now, zone, node["field"])


def zone_of(node: Json, person: Person, world: World) -> ZoneInfo:
    wanted = node.get("time_zone") or "workspace"
    if wanted == "workspace":
        return ZoneInfo(world.zone)
    return ZoneInfo((person.contact.time_zone or world.zone) if wanted == "contact" else wanted)


# -- comparing --------------------------------------------------------------------------------------------------------


def compare(have: Any, op: str, value: Json, now: datetime, zone: ZoneInfo, name: str = "") -> bool:
    if op == "exists":
        return (have is not None) == (value is None or value)
    if op == "is_empty":
        return (not have) == (value is None or value)
    if have is None:
        return False
    if isinstance(have, set):
        wanted = {plain(each, name) for each in (value if isinstance(value, list) else [value])}
        shared = len(have & wanted)
        return {
            "has_any": shared > 0, "in": shared > 0, "has_none": shared == 0, "not_in": shared == 0,
            "ne": shared == 0, "has_all": shared == len(wanted), "contains": shared == 1, "eq": shared == 1,
        }[op]  # fmt: skip
    if op == "within_last":
        return recently(have, value, now, zone)
    if op == "not_within_last":
        return not recently(have, value, now, zone)
    if isinstance(have, date):
        return compare_times(have, op, value, zone)
    if op in ("contains", "starts_with", "ends_with"):
        return match(fold(str(have)), op, value, name)
    if isinstance(have, bool | str):
        same = [have == plain(each, name) for each in (value if isinstance(value, list) else [value])]
        return {"eq": any(same), "in": any(same), "ne": not any(same), "not_in": not any(same)}[op]
    numbers = [exact(each) for each in (value if isinstance(value, list) else [value])]
    number, first = exact(have), numbers[0]
    return {
        "eq": number == first, "ne": number != first, "in": number in numbers, "not_in": number not in numbers,
        "lt": number < first, "lte": number <= first, "gt": number > first, "gte": number >= first,
        "between": first <= number <= numbers[-1],
    }[op]  # fmt: skip


def match(have: str, op: str, value: str, name: str) -> bool:
    part = fold(value)
    if name in ("phone", "attributes.mobile"):
        part = ("+" if part.startswith("+") else "") + "".join(each for each in part if each.isdigit())
    place = have.find(part)
    if op == "contains":
        return place >= 0
    return place == 0 if op == "starts_with" else have[max(0, len(have) - len(part)) :] == part


def plain(value: Json, name: str) -> Json:
    if not isinstance(value, str) or name in ("time_zone", "language", "lists", "absorbed", "id"):
        return value
    if name.endswith("country") or name == "currency":
        return value.upper()
    return fold(value)


def exact(number: Any) -> Fraction:
    return number if isinstance(number, Fraction) else Fraction(repr(number))


def seconds(duration: str) -> timedelta:
    digits = duration.rstrip("abcdefghijklmnopqrstuvwxyz")
    return timedelta(seconds=int(digits) * UNITS[duration[len(digits) :]])


def recently(have: Any, value: str, now: datetime, zone: ZoneInfo) -> bool:
    if isinstance(have, datetime):
        return bool(timedelta(0) <= now - have < seconds(value))
    age = now.astimezone(zone).date() - have
    return bool(timedelta(0) <= age < seconds(value))


def compare_times(have: Any, op: str, value: Json, zone: ZoneInfo) -> bool:
    if op == "between":
        return compare_times(have, "gte", value[0], zone) and compare_times(have, "lte", value[1], zone)
    first, beyond = span(value, zone, days=not isinstance(have, datetime))
    at = have if isinstance(have, datetime) else datetime.combine(have, time(), UTC)
    inside = first <= at < beyond
    return {
        "eq": inside, "ne": not inside, "lt": at < first, "before": at < first, "gte": at >= first,
        "lte": at < beyond, "gt": at >= beyond, "after": at >= beyond,
    }[op]  # fmt: skip


def span(value: str, zone: ZoneInfo, *, days: bool) -> tuple[datetime, datetime]:
    """First instant of what a value means, and the first one after it."""
    if len(value) == 10:
        day = date.fromisoformat(value)
        of = UTC if days else zone
        return tuple(datetime.combine(each, time(), of).astimezone(UTC) for each in (day, day + timedelta(1)))  # type: ignore[return-value]
    instant = datetime.fromisoformat(value)
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=zone)
    instant = instant.astimezone(UTC)
    return instant, instant + timedelta(microseconds=1)


# -- what happened ----------------------------------------------------------------------------------------------------


def activity_holds(node: Json, person: Person, world: World) -> bool:
    kind, zone = node["activity"], ZoneInfo(world.zone)
    found = 0
    for each in person.happened:
        if each.kind != kind and not (kind.endswith("*") and each.kind.split(".")[0] == kind.split(".")[0]):
            continue
        if node.get("within") and not recently(each.at, node["within"], world.now, zone):
            continue
        found += where_holds(node.get("where"), each.data, world.now, zone)
    wanted = node.get("count") or {"op": "gte", "value": 1}
    return compare(found, wanted.get("op", "gte"), wanted["value"], world.now, zone)


def where_holds(where: Json, data: dict[str, Any], now: datetime, zone: ZoneInfo) -> bool:
    return all(
        compare(
            property_value(each["property"], data, each), each["op"], each.get("value"), now, zone, each["property"]
        )
        for each in where or []
    )


def property_value(name: str, data: dict[str, Any], condition: Json) -> Any:
    if not name.startswith("properties."):
        return as_compared(data.get(name), name)
    value = data.get("properties", {}).get(name.removeprefix("properties."))
    wanted = condition.get("value")
    wanted = wanted[0] if isinstance(wanted, list) else wanted
    op = condition["op"]
    if op in ("has_any", "has_all", "has_none", "is_empty"):
        return {fold(each) for each in value} if texts(value) else None
    if op == "exists":
        return value
    if isinstance(value, list | dict):
        return None
    if isinstance(value, bool) != isinstance(wanted, bool) or isinstance(value, str) != isinstance(wanted, str):
        return None
    return as_compared(value, name)


def texts(value: Any) -> bool:
    return isinstance(value, list) and not [each for each in value if not isinstance(each, str)]


def as_compared(value: Any, name: str) -> Any:
    if name == "until":
        return None if value is None else datetime.fromisoformat(value)
    if isinstance(value, list):
        return {fold(each) for each in value}
    return fold(value) if isinstance(value, str) and name not in ("currency", "language") else value


def order_holds(node: Json, person: Person, world: World) -> bool:
    orders: dict[str, list[Happened]] = {}
    for each in person.happened:
        if each.kind.startswith("order."):
            orders.setdefault(each.data["external_id"], []).append(each)
    wanted = []
    for events in orders.values():
        began, last = min(e.at for e in events), sorted(events, key=lambda e: (e.at, e.position))[-1]
        if node.get("within") and not recently(began, node["within"], world.now, ZoneInfo(world.zone)):
            continue
        if where_holds(node.get("where"), last.data, world.now, ZoneInfo(world.zone)):
            wanted.append((began, last.position, last.data))
    have: Any = len(wanted)
    aggregate, name = node["order"]["aggregate"], node["order"].get("property")
    if aggregate == "sum":
        numbers = [property_value(name or "amount", data, {"op": "eq", "value": 0}) for _, _, data in wanted]
        have = sum((exact(number) for number in numbers if number is not None), Fraction(0))
    if aggregate == "last":
        newest = sorted(wanted, key=lambda order: order[:2])[-1:]
        have = None
        if newest:
            have = property_value(name, newest[0][2], node) if name else newest[0][0]
    zone = zone_of(node, person, world)
    return compare(have, node["op"], node.get("value"), world.now, zone, name or "")


# -- fields -----------------------------------------------------------------------------------------------------------


def text(value: str | None) -> str | None:
    return fold(value) if value else None


def field_value(name: str, person: Person) -> Any:
    contact, engagement = person.contact, person.engagement or Engagement()
    first, _, rest = name.partition(".")
    if first == "attributes":
        return attribute(rest, contact.attributes.get(rest))
    if first == "consents":
        return (contact.standing.consents if contact.standing else {}).get(rest, "not_subscribed")
    if first in ("email_status", "phone_status"):
        return status(contact, first.removesuffix("_status"), rest)
    if first in ("address", "location") and rest:
        value = getattr(getattr(contact, first), rest, None)
        return text(value) if isinstance(value, str) and rest != "country" else value
    if first == "channels":
        return channels(contact, rest)
    if name.startswith("conversation.fields."):
        return conversation_field(rest.removeprefix("fields."), engagement)
    if name in ENGAGED:
        return ENGAGED[name](engagement)
    if name in PLAIN:
        return getattr(contact, name)
    if name in SETS:
        return {fold(each) for each in getattr(contact, name)}
    if name in ("lists", "absorbed"):
        return {str(id_) for id_ in getattr(contact, name)}
    return str(contact.id) if name == "id" else text(getattr(contact, name))


PLAIN: Final = (
    "country", "language", "time_zone", "source", "blocked", "campaign_opt_in", "created_at", "changed_at",
    "deleted_at", "phone",
)  # fmt: skip
SETS: Final = ("tags", "categories")
ENGAGED: Final[dict[str, Callable[[Engagement], Any]]] = {
    "conversation.status": lambda e: e.conversation_status,
    "conversation.assignee": lambda e: text(e.conversation_assignee),
    "conversation.opened_at": lambda e: e.conversation_opened_at,
    "conversation.last_message_at": lambda e: e.last_message_at,
    "conversation.last_incoming_at": lambda e: e.last_incoming_at,
    "conversation.last_interaction_at": lambda e: e.last_interaction_at,
    "last_interaction_at": lambda e: e.last_interaction_at,
    "conversation.last_channel": lambda e: e.last_channel,
    "conversation.last_message_preview": lambda e: text(e.last_message_preview),
    "conversation.labels": lambda e: {fold(label) for label in e.labels},
    "email_rating": lambda e: e.email_rating,
}


def conversation_field(key: str, engagement: Engagement) -> Any:
    """Nobody checked it against its type; what is of another one counts as unset."""
    value = engagement.fields.get(key)
    if key in ("day due", "at due"):
        return moment_of(value, is_day=key == "day due")
    of_type = {"urgency": (int, float), "angry": (bool,)}.get(key, (str,))
    if not isinstance(value, of_type) or isinstance(value, bool) != (key == "angry"):
        return None
    return text(value) if isinstance(value, str) else value


def moment_of(value: Any, *, is_day: bool) -> Any:
    """A day or an instant, read by the strictest way there is."""
    if not isinstance(value, str):
        return None
    try:
        if is_day:
            found = datetime.strptime(f"{value} +0000", "%Y-%m-%d %z")
            return found.date() if len(value) == len("2026-11-01") else None
        pattern = "%Y-%m-%dT%H:%M:%S.%f%z" if "." in value else "%Y-%m-%dT%H:%M:%S%z"
        found = datetime.strptime(value.upper(), pattern).astimezone(UTC)
        return found if value[-3] == ":" or value[-1] in "zZ" else None
    except (ValueError, OverflowError):
        return None


def attribute(key: str, value: Any) -> Any:
    if isinstance(value, tuple):
        return {fold(each) for each in value}
    if key.startswith("day") and value is not None:
        return date.fromisoformat(value)
    if key.startswith("at") and value is not None:
        return datetime.fromisoformat(value)
    return text(value) if isinstance(value, str) else value


def status(contact: Contact, channel: str, part: str) -> Any:
    if not getattr(contact, channel):
        return None
    found = getattr(contact.standing, channel) if contact.standing else None
    if part in ("", "status"):
        return found.status if found else "active"
    value = getattr(found, part) if found else None
    return text(value) if isinstance(value, str) else value


def channels(contact: Contact, part: str) -> Any:
    kind, _, of_kind = part.rpartition(".")
    if part in ("", "kind"):
        return {channel.kind for channel in contact.channels}
    if part in ("application", "device"):
        return {fold(value) for channel in contact.channels if (value := getattr(channel, part))}
    times = [getattr(c, of_kind) for c in contact.channels if kind in ("", c.kind)]
    if not times:
        return None
    return min(times) if of_kind == "first_seen_at" else max(times)
