"""How two states of a contact differ, field by field. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from contacts.contact.state import Contact

#: Present in every change and told by the entry itself.
_TOLD_BY_ENTRY: Final = frozenset(
    {
        *("id", "version", "changed_at", "erased", "erased_by", "composition", "absorbed", "absorbed_by"),
        # Not from the contact's own stream.
        *("standing", "engagement"),
    }
)
_FIELDS: Final = tuple(name for name in Contact.__struct_fields__ if name not in _TOLD_BY_ENTRY)


class FieldChange(msgspec.Struct, frozen=True, kw_only=True):
    """One field before and after; custom attributes one by one as `attributes.<key>`."""

    field: str
    old: Any = None
    new: Any = None


def difference(old: Contact, new: Contact) -> tuple[FieldChange, ...]:
    """What differs between two states of one contact, by field."""
    return tuple(_changes(old, new))


def _changes(old: Contact, new: Contact) -> Iterator[FieldChange]:
    for field in _FIELDS:
        before, after = getattr(old, field), getattr(new, field)
        if field == "attributes":
            for key in sorted({*before, *after}):
                if before.get(key) != after.get(key):
                    yield FieldChange(field=f"attributes.{key}", old=before.get(key), new=after.get(key))
        elif before != after:
            yield FieldChange(field=field, old=before, new=after)
