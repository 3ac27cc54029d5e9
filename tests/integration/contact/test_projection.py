"""The contact projection on real PostgreSQL: the rows are the fold of the log, however its events arrive."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, Final
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from contacts.catalog import EVENT_TYPES, PROJECTIONS
from contacts.contact import events as e
from contacts.contact.projection import COPY_MIN, ContactProjection
from contacts.contact.row import COLUMNS
from contacts.values import Country, Email, ExternalId, Phone, Tag
from eventstore.envelope import RecordedEvent, Unreadable
from eventstore.projection import PoisonedEvent
from tests.integration.contact.model import LIVE, Log, Model, contacts_of, open_model

WORKSPACE: Final = UUID(int=1)
OTHER: Final = UUID(int=2)
REBUILT: Final = "rm_contact_b2"


@pytest.fixture(scope="module")
async def shared_model(module_database: str) -> AsyncIterator[Model]:
    async with open_model(module_database) as model:
        await model.add_build(REBUILT)
        yield model


@pytest.fixture
async def model(shared_model: Model) -> Model:
    await shared_model.clear(LIVE, REBUILT)
    return shared_model


@pytest.fixture
def log() -> Log:
    return Log()


def created(**fields: Any) -> e.ContactCreated:
    return e.ContactCreated(**{"source": "api", "email": Email("anna@example.com"), **fields})


def tagged(*tags: str) -> e.ContactTagged:
    return e.ContactTagged(tags=tuple(map(Tag, tags)))


def edited(**fields: Any) -> e.ContactDetailsChanged:
    return e.ContactDetailsChanged(**fields)


# -- what it is made of -----------------------------------------------------------------------------------------------


def test_it_reads_every_event_of_a_contact_and_of_its_addresses() -> None:
    categories = ("contact.", "suppression.", "consent.", "proof.", "workspace.settings_changed")
    assert ContactProjection.types == {known.name for known in EVENT_TYPES if known.name.startswith(categories)}
    assert ContactProjection.name in {projection.name for projection in PROJECTIONS}


async def test_a_row_has_a_value_for_every_column_of_the_table(model: Model) -> None:
    columns = await model.projector.fetch(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = $1 AND table_name = 'contact' "
        "ORDER BY ordinal_position",
        LIVE,
    )
    assert tuple(row["column_name"] for row in columns) == COLUMNS


# -- repeats, order, loss ---------------------------------------------------------------------------------------------


async def test_applying_events_again_changes_nothing(model: Model, log: Log) -> None:
    first, second = uuid4(), uuid4()
    log.record(WORKSPACE, first, created(), tagged("vip"), e.ContactDeleted(reason="asked"))
    log.record(WORKSPACE, second, created(phone=Phone("+4930901820")))
    await model.apply(log.events)
    before = await model.content()

    await model.apply(log.events)
    await model.apply(log.events[1:], batch=1)

    assert await model.content() == before


async def test_a_batch_that_overlaps_with_what_is_there_adds_only_what_is_new(model: Model, log: Log) -> None:
    contact_id = uuid4()
    log.record(WORKSPACE, contact_id, created(), tagged("a"), tagged("b"), edited(first_name="Zoë"))
    await model.apply(log.events[:3])
    await model.apply(log.events[1:])

    (row,) = await model.rows()
    assert (row["version"], row["position"], row["tags"], row["first_name"]) == (4, 4, ["a", "b"], "zoe")


async def test_a_missing_event_poisons_its_contact_and_writes_nothing(model: Model, log: Log) -> None:
    contact_id = uuid4()
    log.record(WORKSPACE, contact_id, created(), tagged("a"), tagged("b"))
    await model.apply(log.events[:1])

    with pytest.raises(PoisonedEvent, match="found version 3, expected 2") as poisoned:
        await model.apply(log.events[2:])

    assert poisoned.value.key == contact_id
    (row,) = await model.rows()
    assert row["version"] == 1


async def test_many_new_contacts_are_copied_in_and_known_ones_updated_in_one_batch(model: Model, log: Log) -> None:
    known = uuid4()
    log.record(WORKSPACE, known, created())
    await model.apply(log.events)
    for _ in range(3 * COPY_MIN):
        log.record(WORKSPACE, uuid4(), created(), tagged("x"))
    log.record(WORKSPACE, known, tagged("y"))

    await model.apply(log.events)

    rows = await model.rows()
    assert len(rows) == 3 * COPY_MIN + 1
    assert Counter(tuple(row["tags"]) for row in rows) == {("x",): 3 * COPY_MIN, ("y",): 1}
    assert (await model.rows("contact_count"))[0]["contacts"] == 3 * COPY_MIN + 1


async def test_what_most_events_change_leaves_the_indexes_of_the_wide_table_alone(model: Model, log: Log) -> None:
    contact_id = uuid4()
    log.record(WORKSPACE, contact_id, created(first_name="Anna"))
    await model.apply(log.events)
    log.record(WORKSPACE, contact_id, tagged("a"), edited(country=Country("DE"), attributes={"plan": "pro"}))
    log.record(WORKSPACE, contact_id, e.ContactBlocked(reason=None))

    hot = "SELECT pg_stat_get_xact_tuples_hot_updated('contact'::regclass)"
    async with model.projector.transaction():
        await model.projector.execute(f"SET LOCAL search_path = {LIVE}, public")
        before = await model.projector.fetchval(hot)
        for event in log.events[1:]:
            await model.projection.apply(model.projector, [event], fresh=False)
        assert await model.projector.fetchval(hot) - before == 3


# -- erasure ----------------------------------------------------------------------------------------------------------


async def test_a_contact_that_can_no_longer_be_read_is_gone_from_rows_and_totals(model: Model, log: Log) -> None:
    erased, kept = uuid4(), uuid4()
    log.record(WORKSPACE, erased, created(first_name="Gone"), tagged("a"))
    log.record(WORKSPACE, kept, created())
    await model.apply(log.events)
    log.record_unreadable(WORKSPACE, erased, "contact.tagged")
    log.record_unreadable(WORKSPACE, erased, "contact.deleted")

    await model.apply(log.events[3:], batch=1)

    assert [row["contact_id"] for row in await model.rows()] == [kept]
    assert [row["contact_id"] for row in await model.rows("contact_recency")] == [kept]
    assert [row["contacts"] for row in await model.rows("contact_count")] == [1]


async def test_a_rebuild_after_an_erasure_equals_the_model_that_saw_it_happen(model: Model, log: Log) -> None:
    erased, kept = uuid4(), uuid4()
    log.record(WORKSPACE, erased, created(first_name="Gone"), tagged("a"))
    log.record(WORKSPACE, kept, created())
    log.record_unreadable(WORKSPACE, erased, "contact.tagged")
    await model.apply(log.events)

    unreadable = [
        msgspec.structs.replace(event, event=Unreadable(type=event.type)) if event.stream_id == erased else event
        for event in log.events
    ]
    await model.apply(unreadable, fresh=True, schema=REBUILT)

    assert await model.content(REBUILT) == await model.content()


# -- any history ------------------------------------------------------------------------------------------------------

NAMES: Final = st.sampled_from(["Anna", "Łucja", "ÅSA", "O’Brien", "李", "de la Cruz", "İpek"])
TEXTS: Final = st.sampled_from(["pro", "Größe XL", 'a "b" \\ c', "`x`", "naïve"])
ATTRIBUTES: Final = st.dictionaries(
    st.sampled_from(["plan", "score", "size", "picks"]),
    st.one_of(TEXTS, st.integers(-5, 5), st.booleans(), st.just(1.5), st.just(("Ä", "b"))),
    max_size=3,
)
PROFILE: Final = {
    "first_name": NAMES,
    "last_name": NAMES,
    "email": st.sampled_from(["Anna@Example.com", "zoë@bücher.example", "b@c.example"]).map(Email),
    "phone": st.sampled_from(["+4930901820", "+12125550123;ext=7"]).map(Phone),
    "country": st.sampled_from(["DE", "PL"]).map(Country),
    "external_id": st.sampled_from(["C-1", "Ä 2"]).map(ExternalId),
    "assignee": NAMES,
    "campaign_opt_in": st.booleans(),
}
TAGS: Final = st.lists(st.sampled_from(["VIP", "vip 2", "Ärger", "z"]).map(Tag), min_size=1, max_size=3, unique=True)
LISTS: Final = st.lists(st.sampled_from([UUID(int=7), UUID(int=8), UUID(int=9)]), max_size=2, unique=True).map(tuple)
CHANNELS: Final = st.sampled_from(["telegram", "web_push"])


def changes() -> st.SearchStrategy[e.ContactEvent]:
    optional = {name: st.one_of(st.just(UNSET), st.none(), values) for name, values in PROFILE.items()}
    cleared = st.dictionaries(st.sampled_from(["plan", "score"]), st.one_of(st.none(), TEXTS), max_size=2)
    token = CHANNELS.map(lambda kind: e.ChannelIdentity(kind=kind, token="t"))
    return st.one_of(
        st.builds(
            e.ContactDetailsChanged,
            **optional,
            attributes=st.one_of(st.just(UNSET), cleared),
            lists_added=LISTS,
            lists_removed=LISTS,
        ),
        TAGS.map(lambda tags: e.ContactTagged(tags=tuple(sorted(tags)))),
        TAGS.map(lambda tags: e.ContactUntagged(tags=tuple(sorted(tags)))),
        LISTS.map(lambda ids: e.ContactListed(lists=tuple(sorted(ids)))),
        LISTS.map(lambda ids: e.ContactUnlisted(lists=tuple(sorted(ids)))),
        st.builds(e.ContactChannelConnected, channel=token),
        CHANNELS.map(lambda kind: e.ContactChannelDisconnected(kind=kind, token="t")),
        st.just(e.ContactBlocked()),
        st.just(e.ContactUnblocked()),
        st.just(e.ContactDeleted(reason="asked")),
        st.just(e.ContactRestored()),
    )


def creations() -> st.SearchStrategy[e.ContactCreated]:
    optional = {name: st.one_of(st.none(), values) for name, values in PROFILE.items()}
    return st.builds(
        e.ContactCreated,
        source=st.just("api"),
        **optional,
        attributes=ATTRIBUTES,
        tags=TAGS.map(lambda tags: tuple(sorted(tags))),
        lists=LISTS.map(lambda ids: tuple(sorted(ids))),
    )


@st.composite
def histories(draw: st.DrawFn) -> list[RecordedEvent[Any]]:
    """A few contacts of two workspaces, whose events arrive interleaved."""
    log = Log()
    contacts = [(draw(st.sampled_from([WORKSPACE, OTHER])), UUID(int=100 + n)) for n in range(draw(st.integers(1, 4)))]
    for workspace_id, contact_id in contacts:
        log.record(workspace_id, contact_id, draw(creations()))
    for index, change in draw(st.lists(st.tuples(st.integers(0, len(contacts) - 1), changes()), max_size=12)):
        log.record(*contacts[index], change)
    return log.events


def folded(text: str) -> str:
    """The rule said another way: enough for the texts above, not for all of Unicode."""
    text = text.replace("’", "'").replace("`", "'").replace("ß", "ss").replace("Ł", "l").lower()
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))


class NaiveContact:
    """An independent fold: one mutable dictionary, nothing clever, no code of the projection."""

    def __init__(self, event: RecordedEvent[Any]) -> None:
        self.workspace_id = event.workspace_id
        self.created_at = event.recorded_at
        self.deleted_at: Any = None
        self.blocked = False
        facts = event.event
        self.fields: dict[str, Any] = {name: getattr(facts, name) for name in PROFILE}
        self.tags, self.lists = set(facts.tags), set(facts.lists)
        self.attributes = dict(facts.attributes)
        self.channels: set[str] = set()
        self.seen(event)

    def seen(self, event: RecordedEvent[Any]) -> None:
        self.version, self.position, self.changed_at = event.version, event.position, event.recorded_at

    def apply(self, event: RecordedEvent[Any]) -> None:
        self.seen(event)
        facts = event.event
        match facts:
            case e.ContactDetailsChanged():
                for name in PROFILE:
                    if getattr(facts, name) is not UNSET:
                        self.fields[name] = getattr(facts, name)
                if facts.attributes is not UNSET:
                    self.attributes.update(facts.attributes)
                    self.attributes = {key: value for key, value in self.attributes.items() if value is not None}
                self.lists = (self.lists | set(facts.lists_added)) - set(facts.lists_removed)
            case e.ContactTagged():
                self.tags |= set(facts.tags)
            case e.ContactUntagged():
                self.tags -= set(facts.tags)
            case e.ContactListed():
                self.lists |= set(facts.lists)
            case e.ContactUnlisted():
                self.lists -= set(facts.lists)
            case e.ContactChannelConnected():
                self.channels.add(facts.channel.kind)
            case e.ContactChannelDisconnected():
                self.channels.discard(facts.kind)
            case e.ContactBlocked() | e.ContactUnblocked():
                self.blocked = isinstance(facts, e.ContactBlocked)
            case e.ContactDeleted() | e.ContactRestored():
                self.deleted_at = event.recorded_at if isinstance(facts, e.ContactDeleted) else None

    def row(self) -> dict[str, Any]:
        first, last = (self.fields[name] and folded(self.fields[name]) for name in ("first_name", "last_name"))
        names = [name for name in (first, last) if name]
        email = self.fields["email"]
        return {
            "workspace_id": self.workspace_id,
            "created_at": self.created_at,
            "changed_at": self.changed_at,
            "deleted_at": self.deleted_at,
            "position": self.position,
            "version": self.version,
            "blocked": self.blocked,
            "campaign_opt_in": self.fields["campaign_opt_in"],
            "external_id": self.fields["external_id"],
            "first_name": first,
            "last_name": last,
            "full_name": " ".join(names) or None,
            "filed_name": "\t".join(reversed(names)) or None,
            "email": email and email.lower().replace("bücher", "xn--bcher-kva"),
            "email_status": email and "active",
            "phone": self.fields["phone"],
            "phone_status": self.fields["phone"] and "active",
            "country": self.fields["country"],
            "assignee": self.fields["assignee"] and folded(self.fields["assignee"]),
            "tags": sorted({folded(tag) for tag in self.tags}),
            "lists": sorted(self.lists),
            "channels": sorted(self.channels),
            "attributes": {key: self.comparable(value) for key, value in self.attributes.items()},
        }

    @staticmethod
    def comparable(value: Any) -> Any:
        if isinstance(value, tuple):
            return [folded(item) for item in value]
        return folded(value) if isinstance(value, str) else value


def naive_fold(events: list[RecordedEvent[Any]]) -> dict[UUID, NaiveContact]:
    contacts: dict[UUID, NaiveContact] = {}
    for event in events:
        if event.version == 1:
            contacts[event.stream_id] = NaiveContact(event)
        else:
            contacts[event.stream_id].apply(event)
    return contacts


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=histories(), batch=st.integers(1, 6))
async def test_rows_are_the_fold_of_any_history_whatever_the_batches(
    shared_model: Model, events: list[RecordedEvent[Any]], batch: int
) -> None:
    await shared_model.clear(LIVE, REBUILT)
    await shared_model.apply(events, batch=batch)
    expected = {contact_id: contact.row() for contact_id, contact in naive_fold(events).items()}

    rows = {row["contact_id"]: row for row in await shared_model.rows()}
    for row in rows.values():
        row["attributes"] = json.loads(row["attributes"])
    assert {key: {name: rows[key][name] for name in row} for key, row in expected.items()} == expected
    assert len(rows) == len(expected) == len(contacts_of(events))

    totals = Counter(
        (row["workspace_id"], row["deleted_at"] is not None, row["email_status"] or "", row["phone_status"] or "")
        for row in expected.values()
    )
    assert {tuple(row.values())[:4]: row["contacts"] for row in await shared_model.rows("contact_count")} == totals

    await shared_model.apply(events, fresh=True, batch=len(events), schema=REBUILT)
    assert await shared_model.content(REBUILT) == await shared_model.content()
