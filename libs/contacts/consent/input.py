"""What callers send about addresses, and its one way into commands: HTTP, NATS and import parse here. No I/O.

As in `contact/input.py`, all that is wrong with one input is raised at once, with JSON pointers.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from ipaddress import ip_address
from typing import Any, Final, Literal, TypeAlias
from uuid import UUID

import msgspec

from contacts import values
from contacts.addresses import EMAIL, Address, AddressKeys, Channel, family_of, parse_channel
from contacts.consent import commands as c
from contacts.consent.commands import AboutContact, AddressCommand
from contacts.errors import InvalidValue
from contacts.faults import Faults
from contacts.proof import NO_PROOF, Proof
from contacts.suppression.commands import BlacklistAddress, UnblacklistAddress
from contacts.values import Country

Action: TypeAlias = Literal[
    "blacklist", "unblacklist", "unsubscribe", "resubscribe", "report_spam", "clear_spam", "confirm"
]
#: Stands for every channel on which the contact can be reached.
ALL: Final = "all"
#: The way back: only what the profile shows is meant, and not of a deleted contact.
OPENING: Final = frozenset({"unblacklist", "resubscribe", "clear_spam", "confirm"})
PROOF_TEXT_MAX: Final = 10_000


class _Input(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """Shared shape of what callers send: unknown fields are refused."""


class ProofInput(_Input, frozen=True, kw_only=True):
    """How somebody agreed or objected. An opt-in needs at least one of `text`, `form_version` and `source`."""

    #: The words that were agreed to, or said.
    text: str | None = None
    #: Version of the form or text, where that is kept elsewhere.
    form_version: str | None = None
    #: Where it was said: a page, a form, a call, a letter.
    source: str | None = None
    #: IP address of the person.
    ip: str | None = None
    user_agent: str | None = None
    #: When it was said, where that differs from now.
    occurred_at: datetime | None = None


class AddressActionInput(_Input, frozen=True, kw_only=True):
    """Which channel of the contact, and why."""

    #: `email`, `phone`, `sms`, `whatsapp` or another kind of channel. For `unsubscribe` also `all`.
    channel: str = EMAIL
    #: Only messages on this subject, where the action is about one subject.
    category: str | None = None
    reason: str | None = None
    proof: ProofInput | None = None
    #: A code for machines: `hard_bounce`, `complaint`, …
    cause: str | None = None


class ConsentInput(_Input, frozen=True, kw_only=True):
    """What the person said. There is no way back to `not_subscribed`."""

    channel: str
    status: Literal["subscribed", "unsubscribed"]
    category: str | None = None
    reason: str | None = None
    proof: ProofInput | None = None


class SuppressionInput(_Input, frozen=True, kw_only=True):
    """An address that nothing may be sent to."""

    #: `email`, `phone` or another kind of channel.
    channel: str
    address: str
    reason: str | None = None
    cause: str | None = None
    proof: ProofInput | None = None


class _Said(msgspec.Struct, frozen=True, kw_only=True):
    """The parsed circumstances of a request, and what every command takes of them."""

    reason: str | None
    proof: Proof
    proof_digest: bytes
    category: str | None = None
    cause: str = "manual"


def address_action(
    action: Action, sent: AddressActionInput, keys: AddressKeys, *, workspace_id: UUID, contact_id: UUID,
    source: str = "api",
) -> AboutContact:  # fmt: skip
    """A request about a contact's addresses. Raises InvalidInput."""
    fault = Faults()
    channel = None if sent.channel == ALL and action == "unsubscribe" else _channel(sent.channel, fault)
    if sent.category is not None and action not in ("unsubscribe", "resubscribe"):
        fault.add("/category", InvalidValue(f"does not go with {action}", "no category"))
    if sent.category is not None and channel is None:
        fault.add("/category", InvalidValue("does not go with all channels", "one channel, or no category"))
    said = _said(sent.reason, sent.proof, keys, fault, category=sent.category, cause=sent.cause)
    fault.raise_if_any()

    def ask(address: Address, on: Channel) -> AddressCommand:
        place = {"workspace_id": workspace_id, "contact_id": contact_id, "address": address, "source": source}
        return _COMMANDS[action](said, everything=channel is None, on=on, **place)

    return AboutContact(
        workspace_id=workspace_id, contact_id=contact_id, channel=channel, ask=ask, opens=action in OPENING
    )


def consent(
    sent: ConsentInput, keys: AddressKeys, *, workspace_id: UUID, contact_id: UUID, source: str = "api"
) -> AboutContact:
    """Raises InvalidInput."""
    action: Action = "resubscribe" if sent.status == "subscribed" else "unsubscribe"
    wanted = AddressActionInput(
        channel=sent.channel, category=sent.category, reason=sent.reason, proof=sent.proof
    )  # fmt: skip
    return address_action(action, wanted, keys, workspace_id=workspace_id, contact_id=contact_id, source=source)


def suppression(
    sent: SuppressionInput, keys: AddressKeys, *, workspace_id: UUID, region: Country | None, source: str = "api"
) -> BlacklistAddress:
    """`region` is whose national phone numbers are meant. Raises InvalidInput."""
    fault = Faults()
    channel = family_of(_channel(sent.channel, fault))
    address = fault.parse("/address", lambda text: keys.parse(channel, text, region), sent.address)
    said = _said(sent.reason, sent.proof, keys, fault, cause=sent.cause)
    fault.raise_if_any()
    assert address is not None
    return BlacklistAddress(
        workspace_id=workspace_id, address=address, source=source, reason=said.reason, proof=said.proof,
        proof_digest=said.proof_digest, cause=said.cause,
    )  # fmt: skip


def parse_category(text: str) -> str:
    """As categories are compared. Raises InvalidValue."""
    return values.parse_category(text).casefold()


def _channel(text: str, fault: Faults) -> Channel:
    return fault.parse("/channel", parse_channel, text) or EMAIL


def _said(
    reason: str | None, proof: ProofInput | None, keys: AddressKeys, fault: Faults, *, category: str | None = None,
    cause: str | None = None,
) -> _Said:  # fmt: skip
    parsed = NO_PROOF if proof is None else _proof(proof, fault)
    return _Said(
        reason=None if reason is None else fault.parse("/reason", values.parse_reason, reason),
        proof=parsed,
        proof_digest=keys.proof_digest(parsed),
        category=None if category is None else fault.parse("/category", parse_category, category),
        cause="manual" if cause is None else fault.parse("/cause", _parse_cause, cause) or "",
    )


def _proof(sent: ProofInput, fault: Faults) -> Proof:
    parsers: dict[str, Callable[[Any], Any]] = {
        "text": lambda text: values.parse_text(text, PROOF_TEXT_MAX, lines=True),
        "form_version": values.parse_line,
        "source": values.parse_line,
        "ip": _parse_ip,
        "user_agent": values.parse_line,
        "occurred_at": values.parse_instant,
    }
    parsed = {
        name: fault.parse(f"/proof/{name}", parser, value)
        for name, parser in parsers.items()
        if (value := getattr(sent, name)) is not None
    }
    return Proof(**parsed)


def _parse_ip(text: str) -> str:
    try:
        return str(ip_address(text.strip()))
    except ValueError:
        raise InvalidValue("is not an IP address", "one like 192.0.2.1 or 2001:db8::1") from None


def _parse_cause(text: str) -> str:
    try:
        return values.parse_kind(text)
    except InvalidValue:
        raise InvalidValue("is not a code", "letters, digits and _, like hard_bounce") from None


def _unsubscribe(said: _Said, *, everything: bool, on: Channel, **place: Any) -> AddressCommand:
    if said.category is not None:
        return c.UnsubscribeCategory(category=said.category, channel=on, **_words(said), **place)
    command = c.UnsubscribeFromAll if everything or on == "phone" else c.WithdrawConsent
    return command(channel=on, **_words(said), **place)


def _resubscribe(said: _Said, *, everything: bool, on: Channel, **place: Any) -> AddressCommand:
    if said.category is not None:
        return c.SubscribeCategory(category=said.category, channel=on, **_words(said), **place)
    return c.GrantConsent(channel=on, **_words(said), **place)


def _blacklist(said: _Said, *, everything: bool, on: Channel, **place: Any) -> AddressCommand:
    return BlacklistAddress(cause=said.cause, **_words(said), **place)


def _unblacklist(said: _Said, *, everything: bool, on: Channel, **place: Any) -> AddressCommand:
    return UnblacklistAddress(**_words(said), **place)


def _about_channel(command: Callable[..., AddressCommand]) -> Callable[..., AddressCommand]:
    def ask(said: _Said, *, everything: bool, on: Channel, **place: Any) -> AddressCommand:
        return command(channel=on, **_words(said), **place)

    return ask


def _words(said: _Said) -> dict[str, Any]:
    return {"reason": said.reason, "proof": said.proof, "proof_digest": said.proof_digest}


_COMMANDS: Final[dict[Action, Callable[..., AddressCommand]]] = {
    "blacklist": _blacklist,
    "unblacklist": _unblacklist,
    "unsubscribe": _unsubscribe,
    "resubscribe": _resubscribe,
    "report_spam": _about_channel(c.ReportSpam),
    "clear_spam": _about_channel(c.ClearSpam),
    "confirm": _about_channel(c.ConfirmDoubleOptIn),
}
