"""The duplicate read model equals comparing everybody with everybody: at any position, in any batches, in any order."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
import pytest

from contacts import errors
from contacts.contact import commands as c
from contacts.contact import events as e
from contacts.duplicate import relating
from contacts.duplicate.events import CATEGORY, DuplicateDismissed
from contacts.duplicate.keys import pair_key
from contacts.values import Country, Email, Phone
from eventstore.envelope import RecordedEvent, Unreadable
from tests.integration.duplicate.model import LIVE, Expected, Model, open_model
from tests.property.figures import SEED, figure
from tests.support.gathering import METADATA, WORKSPACE, Gathering

REBUILT: Final = "rm_duplicate_b2"
FIRST: Final = ("ann", "anna", "bob", "robert", "liz", "elizabeth")
LAST: Final = ("smith", "smyth", "miller", "Müller")
EMAILS: Final = (
    "ann.smith@gmail.com",
    "annsmith@gmail.com",
    "anne.smith@gmail.com",
    "bob@example.com",
    "BOB@example.com",
)
PHONES: Final = ("+4930901820", "+4930901802", "+4930901820;ext=5")
STREETS: Final = ("12 Main Street", "12 Main St", "Hauptstraße 7")
BIRTHS: Final = ("1980-02-29", "1980-02-28", "1971-07-01")


@pytest.fixture(scope="module")
async def shared_model(module_database: str) -> AsyncIterator[Model]:
    async with open_model(module_database) as model:
        await model.add_build(REBUILT)
        yield model


@pytest.fixture
async def model(shared_model: Model) -> Model:
    await shared_model.clear(LIVE, REBUILT)
    return shared_model


class Story:
    """A random history of contacts that look much alike, with dismissals between."""

    def __init__(self, model: Model, seed: str, contacts: int = 14) -> None:
        self.book = Gathering()
        self.random = random.Random(seed)
        self.ids = [UUID(int=0xC00 + number) for number in range(contacts)]
        self.dismissed: set[UUID] = set()
        #: Positions that the events of `book.log` and the dismissals have in common.
        self.log: list[RecordedEvent[Any]] = []
        self._model = model
        self._taken = 0
        self._merges: list[UUID] = []

        for id_ in self.ids:
            self.book.create(id_, **self._fields())
        self._collect()

    def go_on(self, steps: int) -> None:
        for _ in range(steps):
            with contextlib.suppress(errors.Refusal):
                self.random.choice([*[self._edit] * 4, self._delete, self._restore, self._merge, self._unmerge])()
            self._collect()
            if self.random.random() < 0.1:
                self._dismiss()

    def erase_one(self) -> None:
        """Someone who is in no merge, as in life: a merged one is erased with all that it is made of."""
        alone = [i for i in self.ids if self.book.root_of(i) == i and not self.book.profile(i).others]
        if alone:
            event = e.ContactErased(erasure_id=UUID(int=1), reason="person_asked")
            self.book.given(self.random.choice(alone), event)
            self._collect()

    def expected(self, block_max: int) -> Expected:
        return Expected(self.book.present().values(), block_max)

    def _fields(self) -> dict[str, Any]:
        pick = self.random.choice
        return {
            "first_name": pick((*FIRST, None)),
            "last_name": pick((*LAST, None)),
            "email": Email(pick(EMAILS)),
            "phone": pick((*map(Phone, PHONES), None)),
            "address": pick((None, *(e.Address(street=s, city="Bern", postcode="3000") for s in STREETS))),
            "attributes": pick(({}, *({"birthday": day, "size": 4} for day in BIRTHS))),
            "country": Country("CH"),
        }

    def _edit(self) -> None:
        fields = self._fields()
        field = self.random.choice(["first_name", "last_name", "email", "phone", "attributes", "country"])
        self.book.edit(self.random.choice(self.ids), **{field: fields[field]})

    def _delete(self) -> None:
        self.book.do(c.DeleteContact, self.random.choice(self.ids), reason="no reason")

    def _restore(self) -> None:
        self.book.do(c.RestoreContact, self.random.choice(self.ids))

    def _merge(self) -> None:
        merge_id = UUID(int=0xE00 + len(self._merges))
        self.book.merge(merge_id, *self.random.sample(self.ids, self.random.choice((2, 2, 3))))
        self._merges.append(merge_id)

    def _unmerge(self) -> None:
        if self._merges:
            self.book.unmerge(self.random.choice(self._merges))

    def _dismiss(self) -> None:
        now = self.expected(relating.BLOCK_MAX)
        about = [("email", address) for address in now.groups["email"]]
        about += [("phone", address) for address in now.groups["phone"]]
        about += [("likely", pair_key(*pair)) for pair in now.pairs]
        if about:
            by, key = self.random.choice(sorted(about))
            stream = self._model.ids.of(WORKSPACE, by, key)  # type: ignore[arg-type]
            if stream not in self.dismissed:
                self.dismissed.add(stream)
                self.log.append(dismissal(stream, by, len(self.log) + 1))

    def _collect(self) -> None:
        for event in self.book.log[self._taken :]:
            self.log.append(msgspec.structs.replace(event, position=len(self.log) + 1))
        self._taken = len(self.book.log)


def dismissal(stream: UUID, by: Any, position: int) -> RecordedEvent[Any]:
    return RecordedEvent(
        lane=0, position=position, workspace_id=WORKSPACE, category=CATEGORY, stream_id=stream, version=1,
        event_id=stream, type="duplicate.dismissed", schema_version=1, recorded_at=Gathering().now, metadata=METADATA,
        event=DuplicateDismissed(by=by),
    )  # fmt: skip


async def is_expected(model: Model, expected: Expected, dismissed: set[UUID]) -> None:
    groups: dict[str, dict[str, int]] = {"email": {}, "phone": {}}
    for row in await model.rows("address_group"):
        groups[row["address_kind"]][row["address"]] = row["contacts"]
        assert row["dismissed"] == (row["dismissal_id"] in dismissed)
    assert groups == {by: {key: len(ids) for key, ids in found.items()} for by, found in expected.groups.items()}
    pairs = {(row["first_id"], row["second_id"]): row for row in await model.rows("likely_pair")}
    assert {pair: row["score"] for pair, row in pairs.items()} == {p: v.score for p, v in expected.pairs.items()}
    assert all(row["dismissed"] == (row["dismissal_id"] in dismissed) for row in pairs.values())
    assert {(row["kind"], row["key"]) for row in await model.rows("full_block")} == expected.full
    for by in ("email", "phone", "likely"):
        page = await model.queries.list(WORKSPACE, by, limit=1_000)
        assert page.total.count == len(page.items)
        every = expected.pairs if by == "likely" else expected.groups[by]
        names = {model.ids.of(WORKSPACE, by, pair_key(*each) if by == "likely" else each) for each in every}  # type: ignore[arg-type,misc]
        assert {model.ids.of(WORKSPACE, by, item.key) for item in page.items} == names - dismissed
        if by != "likely":
            assert [item.key for item in page.items] == sorted(item.key for item in page.items)
            assert all(set(item.contacts) == expected.groups[by][item.key] for item in page.items)


def by_stream(log: Sequence[RecordedEvent[Any]], shuffled: random.Random) -> list[RecordedEvent[Any]]:
    """Stream after stream, as a rebuild reads them; in any order of streams."""
    streams: dict[UUID, list[RecordedEvent[Any]]] = {}
    for event in log:
        streams.setdefault(event.stream_id, []).append(event)
    order = list(streams.values())
    shuffled.shuffle(order)
    return [event for stream in order for event in stream]


@pytest.mark.parametrize("number", range(figure(6, 400)))
async def test_any_history_comes_to_what_comparing_everybody_says(
    model: Model, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    block_max = (3, 5, relating.BLOCK_MAX)[number % 3]
    monkeypatch.setattr(relating, "BLOCK_MAX", block_max)
    story = Story(model, f"{SEED}-{number}")
    done = 0
    for steps in (0, 20, 30):
        story.go_on(steps)
        await model.apply(story.log[done:], batch=story.random.choice((1, 4, 1_000)))
        done = len(story.log)
        await is_expected(model, story.expected(block_max), story.dismissed)

    # Again, which changes nothing; then anew, stream after stream, which comes to the very same rows.
    before = await model.content()
    await model.apply(story.log)
    assert await model.content() == before
    await model.apply(by_stream(story.log, story.random), fresh=False, batch=7, schema=REBUILT)
    assert await model.content(REBUILT) == before


async def test_a_build_that_starts_empty_and_takes_all_at_once_is_the_same(model: Model) -> None:
    story = Story(model, f"{SEED}-fresh", contacts=60)
    story.go_on(40)
    await model.apply(story.log, batch=5)
    await model.apply(by_stream(story.log, story.random), fresh=True, batch=100_000, schema=REBUILT)
    assert await model.content(REBUILT) == await model.content()
    await is_expected(model, story.expected(relating.BLOCK_MAX), story.dismissed)


async def test_who_is_erased_is_in_nothing_whether_the_rest_could_be_read_or_not(model: Model) -> None:
    story = Story(model, f"{SEED}-erased")
    story.erase_one()
    story.erase_one()
    await model.apply(story.log, batch=3)
    await is_expected(model, story.expected(relating.BLOCK_MAX), set())
    gone = {event.stream_id for event in story.log if event.type == "contact.erased"}
    assert gone
    # As a rebuild finds it: what was encrypted cannot be read any more.
    log = [
        msgspec.structs.replace(event, event=Unreadable(type=event.type))
        if event.stream_id in gone and event.type != "contact.erased"
        else event
        for event in story.log
    ]
    await model.apply(log, fresh=True, schema=REBUILT)
    assert await model.content(REBUILT) == await model.content()


async def test_a_block_that_fills_parts_its_pairs_and_brings_them_back_when_it_empties(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relating, "BLOCK_MAX", 3)
    book = Gathering()
    people = [UUID(int=number) for number in range(1, 6)]
    for number in people[:3]:
        book.create(number, first_name="Ann", last_name="Lee", attributes={"birthday": "1980-02-29"})
    await model.apply(book.log)
    assert len(await model.rows("likely_pair")) == 3
    done = len(book.log)
    book.create(people[3], first_name="Ann", last_name="Lee", attributes={"birthday": "1980-02-29"})
    await model.apply(book.log[done:])
    assert await model.rows("likely_pair") == []
    done = len(book.log)
    book.do(c.DeleteContact, people[0], reason="asked")
    await model.apply(book.log[done:])
    assert len(await model.rows("likely_pair")) == 3
    assert await model.rows("full_block") == []


async def test_a_dismissal_outlives_the_group_it_is_about(model: Model) -> None:
    book = Gathering()
    ann, ben = UUID(int=1), UUID(int=2)
    for id_ in (ann, ben):
        book.create(id_, email=Email("both@example.com"), first_name=f"{id_.int}")
    stream = model.ids.of(WORKSPACE, "email", "both@example.com")
    log = [*book.log, dismissal(stream, "email", 3)]
    await model.apply(log)
    assert (await model.queries.list(WORKSPACE, "email")).items == ()
    done = len(book.log)
    book.do(c.DeleteContact, ben, reason="asked")
    await model.apply(book.log[done:])
    assert await model.rows("address_group") == []
    done = len(book.log)
    book.do(c.RestoreContact, ben)
    await model.apply(book.log[done:])
    found, _ = await model.queries.get(WORKSPACE, "email", "both@example.com")
    assert (found.contacts, found.dismissed) == ((ann, ben), True)
    assert (await model.queries.list(WORKSPACE, "email")).total.count == 0


async def test_lists_are_paged_without_gaps_or_repeats(model: Model) -> None:
    book = Gathering()
    for number in range(30):
        book.create(
            UUID(int=1 + number),
            email=Email(f"e{number // 3}@example.com"),
            first_name="Ann",
            last_name=f"L{'aeiou'[number % 5]}nd{number // 6}strom",
            attributes={"birthday": f"1980-02-{1 + number // 3:02}"},
        )
    await model.apply(book.log)
    for by in ("email", "likely"):
        whole = (await model.queries.list(WORKSPACE, by, limit=1_000)).items  # type: ignore[arg-type]
        assert len(whole) > 9
        paged, cursor = [], None
        while True:
            page = await model.queries.list(WORKSPACE, by, limit=4, cursor=cursor)  # type: ignore[arg-type]
            paged += page.items
            assert page.total.count == len(whole)
            cursor = page.next_cursor
            if cursor is None:
                break
        assert tuple(paged) == whole
    first, cursor = await model.queries.get(WORKSPACE, "email", "e0@example.com", limit=2)
    rest, end = await model.queries.get(WORKSPACE, "email", "e0@example.com", limit=2, cursor=cursor)
    assert (*first.contacts, *rest.contacts) == (UUID(int=1), UUID(int=2), UUID(int=3))
    assert end is None
