"""What persons agree to and withdraw, as facts in a stream per address and workspace. No rules, no personal data.

What each fact means for sending can be told from its type and these fields for ever; the words, the IP address and the
address itself are in the proof beside it (`contacts.proof`), which can be destroyed.
"""

from __future__ import annotations

from typing import Final, TypeAlias
from uuid import UUID

import msgspec

from contacts.addresses import Channel, Digest
from contacts.proof import ProofDestroyed

CATEGORY: Final = "consent"


class _Fact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Shared shape: stored readable, so it holds digests and codes only."""

    #: Widest digest of the address (`contacts.addresses`): what an objection holds for.
    address: Digest
    #: Digest of the spelling it was said with: what an agreement holds for.
    exact: Digest
    #: `email`, `sms`, `whatsapp`, …; `phone` is every channel of a phone number.
    channel: Channel
    #: How it came in: `api`, `one_click`, `import`, `subscription_form`, `event`, …
    source: str
    #: Through which contact; None where the address itself was named.
    contact_id: UUID | None = None


class ConsentGranted(_Fact, frozen=True, kw_only=True):
    """The person agreed to this channel, and so ended their own objection to it."""

    #: Keyed digest of the proof: tells a renewed consent from a repeated request.
    proof: Digest


class ConsentWithdrawn(_Fact, frozen=True, kw_only=True):
    """The person wants nothing more on this channel."""


class UnsubscribedFromAll(_Fact, frozen=True, kw_only=True):
    """The person wants nothing more at this address, on whatever channel. `channel` is the family of the address."""


class DoubleOptInRequested(_Fact, frozen=True, kw_only=True):
    """Nothing may be sent on this channel until the person confirms that the address is theirs."""


class DoubleOptInConfirmed(_Fact, frozen=True, kw_only=True):
    """The person confirmed, which is a consent as well."""

    proof: Digest
    #: It was asked for after an objection, which it ends.
    reopens: bool = False


class SpamReported(_Fact, frozen=True, kw_only=True):
    """The person complained about a message."""


class SpamCleared(_Fact, frozen=True, kw_only=True):
    """All complaints of this address on this channel were taken back; the reason is in the proof."""


class CategorySubscribed(_Fact, frozen=True, kw_only=True):
    """The person agreed to messages on one subject."""

    #: As workspaces compare them: case folded.
    category: str
    proof: Digest | None = None


class CategoryUnsubscribed(_Fact, frozen=True, kw_only=True):
    """The person wants no more messages on one subject; others may go on."""

    category: str


ConsentEvent: TypeAlias = (
    ConsentGranted
    | ConsentWithdrawn
    | UnsubscribedFromAll
    | DoubleOptInRequested
    | DoubleOptInConfirmed
    | SpamReported
    | SpamCleared
    | CategorySubscribed
    | CategoryUnsubscribed
    | ProofDestroyed
)
