"""An event as answers name it: which, when, who and how. Its content is told by the answer around it. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

import msgspec

from contacts.consent.standing import INSTALLATION_SOURCE

if TYPE_CHECKING:
    from contacts.audit.chronicle import Recorded
    from contacts.audit.words import Names

#: What is told of a fact that another workspace recorded.
ELSEWHERE: Final = INSTALLATION_SOURCE


class EventRef(msgspec.Struct, frozen=True, kw_only=True):
    """One event."""

    #: Its stable name, `contact.created` and so on.
    event: str
    #: Null for a fact that another workspace of the installation recorded.
    event_id: UUID | None
    #: Whose event it is; null for a fact about an address.
    contact: UUID | None
    #: A contact read as of it shows what the event did.
    position: str
    recorded_at: datetime
    occurred_at: datetime | None
    actor: str | None
    #: The actor in words.
    actor_name: str | None
    source: str | None
    correlation_id: str | None
    operation_id: UUID | None


def ref(recorded: Recorded, names: Names) -> EventRef:
    metadata = recorded.metadata
    own = recorded.workspace_id == names.workspace_id
    return EventRef(
        event=recorded.type,
        event_id=recorded.event_id if own else None,
        contact=recorded.stream_id if recorded.category == "contact" else None,
        position=f"{recorded.lane}.{recorded.position}",
        recorded_at=recorded.recorded_at,
        occurred_at=metadata.occurred_at if own else None,
        actor=metadata.actor if own else None,
        actor_name=names.actor(metadata.actor) if own else None,
        source=metadata.source if own else ELSEWHERE,
        correlation_id=metadata.correlation_id if own else None,
        operation_id=metadata.operation_id if own else None,
    )
