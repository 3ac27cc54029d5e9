"""Unchanged applications of the `eventsourcing` library on our log: they write aggregates, replay contacts, project."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, Final, cast
from uuid import UUID, uuid4

import asyncpg
import pytest
from eventsourcing.application import AggregateNotFoundError, Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import IntegrityError, Tracking
from eventsourcing.tests import application as application_suites
from eventsourcing.tests import projection as projection_suites
from eventsourcing.utils import get_topic

from contacts.catalog import CODEC
from contacts.contact.events import ContactBlocked, ContactCreated, ContactDetailsChanged
from contacts.contact.state import Contact, fold, initial
from contacts.values import Email
from eventstore.cipher import Keyring
from eventstore.envelope import NO_STREAM, Metadata, RecordedEvent, Stream, StreamWrite, Unreadable, Write
from eventstore.errors import KeyUnavailable
from eventstore.facade import LogFactory, LogTrackingRecorder
from eventstore.facade.store import Connection
from eventstore.mapper import Fold, Replayed
from eventstore.store import EventStore

KEYRING: Final = Keyring.from_secret(b"0123456789abcdef" * 2)
FOLDS: Final[Mapping[str, Fold[Any]]] = {"contact": Fold(initial, fold)}
WORKSPACE: Final = UUID("0192f0c1-6b7a-7c3e-8f10-5d2a9b4c7e01")
SOURCE: Final = Metadata(actor="user:ada", source="manual")


class Note(Aggregate):
    """An aggregate in the library's own style, decorators and all."""

    def __init__(self, text: str) -> None:
        self.text = text

    @event("Rewritten")
    def rewrite(self, text: str) -> None:
        self.text = text


def settings(database: str, **more: str) -> dict[str, str]:
    return {"PERSISTENCE_MODULE": "eventstore.facade", LogFactory.DATABASE_URL: database, **more}


def attached(database: str) -> dict[str, str]:
    """The settings of an application that reads the contacts of one workspace."""
    return settings(
        database,
        KEYRING_TOPIC=f"{__name__}:KEYRING",
        ROLLBOOK_ATTACH_WORKSPACE=str(WORKSPACE),
        ROLLBOOK_ATTACH_CATEGORY="contact",
        EVENT_CODEC_TOPIC="contacts.catalog:CODEC",
        EVENT_FOLDS_TOPIC=f"{__name__}:FOLDS",
    )


@pytest.fixture
async def store(database: str) -> AsyncIterator[EventStore]:
    store = await EventStore.open(database, codec=CODEC, keyring=KEYRING)
    yield store
    await store.close()


@pytest.fixture
def contacts(database: str) -> Iterator[Application[UUID]]:
    with Application[UUID](env=attached(database)) as application:
        yield application


async def write_contact(store: EventStore, *, workspace_id: UUID = WORKSPACE) -> Stream:
    """A contact as our own command side writes it: encrypted, three versions."""
    stream = Stream(workspace_id, "contact", uuid4())
    created = ContactCreated(source="manual", first_name="Zoë", email=Email("zoe@example.org"))
    named = ContactDetailsChanged(last_name="Ångström")
    for expected, facts in ((NO_STREAM, (created, named)), (2, (ContactBlocked(),))):
        await store.append(
            Write(
                workspace_id=workspace_id,
                streams=(
                    StreamWrite(
                        stream=stream,
                        expected_version=expected,
                        events=facts,
                        subject_id=stream.id,
                        new_subject=expected == NO_STREAM,
                    ),
                ),
                metadata=SOURCE,
            )
        )
    return stream


def folded(events: list[RecordedEvent[Any]]) -> Contact:
    contact = initial(events[0].stream_id)
    for recorded in events:
        contact = fold(contact, recorded)
    return contact


async def test_a_stock_application_replays_a_contact_that_our_store_wrote(
    store: EventStore, contacts: Application[UUID]
) -> None:
    stream = await write_contact(store)
    events = await store.read_stream(stream)

    replayed: Replayed[Contact] = await asyncio.to_thread(contacts.repository.get, stream.id)

    assert (replayed.id, replayed.version, replayed.state) == (stream.id, 3, folded(events))
    assert replayed.state.last_name == "Ångström"


async def test_a_stock_application_goes_back_to_an_earlier_version_of_a_contact(
    store: EventStore, contacts: Application[UUID]
) -> None:
    stream = await write_contact(store)

    first: Replayed[Contact] = await asyncio.to_thread(contacts.repository.get, stream.id, version=1)

    assert (first.version, first.state.last_name) == (1, None)


async def test_events_come_through_the_library_exactly_as_our_store_reads_them(
    store: EventStore, contacts: Application[UUID]
) -> None:
    stream = await write_contact(store)
    expected = await store.read_stream(stream)

    recorded = await asyncio.to_thread(lambda: list(contacts.events.get(stream.id)))
    newest = await asyncio.to_thread(lambda: list(contacts.events.get(stream.id, desc=True, limit=1)))

    fields = RecordedEvent.__struct_fields__
    assert [[getattr(r, f) for f in fields] for r in recorded] == [[getattr(e, f) for f in fields] for e in expected]
    assert [e.originator_version for e in newest] == [3]


async def test_an_attached_application_is_notified_of_its_workspace_and_category_alone(
    store: EventStore, contacts: Application[UUID]
) -> None:
    await write_contact(store, workspace_id=uuid4())
    stream = await write_contact(store)
    await write_contact(store, workspace_id=uuid4())

    notifications = await asyncio.to_thread(contacts.recorder.select_notifications, None, 100)

    assert [(n.id, n.originator_id, n.topic) for n in notifications] == [
        (4, stream.id, "contact.created"),
        (5, stream.id, "contact.details_changed"),
        (6, stream.id, "contact.blocked"),
    ]
    assert await asyncio.to_thread(contacts.recorder.max_notification_id) == 6


async def test_a_subscription_yields_what_our_store_appends_while_it_waits(
    store: EventStore, contacts: Application[UUID]
) -> None:
    def first_blocked() -> UUID:
        with contacts.recorder.subscribe(topics=["contact.blocked"]) as subscription:
            waiting.set_from_thread()
            return UUID(str(next(subscription).originator_id))

    waiting = ThreadSignal()
    received = asyncio.create_task(asyncio.to_thread(first_blocked))
    await waiting.wait()
    stream = await write_contact(store)

    assert await asyncio.wait_for(received, 10) == stream.id


async def test_an_attached_application_keeps_its_own_aggregates_beside_the_contacts(
    store: EventStore, contacts: Application[UUID]
) -> None:
    stream = await write_contact(store)
    note = Note("called back")
    note.rewrite("called back twice")

    recordings = await asyncio.to_thread(contacts.save, note)

    assert [r.notification.id for r in recordings] == [4, 5]
    copy: Note = await asyncio.to_thread(contacts.repository.get, note.id)
    assert (copy.version, copy.text) == (2, "called back twice")
    assert len(await store.read_stream(stream)) == 3
    assert (await store.read_lane(0, after=0, limit=10, types=frozenset({"contact.created"}))).last == 5


async def test_what_is_in_the_log_already_cannot_be_saved_again(store: EventStore, contacts: Application[UUID]) -> None:
    stream = await write_contact(store)
    recorded = await asyncio.to_thread(lambda: list(contacts.events.get(stream.id)))

    with pytest.raises(TypeError, match="in the log already"):
        await asyncio.to_thread(contacts.save, recorded[0])


async def test_a_contact_of_another_workspace_is_not_found(store: EventStore, contacts: Application[UUID]) -> None:
    stream = await write_contact(store, workspace_id=uuid4())

    with pytest.raises(AggregateNotFoundError):
        await asyncio.to_thread(contacts.repository.get, stream.id)


async def test_an_erased_contact_replays_with_its_content_gone(
    store: EventStore, contacts: Application[UUID], database: str
) -> None:
    stream = await write_contact(store)
    connection = await asyncpg.connect(database)
    await connection.execute("DELETE FROM keys.subject_keys WHERE subject_id = $1", stream.id)
    await connection.close()

    recorded = await asyncio.to_thread(lambda: list(contacts.events.get(stream.id)))

    assert [getattr(e, "event", None) for e in recorded] == [
        Unreadable(type=type_) for type_ in ("contact.created", "contact.details_changed", "contact.blocked")
    ]
    replayed: Replayed[Contact] = await asyncio.to_thread(contacts.repository.get, stream.id)
    assert (replayed.version, replayed.state.email) == (3, None)


async def test_without_the_master_key_contacts_stay_closed(store: EventStore, database: str) -> None:
    stream = await write_contact(store)
    env = attached(database)
    del env["KEYRING_TOPIC"]

    with Application[UUID](env=env) as application:
        with pytest.raises(KeyUnavailable):
            await asyncio.to_thread(application.repository.get, stream.id)


class TestExampleApplication(application_suites.ExampleApplicationTestCase):
    """The library's own example, with snapshots."""

    expected_factory_topic = get_topic(LogFactory)

    @pytest.fixture(autouse=True)
    def _environment(self, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in settings(database).items():
            monkeypatch.setenv(name, value)


class CountersView(LogTrackingRecorder, projection_suites.EventCountersView):
    """A view of the library's kind: its rows and its tracking move together."""

    def get_created_event_counter(self) -> int:
        return self._count("created")

    def get_subsequent_event_counter(self) -> int:
        return self._count("subsequent")

    def incr_created_event_counter(self, tracking: Tracking) -> None:
        self.track(tracking, _increment("created"))

    def incr_subsequent_event_counter(self, tracking: Tracking) -> None:
        self.track(tracking, _increment("subsequent"))

    def _count(self, kind: str) -> int:
        return int(self.read(lambda c: c.fetchval("SELECT amount FROM public.counters WHERE kind = $1", kind)))


def _increment(kind: str) -> Callable[[Connection], Any]:
    return lambda c: c.execute("UPDATE public.counters SET amount = amount + 1 WHERE kind = $1", kind)


@pytest.fixture
def counters(database: str) -> dict[str, str]:
    async def create() -> None:
        connection = await asyncpg.connect(database)
        await connection.execute(
            "CREATE TABLE public.counters (kind text PRIMARY KEY, amount integer NOT NULL DEFAULT 0);"
            "INSERT INTO public.counters (kind) VALUES ('created'), ('subsequent');"
            "GRANT SELECT, UPDATE ON public.counters TO rollbook_writer"
        )
        await connection.close()

    asyncio.run(create())
    return settings(database)


class TestEventCountersView(projection_suites.EventCountersViewTestCase):
    @pytest.fixture(autouse=True)
    def _view(self, counters: dict[str, str]) -> Iterator[None]:
        self.factory = LogFactory(counters)
        yield
        self.factory.close()

    def construct_event_counters_view(self) -> CountersView:
        return cast("CountersView", self.factory.tracking_recorder(CountersView))


class TestEventCountersProjection(projection_suites.AggregateEventCountersProjectionTestCase):
    view_class = CountersView

    @pytest.fixture(autouse=True)
    def _environment(self, counters: dict[str, str]) -> None:
        self.env = counters  # type: ignore[misc]


class TestEventSourcedProjection(projection_suites.EventSourcedProjectionTestCase):
    @pytest.fixture(autouse=True)
    def _environment(self, database: str) -> None:
        self.env = settings(database)  # type: ignore[misc]


def test_two_saves_of_one_version_are_told_apart(database: str) -> None:
    with Application[UUID](env=settings(database)) as application:
        note = Note("first")
        application.save(note)
        one: Note = application.repository.get(note.id)
        other: Note = application.repository.get(note.id)
        one.rewrite("one")
        other.rewrite("other")
        application.save(one)
        with pytest.raises(IntegrityError):
            application.save(other)
        assert [n.id for n in application.notification_log["1,10"].items] == [1, 2]


class ThreadSignal:
    """An asyncio event that another thread sets."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    def set_from_thread(self) -> None:
        self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self) -> None:
        await asyncio.wait_for(self._event.wait(), 10)
