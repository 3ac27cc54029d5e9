"""How changes of a contact are told field by field, and of sets element by element. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from contacts.addresses import Family
from contacts.consent.standing import ACTIVE, Standing, Status
from contacts.contact.changes import FieldChange
from contacts.contact.state import Contact
from contacts.merge.view import SETS

ATTRIBUTES: Final = "attributes."
CONSENTS: Final = "consents."
STATUSES: Final[dict[str, Family]] = {"email_status": "email", "phone_status": "phone"}


def standing_difference(old: Contact, new: Contact) -> tuple[FieldChange, ...]:
    """What differs in how the addresses of two states of a contact stand. That a new address is active is not told."""
    return tuple(_standing_changes(old, new))


def _standing_changes(old: Contact, new: Contact) -> Iterator[FieldChange]:
    for field, family in STATUSES.items():
        was, is_ = _status(old, family), _status(new, family)
        if was != is_ and {was, is_} != {None, ACTIVE}:
            yield FieldChange(field=field, old=was, new=is_)
    before, after = (old.standing or Standing()).consents, (new.standing or Standing()).consents
    for channel in sorted({*before, *after}):
        if before.get(channel) != after.get(channel):
            yield FieldChange(field=CONSENTS + channel, old=before.get(channel), new=after.get(channel))


def _status(contact: Contact, family: Family) -> str | None:
    if getattr(contact, family) is None:
        return None
    status: Status | None = getattr(contact.standing, family, None)
    return ACTIVE if status is None else status.status


def slots(change: FieldChange) -> Iterator[tuple[str, Any, Any]]:
    """(field, element, value) of everything that changed: a set by its elements, whose value is None once gone."""
    if change.field not in (*SETS, "channels"):
        yield change.field, None, change.new
        return
    before = dict(elements(change.field, change.old or ()))
    after = dict(elements(change.field, change.new or ()))
    for key in {**before, **after}:
        if (key in before) != (key in after):
            yield change.field, key, after.get(key)


def elements(field: str, held: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    """Key and value of each element of a set. Tags that differ in case only are the same."""
    for element in held:
        if field == "tags":
            yield element.casefold(), element
        elif field == "channels":
            yield element.key, element
        else:
            yield element, element
