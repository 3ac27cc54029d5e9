"""People and their history for demonstrations: plausible, valid, the same for the same seed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import phonenumbers

from contacts.emails import parse_email
from contacts.phones import parse_phone
from eventstore.envelope import Write
from rollbook.history import Histories
from rollbook.people import PLACES, People
from rollbook.seed import WRITE_EVENTS_MAX, parts, writes_of

WORKSPACE = UUID("0190a6f4-9b4d-7c2e-8f10-0123456789ab")
START = datetime(2026, 1, 1, tzinfo=UTC)


def writes(seed: int = 7, contacts: int = 400) -> list[Write]:
    histories = Histories(WORKSPACE, seed, START, days=90)
    return [write for number in range(contacts) for write in writes_of(histories.life(number))]


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


def test_a_part_of_the_writes_fits_one_commit() -> None:
    ordered = sorted(writes(contacts=2000), key=lambda write: write.metadata.occurred_at or START)
    found = list(parts(ordered))
    assert [write for part in found for write in part] == ordered
    for part in found:
        streams = [write.streams[0].stream.id for write in part]
        assert len(set(streams)) == len(streams)
        assert sum(len(write.streams[0].events) for write in part) <= WRITE_EVENTS_MAX
