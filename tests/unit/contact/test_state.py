"""The fold of a contact: total, exact, and complete for every event there is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, get_args
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contacts.catalog import CODEC
from contacts.contact import events as e
from contacts.contact import state
from contacts.contact.state import Channel, Contact, evolve, initial
from eventstore.envelope import Unreadable
from tests.unit.contact.examples import ANN, BEN, CREATED, MERGE, NEWS, OFFERS, ann, nobody
from tests.unit.scenario import AT

LATER = AT + timedelta(days=1)
EXAMPLES: list[Any] = [
    CREATED,
    e.ContactCreated(
        source="import",
        external_id="c-1",
        phone="+4930901820",
        address=e.Address(city="Ulm"),
        location=e.Location(latitude=48.4, longitude=9.99, source="gps", at=AT),
        tags=("a", "b"),
        lists=(NEWS,),
        categories=("weekly",),
        attributes={"plan": "gold", "seats": 3, "score": 1.5, "beta": True, "colours": ("red", "blue")},
        channels=(e.ChannelIdentity(kind="viber", token="1"),),
        campaign_opt_in=False,
        consent_attested=True,
    ),
    e.ContactDetailsChanged(
        first_name=None, phone="+4930901821", attributes={"plan": None}, lists_added=(NEWS,), categories_removed=("x",)
    ),
    e.ContactTagged(tags=("vip",)),
    e.ContactUntagged(tags=("vip",)),
    e.ContactListed(lists=(NEWS,)),
    e.ContactUnlisted(lists=(NEWS,)),
    e.ContactChannelConnected(channel=e.ChannelIdentity(kind="telegram", token="1"), connected_at=AT),
    e.ContactChannelSeen(kind="telegram", token="1", seen_at=LATER),
    e.ContactChannelDisconnected(kind="telegram", token="1"),
    e.ContactBlocked(reason="abuse"),
    e.ContactUnblocked(),
    e.ContactDeleted(reason="asked"),
    e.ContactRestored(),
    e.ContactMerged(merge_id=MERGE, others=(BEN, NEWS), choices={"email": BEN, "attributes.plan": ANN}),
    e.ContactAbsorbed(merge_id=MERGE, into=BEN),
    e.ContactUnmerged(
        merge_id=MERGE,
        contacts=(BEN,),
        mode="single",
        reattached=(e.Reattached(contact=OFFERS, merge_id=NEWS, instead_of=BEN),),
        given={"first_name": e.Given(since=2)},
    ),
    e.ContactReinstated(merge_id=MERGE, out_of=BEN, mode="single"),
    e.ContactErased(erasure_id=MERGE, reason="person_asked"),
]


def test_every_event_of_a_contact_can_be_folded_and_stored() -> None:
    kinds = set(get_args(e.ContactEvent))
    assert kinds | {Unreadable} == set(state._EVOLVE)
    assert {type(example) for example in EXAMPLES} == kinds
    assert all(CODEC.encode(example)[0].startswith("contact.") for example in EXAMPLES)


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_an_event_is_the_same_after_the_log(event: Any) -> None:
    name, schema_version, payload = CODEC.encode(event)
    assert CODEC.decode(name, schema_version, payload) == event


@settings(deadline=None)
@given(st.lists(st.sampled_from([*EXAMPLES, Unreadable(type="contact.tagged")]), max_size=12))
def test_any_events_in_any_order_can_be_folded(events: list[Any]) -> None:
    contact = nobody().given(*events).state
    assert contact.version == len(events)
    assert contact.erased == any(isinstance(event, Unreadable | e.ContactErased) for event in events)
    decoded = msgspec.msgpack.decode(msgspec.msgpack.encode(contact), type=Contact)
    assert decoded == contact


def test_a_creation_is_taken_over_field_by_field() -> None:
    full = EXAMPLES[1]
    contact = evolve(initial(ANN), full, AT)
    shared = set(full.__struct_fields__) - {"channels"}
    assert {name: getattr(contact, name) for name in shared} == {name: getattr(full, name) for name in shared}
    assert contact.channels == (Channel(kind="viber", token="1", first_seen_at=AT, last_seen_at=AT),)
    assert (contact.created_at, contact.changed_at, contact.version) == (AT, AT, 1)


def test_the_change_date_follows_every_change_but_being_seen() -> None:
    telegram = e.ContactChannelConnected(channel=e.ChannelIdentity(kind="telegram", token="1"))
    seen = e.ContactChannelSeen(kind="telegram", token="1", seen_at=LATER)
    contact = ann(telegram).given(seen, at=LATER).state
    assert (contact.changed_at, contact.channels[0].last_seen_at) == (AT, LATER)
    assert ann().given(e.ContactTagged(tags=("a",)), at=LATER).state.changed_at == LATER


def test_connecting_a_channel_again_takes_it_to_the_end() -> None:
    one, two = (e.ContactChannelConnected(channel=e.ChannelIdentity(kind="viber", token=token)) for token in "12")
    assert [channel.token for channel in ann(one, two, one).state.channels] == ["2", "1"]


def test_an_erased_contact_keeps_its_shape() -> None:
    contact = nobody().given(Unreadable(type="contact.created"), e.ContactDeleted(reason="asked")).state
    assert (contact.erased, contact.deleted, contact.version, contact.created_at) == (True, True, 2, AT)


@pytest.mark.parametrize(
    ("first", "last", "full"),
    [("Ann", "Lee", "Ann Lee"), ("Ann", None, "Ann"), (None, "Lee", "Lee"), (None, None, None)],
)
def test_the_full_name_is_what_there_is_of_it(first: str | None, last: str | None, full: str | None) -> None:
    assert Contact(id=UUID(int=1), first_name=first, last_name=last).full_name == full
