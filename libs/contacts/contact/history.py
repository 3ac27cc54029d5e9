"""A contact's past, by folding its stream: its state as of any moment. What happened to it is told by `audit`."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from contacts import errors
from contacts.contact.state import CATEGORY, Contact
from contacts.merge.component import meet_at
from contacts.merge.view import view
from eventstore.envelope import Stream
from eventstore.store import POSITION_MAX, EventStore


async def as_of(
    store: EventStore,
    workspace_id: UUID,
    contact_id: UUID,
    *,
    version: int | None = None,
    position: int | None = None,
    time: datetime | None = None,
) -> Contact:
    """The contact as it was then, the moment itself included; the present one where no moment is given.

    Of a contact that was absorbed then it is the profile of the one that stood for it.

    Raises ContactNotFound where it did not exist yet, or never.
    """
    stream = Stream(workspace_id, CATEGORY, contact_id)
    moment = POSITION_MAX if position is None else position
    if time is not None:
        moment = min(moment, await store.position_at(store.lane_of(workspace_id), time))
    if version is not None:
        moment = min(
            [moment, *(event.position for event in (await store.read_stream(stream, to_version=version))[-1:])]
        )
    met = await meet_at(store, stream, moment)
    if not met.state.exists:
        raise errors.ContactNotFound(contact_id)
    return view(met.state, met.others)
