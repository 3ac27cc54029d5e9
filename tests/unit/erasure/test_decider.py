"""Erasing: who is concerned, what is recorded of it, and that nothing personal is."""

from __future__ import annotations

from uuid import UUID

import pytest

from contacts import errors
from contacts.catalog import CODEC
from contacts.contact.events import ContactErased
from contacts.contact.state import Contact, evolve, initial
from contacts.erasure.commands import EraseContact
from contacts.erasure.decider import Plan, decide
from contacts.erasure.events import ErasedStream, ErasureCompleted
from contacts.merge.profile import Profile
from eventstore.envelope import Unreadable
from tests.support.gathering import START, Gathering

A, B, C = (UUID(int=number) for number in range(0xA, 0xD))
MERGE, FIRST, SECOND = (UUID(int=number) for number in range(0xE1, 0xE4))
STREAMS = (ErasedStream(category="contact", stream_id=A, events=2, first_position=1, last_position=4),)


def erase(contact: UUID = A, erasure: UUID = FIRST) -> EraseContact:
    return EraseContact(workspace_id=UUID(int=1), contact_id=contact, erasure_id=erasure, reason="person_asked")


@pytest.fixture
def book() -> Gathering:
    book = Gathering()
    book.create(A, email="ann@example.com", first_name="Ann")
    book.create(B, email="ben@example.com")
    return book


def unreadable(contact: UUID) -> Contact:
    return evolve(initial(contact), Unreadable(type="contact.created"), START)


def test_an_erasure_is_recorded_with_the_contact_and_in_its_certificate(book: Gathering) -> None:
    assert decide(erase(), book.profile(A), STREAMS) == Plan(
        contacts={A: ContactErased(erasure_id=FIRST, reason="person_asked")},
        certificate=ErasureCompleted(contact_id=A, contacts=(A,), reason="person_asked", streams=STREAMS),
    )


def test_a_profile_goes_with_all_it_stands_for(book: Gathering) -> None:
    book.merge(MERGE, A, B)
    plan = decide(erase(B), book.profile(B), STREAMS)
    assert list(plan.contacts) == [A, B]
    assert plan.certificate is not None
    assert (plan.certificate.contact_id, plan.certificate.contacts) == (A, (A, B))


def test_what_is_erased_is_not_erased_again() -> None:
    erased = evolve(unreadable(A), ContactErased(erasure_id=FIRST, reason="person_asked"), START)
    assert decide(erase(erasure=SECOND), Profile(erased, {}), ()) == Plan(done_by=FIRST)


def test_a_contact_whose_key_was_lost_gets_its_certificate_all_the_same() -> None:
    assert decide(erase(), Profile(unreadable(A), {}), ()).certificate is not None


def test_nobody_cannot_be_erased() -> None:
    with pytest.raises(errors.ContactNotFound):
        decide(erase(C), Profile(initial(C), {}), ())


def test_nothing_of_a_person_is_left_in_what_stays_readable(book: Gathering) -> None:
    plan = decide(erase(), book.profile(A), STREAMS)
    assert plan.certificate is not None
    for event in (*plan.contacts.values(), plan.certificate):
        payload = CODEC.encode(event)[2].lower()
        assert b"ann" not in payload
        assert b"example.com" not in payload
