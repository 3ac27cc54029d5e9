"""What the world is told of a contact that enters or leaves a segment: ids, time and cause, nothing personal."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final, Literal
from uuid import UUID, uuid5

import msgspec
from msgspec import UNSET, Meta, UnsetType

STREAM: Final = "ROLLBOOK_SEGMENTS"
PREFIX: Final = "rollbook.segments.v1"
#: Ids of messages are made of what they say, so that they are the same in every delivery and after every rebuild.
NAMESPACE: Final = UUID("5b0f2d3c-7a41-4a53-9c0e-2f0c6d1e8a77")
#: Type of a cause that is no event.
CLOCK: Final = "clock"


class Place(msgspec.Struct, frozen=True, order=True):
    """Where a change stands among those of its lane."""

    at: datetime
    position: int
    segment_id: UUID
    contact_id: UUID

    @property
    def token(self) -> str:
        """For a header: microseconds since 1970, position, segment, contact."""
        return f"{_microseconds(self.at)}.{self.position}.{self.segment_id}.{self.contact_id}"


BEGINNING: Final = Place(datetime.fromtimestamp(0, UTC), 0, UUID(int=0), UUID(int=0))


def parse_place(token: str) -> Place:
    """Raises ValueError."""
    at, position, segment_id, contact_id = token.split(".")
    return Place(_instant(at), int(position), UUID(segment_id), UUID(contact_id))


class FirstPlace(msgspec.Struct, frozen=True, order=True):
    """Where one of the first changes of a new definition stands among those of its lane, which are told apart."""

    defined_at: datetime
    defined_position: int
    contact_id: UUID
    segment_id: UUID
    at: datetime

    @property
    def token(self) -> str:
        """As that of a place."""
        defined = f"{_microseconds(self.defined_at)}.{self.defined_position}"
        return f"{defined}.{self.contact_id}.{self.segment_id}.{_microseconds(self.at)}"


FIRST_BEGINNING: Final = FirstPlace(BEGINNING.at, 0, UUID(int=0), UUID(int=0), BEGINNING.at)


def parse_first_place(token: str) -> FirstPlace:
    """Raises ValueError."""
    defined_at, position, contact_id, segment_id, at = token.split(".")
    return FirstPlace(_instant(defined_at), int(position), UUID(contact_id), UUID(segment_id), _instant(at))


class Change(msgspec.Struct, frozen=True):
    """A row of one of the change tables."""

    lane: int
    place: Place
    workspace_id: UUID
    entered: bool
    cause: str
    event_id: UUID | None
    #: Of the first changes of a new definition.
    first: FirstPlace | None = None
    #: One of these that goes ahead of a later change of the same contact.
    is_carried: bool = False

    @property
    def subject(self) -> str:
        """`rollbook.segments.v1.<workspace>.<segment>.<entered|left>`."""
        return f"{PREFIX}.{self.workspace_id}.{self.place.segment_id}.{'entered' if self.entered else 'left'}"

    @property
    def id(self) -> UUID:
        return uuid5(NAMESPACE, f"{self.lane}.{self.place.token}.{self.entered}")


class SegmentCause(msgspec.Struct, frozen=True):
    """What moved the contact."""

    type: Annotated[
        str,
        Meta(description="Name of the event that did, such as `activity.recorded`; `clock` where a window passed."),
    ]
    event: Annotated[UUID, Meta(description="Its id, as on the stream ROLLBOOK_EVENTS.")] | UnsetType = UNSET


class SegmentMoved(msgspec.Struct, frozen=True):
    """A contact that is in a segment from now on, or is not any more."""

    segment: UUID
    contact: UUID
    cause: SegmentCause


class SegmentMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A CloudEvent about a segment, in structured JSON."""

    specversion: Literal["1.0"] = "1.0"
    datacontenttype: Literal["application/json"] = "application/json"
    id: Annotated[UUID, Meta(description="The same in every delivery: remember it to see each once.")]
    source: Annotated[str, Meta(description="`/rollbook/` and the workspace's id.")]
    type: Literal["rollbook.segment.entered.v1", "rollbook.segment.left.v1"]
    subject: Annotated[UUID, Meta(description="Id of the contact.")]
    time: Annotated[
        datetime, Meta(description="When it entered or left: of the event, or the instant a window passed.", tz=True)
    ]
    workspace: UUID
    position: Annotated[
        str, Meta(description="Of the event in the log; of the last event before it where time did it.")
    ]
    data: SegmentMoved


def message_of(change: Change) -> SegmentMessage:
    place = change.place
    event = UNSET if change.event_id is None else change.event_id
    return SegmentMessage(
        id=change.id,
        source=f"/rollbook/{change.workspace_id}",
        type="rollbook.segment.entered.v1" if change.entered else "rollbook.segment.left.v1",
        subject=place.contact_id,
        time=place.at,
        workspace=change.workspace_id,
        position=f"{change.lane}.{place.position}",
        data=SegmentMoved(place.segment_id, place.contact_id, SegmentCause(change.cause, event)),
    )


def _microseconds(at: datetime) -> int:
    # Floating point has no room for microseconds of this century and all their digits.
    return int(at.replace(microsecond=0).timestamp()) * 1_000_000 + at.microsecond


def _instant(microseconds: str) -> datetime:
    seconds, rest = divmod(int(microseconds), 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)
