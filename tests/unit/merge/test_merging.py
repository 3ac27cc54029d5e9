"""Merging: who may be merged, what is recorded, whose values are shown."""

from __future__ import annotations

from uuid import UUID

import pytest

from contacts import errors
from contacts.contact import commands as c
from contacts.contact import events as e
from contacts.merge.decider import WIDTH_MAX, Plan
from contacts.merge.events import MergeCompleted
from eventstore.envelope import Unreadable
from tests.support.gathering import Gathering

A, B, C, D, X = (UUID(int=number) for number in range(0xA, 0xF))
M1, M2, M3 = (UUID(int=number) for number in range(0xE1, 0xE4))


@pytest.fixture
def book() -> Gathering:
    book = Gathering()
    book.create(A, email="ann@example.com", first_name="Ann")
    book.create(B, email="ben@example.com", last_name="Bell", phone="+4930901820", external_id="b-1")
    book.create(C, email="cleo@example.com", last_name="Cole", country="DE", attributes={"plan": "gold", "seats": 2})
    book.create(D, email="dora@example.com", language="de")
    return book


# -- what is recorded -------------------------------------------------------------------------------------------------


def test_a_merge_is_recorded_with_everybody_concerned_and_moves_no_fact(book: Gathering) -> None:
    plan = book.merge(M1, A, B, C, email=B)
    assert plan == Plan(
        contacts={
            A: (e.ContactMerged(merge_id=M1, others=(B, C), choices={"email": B}),),
            B: (e.ContactAbsorbed(merge_id=M1, into=A),),
            C: (e.ContactAbsorbed(merge_id=M1, into=A),),
        },
        merge=(MergeCompleted(primary=A, others=(B, C), choices={"email": B}),),
    )


def test_merging_into_an_absorbed_contact_is_merging_into_the_one_that_stands_for_it(book: Gathering) -> None:
    book.merge(M1, A, B)
    plan = book.merge(M2, B, C, first_name=B)
    assert plan.contacts[A] == (e.ContactMerged(merge_id=M2, others=(C,), choices={"first_name": A}),)
    assert book.shown(C).id == A


def test_what_is_merged_already_is_passed_over(book: Gathering) -> None:
    book.merge(M1, A, B)
    assert book.plan_merge(M2, A, B) == Plan(done_by=M1)
    assert (
        book.plan_merge(M2, B, A, C)
        if False
        else book.plan_merge(M2, A, B, C, C).merge == (MergeCompleted(primary=A, others=(C,)),)
    )


# -- who may be merged ------------------------------------------------------------------------------------------------


def test_nobody_is_merged_with_itself(book: Gathering) -> None:
    book.merge(M1, A, B)
    for primary, other in ((C, C), (B, A), (B, B)):
        with pytest.raises(errors.MergedWithItself) as refused:
            book.merge(M2, primary, other)
        assert refused.value.contact_id == other


def test_a_contact_that_is_part_of_another_is_refused_with_the_name_of_that(book: Gathering) -> None:
    book.merge(M1, A, B)
    book.merge(M2, C, A)
    with pytest.raises(errors.AlreadyAbsorbed) as refused:
        book.merge(M3, D, B)
    assert (refused.value.contact_id, refused.value.holder) == (B, C)


@pytest.mark.parametrize("place", ["primary", "other"])
def test_only_known_present_unblocked_contacts_can_be_merged(book: Gathering, place: str) -> None:
    book.create(X, email="x@example.com")
    stranger = UUID(int=0xFF)
    cases: list[tuple[UUID, e.ContactEvent | Unreadable | None, type[Exception]]] = [
        (stranger, None, errors.ContactNotFound),
        (B, e.ContactBlocked(), errors.ContactIsBlocked),
        (C, e.ContactDeleted(reason="asked"), errors.ContactIsDeleted),
        (D, Unreadable(type="contact.created"), errors.ContactIsErased),
    ]
    for contact, event, refusal in cases:
        if event is not None:
            book.given(contact, event)  # type: ignore[arg-type]
        with pytest.raises(refusal):
            book.merge(M1, *((contact, X) if place == "primary" else (X, contact)))


def test_a_merge_is_at_most_a_hundred_wide(book: Gathering) -> None:
    others = [UUID(int=number) for number in range(1000, 1001 + WIDTH_MAX)]
    for other in others:
        book.create(other, email="x@example.com")
    with pytest.raises(errors.TooMany) as refused:
        book.merge(M1, A, *others)
    assert refused.value.limit == WIDTH_MAX
    book.merge(M1, A, *others[1:])


def test_choices_name_a_field_and_somebody_in_the_merge(book: Gathering) -> None:
    book.merge(M1, B, D)
    with pytest.raises(errors.InvalidInput) as refused:
        book.merge(M2, A, B, C, email=X, nickname=B, attributes__nobodys=B, created_at=B, tags=B)
    assert [wrong.pointer for wrong in refused.value.errors] == [
        "/choices/email", "/choices/nickname", "/choices/attributes.nobodys", "/choices/created_at", "/choices/tags",
    ]  # fmt: skip
    book.merge(M2, A, B, C, language=D, attributes__plan=B, email=C)


# -- what is shown ----------------------------------------------------------------------------------------------------


def test_the_primary_s_values_stay_and_what_is_empty_is_filled_in_order(book: Gathering) -> None:
    book.merge(M1, A, B, C)
    shown = book.shown(A)
    assert (shown.first_name, shown.last_name, shown.email) == ("Ann", "Bell", "ann@example.com")
    assert (shown.country, shown.external_id) == ("DE", "b-1")
    assert shown.attributes == {"plan": "gold", "seats": 2}
    assert (shown.absorbed, shown.version, shown.created_at) == ((B, C), 2, book.contacts[A].created_at)


def test_a_chosen_value_is_shown_even_where_it_is_none(book: Gathering) -> None:
    book.merge(M1, A, B, C, first_name=B, last_name=A, email=C, attributes__plan=B)
    shown = book.shown(A)
    assert (shown.first_name, shown.last_name, shown.email) == (None, None, "cleo@example.com")
    assert shown.attributes == {"seats": 2}


def test_somebody_inside_one_of_the_others_can_be_chosen(book: Gathering) -> None:
    book.merge(M1, B, C)
    book.merge(M2, A, B, last_name=C)
    assert book.shown(A).last_name == "Cole"


def test_a_choice_is_over_when_the_chosen_one_leaves(book: Gathering) -> None:
    book.merge(M1, A, B, C, last_name=C)
    book.unmerge(M1, C)
    assert book.shown(A).last_name == "Bell"
    book.merge(M2, A, C)
    assert book.shown(A).last_name == "Bell", "an old choice does not come back with another merge"


def test_an_edit_after_the_merge_outweighs_it_and_a_later_merge_fills_again(book: Gathering) -> None:
    book.merge(M1, A, B, email=B)
    book.edit(A, email="new@example.com", last_name=None)
    assert (book.shown(A).email, book.shown(A).last_name) == ("new@example.com", None)
    book.merge(M2, A, C)
    assert (book.shown(A).email, book.shown(A).last_name) == ("new@example.com", "Cole")


def test_sets_are_united_and_what_looks_the_same_is_one(book: Gathering) -> None:
    news, offers = UUID(int=1), UUID(int=2)
    book.create(X, email="x@example.com", tags=("VIP", "x"), lists=(news,), categories=("weekly",))
    book.given(A, e.ContactTagged(tags=("vip",)), e.ContactDetailsChanged(lists_added=(offers,)))  # type: ignore[arg-type]
    book.merge(M1, A, X)
    shown = book.shown(A)
    assert (shown.tags, shown.lists, shown.categories) == (("vip", "x"), (news, offers), ("weekly",))


def test_what_is_taken_out_of_the_profile_stays_out_until_somebody_brings_it_again(book: Gathering) -> None:
    book.create(X, email="x@example.com", tags=("x", "y"))
    book.merge(M1, A, X)
    assert book.do(c.UntagContact, A, tags=("X",)) == [e.ContactUntagged(tags=("x",))]  # type: ignore[list-item]
    assert book.shown(A).tags == ("y",)
    book.given(B, e.ContactTagged(tags=("X",)))  # type: ignore[arg-type]
    book.merge(M2, A, B)
    assert book.shown(A).tags == ("X", "y")
    book.unmerge(M2)
    assert book.shown(A).tags == ("y",)
    book.unmerge(M1)
    assert (book.shown(A).tags, book.shown(X).tags) == ((), ("x", "y"))


def test_channels_come_together_with_when_they_were_seen(book: Gathering) -> None:
    viber = e.ChannelIdentity(kind="viber", token="1")
    push = e.ChannelIdentity(kind="web_push", token="p")
    book.given(B, e.ContactChannelConnected(channel=viber), e.ContactChannelConnected(channel=push))
    connected_at = book.now
    book.given(A, e.ContactChannelConnected(channel=viber))
    book.merge(M1, A, B)
    both = {channel.kind: channel for channel in book.shown(A).channels}
    assert (both["viber"].first_seen_at, both["viber"].last_seen_at) == (
        connected_at,
        book.contacts[A].channels[0].first_seen_at,
    )
    book.do(c.SeeChannel, A, kind="web_push", token="p", seen_at=book.now)
    assert {channel.kind: channel.last_seen_at for channel in book.shown(A).channels}["web_push"] > connected_at
    book.do(c.DisconnectChannel, A, kind="viber", token="1")
    assert [channel.kind for channel in book.shown(A).channels] == ["web_push"]
    book.unmerge(M1)
    assert book.shown(A).channels == ()
    assert [(channel.kind, channel.last_seen_at) for channel in book.shown(B).channels] == [
        ("viber", connected_at), ("web_push", connected_at),
    ]  # fmt: skip


def test_commands_are_decided_on_the_profile(book: Gathering) -> None:
    book.merge(M1, A, B)
    assert book.edit(B, last_name="Bell") == [], "it is shown so already"
    assert book.edit(B, phone=None) == [e.ContactDetailsChanged(phone=None)]
    assert book.shown(B).phone is None
    assert book.edit(A, email=None) == [e.ContactDetailsChanged(email=None)], "the external id is still there"
    with pytest.raises(errors.IdentityMissing):
        book.edit(A, external_id=None)
    book.do(c.BlockContact, B)
    assert book.shown(A).blocked
