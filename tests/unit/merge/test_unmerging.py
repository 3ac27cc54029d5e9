"""Unmerging: who comes out, what is recorded, and that everybody gets back exactly what it was."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from contacts import errors
from contacts.contact import commands as c
from contacts.contact import events as e
from contacts.contact.state import Contact
from contacts.merge.decider import Plan
from contacts.merge.edits import edits
from contacts.merge.events import MergeReversed
from eventstore.envelope import Unreadable
from tests.support.gathering import Gathering

A, B, C, D, X = (UUID(int=number) for number in range(0xA, 0xF))
M1, M2, M3 = (UUID(int=number) for number in range(0xE1, 0xE4))


@pytest.fixture
def book() -> Gathering:
    book = Gathering()
    book.create(A, email="ann@example.com", first_name="Ann", tags=("a",))
    book.create(B, email="ben@example.com", last_name="Bell", tags=("b",), attributes={"plan": "gold"})
    book.create(C, email="cleo@example.com", last_name="Cole", tags=("c",), country="DE")
    book.create(D, email="dora@example.com", language="de", tags=("d",))
    return book


def facts(contact: Contact) -> Contact:
    """All but what every event changes."""
    return replace(contact, version=0, changed_at=None)


# -- what is recorded -------------------------------------------------------------------------------------------------


def test_an_unmerge_is_recorded_with_everybody_concerned(book: Gathering) -> None:
    book.merge(M1, A, B, C)
    assert book.unmerge(M1, B) == Plan(
        contacts={
            A: (e.ContactUnmerged(merge_id=M1, contacts=(B,)),),
            B: (e.ContactReinstated(merge_id=M1, out_of=A),),
        },
        merge=(MergeReversed(contacts=(B,), out_of=A),),
    )
    assert (book.merges[M1].merged, book.shown(A).absorbed) == ((C,), (C,))


def test_the_profile_it_was_shown_in_is_told_as_well(book: Gathering) -> None:
    book.merge(M1, B, C)
    book.merge(M2, A, B)
    before = book.contacts[A].version
    plan = book.unmerge(M1)
    unmerged = e.ContactUnmerged(merge_id=M1, contacts=(C,))
    assert plan.contacts == {A: (unmerged,), B: (unmerged,), C: (e.ContactReinstated(merge_id=M1, out_of=A),)}
    assert book.contacts[A].version == before + 1, "its version covers the whole tree"


def test_one_that_leaves_alone_leaves_its_own_with_the_profile(book: Gathering) -> None:
    book.merge(M1, B, C, D)
    book.merge(M2, A, B)
    plan = book.unmerge(M2, mode="single")
    assert plan.contacts[A] == (
        e.ContactUnmerged(
            merge_id=M2,
            contacts=(B,),
            mode="single",
            reattached=(
                e.Reattached(contact=C, merge_id=M1, instead_of=B),
                e.Reattached(contact=D, merge_id=M1, instead_of=B),
            ),
        ),
    )
    assert plan.contacts[C] == (e.ContactAbsorbed(merge_id=M1, into=A),)
    assert (book.shown(A).absorbed, book.shown(A).tags) == ((C, D), ("a", "c", "d"))
    assert (book.shown(B).absorbed, book.shown(B).tags) == ((), ("b",))
    assert book.root_of(C) == A
    book.unmerge(M1, D)
    assert book.shown(A).absorbed == (C,)
    book.unmerge(M1)
    assert book.shown(A).tags == ("a",)
    assert all(book.contacts[each].composition is None for each in (A, B, C, D))


def test_a_subtree_comes_back_with_all_it_had(book: Gathering) -> None:
    book.merge(M1, B, C)
    was = book.shown(B)
    book.merge(M2, A, B)
    book.unmerge(M2)
    assert facts(book.shown(B)) == facts(was)
    assert book.root_of(C) == B


# -- who can leave ----------------------------------------------------------------------------------------------------


def test_unmerging_twice_changes_nothing(book: Gathering) -> None:
    book.merge(M1, A, B, C)
    book.unmerge(M1, B)
    assert book.plan_unmerge(M1, B) == Plan(done_by=M1)
    assert [event.contacts for event in book.plan_unmerge(M1, B, C).merge if isinstance(event, MergeReversed)] == [(C,)]
    book.unmerge(M1)
    assert book.plan_unmerge(M1) == Plan(done_by=M1)


def test_only_contacts_of_a_known_merge_can_leave_it(book: Gathering) -> None:
    book.merge(M1, A, B)
    with pytest.raises(errors.MergeNotFound):
        book.unmerge(M2)
    for contact in (A, C):
        with pytest.raises(errors.NotInMerge) as refused:
            book.unmerge(M1, B, contact)
        assert refused.value.contact_id == contact


def test_an_erased_profile_cannot_come_apart(book: Gathering) -> None:
    book.merge(M1, A, B)
    book.given(A, Unreadable(type="contact.tagged"))  # type: ignore[arg-type]
    with pytest.raises(errors.ContactIsErased):
        book.unmerge(M1)


def test_out_of_a_deleted_profile_contacts_come_back_present(book: Gathering) -> None:
    book.merge(M1, A, B)
    book.do(c.DeleteContact, B, reason="asked")
    book.unmerge(M1)
    assert (book.shown(A).deleted, book.shown(B).deleted) == (True, False)


# -- what everybody gets back -----------------------------------------------------------------------------------------


def test_everybody_gets_back_exactly_what_it_was(book: Gathering) -> None:
    was = {each: facts(book.shown(each)) for each in (A, B, C, D)}
    book.merge(M1, B, C, last_name=C)
    book.merge(M2, D, B, email=C)
    book.merge(M3, A, D)
    for merge in (M2, M3, M1):
        book.unmerge(merge)
    assert {each: facts(book.shown(each)) for each in (A, B, C, D)} == was


def test_edits_of_the_profile_stay_with_the_primary(book: Gathering) -> None:
    book.merge(M1, A, B)
    book.edit(B, first_name="Anna", last_name="Lee", tags=("new",))
    book.unmerge(M1)
    assert (book.shown(A).first_name, book.shown(A).last_name, book.shown(A).tags) == ("Anna", "Lee", ("new",))
    assert (book.shown(B).first_name, book.shown(B).last_name, book.shown(B).tags) == (None, "Bell", ("b",))


# -- edits that go with the one that leaves ---------------------------------------------------------------------------


def edited(book: Gathering, contact: UUID) -> dict[str, tuple[UUID, Any, Any]]:
    found = edits(book.profile(contact), contact, book.before(contact))
    return {field: (edit.contact, edit.before, edit.now) for field, edit in found.items()}


def test_edits_since_the_merge_are_known(book: Gathering) -> None:
    book.edit(A, country="AT")
    book.merge(M1, B, C)
    book.edit(B, attributes={"plan": "free"})
    book.merge(M2, A, B)
    book.edit(A, first_name="Anna", attributes={"plan": None}, tags=("a", "new"))
    book.edit(A, last_name="Lee")
    book.edit(A, last_name=None)
    of_a = {
        "first_name": (A, "Ann", "Anna"),
        "tags": (A, ("a",), ("a", "new")),
    }
    assert edited(book, B) == of_a
    assert edited(book, C) == of_a | {"attributes.plan": (B, "gold", "free")}


def test_an_edit_can_go_with_the_one_that_leaves(book: Gathering) -> None:
    book.merge(M1, A, B)
    book.edit(A, first_name="Benedict", last_name="Bellamy", attributes={"plan": "free"}, tags=("a", "new"))
    plan = book.unmerge(M1, first_name=B, last_name=B, attributes__plan=B, tags=B)
    assert plan.merge == (
        MergeReversed(
            contacts=(B,),
            out_of=A,
            assigned={"first_name": B, "last_name": B, "attributes.plan": B, "tags": B},
        ),
    )
    primary, secondary = book.shown(A), book.shown(B)
    assert (primary.first_name, primary.last_name, primary.attributes, primary.tags) == ("Ann", None, {}, ("a",))
    assert (secondary.first_name, secondary.last_name) == ("Benedict", "Bellamy")
    assert (secondary.attributes, secondary.tags) == ({"plan": "free"}, ("new",))


def test_what_an_edit_covered_shows_again_when_it_goes(book: Gathering) -> None:
    book.merge(M1, A, C, country=C, last_name=C)
    book.edit(A, last_name="Lee")
    book.merge(M2, A, B)
    book.edit(A, country="AT", last_name="Lea", tags=("a",))
    book.unmerge(M2, country=B, last_name=B, tags=B)
    shown = book.shown(A)
    assert (shown.country, shown.last_name, shown.tags) == ("DE", "Lee", ("a", "c"))
    assert (book.shown(B).country, book.shown(B).last_name, book.shown(B).tags) == ("AT", "Lea", ())


def test_an_edit_on_a_contact_in_between_can_go_as_well(book: Gathering) -> None:
    book.merge(M1, B, C)
    book.merge(M2, D, B)
    book.edit(D, country="AT")
    book.merge(M3, A, D)
    plan = book.unmerge(M1, country=C)
    assert list(plan.contacts) == [A, B, D, C]
    assert book.contacts[D].country is None
    assert (book.shown(A).country, book.shown(C).country) == (None, "AT")


def test_only_edits_can_be_assigned_and_only_to_those_that_leave(book: Gathering) -> None:
    book.merge(M1, A, B, C)
    book.edit(A, first_name="Anna")
    with pytest.raises(errors.InvalidInput) as refused:
        book.unmerge(M1, B, first_name=C, last_name=B, nonsense=B)
    assert [wrong.pointer for wrong in refused.value.errors] == [
        "/assign/first_name", "/assign/last_name", "/assign/nonsense",
    ]  # fmt: skip
