"""Messages of what contacts did and what was done to reach them."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import UNSET, Meta, UnsetType

from contacts.activity import events as activity
from contacts.activity.kinds import Category, category_of
from contacts_bridge.messages.public import Data, PublicMessage, Values, all_values


class ActivityRecorded(Data, frozen=True, kw_only=True, gc=False):
    """Something a contact did, or that was done to reach it. `time` is when it happened; it may come late."""

    kind: Annotated[str, Meta(description="`message.clicked`, `order.placed`, …")]
    category: Annotated[Category, Meta(description="Where a timeline shows it.")]
    source: Annotated[str, Meta(description="The service that saw it.")]
    channel: Annotated[str, Meta(description="`email`, `sms`, …")] | UnsetType = UNSET
    values: Values = UNSET


def _activity(event: activity.ActivityRecorded, with_values: bool) -> ActivityRecorded:
    return ActivityRecorded(
        kind=event.kind,
        category=category_of(event.kind),
        source=event.source,
        channel=event.data.get("channel", UNSET),
        values=all_values(event, with_values),
    )


MESSAGES: Final = (PublicMessage("activity.recorded", "Something happened to a contact", ActivityRecorded, _activity),)
