"""What each domain event looks like from outside: public types of their own, a module per theme, and one table.

Public data names what changed and carries ids, never the values: names, addresses, tags and free text may be personal.
Only a workspace that asks for it gets `values`. A change of a type that breaks its readers is a new version beside it.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import UNSET

from contacts_bridge.cloudevent import CloudEvent, cloud_event
from contacts_bridge.errors import UnmappedEvent
from contacts_bridge.messages import (
    activity,
    addresses,
    contacts,
    duplicates,
    erasures,
    merges,
    segments,
    webhooks,
    workspaces,
)
from contacts_bridge.messages.public import PublicMessage
from eventstore.envelope import RecordedEvent, Unreadable

MESSAGES: Final[tuple[PublicMessage, ...]] = (
    *contacts.MESSAGES,
    *merges.MESSAGES,
    *duplicates.MESSAGES,
    *erasures.MESSAGES,
    *addresses.MESSAGES,
    *activity.MESSAGES,
    *segments.MESSAGES,
    *workspaces.MESSAGES,
    *webhooks.MESSAGES,
)
_BY_NAME: Final = {message.name: message for message in MESSAGES}


def public_message(recorded: RecordedEvent[Any], *, with_values: bool = False) -> CloudEvent[msgspec.Struct]:
    """What the world is told of a recorded event. Raises UnmappedEvent for a type without a public message.

    An erased (unreadable) event is told with all that is known: its id, type, contact, time and place in the log.
    """
    message = _BY_NAME.get(recorded.type)
    if message is None:
        raise UnmappedEvent(recorded.type)
    readable = not isinstance(recorded.event, Unreadable)
    data = message.convert(recorded.event, with_values) if readable else UNSET
    return cloud_event(recorded, type_=message.type, data=data)


__all__ = ["MESSAGES", "PublicMessage", "public_message"]
