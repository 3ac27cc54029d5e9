"""From wanted profile fields to what really changes: the comparing half of create and edit. Pure; refuses nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from contacts.contact.commands import AddressDetails, Details
from contacts.contact.events import Address, ContactDetailsChanged
from contacts.contact.state import Contact
from contacts.values import AttributeValue

#: Fields that are compared and recorded as they are.
SCALAR_FIELDS: Final = (
    "external_id",
    "messaging_id",
    "first_name",
    "last_name",
    "email",
    "phone",
    "country",
    "time_zone",
    "language",
    "location",
    "avatar_url",
    "assignee",
    "campaign_opt_in",
)
ADDRESS_PARTS: Final = ("street", "city", "region", "postcode", "country")
EMPTY_ADDRESS: Final = Address()


def created_fields(details: Details) -> dict[str, Any]:
    """What `ContactCreated` is built from: all that is wanted and not empty; sets sorted, tags unique but for case."""
    fields: dict[str, Any] = {
        name: value for name in SCALAR_FIELDS if (value := getattr(details, name)) is not UNSET and value is not None
    }
    if details.address:
        address = patched_address(None, details.address)
        if address is not None:
            fields["address"] = address
    if details.attributes:
        fields["attributes"] = {key: value for key, value in details.attributes.items() if value is not None}
    if details.tags:
        fields["tags"] = tuple(sorted({tag.casefold(): tag for tag in reversed(details.tags)}.values()))
    if details.lists:
        fields["lists"] = tuple(sorted(set(details.lists)))
    if details.categories:
        fields["categories"] = tuple(sorted(set(details.categories)))
    return fields


def changes_of(details: Details, contact: Contact) -> ContactDetailsChanged | None:
    """What of `details` differs from the contact, tags and lists apart; None where all is so already."""
    changes: dict[str, Any] = {}
    for name in SCALAR_FIELDS:
        value = getattr(details, name)
        if value is not UNSET and value != getattr(contact, name):
            changes[name] = value
    if details.address is not UNSET:
        address = patched_address(contact.address, details.address)
        if address != contact.address:
            changes["address"] = address
    if details.attributes is not UNSET:
        attributes = _attribute_changes(contact.attributes, details.attributes)
        if attributes:
            changes["attributes"] = attributes
    _add_set_changes(changes, "categories", details.categories, contact.categories)
    return ContactDetailsChanged(**changes) if changes else None


def patched_address(present: Address | None, wanted: AddressDetails | None) -> Address | None:
    """The address after a merge-patch; None where nothing of it is left."""
    if wanted is None:
        return None
    parts = {part: value for part in ADDRESS_PARTS if (value := getattr(wanted, part)) is not UNSET}
    address = replace(present or EMPTY_ADDRESS, **parts)
    return None if address == EMPTY_ADDRESS else address


def _attribute_changes(
    present: dict[str, AttributeValue], wanted: dict[str, AttributeValue | None] | None
) -> dict[str, AttributeValue | None]:
    if wanted is None:
        return dict.fromkeys(present)
    # 1 == True and 1 == 1.0 in Python, so the type is part of the comparison.
    return {
        key: value
        for key, value in wanted.items()
        if (held := present.get(key)) != value or type(held) is not type(value)
    }


def _add_set_changes(
    changes: dict[str, Any], name: str, wanted: Iterable[Any] | UnsetType, held: tuple[Any, ...]
) -> None:
    if wanted is UNSET:
        return
    target = set(wanted)
    added, removed = target.difference(held), set(held).difference(target)
    if added:
        changes[f"{name}_added"] = tuple(sorted(added))
    if removed:
        changes[f"{name}_removed"] = tuple(sorted(removed))
