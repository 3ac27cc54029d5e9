"""One contact as filters see it: the same values as in the columns of the read models, out of what was folded. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final, TypeAlias
from uuid import UUID

import msgspec

from contacts.consent.standing import Status
from contacts.contact.extras import Extras, extras_of
from contacts.contact.state import Contact
from contacts.emails import email_normal
from contacts.engagement.state import Engagement
from contacts.folding import fold
from contacts.smartsearch.nodes import Field, FieldType, Property
from contacts.smartsearch.unchecked import day_in, instant_in

#: Folded text, number (exact, where it is a sum), boolean, instant, day or id; a set of texts or ids; None is unset.
Known: TypeAlias = str | int | float | bool | Decimal | datetime | date | UUID | frozenset[str] | frozenset[UUID] | None

ACTIVE: Final = "active"


class ActivityFact(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Something that happened, as it was recorded (`contacts.activity.events`)."""

    position: int
    kind: str
    occurred_at: datetime
    data: Mapping[str, Any]


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """How a profile was shown from a position on."""

    position: int
    contact: Contact
    engagement: Engagement | None = None


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a filter is asked about: a profile as it is shown, with the activity of everybody it is made of."""

    contact: Contact
    engagement: Engagement | None = None
    #: By when it happened, then by position.
    activities: Sequence[ActivityFact] = ()
    #: The profile's versions, oldest first, from which an explanation learns which event set a value.
    versions: Sequence[Version] = ()
    #: Whether those are all there ever were.
    is_whole: bool = True


def value_of(field: Field, contact: Contact, engagement: Engagement | None) -> Known:
    """What is compared; None where the field is unset."""
    if field.place == "engagement":
        value = _engaged(field, engagement)
        if field.unchecked and field.type in _READ:
            return _READ[field.type](value) if isinstance(value, str) else None
        return _typed(field.type, value, unchecked=field.unchecked)
    if field.column == "extras":
        return _extra(field, extras_of(contact))
    if field.column == "attributes":
        value = contact.attributes.get(field.path[0])
        return _typed(field.type, _folded(value))
    return _COLUMNS[field.column](contact)


def property_of(property_: Property, data: Mapping[str, Any]) -> Known:
    """None where it is not there, or is not of the type it is compared as."""
    value: Any = data
    for key in property_.path:
        value = value.get(key) if isinstance(value, Mapping) else None
    if property_.type == "any":
        return None if value is None else True
    if isinstance(value, list) and not (property_.type == "texts" and all(isinstance(each, str) for each in value)):
        return None
    found = value if property_.code and isinstance(value, str) else _folded(value)
    return _typed(property_.type, found, unchecked=True)


def _engaged(field: Field, engagement: Engagement | None) -> Any:
    if engagement is None:
        return () if field.type == "texts" else None
    if field.path:
        return _folded(engagement.fields.get(field.path[0]))
    value = getattr(engagement, field.column)
    return _folded(value) if field.type in ("text", "texts") else value


def _extra(field: Field, extras: Extras | None) -> Known:
    value: Any = extras or {}
    for key in field.path:
        value = value.get(key) if isinstance(value, dict) else None
    if field.type == "texts":
        return frozenset(value or ())
    return _typed(field.type, field.default if value is None else value)


def _folded(value: Any) -> Any:
    if isinstance(value, str):
        return fold(value)
    return tuple(map(fold, value)) if isinstance(value, list | tuple) else value


def _typed(type_: FieldType, value: Any, *, unchecked: bool = False) -> Known:
    """A value out of JSON as the type it is compared as. Only what is `unchecked` may not fit it: that is unset."""
    if value is None or (unchecked and not isinstance(value, _FITTING[type_])):
        return None
    if type_ == "texts":
        return frozenset(value)
    if type_ == "instant" and isinstance(value, str):
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    if type_ == "date":
        return date.fromisoformat(value)
    if unchecked and isinstance(value, bool) != (type_ == "boolean"):
        return None
    found: Known = value
    return found


#: What has to be read to know whether it fits.
_READ: Final[Mapping[FieldType, Callable[[str], date | datetime | None]]] = {"date": day_in, "instant": instant_in}
_FITTING: Final[Mapping[FieldType, type | tuple[type, ...]]] = {
    "text": str,
    "email": str,
    "phone": str,
    "code": str,
    "number": (int, float),
    "boolean": bool,
    "instant": (str, datetime),
    "texts": (list, tuple),
}


# -- columns of a contact ---------------------------------------------------------------------------------------------


def _fold(text: str | None) -> str | None:
    return fold(text) if text else None


def _full_name(contact: Contact) -> str | None:
    first, last = _fold(contact.first_name), _fold(contact.last_name)
    return f"{first} {last}" if first and last else first or last


def _status(address: str | None, status: Status | None) -> str | None:
    if not address:
        return None
    return status.status if status is not None else ACTIVE


_COLUMNS: Final[dict[str, Callable[[Contact], Known]]] = {
    "contact_id": lambda c: c.id,
    "external_id": lambda c: _fold(c.external_id),
    "messaging_id": lambda c: _fold(c.messaging_id),
    "first_name": lambda c: _fold(c.first_name),
    "last_name": lambda c: _fold(c.last_name),
    "full_name": _full_name,
    "assignee": lambda c: _fold(c.assignee),
    "email": lambda c: email_normal(c.email) if c.email else None,
    "phone": lambda c: c.phone,
    "country": lambda c: c.country,
    "language": lambda c: c.language,
    "time_zone": lambda c: c.time_zone,
    "source": lambda c: c.source,
    "blocked": lambda c: c.blocked,
    "campaign_opt_in": lambda c: c.campaign_opt_in,
    "created_at": lambda c: c.created_at,
    "changed_at": lambda c: c.changed_at,
    "deleted_at": lambda c: c.deleted_at,
    "email_status": lambda c: _status(c.email, c.standing.email if c.standing else None),
    "phone_status": lambda c: _status(c.phone, c.standing.phone if c.standing else None),
    "tags": lambda c: frozenset(map(fold, c.tags)),
    "categories": lambda c: frozenset(map(fold, c.categories)),
    "lists": lambda c: frozenset(c.lists),
    "absorbed": lambda c: frozenset(c.absorbed),
    "channels": lambda c: frozenset(channel.kind for channel in c.channels),
}
