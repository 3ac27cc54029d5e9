"""Restore rules: what is recorded where a contact comes back and gives up what others hold. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from contacts.contact import events as e

if TYPE_CHECKING:
    from contacts.merge.profile import Profile


def restored(
    profile: Profile, reason: str | None, released: Iterable[e.Released]
) -> dict[UUID, tuple[e.ContactEvent, ...]]:
    """By contact, what happens when a deleted profile is restored without the values in `released`."""
    gone = tuple(released)
    restored_ = e.ContactRestored(reason=reason, released=gone)
    return without({profile.root.id: (restored_,)}, gone)


def without(
    happened: Mapping[UUID, tuple[e.ContactEvent, ...]], released: Iterable[e.Released]
) -> dict[UUID, tuple[e.ContactEvent, ...]]:
    """The same, and the values in `released` given up after it."""
    after, gone = dict(happened), tuple(released)
    for contact in dict.fromkeys(each.contact for each in gone):
        cleared: dict[str, Any] = {each.field: None for each in gone if each.contact == contact}
        after[contact] = (*after.get(contact, ()), e.ContactDetailsChanged(**cleared))
    return after
