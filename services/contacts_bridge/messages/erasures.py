"""Messages of erasing: whoever keeps copies acts on them."""

from __future__ import annotations

from typing import Annotated, Final
from uuid import UUID

from msgspec import Meta

from contacts.contact import events as contact
from contacts.erasure import events as erasure
from contacts_bridge.messages.public import Data, PublicMessage


class ContactErased(Data, frozen=True, kw_only=True, gc=False):
    """Nothing of this contact is left, and nothing will follow. Whoever keeps copies of its data erases them now."""

    erasure: Annotated[UUID, Meta(description="The erasure; its certificate is kept by this id.")]
    reason: Annotated[str, Meta(description="A code: `person_asked`, `retention`, …")]


class ErasureCompleted(Data, frozen=True, kw_only=True, gc=False):
    """Contacts were erased together; each of them tells so itself as well."""

    contacts: tuple[UUID, ...]


def _erased(event: contact.ContactErased, _: bool) -> ContactErased:
    return ContactErased(erasure=event.erasure_id, reason=event.reason)


def _erasure_completed(event: erasure.ErasureCompleted, _: bool) -> ErasureCompleted:
    return ErasureCompleted(contacts=event.contacts)


MESSAGES: Final = (
    PublicMessage("contact.erased", "A contact was erased", ContactErased, _erased),
    PublicMessage("erasure.completed", "Contacts were erased", ErasureCompleted, _erasure_completed),
)
