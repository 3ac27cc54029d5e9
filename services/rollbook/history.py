"""What happens to people over some months, as commands with times: created, edited, tagged, seen, deleted, restored."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid5

from asyncpg.pgproto import pgproto

from contacts.contact import commands as c
from contacts.contact.events import ChannelIdentity
from contacts.values import AttributeType, AttributeValue, ExternalId
from rollbook.people import ASSIGNEES, People, Person

#: How contacts come about, and how many of a hundred do.
SOURCES: Final = {"import": 40, "subscription_form": 25, "order": 15, "api": 12, "manual": 5, "mobile_api": 3}
CHANNELS: Final = ("web_push", "mobile_push", "telegram", "whatsapp")
PLANS: Final = ("free", "team", "enterprise")
#: Key, name, type, options of the custom attributes the people have.
ATTRIBUTES: Final[tuple[tuple[str, str, AttributeType, tuple[str, ...]], ...]] = (
    ("plan", "Plan", "select", PLANS),
    ("birthday", "Birthday", "date", ()),
    ("points", "Loyalty points", "number", ()),
)
#: A contact has at most one command a day, so that a day's commands touch each stream once.
STEP_MIN: Final = timedelta(days=1)


#: Static lists, the most popular first.
LISTS: Final = ("Customers", "Prospects", "Webinar", "Partners", "Trade fair", "Beta testers")
#: How many of them one is on.
LISTED: Final = (0, 0, 0, 1, 1, 2)
TOPICS: Final = ("news", "offers", "product")
#: How many of a hundred are somebody again who is a contact already.
TWINS: Final = 0.03


class Step(NamedTuple):
    """One command and when it happened."""

    at: datetime
    command: c.ContactCommand
    source: str


class Histories:
    """Makes the life of one contact after another; the same lives for the same seed."""

    def __init__(self, workspace_id: UUID, seed: int, start: datetime, days: int, series: str = "C") -> None:
        """`series` begins the external ids, which have to be others in every seeding of a workspace."""
        self._workspace_id = workspace_id
        self._lists = [list_id(workspace_id, name) for name in LISTS for _ in range(len(LISTS) - LISTS.index(name))]
        self._people = People(seed)
        self._random = self._people.random
        self._start = start
        self._series = series
        self._days = days
        # Apart, so that what is added to lives does not change the rest of them.
        self._more = Random(f"{seed} more")
        #: Some of those who were made before, with their ids.
        self._known: list[tuple[Person, UUID]] = []
        #: Contacts that are somebody again who is one already, each with that one.
        self.twins: list[tuple[UUID, UUID]] = []

    def life(self, number: int) -> list[Step]:
        """The steps of contact `number` in the order of their times, all before the end."""
        person = self._people.person(number)
        contact_id = self._new_id(number)
        person = self._maybe_again(person, contact_id)
        at = self._created_at()
        source = self._source()
        steps = [Step(at, self._create(contact_id, person, number, source), source)]
        end = self._start + timedelta(days=self._days)
        for command in self._later(contact_id, person, number):
            at += STEP_MIN + timedelta(days=self._random.expovariate(6 / self._days))
            if at >= end:
                break
            steps.append(Step(at, command, "manual" if isinstance(command, c.DeleteContact) else "api"))
        return steps

    def _maybe_again(self, person: Person, contact_id: UUID) -> Person:
        """Some are entered a second time, hardly ever quite the same."""
        if not self._known or self._more.random() > TWINS:
            self._known.append((person, contact_id))
            return person
        first, first_id = self._more.choice(self._known[-1_000:])
        self.twins.append((contact_id, first_id))
        what = self._more.random()
        if what < 0.45:
            return first._replace(phone=person.phone, street=person.street)
        if what < 0.7:
            return first._replace(email=person.email)
        return first._replace(
            email=person.email, phone=person.phone, first_name=_misspelt(self._more, first.first_name)
        )

    def _new_id(self, number: int) -> UUID:
        # As UUIDv7 has it, but out of the seed, so that a seeding that was cut short goes on with the same contacts.
        bits = self._random.getrandbits(74)
        milliseconds = int(self._start.timestamp() * 1000) + number
        value = milliseconds << 80 | 0x7 << 76 | (bits >> 62) << 64 | 0b10 << 62 | bits & (1 << 62) - 1
        # Of the subclass that asyncpg sends without a detour.
        return pgproto.UUID(value.to_bytes(16, "big"))

    def _created_at(self) -> datetime:
        """A third was imported on the first day; the others come ever faster, as a business grows."""
        if self._random.random() < 1 / 3:
            return self._start + timedelta(minutes=self._random.randrange(60))
        return self._start + timedelta(days=self._days * self._random.random() ** 0.7)

    def _source(self) -> str:
        return self._random.choices(list(SOURCES), list(SOURCES.values()))[0]

    def _create(self, contact_id: UUID, person: Person, number: int, source: str) -> c.CreateContact:
        chance = self._random.random
        details = c.Details(
            external_id=ExternalId(f"{self._series}-{number:07}") if chance() < 0.6 else None,
            first_name=person.first_name,
            last_name=person.last_name,
            email=person.email if chance() < 0.92 else None,
            phone=person.phone,
            country=person.country,
            time_zone=person.time_zone,
            language=person.language,
            address=c.AddressDetails(
                street=person.street, city=person.city, postcode=person.postcode, country=person.country
            ),
            campaign_opt_in=chance() < 0.7,
            assignee=self._random.choice(ASSIGNEES) if chance() < 0.3 else None,
            attributes=self._attributes(),
            lists=tuple(sorted({self._more.choice(self._lists) for _ in range(self._more.choice(LISTED))})),
            categories=tuple(sorted(set(self._more.choices(TOPICS, (6, 3, 1), k=self._more.choice((0, 0, 1, 2)))))),
            tags=tuple(dict.fromkeys(self._people.tag() for _ in range(self._random.choice((0, 0, 1, 1, 2))))),
        )
        return c.CreateContact(
            workspace_id=self._workspace_id,
            contact_id=contact_id,
            source=source,
            details=details,
            consent_attested=source == "manual",
        )

    def _attributes(self) -> dict[str, AttributeValue | None]:
        found: dict[str, AttributeValue | None] = {"plan": self._random.choice(PLANS)}
        if self._random.random() < 0.5:
            year, day = self._random.randint(1945, 2007), self._random.randrange(365)
            found["birthday"] = (datetime(year, 1, 1) + timedelta(days=day)).date().isoformat()  # noqa: DTZ001  # a day
        if self._more.random() < 0.4:
            # A few have very many.
            found["points"] = int(10 * self._more.paretovariate(0.9)) % 1_000_000
        return found

    def _later(self, contact_id: UUID, person: Person, number: int) -> Iterator[c.ContactCommand]:
        """Endless; each command fits whatever came before it, or changes nothing."""
        which: dict[str, Any] = {"workspace_id": self._workspace_id, "contact_id": contact_id}
        token = f"{number:x}-{self._random.getrandbits(64):016x}"
        channel = ChannelIdentity(kind=self._random.choice(CHANNELS), token=token)
        while True:
            chance = self._random.random()
            if chance < 0.30:
                yield c.EditContact(**which, details=self._edit(person, number))
            elif chance < 0.58:
                yield c.TagContact(**which, tags=(self._people.tag(),))
            elif chance < 0.70:
                yield c.UntagContact(**which, tags=(self._people.tag(),))
            elif chance < 0.95:
                yield c.ConnectChannel(**which, channel=channel)
            elif chance < 0.96:
                yield c.BlockContact(**which, reason="abusive messages")
                yield c.UnblockContact(**which, reason="apologised")
            else:
                yield c.DeleteContact(**which, reason=self._random.choice(("asked for it", "duplicate", "left")))
                if self._random.random() < 0.6:
                    return
                yield c.RestoreContact(**which, reason="came back")

    def _edit(self, person: Person, number: int) -> c.Details:
        what = self._random.randrange(6)
        if what == 0:
            return c.Details(phone=self._people.phone(person.country))
        if what == 1:
            return c.Details(last_name=self._people.last_name(person))
        if what == 2:
            return c.Details(email=self._people.email(person.first_name, person.last_name, number))
        if what == 3:
            return c.Details(address=c.AddressDetails(street=self._people.person(number).street))
        if what == 4:
            return c.Details(attributes={"points": self._random.randrange(10_000)})
        return c.Details(assignee=self._random.choice(ASSIGNEES), campaign_opt_in=self._random.random() < 0.8)


def list_id(workspace_id: UUID, name: str) -> UUID:
    """The same in every seeding of a workspace."""
    return uuid5(workspace_id, name)


def _misspelt(random: Random, name: str) -> str:
    """With two letters swapped."""
    at = random.randrange(max(1, len(name) - 1))
    return name[:at] + name[at : at + 2][::-1] + name[at + 2 :]
