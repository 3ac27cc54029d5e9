"""Who is beyond the limit of a plan, followed from event to event: the newest, as many as there are too many. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

#: The order in which contacts take room.
Place: TypeAlias = tuple[datetime, UUID]


class Room:
    """One workspace. Every change answers whose being over the limit may have changed by it."""

    def __init__(self, limit: int | None, version: int, contacts: int, newest: Iterable[Place]) -> None:
        """`newest` has the last of the contacts that take room, as many as can come to be over the limit, or all."""
        self.limit = limit
        #: Of the workspace that set the limit.
        self.version = version
        #: How many take room.
        self.contacts = contacts
        self._newest = sorted(newest)
        self._is_complete = len(self._newest) == contacts
        #: From here on they are over the limit.
        self._start = len(self._newest)
        self.over: set[UUID] = set()
        self._settle()

    def within(self, moves: int | None) -> list[UUID]:
        """Who can come beyond the limit or back by so many changes; None for any change of the limit itself."""
        low, high = (0, None) if moves is None else (max(0, self._start - moves), self._start + moves)
        return [id_ for _, id_ in self._newest[low:high]]

    def limited(self, limit: int | None, version: int) -> set[UUID]:
        if version <= self.version:
            return set()
        self.limit, self.version = limit, version
        return self._settle()

    def came(self, place: Place) -> set[UUID]:
        self.contacts += 1
        at = bisect_left(self._newest, place)
        if at == 0 and not self._is_complete:
            # Somewhere among the many older ones, of whom none can come to be over the limit.
            return self._settle()
        self._newest.insert(at, place)
        if at <= self._start:
            self._start += 1
            return self._settle()
        self.over.add(place[1])
        return self._settle() | {place[1]}

    def went(self, place: Place) -> set[UUID]:
        self.contacts -= 1
        at = bisect_left(self._newest, place)
        if at == len(self._newest) or self._newest[at] != place:
            return self._settle()
        del self._newest[at]
        if at < self._start:
            self._start -= 1
        self.over.discard(place[1])
        return self._settle() | {place[1]}

    def _settle(self) -> set[UUID]:
        beyond = 0 if self.limit is None else max(0, self.contacts - self.limit)
        wanted = len(self._newest) - beyond
        moved = {id_ for _, id_ in self._newest[min(wanted, self._start) : max(wanted, self._start)]}
        if wanted < self._start:
            self.over |= moved
        else:
            self.over -= moved
        self._start = wanted
        return moved
