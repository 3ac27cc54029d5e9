"""Which addresses a contact is reached at, on one channel or on all. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from contacts.addresses import EMAIL, PHONE, PHONE_CHANNELS, Address, AddressKeys, Channel, Digest, family_of
from contacts.consent.standing import Reach
from contacts.contact.state import Contact


def addresses_on(channel: Channel, contact: Contact, keys: AddressKeys) -> list[Address]:
    """In order of importance, each once; none where the contact cannot be reached on the channel."""
    return _unique(_on(channel, contact, keys))


def all_addresses(contact: Contact, keys: AddressKeys) -> list[Address]:
    """Of every family."""
    kinds = dict.fromkeys(family_of(channel.kind) for channel in contact.channels)
    families = dict.fromkeys((EMAIL, PHONE, *kinds))
    return _unique(address for family in families for address in _on(family, contact, keys))


def digests_of(contact: Contact, keys: AddressKeys) -> set[Digest]:
    """Widest digests of everything it is reached at, and no more work than that: projectors ask for every contact."""
    digests: set[Digest] = set()
    for identity in contact.channels:
        digests.add(keys.token_digest(identity.kind, identity.token))
    if contact.email:
        digests.add(keys.email_digest(contact.email))
    if contact.phone:
        digests.add(keys.phone_digest(contact.phone))
    return digests


def reach_of(shown: Contact, others: Iterable[Contact], keys: AddressKeys) -> Reach:
    """Of a profile as it is shown, and of the contacts it is made of."""
    addresses = _unique(address for contact in (shown, *others) for address in all_addresses(contact, keys))
    by_family: dict[str, list[bytes]] = {}
    for address in addresses:
        by_family.setdefault(address.family, []).append(address.widest)
    return Reach(
        addresses=by_family,
        spellings=frozenset(address.exact for address in addresses),
        has_email=shown.email is not None,
        has_phone=shown.phone is not None,
    )


def _on(channel: Channel, contact: Contact, keys: AddressKeys) -> Iterator[Address]:
    family = family_of(channel)
    if family == EMAIL and contact.email:
        yield keys.email(contact.email)
    if family == PHONE and contact.phone:
        yield keys.phone(contact.phone)
    for identity in contact.channels:
        if identity.kind == channel or (channel == PHONE and identity.kind in PHONE_CHANNELS):
            yield keys.token(identity.kind, identity.token)


def _unique(addresses: Iterable[Address]) -> list[Address]:
    return list({address.exact: address for address in addresses}.values())
