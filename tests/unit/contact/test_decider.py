"""The rules of a contact, command by command."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from contacts import errors
from contacts.contact import commands as c
from contacts.contact import decider
from contacts.contact import events as e
from eventstore.envelope import Unreadable
from tests.unit.contact.examples import ANN, NEWS, OFFERS, ann, create, edit, nobody, of_ann
from tests.unit.scenario import AT

PUSH = e.ChannelIdentity(kind="web_push", application="shop", device="laptop", token="t1")
TELEGRAM = e.ChannelIdentity(kind="telegram", token="4711")


# -- create -----------------------------------------------------------------------------------------------------------


def test_creating_records_what_is_known_and_nothing_else() -> None:
    command = create(first_name="Ann", last_name=None, email="ann@example.com", tags=("vip",), lists=(NEWS,))
    nobody().when(command).then(
        e.ContactCreated(source="api", first_name="Ann", email="ann@example.com", tags=("vip",), lists=(NEWS,))
    )


@pytest.mark.parametrize(
    "identity",
    [
        {"email": "ann@example.com"},
        {"phone": "+4930901820"},
        {"external_id": "c-1"},
        {"channels": (TELEGRAM,)},
    ],
)
def test_one_way_to_recognise_a_contact_is_enough(identity: dict[str, Any]) -> None:
    nobody().when(create(**identity)).then(e.ContactCreated(source="api", **identity))


def test_a_contact_that_nobody_could_recognise_is_refused() -> None:
    nobody().when(create(first_name="Ann", messaging_id="m-1")).then_refused(errors.IdentityMissing)


def test_an_id_in_use_cannot_be_created_again() -> None:
    ann().when(create(email="eve@example.com")).then_refused(errors.ContactAlreadyExists, contact_id=ANN)


def test_creating_by_hand_demands_that_consent_is_attested() -> None:
    nobody().when(create("manual", email="a@example.com")).then_refused(errors.ConsentNotAttested)
    nobody().when(create("manual", email="a@example.com", consent_attested=True)).then(
        e.ContactCreated(source="manual", email="a@example.com", consent_attested=True)
    )


def test_an_external_id_is_demanded_where_the_workspace_says_so() -> None:
    command = create(email="a@example.com", external_id_required=True)
    nobody().when(command).then_refused(errors.ExternalIdRequired)


def test_sets_are_stored_sorted_and_once() -> None:
    command = create(
        email="a@example.com", tags=("vip", "New", "VIP"), lists=(OFFERS, NEWS, NEWS), categories=("b", "a", "b")
    )
    nobody().when(command).then(
        e.ContactCreated(
            source="api", email="a@example.com", tags=("New", "vip"), lists=(NEWS, OFFERS), categories=("a", "b")
        )
    )


def test_empty_parts_are_not_recorded() -> None:
    command = create(
        email="a@example.com", address=c.AddressDetails(city=None), attributes={"plan": None}, avatar_url=None
    )
    nobody().when(command).then(e.ContactCreated(source="api", email="a@example.com"))


def test_a_channel_given_twice_is_one_channel() -> None:
    command = create(channels=(TELEGRAM, TELEGRAM))
    nobody().when(command).then(e.ContactCreated(source="api", channels=(TELEGRAM,)))


# -- edit -------------------------------------------------------------------------------------------------------------


def test_an_edit_records_only_what_changes() -> None:
    ann().when(edit(first_name="Anna", email="ann@example.com")).then(e.ContactDetailsChanged(first_name="Anna"))


def test_saving_what_is_already_so_writes_nothing() -> None:
    details = e.ContactDetailsChanged(attributes={"plan": "gold"}, address=e.Address(city="Ulm"))
    given = ann(details, e.ContactListed(lists=(NEWS,)))
    given.when(
        edit(
            first_name="Ann",
            last_name=None,
            address=c.AddressDetails(city="Ulm", street=None),
            attributes={"plan": "gold", "since": None},
            lists=(NEWS,),
            tags=(),
        )
    ).then_nothing_happened()


def test_null_clears_a_field() -> None:
    after = ann().when(edit(first_name=None)).then(e.ContactDetailsChanged(first_name=None))
    assert after.state.first_name is None


def test_an_address_is_patched_by_part_and_recorded_whole() -> None:
    given = ann(e.ContactDetailsChanged(address=e.Address(city="Ulm", street="Main 1")))
    given.when(edit(address=c.AddressDetails(street="Main 2"))).then(
        e.ContactDetailsChanged(address=e.Address(city="Ulm", street="Main 2"))
    )


def test_an_address_that_lost_its_last_part_is_gone() -> None:
    given = ann(e.ContactDetailsChanged(address=e.Address(city="Ulm")))
    given.when(edit(address=c.AddressDetails(city=None))).then(e.ContactDetailsChanged(address=None))


def test_attributes_are_patched_by_key() -> None:
    given = ann(e.ContactDetailsChanged(attributes={"plan": "gold", "seats": 3}))
    after = given.when(edit(attributes={"plan": None, "seats": 3, "beta": True})).then(
        e.ContactDetailsChanged(attributes={"plan": None, "beta": True})
    )
    assert after.state.attributes == {"seats": 3, "beta": True}


def test_attributes_as_a_whole_can_be_cleared() -> None:
    given = ann(e.ContactDetailsChanged(attributes={"plan": "gold"}))
    given.when(edit(attributes=None)).then(e.ContactDetailsChanged(attributes={"plan": None}))


def test_true_and_one_are_different_values_of_an_attribute() -> None:
    given = ann(e.ContactDetailsChanged(attributes={"x": 1}))
    given.when(edit(attributes={"x": True})).then(e.ContactDetailsChanged(attributes={"x": True}))


def test_replacing_sets_records_what_came_and_what_went() -> None:
    given = ann(
        e.ContactDetailsChanged(categories_added=("a",)),
        e.ContactTagged(tags=("vip",)),
        e.ContactListed(lists=(NEWS,)),
    )
    given.when(edit(lists=(OFFERS,), categories=("a", "b"), tags=("new",))).then(
        e.ContactDetailsChanged(categories_added=("b",)),
        e.ContactTagged(tags=("new",)),
        e.ContactUntagged(tags=("vip",)),
        e.ContactListed(lists=(OFFERS,)),
        e.ContactUnlisted(lists=(NEWS,)),
    )


def test_an_edit_may_not_leave_a_contact_that_nobody_could_recognise() -> None:
    ann().when(edit(email=None)).then_refused(errors.IdentityMissing)


def test_a_required_external_id_cannot_be_taken_away() -> None:
    given = ann(e.ContactDetailsChanged(external_id="c-1"))
    command = c.EditContact(
        workspace_id=ANN, contact_id=ANN, details=c.Details(external_id=None), external_id_required=True
    )
    given.when(command).then_refused(errors.ExternalIdRequired)


def test_a_contact_older_than_the_demand_for_external_ids_can_still_be_edited() -> None:
    command = c.EditContact(
        workspace_id=ANN, contact_id=ANN, details=c.Details(first_name="Anna"), external_id_required=True
    )
    ann().when(command).then(e.ContactDetailsChanged(first_name="Anna"))


@pytest.mark.parametrize(("what", "limit"), [("tags", 1_000), ("categories", 1_000)])
def test_no_set_of_a_contact_grows_without_bound(what: str, limit: int) -> None:
    too_many = tuple(f"{n:04}" for n in range(limit + 1))
    ann().when(edit(**{what: too_many})).then_refused(errors.TooMany, what=what, limit=limit)
    nobody().when(create(email="a@example.com", **{what: too_many})).then_refused(errors.TooMany, what=what)


# -- tags and lists ---------------------------------------------------------------------------------------------------


def test_tagging_records_only_new_tags() -> None:
    ann(e.ContactTagged(tags=("vip",))).when(of_ann(c.TagContact, tags=("b", "vip", "a"))).then(
        e.ContactTagged(tags=("a", "b"))
    )


def test_a_tag_in_other_case_is_the_same_tag() -> None:
    given = ann(e.ContactTagged(tags=("VIP",)))
    given.when(of_ann(c.TagContact, tags=("vip",))).then_nothing_happened()
    given.when(of_ann(c.UntagContact, tags=("vip",))).then(e.ContactUntagged(tags=("VIP",)))


def test_untagging_what_is_not_tagged_changes_nothing() -> None:
    ann().when(of_ann(c.UntagContact, tags=("vip",))).then_nothing_happened()


def test_lists_are_joined_and_left_once() -> None:
    after = ann().when(of_ann(c.AddContactToLists, lists=(NEWS, NEWS))).then(e.ContactListed(lists=(NEWS,)))
    after.when(of_ann(c.RemoveContactFromLists, lists=(NEWS, OFFERS))).then(e.ContactUnlisted(lists=(NEWS,)))


def test_lists_joined_by_an_edit_of_before_are_left_all_the_same() -> None:
    given = ann(e.ContactDetailsChanged(lists_added=(NEWS,)))
    given.when(of_ann(c.AddContactToLists, lists=(NEWS,))).then_nothing_happened()
    given.when(of_ann(c.RemoveContactFromLists, lists=(NEWS,))).then(e.ContactUnlisted(lists=(NEWS,)))


# -- channels ---------------------------------------------------------------------------------------------------------


def test_a_channel_is_connected_once() -> None:
    after = ann().when(of_ann(c.ConnectChannel, channel=TELEGRAM)).then(e.ContactChannelConnected(channel=TELEGRAM))
    assert after.state.channels[0].first_seen_at == AT


def test_a_new_token_of_a_device_replaces_the_old_one() -> None:
    rotated = e.ChannelIdentity(kind="web_push", application="shop", device="laptop", token="t2")
    ann(e.ContactChannelConnected(channel=PUSH)).when(of_ann(c.ConnectChannel, channel=rotated)).then(
        e.ContactChannelDisconnected(kind="web_push", application="shop", token="t1", reason="replaced"),
        e.ContactChannelConnected(channel=rotated),
    )


def test_tokens_of_several_devices_stand_side_by_side() -> None:
    phone = e.ChannelIdentity(kind="web_push", application="shop", device="phone", token="t2")
    after = (
        ann(e.ContactChannelConnected(channel=PUSH))
        .when(of_ann(c.ConnectChannel, channel=phone))
        .then(e.ContactChannelConnected(channel=phone))
    )
    assert [channel.token for channel in after.state.channels] == ["t1", "t2"]


def test_being_seen_later_is_recorded_and_earlier_is_not() -> None:
    given = ann(e.ContactChannelConnected(channel=TELEGRAM))
    later = AT + timedelta(hours=1)
    after = given.when(of_ann(c.SeeChannel, kind="telegram", token="4711", seen_at=later)).then(
        e.ContactChannelSeen(kind="telegram", token="4711", seen_at=later)
    )
    assert (after.state.channels[0].first_seen_at, after.state.channels[0].last_seen_at) == (AT, later)
    given.when(of_ann(c.SeeChannel, kind="telegram", token="4711", seen_at=AT)).then_nothing_happened()


def test_nothing_inbound_counts_while_blocked() -> None:
    given = ann(e.ContactChannelConnected(channel=TELEGRAM), e.ContactBlocked())
    seen = of_ann(c.SeeChannel, kind="telegram", token="4711", seen_at=AT + timedelta(hours=1))
    given.when(seen).then_nothing_happened()


def test_an_unknown_channel_cannot_be_seen() -> None:
    seen = of_ann(c.SeeChannel, kind="telegram", token="0", seen_at=AT)
    ann().when(seen).then_refused(errors.ChannelNotFound, contact_id=ANN, kind="telegram")


def test_a_channel_is_disconnected_once() -> None:
    ann(e.ContactChannelConnected(channel=TELEGRAM)).when(
        of_ann(c.DisconnectChannel, kind="telegram", token="4711", reason="bot blocked")
    ).then(e.ContactChannelDisconnected(kind="telegram", token="4711", reason="bot blocked"))


def test_the_last_thing_a_contact_is_known_by_cannot_be_disconnected() -> None:
    given = nobody().given(e.ContactCreated(source="message_channel", channels=(TELEGRAM,)))
    given.when(of_ann(c.DisconnectChannel, kind="telegram", token="4711")).then_refused(errors.IdentityMissing)


# -- block, delete, restore -------------------------------------------------------------------------------------------


def test_blocking_and_unblocking_keep_the_reason() -> None:
    after = ann().when(of_ann(c.BlockContact, reason="abuse")).then(e.ContactBlocked(reason="abuse"))
    assert (after.state.blocked, after.state.blocked_reason, after.state.blocked_at) == (True, "abuse", AT)
    after = after.when(of_ann(c.UnblockContact, reason="sorted out")).then(e.ContactUnblocked(reason="sorted out"))
    assert (after.state.blocked, after.state.blocked_reason, after.state.blocked_at) == (False, None, None)


def test_a_blocked_contact_can_still_be_edited() -> None:
    ann(e.ContactBlocked()).when(edit(first_name="Anna")).then(e.ContactDetailsChanged(first_name="Anna"))


def test_deleting_hides_and_keeps_the_reason() -> None:
    after = ann().when(of_ann(c.DeleteContact, reason="asked us to")).then(e.ContactDeleted(reason="asked us to"))
    assert (after.state.deleted, after.state.deletion_reason) == (True, "asked us to")


def test_restoring_brings_back_exactly_what_was_deleted() -> None:
    before = ann(e.ContactTagged(tags=("vip",)), e.ContactBlocked(reason="x"))
    after = before.given(e.ContactDeleted(reason="oops")).when(of_ann(c.RestoreContact)).then(e.ContactRestored())
    assert replace(after.state, version=before.state.version) == before.state


def test_restoring_a_present_contact_changes_nothing() -> None:
    ann().when(of_ann(c.RestoreContact)).then_nothing_happened()


ORDERS = [
    edit(first_name="Anna"),
    of_ann(c.TagContact, tags=("vip",)),
    of_ann(c.UntagContact, tags=("vip",)),
    of_ann(c.AddContactToLists, lists=(NEWS,)),
    of_ann(c.RemoveContactFromLists, lists=(NEWS,)),
    of_ann(c.ConnectChannel, channel=TELEGRAM),
    of_ann(c.SeeChannel, kind="telegram", token="4711", seen_at=AT),
    of_ann(c.DisconnectChannel, kind="telegram", token="4711"),
    of_ann(c.BlockContact),
    of_ann(c.UnblockContact),
]


@pytest.mark.parametrize("command", ORDERS, ids=lambda command: type(command).__name__)
def test_a_deleted_contact_can_only_be_restored(command: Any) -> None:
    ann(e.ContactDeleted(reason="x")).when(command).then_refused(errors.ContactIsDeleted, contact_id=ANN)


@pytest.mark.parametrize(
    "command",
    [*ORDERS, of_ann(c.DeleteContact, reason="x"), of_ann(c.RestoreContact)],
    ids=lambda command: type(command).__name__,
)
def test_a_contact_that_never_was_takes_no_commands(command: Any) -> None:
    nobody().when(command).then_refused(errors.ContactNotFound, contact_id=ANN)


@pytest.mark.parametrize("command", [*ORDERS, of_ann(c.RestoreContact)], ids=lambda command: type(command).__name__)
def test_an_erased_contact_takes_no_commands(command: Any) -> None:
    given = nobody().given(Unreadable(type="contact.created"))
    given.when(command).then_refused(errors.ContactIsErased, contact_id=ANN)


def test_every_command_has_a_rule() -> None:
    commands = set(c.ContactCommand.__args__) - {c.CreateContact}
    assert commands == set(decider._DECIDE)
