"""Random histories of contacts, activity and segments on a log whose clock is turned by hand, and who is in what.

The expectation is brute force: at every position and at every instant at which a window could pass, each filter is
asked anew of each contact. Contacts are folded by `fold.py` and filters are read by `search_model.py`; nothing of it is
shared with what is tested.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg
from msgspec.structs import replace
from uuid_utils.compat import uuid7

from contacts.activity.events import ActivityRecorded, AddressedAs
from contacts.contact import commands as c
from contacts.engagement.state import Engagement
from contacts.errors import Refusal
from contacts.lists.commands import CreateList
from contacts.lists.handler import ListHandler
from contacts.merge.commands import UnmergeContacts
from contacts.segment.commands import ArchiveSegment, ChangeSegment, CreateSegment, RestoreSegment
from contacts.segment.handler import SegmentHandler
from eventstore.envelope import ANY_VERSION, RecordedEvent, Stream, StreamWrite, Write
from tests.property import search_model
from tests.property.fold import fact_of
from tests.property.fold_addresses import Addresses, Digests
from tests.property.fold_tables import Folded
from tests.support.people import METADATA, People, Process

CONTACTS: Final = 5
WINDOWS: Final = ("10min", "12h", "1d", "3d")
PAUSES: Final = (0, 0, 1, 30, 600, 3_600, 43_200, 86_400, 260_000)
#: Members by segment, at one place of the log and one instant.
Members = dict[UUID, set[UUID]]


class History:
    """One workspace. Steps are chosen by a seed; `checked` has who must be in what after each of them."""

    def __init__(self, process: Process, seed: int, now: datetime) -> None:
        self.seed = seed
        self.people = People(process, uuid4())
        self.now = now
        self.chosen = random.Random(seed)
        self.trace: list[str] = []
        #: Position and time of what each command recorded.
        self.recorded: list[tuple[int, int, datetime]] = []
        #: Commands whose answer may be wrong in the end: (position, instant, members).
        self.checked: list[tuple[int, datetime, Members]] = []
        self.contacts: list[UUID] = []
        self.lists: list[UUID] = []
        self.segments: list[UUID] = []
        self._store = process.store
        self._segments, self._lists = SegmentHandler(process.store), ListHandler(process.store)
        self._merges: list[UUID] = []
        self._digests = Digests(process.store.keyring.hmac)
        self._events: list[RecordedEvent[Any]] = []
        self._head = 0

    async def run(self, steps: int) -> list[RecordedEvent[Any]]:
        """Everything that was recorded, at the times the history gave it."""
        self._head = await self._store.head(0)
        for _ in range(2):
            await self._do(self._list)
        for _ in range(3):
            await self._do(self._create)
        for _ in range(4):
            await self._do(self._define)
        for _ in range(steps):
            weights = (2, 5, 5, 6, 3, 2, 4, 14, 2, 2, 1)
            step = self.chosen.choices(
                (
                    self._create, self._edit, self._tag, self._join, self._merge, self._unmerge, self._delete,
                    self._act, self._object, self._redefine, self._archive,
                ),
                weights,
            )[0]  # fmt: skip
            await self._do(step)
        self._pass_time(self.now + timedelta(days=4))
        return self._events

    # -- time ----------------------------------------------------------------------------------------------------------

    async def _do(self, step: Any) -> None:
        """One command, some time after the one before."""
        then = self._next_moment()
        self._pass_time(then)
        self.now = then
        try:
            await step()
        except Refusal as refusal:
            self._say(f"refused: {type(refusal).__name__}")
        batch = await self._store.read_lane(0, after=self._head, limit=1_000)
        if batch.last > self._head:
            self.recorded.append((self._head + 1, batch.last, self.now))
            self._events += (replace(event, recorded_at=self.now) for event in batch.events)
            self._head = batch.last
            self.checked.append((self._head, self.now, self._members(self.now)))

    def _next_moment(self) -> datetime:
        # Now and then exactly when a window passes, which is where one is off by one.
        if self.chosen.random() < 0.15 and (ahead := [at for at in self._turns() if at > self.now]):
            return min(ahead) if self.chosen.random() < 0.7 else self.chosen.choice(ahead)
        return self.now + timedelta(seconds=self.chosen.choice(PAUSES))

    def _turns(self) -> list[datetime]:
        """Whenever time alone could change an answer."""
        begun = [event.event.occurred_at for event in self._events if isinstance(event.event, ActivityRecorded)]
        begun += [event.recorded_at for event in self._events if event.type == "contact.created"]
        lengths = [timedelta(), *map(search_model.seconds, WINDOWS)]
        return sorted({at + length for at in begun for length in lengths})

    def _pass_time(self, until: datetime) -> None:
        last = self.checked[-1][2] if self.checked else None
        for at in self._turns():
            if self.now < at <= until:
                members = self._members(at)
                if members != last:
                    self.checked.append((self._head, at, members))
                last = members

    # -- what must be so -----------------------------------------------------------------------------------------------

    def _members(self, now: datetime) -> Members:
        facts = [fact_of(event) for event in self._events]
        folded = Folded(self.people.workspace_id, facts, Addresses(facts, self._digests, lambda _: None))
        definitions: dict[str, Any] = {}
        kept: set[str] = set()
        for fact in facts:
            said, name = fact.said or {}, str(fact.stream)
            if "filter" in said:
                definitions[name] = said["filter"]
            if fact.name in ("segment.created", "segment.restored"):
                kept.add(name)
            elif fact.name == "segment.archived":
                kept.discard(name)
        world = search_model.World(now, "UTC", definitions)
        people = {root: self._person(folded, root) for root in folded._roots}
        present = {root: person for root, person in people.items() if person.contact.deleted_at is None}
        found = {
            UUID(segment): {root for root, p in present.items() if search_model.holds(definitions[segment], p, world)}
            for segment in kept
        }
        for list_id in self.lists:
            found[list_id] = {root for root, person in present.items() if list_id in person.contact.lists}
        return {segment_id: members for segment_id, members in found.items() if members}

    def _person(self, folded: Folded, root: UUID) -> search_model.Person:
        shown = dict(folded._shown(root))
        standing = shown.pop("standing")
        status = standing and standing["email"] and SimpleNamespace(**standing["email"])
        shown["standing"] = standing and SimpleNamespace(email=status, phone=None, consents=standing["consents"])
        kin = {root, *folded.contacts.below(root)}
        happened = [
            search_model.Happened(e.event.kind, e.event.occurred_at, e.position, e.event.data)
            for e in self._events
            if isinstance(e.event, ActivityRecorded) and e.stream_id in kin
        ]
        incoming = [each.at for each in happened if each.kind == "conversation.message_in"]
        engagement = Engagement(last_incoming_at=max(incoming)) if incoming else None
        contact: Any = SimpleNamespace(**{"deleted_at": None} | shown)
        return search_model.Person(contact, engagement, happened)

    # -- steps ---------------------------------------------------------------------------------------------------------

    def _say(self, text: str) -> None:
        self.trace.append(f"{self.now:%d %H:%M:%S} {self._head} {text}")

    def _one(self) -> UUID:
        return self.chosen.choice(self.contacts)

    async def _create(self) -> None:
        if len(self.contacts) >= CONTACTS:
            return
        details = c.Details(
            email=f"p{len(self.contacts)}@example.com", country=self.chosen.choice(("DE", "AT", None)),  # type: ignore[arg-type]
            tags=tuple(self.chosen.sample(("a", "b"), self.chosen.randrange(2))),  # type: ignore[arg-type]
        )  # fmt: skip
        command = c.CreateContact(
            workspace_id=self.people.workspace_id, contact_id=uuid7(), source="api", details=details
        )
        outcome = await self.people.process.contacts.execute(command, metadata=METADATA)
        self.contacts.append(outcome.contact_id)
        self._say(f"create {outcome.contact_id} {details.country} {details.tags}")

    async def _contact(self, kind: type, contact_id: UUID, **fields: Any) -> None:
        self._say(f"{kind.__name__} {contact_id} {fields}")
        command = kind(workspace_id=self.people.workspace_id, contact_id=contact_id, **fields)
        await self.people.process.contacts.execute(command, metadata=METADATA)

    async def _edit(self) -> None:
        country = self.chosen.choice(("DE", "AT", "CH", None))
        name = self.chosen.choice(("Ann", None))
        await self._contact(c.EditContact, self._one(), details=c.Details(country=country, first_name=name))  # type: ignore[arg-type]

    async def _tag(self) -> None:
        kind = self.chosen.choice((c.TagContact, c.UntagContact))
        await self._contact(kind, self._one(), tags=(self.chosen.choice(("a", "B", "b")),))

    async def _join(self) -> None:
        kind = self.chosen.choice((c.AddContactToLists, c.AddContactToLists, c.RemoveContactFromLists))
        await self._contact(kind, self._one(), lists=(self.chosen.choice(self.lists),))

    async def _delete(self) -> None:
        if self.chosen.random() < 0.4:
            await self._contact(c.DeleteContact, self._one(), reason="asked")
        else:
            for contact_id in self.contacts:
                await self._contact(c.RestoreContact, contact_id)

    async def _merge(self) -> None:
        if len(self.contacts) > 1:
            primary, other = self.chosen.sample(self.contacts, 2)
            self._say(f"merge {other} into {primary}")
            self._merges.append(await self.people.merge(primary, other))

    async def _unmerge(self) -> None:
        if self._merges:
            merge_id = self.chosen.choice(self._merges)
            self._say(f"unmerge {merge_id}")
            mode: Any = self.chosen.choice(("single", "subtree"))
            command = UnmergeContacts(workspace_id=self.people.workspace_id, merge_id=merge_id, mode=mode)
            await self.people.process.merges.execute(command, metadata=METADATA)

    async def _object(self) -> None:
        self._say("unsubscribe")
        await self.people.unsubscribe(self._one())

    async def _act(self) -> None:
        """Recorded for whoever stands for the contact; late, out of order, or a little ahead of the clock."""
        met = await self.people.process.contacts.components.meet(
            Stream(self.people.workspace_id, "contact", self._one()), fresh=True
        )
        kind = self.chosen.choice(("message.clicked", "message.clicked", "conversation.message_in", "order.placed"))
        offset = self.chosen.choice((0, 0, -1, -600, -43_200, -86_400, -200_000, 3_600, 50_000))
        data: dict[str, Any] = {"channel": "email"} if kind != "order.placed" else {"external_id": "o", "amount": 5}
        event = ActivityRecorded(
            activity_id=str(uuid4()), kind=kind, occurred_at=self.now + timedelta(seconds=offset), source="test",
            addressed_as=AddressedAs(by="id", value="x"), data=data,
        )  # fmt: skip
        self._say(f"{kind} of {met.state.id} at {event.occurred_at:%d %H:%M:%S}")
        stream = StreamWrite(
            stream=Stream(self.people.workspace_id, "activity", met.state.id), expected_version=ANY_VERSION,
            events=(event,), subject_id=met.state.id,
        )  # fmt: skip
        await self._store.append(
            Write(workspace_id=self.people.workspace_id, streams=(stream,), idempotency_key=str(uuid4()))
        )

    # -- lists and segments --------------------------------------------------------------------------------------------

    async def _list(self) -> None:
        list_id = uuid7()
        await self._lists.execute(
            CreateList(workspace_id=self.people.workspace_id, list_id=list_id, name="L"), metadata=METADATA
        )
        self.lists.append(list_id)

    async def _define(self) -> None:
        segment_id = uuid7()
        filter_ = self._filter(2)
        self._say(f"define {segment_id} {filter_}")
        command = CreateSegment(workspace_id=self.people.workspace_id, segment_id=segment_id, name="S", filter=filter_)
        await self._segments.execute(command, metadata=METADATA)
        self.segments.append(segment_id)

    async def _redefine(self) -> None:
        if self.chosen.random() < 0.5:
            return await self._define()
        which, filter_ = self.chosen.choice(self.segments), self._filter(2)
        self._say(f"redefine {which} {filter_}")
        command = ChangeSegment(workspace_id=self.people.workspace_id, segment_id=which, filter=filter_)
        await self._segments.execute(command, metadata=METADATA)
        return None

    async def _archive(self) -> None:
        which = self.chosen.choice(self.segments)
        kind = self.chosen.choice((ArchiveSegment, RestoreSegment, RestoreSegment))
        self._say(f"{kind.__name__} {which}")
        await self._segments.execute(kind(workspace_id=self.people.workspace_id, segment_id=which), metadata=METADATA)

    def _filter(self, depth: int) -> Any:
        kind = self.chosen.choice(("leaf", "leaf", "all", "any", "not")) if depth else "leaf"
        if kind == "not":
            return {"not": self._filter(depth - 1)}
        if kind != "leaf":
            return {kind: [self._filter(depth - 1) for _ in range(self.chosen.randrange(1, 4))]}
        return self.chosen.choice(list(self._leaves()))

    def _leaves(self) -> Iterator[Any]:
        window = self.chosen.choice(WINDOWS)
        yield {"field": "country", "op": "eq", "value": "DE"}
        yield {"field": "first_name", "op": "exists", "value": True}
        yield {"field": "tags", "op": "has_any", "value": ["b"]}
        yield {"field": "email_status", "op": "eq", "value": "unsubscribed"}
        yield {"field": "created_at", "op": "within_last", "value": window}
        yield {"field": "conversation.last_incoming_at", "op": "within_last", "value": window}
        yield {"field": "conversation.last_incoming_at", "op": "not_within_last", "value": window}
        yield {"list": str(self.chosen.choice(self.lists))}
        yield {"activity": "message.clicked", "within": window}
        yield {"activity": "message.clicked", "within": window, "count": {"op": "gte", "value": 2}}
        yield {"activity": "message.*", "within": window, "count": {"op": "lte", "value": 0}}
        yield {"activity": "order.placed"}
        if self.segments:
            yield {"segment": str(self.chosen.choice(self.segments))}


async def turn_clock(database: str, history: History) -> None:
    """Gives what was recorded the times of the history, where the log keeps them."""
    connection = await asyncpg.connect(database)
    try:
        for table in ("events", "batches"):
            place = "position" if table == "events" else "last_position"
            await connection.executemany(
                f"UPDATE log.{table} SET recorded_at = $3 WHERE lane = 0 AND {place} BETWEEN $1 AND $2",
                history.recorded,
            )
    finally:
        await connection.close()


START: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
