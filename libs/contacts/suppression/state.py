"""An address on the blacklist of one workspace, as a fold of its stream, and the rows that enforce it. No I/O."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from contacts.addresses import EMAIL, Digest, Family
from contacts.proof import ProofDestroyed
from contacts.suppression import events as e
from eventstore.envelope import RecordedEvent, Suppression, Unreadable

BLACKLISTED: Final = "blacklisted"
#: Whom an e-mail blacklist binds: every workspace. No workspace can have this id.
INSTALLATION: Final = UUID(int=0)


class Blacklisting(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A standing entry of the list."""

    since: datetime
    #: Version of the fact that made it.
    version: int
    cause: str
    source: str
    actor: str | None = None
    contact_id: UUID | None = None


class Suppressed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What the stream of one address says. Version 0: it was never on the list of this workspace."""

    id: UUID
    version: int = 0
    proofs: int = 0
    destroyed: int = 0
    address: Digest = b""
    family: Family = ""
    blacklisting: Blacklisting | None = None


def initial(id_: UUID) -> Suppressed:
    return Suppressed(id=id_)


def evolve(
    state: Suppressed, event: e.SuppressionEvent | Unreadable, at: datetime, actor: str | None = None
) -> Suppressed:
    """The state after `event`, recorded `at` for `actor`. Total: any event can follow any state."""
    state = replace(state, version=state.version + 1)
    if isinstance(event, Unreadable):
        return state
    if isinstance(event, ProofDestroyed):
        return replace(state, destroyed=state.proofs)
    blacklisting = None
    if isinstance(event, e.AddressBlacklisted):
        blacklisting = Blacklisting(
            since=at,
            version=state.version,
            cause=event.cause,
            source=event.source,
            actor=actor,
            contact_id=event.contact_id,
        )
    return replace(
        state, proofs=state.proofs + 1, address=event.address, family=event.family, blacklisting=blacklisting
    )


def fold(state: Suppressed, recorded: RecordedEvent[Any]) -> Suppressed:
    """`evolve` for an event as the log holds it."""
    return evolve(state, recorded.event, recorded.recorded_at, recorded.metadata.actor)


def scope_of(family: Family, workspace_id: UUID) -> UUID:
    """Whom an entry binds."""
    return INSTALLATION if family == EMAIL else workspace_id


def rows(state: Suppressed, workspace_id: UUID) -> tuple[Suppression, ...]:
    """What the state means for sending, as the rows that `may-send` reads; none for an address never listed."""
    if not state.address:
        return ()
    entry = state.blacklisting
    return (
        Suppression(
            scope_id=scope_of(state.family, workspace_id),
            holder_id=workspace_id,
            address=state.address,
            kind=e.CATEGORY,
            channel=state.family,
            status=BLACKLISTED if entry else None,
            cause=entry.cause if entry else None,
            since=entry.since if entry else None,
        ),
    )
