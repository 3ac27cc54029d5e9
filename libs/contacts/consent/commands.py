"""What one can ask of the consent ledger. Values are parsed; addresses come as digests (`contacts.addresses`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias
from uuid import UUID

import msgspec

from contacts.addresses import Address, Channel, Digest
from contacts.proof import Proof
from contacts.suppression.commands import SuppressionCommand


class _Command(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Shared shape of commands: which address and channel, and what is known of the occasion."""

    workspace_id: UUID
    address: Address
    channel: Channel
    source: str = "api"
    reason: str | None = None
    proof: Proof = Proof()
    contact_id: UUID | None = None
    #: Keyed digest of `proof`; empty where there is none.
    proof_digest: Digest = b""


class GrantConsent(_Command, frozen=True, kw_only=True):
    """The person agreed, or agreed anew after an objection.

    Refused: ProofMissing, ObjectionOfOtherSpelling.
    """


class WithdrawConsent(_Command, frozen=True, kw_only=True):
    """The person objects to this channel."""


class UnsubscribeFromAll(_Command, frozen=True, kw_only=True):
    """The person objects to everything sent to this address. `channel` is not looked at."""


class RequestDoubleOptIn(_Command, frozen=True, kw_only=True):
    """Nothing is recorded where this spelling has agreed already."""


class ConfirmDoubleOptIn(_Command, frozen=True, kw_only=True):
    """Nothing is recorded where nothing was asked for.

    Refused: ProofMissing where the person had objected before it was asked for.
    """


class ReportSpam(_Command, frozen=True, kw_only=True):
    """The person complained."""


class ClearSpam(_Command, frozen=True, kw_only=True):
    """Refused: ReasonMissing."""


class SubscribeCategory(_Command, frozen=True, kw_only=True):
    """Refused: ProofMissing, ObjectionOfOtherSpelling where the person had objected to the category."""

    category: str


class UnsubscribeCategory(_Command, frozen=True, kw_only=True):
    """The person objects to messages on one subject."""

    category: str


ConsentCommand: TypeAlias = (
    GrantConsent
    | WithdrawConsent
    | UnsubscribeFromAll
    | RequestDoubleOptIn
    | ConfirmDoubleOptIn
    | ReportSpam
    | ClearSpam
    | SubscribeCategory
    | UnsubscribeCategory
)

AddressCommand: TypeAlias = SuppressionCommand | ConsentCommand


class AboutContact(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A request about the addresses of a contact, which are not known before it is looked at."""

    workspace_id: UUID
    contact_id: UUID
    #: None for all that the contact has.
    channel: Channel | None
    #: Makes the command for one address.
    ask: Callable[[Address, Channel], AddressCommand]
    #: It lets messages through again: then only what the profile shows is meant, not what was merged into it.
    opens: bool = False
