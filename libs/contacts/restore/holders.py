"""Who holds meanwhile what a deleted contact would hold again. The append has the last word on it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID

from contacts.contact.claims import UNIQUE_KINDS
from contacts.contact.events import Released

if TYPE_CHECKING:
    from contacts.merge.profile import Profile
    from eventstore.store import EventStore


async def find_taken(store: EventStore, workspace_id: UUID, profile: Profile) -> tuple[Released, ...]:
    """Of the contact and all it stands for; the contact's own values first. None where nothing was taken."""
    wanted = [
        (member.id, kind, v) for member in profile.members for kind in UNIQUE_KINDS if (v := getattr(member, kind))
    ]
    holders = await asyncio.gather(*(store.find_claim(workspace_id, kind, value) for _, kind, value in wanted))
    return tuple(
        Released(contact=contact, field=kind, holder=holder)
        for (contact, kind, _), holder in zip(wanted, holders, strict=True)
        if holder is not None and holder not in profile
    )
