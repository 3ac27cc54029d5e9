"""Contacts as candidates for being duplicates: what of their state is kept, and what a batch changed. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import msgspec

from contacts.contact.state import Contact
from contacts.duplicate.blocks import NO_KEYS, Keys, keys_of
from contacts.duplicate.traits import Traits, is_birth_key, traits_of

if TYPE_CHECKING:
    from contacts.merge.rows import Touched


class Change(msgspec.Struct, frozen=True, gc=False):
    """One profile before and after a batch."""

    workspace_id: UUID
    contact_id: UUID
    #: There was no row of it, not even of a deleted one.
    is_new: bool
    #: What there is to compare; None where it was no present profile, or is none.
    before: Traits | None
    after: Traits | None
    #: The blocks of either.
    left: Keys
    joined: Keys
    #: What is kept; None where it is erased, or another one stands for it.
    kept: Contact | None


def change_of(touched: Touched) -> Change:
    kept = touched.after if touched.visible else None
    before, after = _traits(touched.before), _traits(kept)
    left = NO_KEYS if before is None else keys_of(before)
    joined = left if before == after else NO_KEYS if after is None else keys_of(after)
    return Change(touched.workspace_id, touched.after.id, touched.before is None, before, after, left, joined, kept)


def _traits(contact: Contact | None) -> Traits | None:
    return None if contact is None or contact.deleted else traits_of(contact)


def reduced(contact: Contact) -> Contact:
    """Without all that nobody compares. Folding the next event onto it comes to the same as onto the whole."""
    attributes = contact.attributes
    return Contact(
        id=contact.id,
        version=contact.version,
        first_name=contact.first_name,
        last_name=contact.last_name,
        email=contact.email,
        phone=contact.phone,
        address=contact.address,
        attributes={key: attributes[key] for key in attributes if is_birth_key(key)} if attributes else {},
        created_at=contact.created_at,
        deleted_at=contact.deleted_at,
        erased=contact.erased,
        composition=contact.composition,
        absorbed_into=contact.absorbed_into,
        absorbed_by=contact.absorbed_by,
    )
