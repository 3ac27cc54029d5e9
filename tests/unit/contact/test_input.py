"""What callers send for a contact: parsed whole, refused whole, with pointers."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from contacts import errors
from contacts.attributes import AttributeDefinition
from contacts.contact import input as contact_input
from contacts.contact.commands import AddressDetails, Details
from contacts.contact.decider import decide, initial
from contacts.contact.events import ChannelIdentity, Location
from contacts.contact.input import ContactInput, NewContactInput
from tests.unit.contact.examples import ANN, NEWS, workspace

PLAN = AttributeDefinition(key="plan", name="Plan", type="select", options=("silver", "gold"))
OLD = AttributeDefinition(key="old", name="Old", type="text", archived=True)
TALK = AttributeDefinition(key="talk", name="Talk", type="text", level="conversation")


def new(**body: Any) -> NewContactInput:
    return msgspec.json.decode(json.dumps(body), type=NewContactInput)


def patch(**body: Any) -> ContactInput:
    return msgspec.json.decode(json.dumps(body), type=ContactInput)


def faults(body: NewContactInput, *definitions: AttributeDefinition) -> dict[str, str]:
    with pytest.raises(errors.InvalidInput) as refused:
        contact_input.create_contact(body, workspace(*definitions), contact_id=ANN)
    return {error.pointer: error.reason for error in refused.value.errors}


def test_every_field_is_parsed_into_its_stored_form() -> None:
    body = new(
        external_id=" c-1 ",
        first_name="A\u0308nn",
        email=" Ann@Example.com ",
        phone="030 901820",
        country="de",
        language="DE_at",
        time_zone="europe/berlin",
        address={"city": "Ulm", "country": "de"},
        location={"latitude": 48, "longitude": 9.99},
        avatar_url="https://example.com/a.png",
        tags=["  big   spender "],
        lists=[str(NEWS)],
        categories=["weekly"],
        attributes={"plan": "gold"},
        channels=[{"kind": "Telegram", "token": "4711"}],
        campaign_opt_in=True,
        source="import",
    )
    command = contact_input.create_contact(body, workspace(PLAN), contact_id=ANN)
    assert command.details == Details(
        external_id="c-1",
        first_name="Änn",
        email="Ann@Example.com",
        phone="+4930901820",
        country="DE",
        language="de-AT",
        time_zone="Europe/Berlin",
        address=AddressDetails(city="Ulm", country="DE"),
        location=Location(latitude=48.0, longitude=9.99),
        avatar_url="https://example.com/a.png",
        tags=("big spender",),
        lists=(NEWS,),
        categories=("weekly",),
        attributes={"plan": "gold"},
        campaign_opt_in=True,
    )
    assert command.channels == (ChannelIdentity(kind="telegram", token="4711"),)
    assert command.source == "import"


def test_what_is_not_sent_stays_unset_and_null_clears() -> None:
    sent = patch(first_name=None, address=None, tags=None)
    details = contact_input.edit_contact(sent, workspace(), contact_id=ANN).details
    assert (details.first_name, details.address, details.tags) == (None, None, ())
    assert (details.last_name, details.lists, details.attributes) == (UNSET, UNSET, UNSET)


def test_everything_wrong_is_told_at_once_and_where() -> None:
    body = new(
        first_name="x" * 201,
        email="ann@",
        phone="12",
        country="UK",
        language="english",
        time_zone="CEST",
        address={"country": "Germany"},
        location={"latitude": 91, "longitude": 0},
        avatar_url="javascript:alert(1)",
        tags=["ok", " "],
        categories=["\u0000"],
        attributes={"plan": "bronze", "nope/~": 1, "old": "x", "talk": "x"},
        channels=[{"kind": "web push", "token": ""}],
        source="magic",
    )
    assert faults(body, PLAN, OLD, TALK).keys() == {
        "/first_name",
        "/email",
        "/phone",
        "/country",
        "/language",
        "/time_zone",
        "/address/country",
        "/location/latitude",
        "/avatar_url",
        "/tags/1",
        "/categories/0",
        "/attributes/plan",
        "/attributes/nope~1~0",
        "/attributes/old",
        "/attributes/talk",
        "/channels/0/kind",
        "/channels/0/token",
        "/source",
    }


def test_an_archived_attribute_can_be_cleared() -> None:
    details = contact_input.edit_contact(patch(attributes={"old": None}), workspace(OLD), contact_id=ANN).details
    assert details.attributes == {"old": None}


def test_a_national_number_needs_a_region() -> None:
    with pytest.raises(errors.InvalidInput, match="no default region"):
        contact_input.create_contact(new(phone="030 901820"), workspace(default_region=None), contact_id=ANN)


def test_unknown_fields_are_refused_by_the_decoder() -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        new(emial="ann@example.com")


def test_an_upsert_sets_the_field_it_is_addressed_by_only_where_it_creates() -> None:
    sent = new(first_name="Ann")
    command = contact_input.upsert_contact("email", "Ann@example.com", sent, workspace(), contact_id=ANN)
    assert command.create.details == Details(first_name="Ann", email="Ann@example.com")
    assert command.edit.details == Details(first_name="Ann")
    assert command.value == "Ann@example.com"


def test_an_upsert_may_spell_its_key_differently_but_not_name_another() -> None:
    same = new(email="ANN@example.com")
    command = contact_input.upsert_contact("email", "ann@example.com", same, workspace(), contact_id=ANN)
    assert command.edit.details.email == "ANN@example.com"
    for other in (new(email="eve@example.com"), new(email=None)):
        with pytest.raises(errors.InvalidInput, match="differs"):
            contact_input.upsert_contact("email", "ann@example.com", other, workspace(), contact_id=ANN)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
TEXTS = st.none() | st.text(max_size=30)
TEXT_FIELDS = ["external_id", "first_name", "email", "phone", "country", "time_zone", "language", "avatar_url"]


@settings(deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(TEXT_FIELDS, TEXTS)
        | {
            "tags": st.none() | st.lists(st.text(max_size=10), max_size=3),
            "categories": st.none() | st.lists(st.text(max_size=10), max_size=3),
            "attributes": st.none() | st.dictionaries(st.sampled_from(["plan", "old", "talk", "x"]), JSON, max_size=3),
            "address": st.fixed_dictionaries({}, optional={"city": TEXTS, "country": TEXTS}),
        },
    )
)
def test_any_input_is_either_parsed_or_refused_with_reasons(body: dict[str, Any]) -> None:
    try:
        sent = msgspec.convert(body, NewContactInput)
        command = contact_input.create_contact(sent, workspace(PLAN, OLD, TALK), contact_id=uuid4())
        events = decide(command, initial(command.contact_id))
    except (msgspec.ValidationError, errors.Refusal):
        return
    assert len(events) == 1
