"""For whom an activity is recorded, given what happened to the contact before."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from contacts import errors
from contacts.activity.decider import decide
from contacts.activity.events import ActivityRecorded, AddressedAs
from contacts.contact import events as e
from contacts.contact.state import Contact, evolve, initial
from contacts.values import Email
from eventstore.envelope import Unreadable
from tests.unit.activity.examples import ANNA, AT, BEN, BY_EMAIL, BY_ID, MERGE, command

CREATED = e.ContactCreated(source="api", email=Email("anna@example.com"))


def given(*events: Any) -> Contact:
    contact = initial(ANNA)
    for event in events:
        contact = evolve(contact, event, AT)
    return contact


def test_it_is_recorded_with_the_address_it_came_by() -> None:
    assert decide(command(), given(CREATED), BY_EMAIL) == [
        ActivityRecorded(
            activity_id="m-1",
            kind="message.clicked",
            occurred_at=AT,
            source="mailer",
            addressed_as=AddressedAs(by="email", value="anna@example.com"),
            data={"channel": "email"},
        )
    ]


def test_where_another_contact_stands_for_the_one_meant_both_are_known() -> None:
    merged = given(CREATED, e.ContactMerged(merge_id=MERGE, others=(BEN,)))

    (event,) = decide(command(), merged, replace(BY_EMAIL, contact_id=BEN))

    assert event.addressed_as == AddressedAs(by="email", value="anna@example.com", contact_id=BEN)


def test_nothing_is_recorded_of_a_blocked_contact() -> None:
    blocked = given(CREATED, e.ContactBlocked())

    assert decide(command(), blocked, BY_EMAIL) == []


def test_it_counts_again_once_the_contact_is_unblocked() -> None:
    unblocked = given(CREATED, e.ContactBlocked(), e.ContactUnblocked())

    assert len(decide(command(), unblocked, BY_EMAIL)) == 1


def test_of_a_deleted_contact_it_is_recorded_where_that_very_contact_is_named() -> None:
    deleted = given(CREATED, e.ContactDeleted(reason="asked"))

    assert len(decide(command(), deleted, BY_ID)) == 1
    with pytest.raises(errors.ContactUnknown, match="known by this email"):
        decide(command(), deleted, BY_EMAIL)


def test_an_unknown_or_erased_contact_is_refused() -> None:
    with pytest.raises(errors.ContactNotFound):
        decide(command(), given(), BY_ID)
    with pytest.raises(errors.ContactIsErased):
        decide(command(), given(CREATED, Unreadable(type="contact.tagged")), BY_ID)
