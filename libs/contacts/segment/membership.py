"""From what happens to a contact to which segments it enters and leaves, and when. Pure: rows are in `lives`.

Time goes first: whatever changes by time alone up to the moment of an event changes before the event does. So who is in
a segment is a function of an event's position and time, whatever the batches in which events come.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from heapq import merge
from typing import Final
from uuid import UUID

import msgspec

from contacts.contact.state import Contact
from contacts.engagement.state import Engagement
from contacts.segment.kept import Kept, KeptSegment
from contacts.smartsearch.evaluate import evaluate, holds
from contacts.smartsearch.moment import Moment
from contacts.smartsearch.subject import ActivityFact, Subject, value_of

#: What caused a change that no event did.
CLOCK: Final = "clock"


class Cause(msgspec.Struct, frozen=True, gc=False):
    """The event that changed something; of the clock `position` is not known here."""

    type: str = CLOCK
    event_id: UUID | None = None
    position: int | None = None


class Change(msgspec.Struct, frozen=True, gc=False):
    """A contact that came into a segment or list, or left it."""

    segment_id: UUID
    contact_id: UUID
    entered: bool
    at: datetime
    cause: Cause


class Step(msgspec.Struct, frozen=True, gc=False):
    """A contact from one event on. Nobody is shown where `contact` is None."""

    position: int
    at: datetime
    cause: Cause
    contact: Contact | None
    engagement: Engagement | None
    #: Kinds of activity that came with the event.
    kinds: frozenset[str] = frozenset()


class Life(msgspec.Struct, gc=False):
    """What is known of one contact over a run of events."""

    workspace_id: UUID
    contact_id: UUID
    #: As it was before the first event of the run.
    contact: Contact | None
    engagement: Engagement | None
    steps: list[Step]
    #: By contact, of everybody it is made of at any time of the run: by when it happened, then by position.
    activities: Mapping[UUID, Sequence[ActivityFact]]
    #: Segments and lists it is in.
    members: set[UUID] = set()
    #: When time alone may change that, by segment.
    flips: dict[UUID, datetime] = {}


def live(life: Life, kept: Kept, until: datetime) -> list[Change]:
    """What happens up to `until`, which is not before the last step. Leaves `members` and `flips` as they are then."""
    return list(_Living(life, kept).run(until))


def refill(
    life: Life, kept: Kept, segment_ids: Iterable[UUID], at: datetime, cause: Cause, *,
    ends: Mapping[UUID, datetime], until: datetime,
) -> list[Change]:  # fmt: skip
    """What happens when these segments mean something else from `at` on, and by time alone up to `until`.

    A segment that has an end in `ends` means something else again from then on: what time does until then is passed,
    and nothing is kept of what it would do later. `life` is looked at as it was before its first step.
    """
    return list(_Living(life, kept).begin_all(sorted(segment_ids), at, cause, ends, until))


class _Living:
    def __init__(self, life: Life, kept: Kept) -> None:
        self._life = life
        self._kept = kept
        self._contact = life.contact
        self._engagement = life.engagement
        self._position = life.steps[0].position - 1 if life.steps else None
        self._subject: Subject | None = None

    def run(self, until: datetime) -> Iterator[Change]:
        for step in self._life.steps:
            yield from self._pass_time(step.at)
            yield from self._take(step)
        yield from self._pass_time(until)

    def begin_all(
        self, segment_ids: Iterable[UUID], at: datetime, cause: Cause, ends: Mapping[UUID, datetime], until: datetime
    ) -> Iterator[Change]:
        for segment_id in segment_ids:
            yield from self._begin(segment_id, at, cause)
            end = ends.get(segment_id)
            yield from self._pass_time_of(segment_id, until if end is None else end)
            if end is not None:
                self._life.flips.pop(segment_id, None)

    def _begin(self, segment_id: UUID, at: datetime, cause: Cause) -> Iterator[Change]:
        segment = self._kept.segments.get(segment_id)
        if segment is not None:
            yield from self._judge(segment, at, cause)
            return
        # Nobody is in what is archived.
        self._life.flips.pop(segment_id, None)
        if segment_id in self._life.members:
            yield self._moved(segment_id, False, at, cause)

    def _pass_time_of(self, segment_id: UUID, until: datetime) -> Iterator[Change]:
        flips = self._life.flips
        while (at := flips.get(segment_id)) is not None and at <= until:
            yield from self._judge(self._kept.segments[segment_id], at, Cause())

    # -- time ----------------------------------------------------------------------------------------------------------

    def _pass_time(self, until: datetime) -> Iterator[Change]:
        flips = self._life.flips
        while flips and (at := min(flips.values())) <= until:
            for segment_id in sorted(each for each, flip_at in flips.items() if flip_at == at):
                segment = self._kept.segments[segment_id]
                yield from self._judge(segment, at, Cause())

    # -- events --------------------------------------------------------------------------------------------------------

    def _take(self, step: Step) -> Iterator[Change]:
        affected = self._affected(step)
        self._contact, self._engagement, self._position = step.contact, step.engagement, step.position
        self._subject = None
        for segment in affected:
            yield from self._judge(segment, step.at, step.cause)
        yield from self._join_lists(step)

    def _affected(self, step: Step) -> Iterable[KeptSegment]:
        before, after = self._contact, step.contact
        if is_present(before) != is_present(after):
            return self._kept.segments.values()
        if not is_present(after):
            return ()
        assert before is not None
        assert after is not None
        changed = frozenset(self._changed_fields(step))
        regrouped = before.absorbed != after.absorbed
        return [
            segment
            for segment in self._kept.segments.values()
            if not changed.isdisjoint(segment.reads.fields)
            or (regrouped and segment.reads.kinds)
            or any(map(segment.reads.reads_kind, step.kinds))
        ]

    def _changed_fields(self, step: Step) -> Iterator[str]:
        before, after = self._contact, step.contact
        assert before is not None
        assert after is not None
        same_contact, same_engagement = before is after, self._engagement == step.engagement
        for name, field in self._kept.fields.items():
            if same_engagement if field.place == "engagement" else same_contact:
                continue
            if value_of(field, before, self._engagement) != value_of(field, after, step.engagement):
                yield name

    def _join_lists(self, step: Step) -> Iterator[Change]:
        lists = self._kept.lists
        now = lists.intersection(step.contact.lists) if step.contact and is_present(step.contact) else frozenset[UUID]()
        before = lists & self._life.members
        for list_id in sorted(now ^ before):
            yield self._moved(list_id, list_id in now, step.at, step.cause)

    # -- judging -------------------------------------------------------------------------------------------------------

    def _judge(self, segment: KeptSegment, at: datetime, cause: Cause) -> Iterator[Change]:
        true, flip_at = self._ask(segment, at)
        if flip_at is None:
            self._life.flips.pop(segment.segment_id, None)
        else:
            self._life.flips[segment.segment_id] = flip_at
        if true != (segment.segment_id in self._life.members):
            yield self._moved(segment.segment_id, true, at, cause)

    def _ask(self, segment: KeptSegment, at: datetime) -> tuple[bool, datetime | None]:
        if self._contact is None or not is_present(self._contact):
            return False, None
        if self._subject is None:
            self._subject = Subject(
                contact=self._contact, engagement=self._engagement, activities=self._activities(self._contact)
            )
        moment = Moment(now=at, time_zone=self._kept.time_zone)
        if not segment.reads.by_time:
            return holds(segment.node, self._subject, moment, self._kept.nodes), None
        truth = evaluate(segment.node, self._subject, moment, self._kept.nodes)
        assert truth.until is None or truth.until > at, "time that has passed changes nothing any more"
        return truth.true, truth.until

    def _activities(self, contact: Contact) -> Sequence[ActivityFact]:
        of = self._life.activities
        found = [of[each] for each in (contact.id, *contact.absorbed) if each in of]
        if self._life.steps and self._position is not None:
            found = [[fact for fact in each if fact.position <= self._position] for each in found]
        if len(found) < 2:
            return found[0] if found else ()
        return list(merge(*found, key=lambda fact: (fact.occurred_at, fact.position)))

    def _moved(self, segment_id: UUID, entered: bool, at: datetime, cause: Cause) -> Change:
        (self._life.members.add if entered else self._life.members.discard)(segment_id)
        return Change(segment_id, self._life.contact_id, entered, at, cause)


def is_present(contact: Contact | None) -> bool:
    """Whether it can be in anything: nobody deleted is."""
    return contact is not None and not contact.deleted
