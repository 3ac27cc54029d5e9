"""What can happen to an address on the blacklist, as facts in a stream of its own. No rules, no personal data.

A workspace's stream says what that workspace recorded. What it means for others is the decision on scope: an e-mail
address is closed for the whole installation for as long as any workspace keeps it on its list.
"""

from __future__ import annotations

from typing import Final, TypeAlias
from uuid import UUID

import msgspec

from contacts.addresses import Digest, Family
from contacts.proof import ProofDestroyed

CATEGORY: Final = "suppression"


class _Fact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Shared shape: stored readable, so it holds digests and codes only. Reasons in words are in the proof."""

    #: Widest digest of the address (`contacts.addresses`).
    address: Digest
    family: Family
    #: How it came in: `api`, `import`, `event`, …
    source: str
    #: Through which contact; None where the address itself was named.
    contact_id: UUID | None = None


class AddressBlacklisted(_Fact, frozen=True, kw_only=True):
    """Nothing may be sent to it from here on."""

    #: `manual`, `hard_bounce`, `complaint`, …
    cause: str = "manual"


class AddressUnblacklisted(_Fact, frozen=True, kw_only=True):
    """This workspace keeps it no longer on its list; the reason is in the proof."""


SuppressionEvent: TypeAlias = AddressBlacklisted | AddressUnblacklisted | ProofDestroyed
