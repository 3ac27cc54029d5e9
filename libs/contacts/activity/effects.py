"""What an activity says of an address (A2): a bounce, a complaint, an objection; and of a channel that somebody is on.

Pure: what is asked of the ledger of an address, which addresses are meant, and what that means for the contact.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from contacts.activity.commands import RecordActivity
from contacts.activity.events import AddressedAs
from contacts.addresses import EMAIL, PHONE, Address, AddressKeys, Channel, family_of
from contacts.consent.commands import (
    AddressCommand,
    ReportSpam,
    UnsubscribeCategory,
    UnsubscribeFromAll,
    WithdrawConsent,
)
from contacts.consent.input import parse_category
from contacts.consent.reach import addresses_on
from contacts.contact.commands import SeeChannel
from contacts.contact.state import Channel as Identity
from contacts.contact.state import Contact
from contacts.errors import InvalidValue
from contacts.proof import Proof
from contacts.suppression.commands import BlacklistAddress

SOURCE: Final = "activity"
HARD_BOUNCE: Final = "hard_bounce"
OBJECTING: Final = frozenset({"message.undelivered", "message.unsubscribed", "message.spam_reported"})
#: What a person does on a channel, or over it.
PRESENT: Final = frozenset({"conversation.message_in", "message.read", "message.clicked"})
PRESENT_FAMILIES: Final = frozenset({"web", "widget", "order"})
#: Being there is told once in so long, unless it makes another channel the last one seen: it is an event each time.
SEEN_EVERY: Final = timedelta(minutes=5)


def says_something(command: RecordActivity) -> bool:
    """Whether it may concern an address or a channel at all; nearly none does."""
    return command.kind in OBJECTING or command.contact.channel is not None


def asked_of_addresses(
    command: RecordActivity, contacts: Iterable[Contact], keys: AddressKeys
) -> list[AddressCommand]:  # fmt: skip
    """What is to be recorded of addresses. `contacts` are the profile and all it is made of; none for a stranger.

    Where the sender named an address on the channel, it is that one; else all that the contacts have on it.
    """
    channel = command.data.get("channel")
    if command.kind not in OBJECTING or not channel:
        return []
    if command.kind == "message.undelivered" and command.data.get("bounce") != "hard":
        return []
    named = _named(command, channel, keys)
    addresses = [named] if named else _all(contacts, channel, keys)
    return [_ask(command, address, channel) for address in addresses]


def seen_on(command: RecordActivity, found_as: AddressedAs, contact: Contact) -> SeeChannel | None:
    """That the person was there, by a channel identity of the profile; None where that says nothing new."""
    if found_as.by != "channel" or not _is_present(command.kind):
        return None
    for identity in contact.channels:
        if _is(identity, found_as) and _is_news(identity, contact, command):
            return SeeChannel(
                workspace_id=command.workspace_id,
                contact_id=contact.id,
                kind=identity.kind,
                token=identity.token,
                application=identity.application,
                seen_at=command.occurred_at,
            )
    return None


def _ask(command: RecordActivity, address: Address, channel: Channel) -> AddressCommand:
    workspace_id = command.workspace_id
    proof = Proof(source=command.source, occurred_at=command.occurred_at)
    if command.kind == "message.undelivered":
        return BlacklistAddress(
            workspace_id=workspace_id, address=address, source=SOURCE, reason=command.data.get("reason"), proof=proof,
            cause=HARD_BOUNCE,
        )  # fmt: skip
    if command.kind == "message.spam_reported":
        return ReportSpam(workspace_id=workspace_id, address=address, channel=channel, source=SOURCE, proof=proof)
    category = _category(command)
    if category is not None:
        return UnsubscribeCategory(
            workspace_id=workspace_id, address=address, channel=channel, source=SOURCE, proof=proof, category=category
        )
    objection = UnsubscribeFromAll if channel == PHONE else WithdrawConsent
    return objection(workspace_id=workspace_id, address=address, channel=channel, source=SOURCE, proof=proof)


def _category(command: RecordActivity) -> str | None:
    text = command.data.get("category")
    try:
        return None if text is None else parse_category(text)
    except InvalidValue:
        # A subject that cannot be one: whoever objects to something unknown is not written to at all.
        return None


def _named(command: RecordActivity, channel: Channel, keys: AddressKeys) -> Address | None:
    reference, family = command.contact, family_of(channel)
    if family == EMAIL and reference.email is not None:
        return keys.email(reference.email)
    if family == PHONE and reference.phone is not None:
        return keys.phone(reference.phone)
    if reference.channel is not None and reference.channel.kind == channel:
        return keys.token(channel, reference.channel.token)
    return None


def _all(contacts: Iterable[Contact], channel: Channel, keys: AddressKeys) -> list[Address]:
    found = {address.exact: address for contact in contacts for address in addresses_on(channel, contact, keys)}
    return list(found.values())


def _is_present(kind: str) -> bool:
    return kind in PRESENT or kind.partition(".")[0] in PRESENT_FAMILIES


def _is(identity: Identity, found_as: AddressedAs) -> bool:
    return (
        identity.kind == found_as.channel
        and identity.token == found_as.value
        and found_as.application in (None, identity.application)
    )


def _is_news(identity: Identity, contact: Contact, command: RecordActivity) -> bool:
    since = command.occurred_at - identity.last_seen_at
    is_last = all(each.last_seen_at <= identity.last_seen_at for each in contact.channels)
    return since >= SEEN_EVERY or (since > timedelta() and not is_last)
