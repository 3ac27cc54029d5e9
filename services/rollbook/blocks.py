"""Some thousand people of a seeding as writes to the log, in the order of their times and in parts of a commit each.

A block depends on nothing but the plan and its own number, so that a seeding that was cut short need not make anew what
is in the log already.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final, NamedTuple
from uuid import UUID

from contacts.activity.events import CATEGORY as ACTIVITY
from contacts.activity.events import ActivityRecorded, AddressedAs
from contacts.addresses import AddressKeys
from contacts.contact.handler import ContactRules
from contacts.contact.state import CATEGORY as CONTACT
from contacts.contact.state import Contact
from contacts.errors import Refusal
from contacts.merge.commands import MergeContacts
from contacts.merge.decider import decide_merge
from contacts.merge.profile import Profile
from contacts.merge.state import CATEGORY as MERGE
from eventstore.envelope import NO_STREAM, Metadata, Stream, StreamWrite, Write
from rollbook.activities import Activities, Doer
from rollbook.agreements import Agreements
from rollbook.history import Histories, Step

ACTOR: Final = "system:seed"
#: Events of one write to the log; the bulk path commits so many at once.
WRITE_EVENTS_MAX: Final = 1_000
#: How far ahead a part looks for writes that fit in.
LOOK_AHEAD: Final = 4_000
#: Activities of one contact that are written together at least, and how often it is written to at most: each time is in
#: another commit.
TOGETHER_MIN: Final = 12
TIMES_MAX: Final = 25
#: Of those who were entered twice, how many were merged since.
MERGED: Final = 0.3


class Span(NamedTuple):
    """Where and when all of it happens."""

    workspace_id: UUID
    start: datetime
    days: int

    @property
    def end(self) -> datetime:
        return self.start + timedelta(days=self.days)


class Block:
    """One block, for one use."""

    def __init__(self, span: Span, histories: Histories, seed: str, keys: AddressKeys) -> None:
        self._span = span
        self._histories = histories
        self._random = Random(f"{seed} merges")
        self._activities = Activities(f"{seed} activities")
        self._agreements = Agreements(keys, f"{seed} agreements", ACTOR)
        #: As they are at the end.
        self._contacts: dict[UUID, Contact] = {}

    def writes(self, numbers: range, activities: int) -> list[Write]:
        """All that happens to the contacts of these numbers, in the order of its times."""
        found = [write for number in numbers for write in self._of_contact(number)]
        counts = self._activities.share_out(len(self._contacts), activities)
        for number, contact, count in zip(numbers, self._contacts.values(), counts, strict=True):
            found += self._of_activity(number, contact, count)
        for contact in self._contacts.values():
            found += self._agreements.of(contact, self._span.workspace_id, self._span.end)
        found += self._merges()
        # Sorting keeps what happens at the same time in the order in which it was made.
        found.sort(key=_when)
        return found

    def _of_contact(self, number: int) -> Iterator[Write]:
        for write, contact in lives(self._histories.life(number)):
            self._contacts[contact.id] = contact
            yield write

    def _of_activity(self, number: int, contact: Contact, count: int) -> Iterator[Write]:
        assert contact.created_at is not None
        until = contact.deleted_at or self._span.end
        known_as = AddressedAs(by="email", value=contact.email) if contact.email else None
        known_as = known_as or AddressedAs(by="id", value=str(contact.id))
        # A contact is there before anything is recorded of it.
        doer = Doer(number, known_as, contact.country or "", contact.created_at + timedelta(seconds=1), until)
        version = 0
        for some in _together(self._activities.of(doer, count)):
            yield self._write([self._stream(ACTIVITY, contact.id, version, some)], some[-1].occurred_at, "api")
            version += len(some)

    def _merges(self) -> Iterator[Write]:
        """Of contacts that were entered twice, when all else has happened."""
        merged: set[UUID] = set()
        for twin, first in self._histories.twins:
            if self._random.random() < MERGED and merged.isdisjoint((first, twin)):
                primary, other = self._contacts[first], self._contacts[twin]
                command = MergeContacts(
                    workspace_id=self._span.workspace_id, merge_id=UUID(int=self._random.getrandbits(128), version=4),
                    primary=first, others=(twin,),
                )  # fmt: skip
                try:
                    plan = decide_merge(command, {first: Profile(primary, {}), twin: Profile(other, {})})
                except Refusal:
                    continue  # one of them was deleted or blocked
                streams = [
                    self._stream(CONTACT, id_, self._contacts[id_].version, events)
                    for id_, events in plan.contacts.items()
                ]
                own = Stream(self._span.workspace_id, MERGE, command.merge_id)
                streams.append(StreamWrite(stream=own, expected_version=NO_STREAM, events=plan.merge))
                merged |= {first, twin}
                yield self._write(streams, self._span.end, "manual")

    def _stream(self, category: str, contact_id: UUID, version: int, events: Iterable[Any]) -> StreamWrite:
        return StreamWrite(
            stream=Stream(self._span.workspace_id, category, contact_id),
            expected_version=version,
            events=tuple(events),
            subject_id=contact_id,
        )

    def _write(self, streams: Iterable[StreamWrite], at: datetime, source: str) -> Write:
        metadata = Metadata(actor=ACTOR, source=source, occurred_at=at)
        return Write(workspace_id=self._span.workspace_id, streams=tuple(streams), metadata=metadata)


def _together(activities: Sequence[ActivityRecorded]) -> Iterator[Sequence[ActivityRecorded]]:
    size = max(TOGETHER_MIN, len(activities) // TIMES_MAX)
    for first in range(0, len(activities), size):
        yield activities[first : first + size]


def _when(write: Write) -> datetime:
    assert write.metadata.occurred_at is not None
    return write.metadata.occurred_at


def lives(steps: Iterable[Step]) -> Iterator[tuple[Write, Contact]]:
    """A life as writes to the log, with the versions and claims that the handler would have come to; the contact after
    each."""
    rules = ContactRules()
    contact: Contact | None = None
    for at, command, source in steps:
        contact = contact or rules.initial(command.contact_id)
        events = tuple(rules.decide(command, contact))
        if not events:
            continue
        after = contact
        for event in events:
            after = rules.evolve(after, event, at)
        write = Write(
            workspace_id=command.workspace_id,
            streams=(
                StreamWrite(
                    stream=Stream(command.workspace_id, CONTACT, command.contact_id),
                    expected_version=contact.version,
                    events=events,
                    subject_id=command.contact_id,
                    new_subject=contact.version == 0,
                ),
            ),
            claims=tuple(rules.claims(contact, after)),
            metadata=Metadata(actor=ACTOR, source=source, occurred_at=at),
        )
        yield write, after
        contact = after


class _Part:
    """Writes of one commit: no stream and no claim twice, and no data key used that is only made in it."""

    def __init__(self) -> None:
        self.writes: list[Write] = []
        self._events = 0
        self._touched: set[object] = set()
        #: By writes that had to be left for later: what comes after them must not overtake them.
        self._held: set[object] = set()
        self._new: set[UUID | None] = set()

    def take(self, write: Write) -> bool | None:
        """Whether it fits in; None where the part is full."""
        events = sum(len(stream.events) for stream in write.streams)
        if self.writes and self._events + events > WRITE_EVENTS_MAX:
            return None
        touches: set[object] = {(stream.stream.category, stream.stream.id) for stream in write.streams}
        touches |= {(claim.kind, claim.value) for claim in write.claims}
        subjects: set[UUID | None] = {stream.subject_id for stream in write.streams}
        new = {stream.subject_id for stream in write.streams if stream.new_subject}
        if touches & self._touched or touches & self._held or subjects & self._new or subjects & self._held:
            self._held |= touches | new
            return False
        self.writes.append(write)
        self._events += events
        self._touched |= touches
        self._new |= new
        return True


def parts(writes: Iterable[Write]) -> Iterator[list[Write]]:
    """Each part is small enough for one commit. What belongs to one stream stays in its order."""
    waiting = deque(writes)
    while waiting:
        part, left = _Part(), []
        for _ in range(min(LOOK_AHEAD, len(waiting))):
            write = waiting.popleft()
            fits = part.take(write)
            if not fits:
                left.append(write)
            if fits is None:
                break
        waiting.extendleft(reversed(left))
        yield part.writes
