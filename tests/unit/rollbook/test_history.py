"""People and their history for demonstrations: plausible, valid, the same for the same seed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import md5
from uuid import UUID

import msgspec
import phonenumbers

from contacts.activity.events import AddressedAs
from contacts.activity.kinds import CATEGORIES, category_of, data_type, parse_kind
from contacts.addresses import AddressKeys
from contacts.emails import parse_email
from contacts.phones import parse_phone
from eventstore.envelope import Stream, Write
from rollbook.activities import Activities, Doer
from rollbook.blocks import WRITE_EVENTS_MAX, Block, Span, lives, parts
from rollbook.history import Histories
from rollbook.people import PLACES, People

WORKSPACE = UUID("0190a6f4-9b4d-7c2e-8f10-0123456789ab")
START = datetime(2026, 1, 1, tzinfo=UTC)


def writes(seed: int = 7, contacts: int = 400) -> list[Write]:
    histories = Histories(WORKSPACE, seed, START, days=90)
    return [write for number in range(contacts) for write, _ in lives(histories.life(number))]


def test_the_same_seed_makes_the_same_lives_and_another_seed_others() -> None:
    assert writes() == writes()
    assert writes() != writes(seed=8)


def test_every_number_and_address_is_valid_and_in_the_form_the_log_holds() -> None:
    people = People(seed=7)
    for number in range(500):
        person = people.person(number)
        assert phonenumbers.is_valid_number(phonenumbers.parse(person.phone))
        assert parse_phone(person.phone, None) == person.phone
        assert parse_email(person.email) == person.email


def test_people_come_from_every_place() -> None:
    people = People(seed=7)
    assert {people.person(number).country for number in range(2000)} == {place.country for place in PLACES}
    assert sum(place.share for place in PLACES) == 100


def test_a_history_has_every_kind_of_event_within_its_days_and_no_gap_in_versions() -> None:
    found = writes(contacts=2000)
    kinds = {type(event).__name__ for write in found for event in write.streams[0].events}
    assert kinds >= {
        *("ContactCreated", "ContactDetailsChanged", "ContactTagged", "ContactUntagged", "ContactChannelConnected"),
        *("ContactBlocked", "ContactUnblocked", "ContactDeleted", "ContactRestored"),
    }
    versions: dict[UUID, int] = {}
    for write in found:
        (stream,) = write.streams
        assert stream.expected_version == versions.get(stream.stream.id, 0)
        versions[stream.stream.id] = stream.expected_version + len(stream.events)
        assert write.metadata.occurred_at is not None
        assert START <= write.metadata.occurred_at < START + timedelta(days=90)


def test_a_part_of_the_writes_fits_one_commit_and_no_stream_gets_out_of_order() -> None:
    span = Span(WORKSPACE, START, 90)
    block = Block(
        span, Histories(WORKSPACE, 7, START, days=90), "7", AddressKeys(lambda _, text: md5(text.encode()).digest())
    )
    writes = block.writes(range(800), 8_000)
    versions: dict[Stream, int] = {}
    subjects: set[UUID] = set()
    found = list(parts(writes))
    for part in found:
        streams = [stream for write in part for stream in write.streams]
        assert len({stream.stream for stream in streams}) == len(streams)
        assert sum(len(stream.events) for stream in streams) <= WRITE_EVENTS_MAX
        assert all(s.new_subject or s.subject_id is None or s.subject_id in subjects for s in streams)
        subjects |= {stream.subject_id for stream in streams if stream.subject_id}
        for stream in streams:
            assert stream.expected_version == versions.get(stream.stream, 0)
            versions[stream.stream] = stream.expected_version + len(stream.events)
    kinds = {stream.category for stream in versions}
    assert kinds >= {"contact", "activity", "merge", "consent", "consent_proof", "suppression"}
    assert sum(version for stream, version in versions.items() if stream.category == "activity") == 8_000
    # All parts but those of who do the most are as full as they can be.
    assert len(found) < 30 + 1.1 * sum(versions.values()) / WRITE_EVENTS_MAX


def test_a_few_do_most_of_what_is_done() -> None:
    counts = sorted(Activities("7").share_out(1_000, 10_000))
    assert sum(counts) == 10_000
    assert sum(counts[-200:]) > 5_000
    assert counts[500] < 10


def test_activities_have_the_data_of_their_kinds() -> None:
    doer = Doer(1, AddressedAs(by="email", value="ann@example.com"), "DE", START, START + timedelta(days=90))
    found = Activities("7").of(doer, 5_000)
    assert {category_of(activity.kind) for activity in found} == set(CATEGORIES)
    assert len({activity.activity_id for activity in found}) == 5_000
    for activity in found:
        assert START <= activity.occurred_at <= START + timedelta(days=90)
        assert parse_kind(activity.kind) == activity.kind
        msgspec.convert(activity.data, data_type(activity.kind))
