"""An erasure as a fold of its stream: the certificate. No rules."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from contacts.contact.events import ErasureReason
from contacts.erasure.events import ErasedStream, ErasureCompleted
from eventstore.envelope import RecordedEvent

CATEGORY: Final = "erasure"


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """What was erased, when, why and by whom. Version 0: there is no such erasure."""

    id: UUID
    version: int = 0
    contact_id: UUID | None = None
    contacts: tuple[UUID, ...] = ()
    reason: ErasureReason | None = None
    streams: tuple[ErasedStream, ...] = ()
    erased_at: datetime | None = None
    #: As in metadata: `key:<id>`, `user:<id>`, `system:<name>`.
    actor: str | None = None
    #: The certificate's own, in the lane of the workspace; everything before it is covered.
    position: int = 0

    @property
    def exists(self) -> bool:
        return self.version > 0


def initial(erasure_id: UUID) -> Erasure:
    """The state before the first event."""
    return Erasure(id=erasure_id)


def evolve(erasure: Erasure, event: ErasureCompleted, at: datetime, actor: str | None, position: int) -> Erasure:
    """The state after `event`, recorded `at`."""
    return Erasure(
        id=erasure.id,
        version=erasure.version + 1,
        contact_id=event.contact_id,
        contacts=event.contacts,
        reason=event.reason,
        streams=event.streams,
        erased_at=at,
        actor=actor,
        position=position,
    )


def fold(erasure: Erasure, recorded: RecordedEvent[Any]) -> Erasure:
    """`evolve` for an event as the log holds it."""
    return evolve(erasure, recorded.event, recorded.recorded_at, recorded.metadata.actor, recorded.position)
