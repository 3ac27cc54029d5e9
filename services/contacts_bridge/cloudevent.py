"""The public envelope: CloudEvents 1.0 in structured JSON, its subject and its names. Knows no event in particular."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Generic, Literal, TypeVar
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from eventstore.envelope import Metadata, RecordedEvent, Unreadable

CONTENT_TYPE: Final = "application/cloudevents+json"
SUBJECT_PREFIX: Final = "rollbook.events.v1"

D = TypeVar("D")


class CloudEvent(msgspec.Struct, Generic[D], frozen=True, kw_only=True):
    """One public event. Everything but `data` and `erased` has the same meaning in every message.

    Extension attributes are lower-case without separators, as CloudEvents asks; `position` is text, because a
    CloudEvents integer has only 32 bits.
    """

    specversion: Literal["1.0"]
    id: Annotated[UUID, Meta(description="Id of the event, the same in every delivery: remember it to see each once.")]
    source: Annotated[str, Meta(description="`/rollbook/` and the workspace's id.")]
    type: str
    subject: Annotated[UUID, Meta(description="Id of the contact, workspace, merge or address the event is about.")]
    time: Annotated[datetime, Meta(description="When it happened, or was recorded where that is not known.", tz=True)]
    datacontenttype: Literal["application/json"]
    workspace: UUID
    position: Annotated[str, Meta(description="Position in the log; usable as `Rollbook-Min-Position` of a query.")]
    version: Annotated[int, Meta(ge=1, description="Version of the contact after this event: 1, 2, 3 … without gaps.")]
    automation: Annotated[bool, Meta(description="False where nothing may be automated because of this event.")]
    operation: Annotated[UUID, Meta(description="The import, bulk action or undo it belongs to.")] | UnsetType = UNSET
    actor: Annotated[str, Meta(description="`key:<id>` or `system:<name>`; only `user` for a person.")] | UnsetType = (
        UNSET
    )
    erased: (
        Annotated[Literal[True], Meta(description="The person was erased: what happened is unknown, there is no data.")]
        | UnsetType
    ) = UNSET
    data: D | UnsetType = UNSET


def cloud_event(recorded: RecordedEvent[Any], *, type_: str, data: D | UnsetType) -> CloudEvent[D]:
    """The envelope of a recorded event; `data` UNSET and the event Unreadable means erased."""
    metadata = recorded.metadata
    return CloudEvent(
        specversion="1.0",
        datacontenttype="application/json",
        id=recorded.event_id,
        source=f"/rollbook/{recorded.workspace_id}",
        type=type_,
        subject=recorded.stream_id,
        time=metadata.occurred_at or recorded.recorded_at,
        workspace=recorded.workspace_id,
        position=f"{recorded.lane}.{recorded.position}",
        version=recorded.version,
        automation=metadata.automation,
        operation=UNSET if metadata.operation_id is None else metadata.operation_id,
        actor=_public_actor(metadata),
        erased=True if isinstance(recorded.event, Unreadable) else UNSET,
        data=data,
    )


def _public_actor(metadata: Metadata) -> str | UnsetType:
    # Lets a consumer pass over what it did itself. The subject of a person's token may be a name or an address.
    if metadata.actor is None:
        return UNSET
    return metadata.actor if metadata.actor.startswith(("key:", "system:")) else "user"


def subject_of(workspace_id: UUID | str, event_name: str) -> str:
    """NATS subject of an event, e.g. `rollbook.events.v1.<workspace>.contact.created`."""
    return f"{SUBJECT_PREFIX}.{workspace_id}.{event_name}"
