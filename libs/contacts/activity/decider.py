"""Activity rules: (command, profile, how it was found) -> event, or nothing, or a refusal. No I/O, no clock."""

from __future__ import annotations

from msgspec.structs import replace

from contacts import errors
from contacts.activity.commands import RecordActivity
from contacts.activity.events import ActivityRecorded, AddressedAs
from contacts.contact.state import Contact


def decide(command: RecordActivity, contact: Contact, found_as: AddressedAs) -> list[ActivityRecorded]:
    """`contact` stands for the one that was found, whose id `found_as` has. Nothing for a blocked contact (C7).

    A deleted contact is found by its id alone, as everywhere: what is known of it meanwhile is not lost to a restore.

    Raises:
        ContactNotFound, ContactUnknown, ContactIsErased: nobody is there to record it for.
    """
    if not contact.exists:
        raise errors.ContactNotFound(contact.id)
    if contact.erased:
        raise errors.ContactIsErased(contact.id)
    if contact.deleted and found_as.by != "id":
        raise errors.ContactUnknown([found_as.by])
    if contact.blocked:
        return []
    if found_as.contact_id == contact.id:
        found_as = replace(found_as, contact_id=None)
    return [
        ActivityRecorded(
            activity_id=command.activity_id,
            kind=command.kind,
            occurred_at=command.occurred_at,
            source=command.source,
            addressed_as=found_as,
            data=command.data,
        )
    ]
