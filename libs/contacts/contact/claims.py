"""Which unique values contacts hold, and what a change of contacts takes and releases. The log decides who wins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final
from uuid import UUID

from contacts.contact.commands import UpsertKind
from contacts.contact.input import upsert_key
from contacts.contact.state import Contact
from eventstore.envelope import Claim

UNIQUE_KINDS: Final = ("external_id", "messaging_id")
#: Held by contacts that an upsert by e-mail or phone created, see decisions/0002-upsert-by-address.md. Once released
#: they are never taken again.
UPSERT_CLAIMS: Final[dict[UpsertKind, str]] = {"email": "upsert.email", "phone": "upsert.phone"}
_Held = tuple[str, str, UUID]


def moved_claims(before: Contact, after: Contact) -> Iterator[Claim]:
    """Taken by a present contact, released by a deleted one, moved with an edit."""
    for kind in UNIQUE_KINDS:
        yield from _moved(kind, before.id, _value(before, kind), _value(after, kind))
    for by, kind in UPSERT_CLAIMS.items():
        old, new = _value(before, by), _value(after, by)
        if old is not None and old != new:
            yield Claim(kind=kind, value=upsert_key(by, old), holder=before.id, take=False)


def _value(contact: Contact, field: str) -> str | None:
    value: str | None = None if contact.deleted else getattr(contact, field)
    return value


def _moved(kind: str, holder: UUID, old: str | None, new: str | None) -> Iterator[Claim]:
    if old == new:
        return
    if old is not None:
        yield Claim(kind=kind, value=old, holder=holder, take=False)
    if new is not None:
        yield Claim(kind=kind, value=new, holder=holder)


Profile = tuple[Contact, Mapping[UUID, Contact]]
"""A contact that stands for itself, and the states of those it stands for as well."""


def moved_between(before: Iterable[Profile], after: Iterable[Profile]) -> list[Claim]:
    """The same where contacts merge or come apart: each keeps its own, held as long as the profile is present."""
    had, has = _held(before), _held(after)
    released = [Claim(kind=kind, value=value, holder=holder, take=False) for kind, value, holder in had - has]
    taken = [Claim(kind=kind, value=value, holder=holder) for kind, value, holder in has - had if kind in UNIQUE_KINDS]
    return released + taken


def _held(profiles: Iterable[Profile]) -> set[_Held]:
    return {
        held
        for root, others in profiles
        if not root.deleted
        for contact in (root, *others.values())
        for held in _held_by(contact)
    }


def _held_by(contact: Contact) -> Iterator[_Held]:
    for kind in UNIQUE_KINDS:
        if value := getattr(contact, kind):
            yield kind, value, contact.id
    for by, kind in UPSERT_CLAIMS.items():
        if value := getattr(contact, by):
            yield kind, upsert_key(by, value), contact.id
