"""An entry of a workspace's blacklist as people see it: what stands in the facts, and the proof's own words. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from contacts.addresses import Family
from contacts.proof import ProofRecorded
from contacts.suppression.state import Suppressed
from eventstore.envelope import RecordedEvent


class Entry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One address that nothing may be sent to."""

    #: Of the address in this workspace: the same again when it is listed again.
    id: UUID
    #: `email` (for the whole installation), `phone`, or another kind of channel.
    channel: Family
    #: None where its proof was destroyed.
    address: str | None
    since: datetime
    #: `manual`, `hard_bounce`, …
    cause: str
    reason: str | None
    source: str
    actor: str | None
    contact_id: UUID | None


def entry_of(state: Suppressed, proofs: Iterable[RecordedEvent[Any]]) -> Entry | None:
    """None for an address that is not on the list. `proofs` is its proof stream, some of which may be unreadable."""
    listed = state.blacklisting
    if listed is None:
        return None
    words = {p.event.fact_version: p.event for p in proofs if isinstance(p.event, ProofRecorded)}
    proof = words.get(listed.version)
    return Entry(
        id=state.id,
        channel=state.family,
        address=proof.address if proof else None,
        since=listed.since,
        cause=listed.cause,
        reason=proof.reason if proof else None,
        source=listed.source,
        actor=listed.actor,
        contact_id=listed.contact_id,
    )
