"""What filters can ask for and no column holds, as one small document beside the columns. No SQL, no I/O.

Most contacts have none of it, so it costs them nothing. Texts are folded, instants are in UTC.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, TypeAlias

from contacts.consent.standing import Status
from contacts.contact.events import Address, Location
from contacts.contact.state import Channel, Contact
from contacts.emails import email_normal
from contacts.folding import fold

Extras: TypeAlias = dict[str, Any]


def extras_of(contact: Contact) -> Extras | None:
    """None where there is nothing to say.

    `email_status`, `phone_status`: since when, why, by whom · `consents` by channel · `address` · `location` ·
    `seen`: by kind of channel, and of any (""), when first and last · `application`, `device` of channels ·
    `avatar_url`, `deletion_reason` · `folded`: what a column has unfolded, where lower case is not all.
    """
    extras: Extras = {}
    standing = contact.standing
    if standing is not None:
        if standing.email is not None and contact.email:
            _put(extras, "email_status", _status(standing.email))
        if standing.phone is not None and contact.phone:
            _put(extras, "phone_status", _status(standing.phone))
        _put(extras, "consents", standing.consents)
    if contact.address is not None:
        _put(extras, "address", _address(contact.address))
    if contact.location is not None:
        extras["location"] = _location(contact.location)
    if contact.channels:
        _put_channels(extras, contact.channels)
    if contact.avatar_url:
        extras["avatar_url"] = fold(contact.avatar_url)
    if contact.deletion_reason:
        extras["deletion_reason"] = fold(contact.deletion_reason)
    _put(extras, "folded", _folded(contact))
    return extras or None


def _put(extras: Extras, name: str, part: Extras) -> None:
    if part:
        extras[name] = part


def _status(status: Status) -> Extras:
    found: Extras = {}
    if status.since is not None:
        found["since"] = status.since.astimezone(UTC)
    if status.reason:
        found["reason"] = fold(status.reason)
    if status.source:
        found["source"] = fold(status.source)
    return found


def _address(address: Address) -> Extras:
    lines = ("street", "city", "region", "postcode")
    found: Extras = {name: fold(value) for name in lines if (value := getattr(address, name))}
    return found | {"country": address.country} if address.country else found


def _location(location: Location) -> Extras:
    found: Extras = {"latitude": location.latitude, "longitude": location.longitude}
    if location.source:
        found["source"] = fold(location.source)
    if location.at is not None:
        found["at"] = location.at.astimezone(UTC)
    return found


def _put_channels(extras: Extras, channels: Iterable[Channel]) -> None:
    seen: dict[str, tuple[datetime, datetime]] = {}
    for channel in channels:
        first, last = channel.first_seen_at, channel.last_seen_at
        for kind in ("", channel.kind):
            before = seen.get(kind, (first, last))
            seen[kind] = min(before[0], first), max(before[1], last)
    extras["seen"] = {
        kind: {"first_seen_at": first.astimezone(UTC), "last_seen_at": last.astimezone(UTC)}
        for kind, (first, last) in seen.items()
    }
    for part in ("application", "device"):
        if found := {fold(value) for channel in channels if (value := getattr(channel, part))}:
            extras[part] = sorted(found)


def _folded(contact: Contact) -> Extras:
    if _is_plain(contact.external_id) and _is_plain(contact.messaging_id) and _is_plain(contact.email):
        return {}
    texts = {
        "external_id": contact.external_id,
        "messaging_id": contact.messaging_id,
        "email": email_normal(contact.email) if contact.email and not contact.email.isascii() else contact.email,
    }
    return {name: fold(text) for name, text in texts.items() if text and not _is_plain(text)}


def _is_plain(text: str | None) -> bool:
    # Of ASCII, PostgreSQL's lower() in the collation C is all of it, but for one kind of apostrophe.
    return not text or (text.isascii() and "`" not in text)
