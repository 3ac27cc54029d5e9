"""Messages of what was recorded of an address: blacklists, consent and its proof. Which address is told to nobody."""

from __future__ import annotations

from typing import Annotated, Final
from uuid import UUID

from msgspec import UNSET, Meta, UnsetType

from contacts.consent import events as consent
from contacts.suppression import events as suppression
from contacts_bridge.messages.public import Data, PublicMessage


class AddressFact(Data, frozen=True, kw_only=True, gc=False):
    """What was recorded of an address. Which address is told to nobody; contacts and `may-send` say what follows."""

    channel: Annotated[str, Meta(description="`email`, `sms`, …; `phone` is every channel of a phone number.")]
    contact: Annotated[UUID, Meta(description="The contact through which it came.")] | UnsetType = UNSET
    category: Annotated[str, Meta(description="The subscription category, where it is about one.")] | UnsetType = UNSET
    cause: Annotated[str, Meta(description="`manual`, `hard_bounce`, …")] | UnsetType = UNSET


class ProofKept(Data, frozen=True, kw_only=True, gc=False):
    """The proof of what was recorded of an address came or went. What it says is told to nobody."""


def _address_fact(event: consent.ConsentEvent | suppression.SuppressionEvent, _: bool) -> AddressFact:
    contact_id = getattr(event, "contact_id", None)
    return AddressFact(
        channel=getattr(event, "channel", "") or getattr(event, "family", ""),
        contact=UNSET if contact_id is None else contact_id,
        category=getattr(event, "category", UNSET),
        cause=getattr(event, "cause", UNSET),
    )


MESSAGES: Final = (
    PublicMessage("suppression.address_blacklisted", "An address is on the blacklist", AddressFact, _address_fact),
    PublicMessage("suppression.address_unblacklisted", "An address is off the blacklist", AddressFact, _address_fact),
    PublicMessage("consent.granted", "Somebody agreed to a channel", AddressFact, _address_fact),
    PublicMessage("consent.withdrawn", "Somebody objected to a channel", AddressFact, _address_fact),
    PublicMessage("consent.unsubscribed_from_all", "Somebody objected to everything", AddressFact, _address_fact),
    PublicMessage("consent.double_opt_in_requested", "An address has to be confirmed", AddressFact, _address_fact),
    PublicMessage("consent.double_opt_in_confirmed", "An address was confirmed", AddressFact, _address_fact),
    PublicMessage("consent.spam_reported", "Somebody complained of spam", AddressFact, _address_fact),
    PublicMessage("consent.spam_cleared", "Complaints were taken back", AddressFact, _address_fact),
    PublicMessage("consent.category_subscribed", "Somebody agreed to a category", AddressFact, _address_fact),
    PublicMessage("consent.category_unsubscribed", "Somebody objected to a category", AddressFact, _address_fact),
    PublicMessage("proof.recorded", "A proof was recorded", ProofKept, lambda _e, _v: ProofKept()),
    PublicMessage("proof.destroyed", "Proof was destroyed", ProofKept, lambda _e, _v: ProofKept()),
)
