"""The present of one merge as a fold of its stream: who was merged, and who came out of it again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from contacts.contact.events import UnmergeMode
from contacts.merge.events import MergeCompleted, MergeEvent, MergeReversed
from eventstore.envelope import RecordedEvent

CATEGORY: Final = "merge"


class Reversal(msgspec.Struct, frozen=True, kw_only=True):
    """One unmerge."""

    contacts: tuple[UUID, ...]
    out_of: UUID
    mode: UnmergeMode
    assigned: dict[str, UUID]
    at: datetime


class Merge(msgspec.Struct, frozen=True, kw_only=True):
    """Version 0 means there never was such a merge."""

    id: UUID
    version: int = 0
    primary: UUID | None = None
    others: tuple[UUID, ...] = ()
    choices: dict[str, UUID] = {}
    merged_at: datetime | None = None
    #: Oldest first.
    reversals: tuple[Reversal, ...] = ()

    @property
    def exists(self) -> bool:
        return self.version > 0

    @property
    def merged(self) -> tuple[UUID, ...]:
        """Those of the others that did not come out again. Nobody is merged twice by one merge."""
        out = {contact for reversal in self.reversals for contact in reversal.contacts}
        return tuple(other for other in self.others if other not in out)


def initial(merge_id: UUID) -> Merge:
    """The state before the first event."""
    return Merge(id=merge_id)


def evolve(merge: Merge, event: MergeEvent, at: datetime) -> Merge:
    """The state after `event`, recorded `at`."""
    return _EVOLVE[type(event)](merge, event, at)


def fold(merge: Merge, recorded: RecordedEvent[Any]) -> Merge:
    """`evolve` for an event as the log holds it."""
    return evolve(merge, recorded.event, recorded.recorded_at)


def _completed(merge: Merge, event: MergeCompleted, at: datetime) -> Merge:
    return Merge(
        id=merge.id,
        version=merge.version + 1,
        primary=event.primary,
        others=event.others,
        choices=event.choices,
        merged_at=at,
    )


def _reversed(merge: Merge, event: MergeReversed, at: datetime) -> Merge:
    reversal = Reversal(contacts=event.contacts, out_of=event.out_of, mode=event.mode, assigned=event.assigned, at=at)
    return replace(merge, version=merge.version + 1, reversals=(*merge.reversals, reversal))


_EVOLVE: Final[dict[type, Callable[[Merge, Any, datetime], Merge]]] = {
    MergeCompleted: _completed,
    MergeReversed: _reversed,
}
