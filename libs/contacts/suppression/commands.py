"""What one can ask of the blacklist. Values are parsed; addresses come as digests (`contacts.addresses`)."""

from __future__ import annotations

from typing import TypeAlias
from uuid import UUID

import msgspec

from contacts.addresses import Address, Digest
from contacts.proof import Proof


class _Command(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Shared shape of commands: whose list, which address, and what is known of the occasion."""

    workspace_id: UUID
    address: Address
    source: str = "api"
    reason: str | None = None
    proof: Proof = Proof()
    contact_id: UUID | None = None
    #: Keyed digest of `proof`; empty where there is none.
    proof_digest: Digest = b""


class BlacklistAddress(_Command, frozen=True, kw_only=True):
    """An e-mail address is closed for the whole installation, any other for the workspace."""

    cause: str = "manual"


class UnblacklistAddress(_Command, frozen=True, kw_only=True):
    """Refused: ReasonMissing."""


SuppressionCommand: TypeAlias = BlacklistAddress | UnblacklistAddress
