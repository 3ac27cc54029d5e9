"""What services around Rollbook would send in, made up as it goes: people who come, and what they do. Sends nothing."""

from __future__ import annotations

import heapq
from collections import deque
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final, NamedTuple
from uuid import UUID

from contacts.activity.events import AddressedAs
from rollbook.activities import Activities, Doer
from rollbook.people import People

SOURCE: Final = "simulate"
#: What takes hours elsewhere happens within so much time here.
SPAN: Final = timedelta(seconds=20)
#: Of a hundred messages: those that come once more, and those that come late.
REPEATED: Final = 2
LATE: Final = 2
LATE_MAX: Final = timedelta(days=2)
REMEMBERED: Final = 200
#: Of ten times that somebody begins something, how often it is somebody new, while there is room.
NEWCOMERS: Final = 3


class Inbound(NamedTuple):
    """One message for the inbox."""

    kind: str
    body: dict[str, Any]
    is_repeat: bool = False


class Traffic:
    """Makes one message after another; the same for the same seed and times, but for the ids."""

    def __init__(self, seed: int, people: int, *, run: UUID) -> None:
        """`run` tells the ids of this run from those of any other."""
        self._random = Random(seed)
        self._people = People(seed)
        self._activities = Activities(f"simulate {seed}")
        self._room = people
        self._run = run.hex[-12:]
        self._known: list[tuple[str, str]] = []
        #: When, in which order they were made, kind, address, data.
        self._due: list[tuple[datetime, int, str, str, dict[str, Any]]] = []
        self._sent: deque[Inbound] = deque(maxlen=REMEMBERED)
        self._number = 0

    @property
    def people(self) -> int:
        """How many have come so far."""
        return len(self._known)

    def next(self, now: datetime) -> Inbound:
        """What comes in at this moment."""
        if self._sent and self._random.randrange(100) < REPEATED:
            return self._random.choice(self._sent)._replace(is_repeat=True)
        message = self._deed(now) or self._arrival(now)
        self._sent.append(message)
        return message

    def _deed(self, now: datetime) -> Inbound | None:
        """The next that somebody does; None where somebody new comes instead."""
        if not self._due or self._due[0][0] > now:
            is_new = self._random.randrange(10) < NEWCOMERS and len(self._known) < self._room
            if is_new or not self._known:
                return None
            self._begin(*self._random.choice(self._known), now)
        _, _, kind, email, data = heapq.heappop(self._due)
        at = now
        if self._random.randrange(100) < LATE:
            at -= LATE_MAX * self._random.random()
        return self._message(kind, {"email": email}, data, at)

    def _arrival(self, now: datetime) -> Inbound:
        person = self._people.person(len(self._known) + 1)
        # Another run brings other people.
        email = person.email.replace("@", f".{self._run}@")
        self._known.append((email, person.country))
        self._begin(email, person.country, now)
        profile = {
            "first_name": person.first_name,
            "last_name": person.last_name,
            "country": person.country,
            "language": person.language,
            "time_zone": person.time_zone,
            "tags": [self._people.tag()],
        }
        return self._message("contact.upsert", {"email": email}, profile, now)

    def _begin(self, email: str, country: str, now: datetime) -> None:
        """Somebody begins something, which goes on for a while."""
        doer = Doer(len(self._known), AddressedAs(by="email", value=email), country, now, now + SPAN)
        for deed in self._activities.of(doer, self._random.randint(1, 6)):
            self._number += 1
            heapq.heappush(self._due, (deed.occurred_at, self._number, deed.kind, email, deed.data))

    def _message(self, kind: str, contact: dict[str, str], data: dict[str, Any], at: datetime) -> Inbound:
        self._number += 1
        body = {
            "id": f"{self._run}-{self._number:x}",
            "source": SOURCE,
            "type": kind,
            "time": at.isoformat(),
            "contact": contact,
            "data": data,
        }
        return Inbound(kind, body)
