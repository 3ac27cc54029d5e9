"""Any edits in any order: the contact is what a plain model says, and doing the same again does nothing."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from contacts.contact import commands as c
from contacts.contact.decider import Contact, decide, evolve
from tests.unit.contact.examples import NEWS, OFFERS, ann, edit
from tests.unit.scenario import AT

WORDS = st.sampled_from(["a", "b", "A", "c"])
VALUES = st.none() | WORDS
ATTRIBUTES = st.dictionaries(
    st.sampled_from(["x", "y"]), st.none() | st.sampled_from([1, True, "1", ("1",)]), max_size=2
)
DETAILS = st.fixed_dictionaries(
    {},
    optional={
        "first_name": VALUES,
        "assignee": VALUES,
        "campaign_opt_in": st.none() | st.booleans(),
        "address": st.none() | st.builds(c.AddressDetails, city=VALUES),
        "attributes": st.none() | ATTRIBUTES,
        "tags": st.lists(WORDS, max_size=3).map(tuple),
        "lists": st.lists(st.sampled_from([NEWS, OFFERS]), max_size=3).map(tuple),
        "categories": st.lists(WORDS, max_size=3).map(tuple),
    },
)


@settings(deadline=None, max_examples=300)
@given(st.lists(DETAILS, max_size=6))
def test_a_contact_is_what_its_edits_say(edits: list[dict[str, Any]]) -> None:
    contact = ann().state
    model: dict[str, Any] = {"first_name": "Ann", "attributes": {}, "tags": {}, "lists": set(), "categories": set()}
    for details in edits:
        command = edit(**details)
        contact = _fold(contact, decide(command, contact))
        assert decide(command, contact) == []
        _apply(model, details)
        assert _shown(contact) == {**_shown(ann().state), **model, "tags": set(model["tags"])}


def _fold(contact: Contact, events: list[Any]) -> Contact:
    for event in events:
        contact = evolve(contact, event, AT)
    return contact


def _apply(model: dict[str, Any], details: dict[str, Any]) -> None:
    for name, value in details.items():
        if name == "attributes":
            wanted = dict.fromkeys(model[name]) if value is None else value
            model[name] = {key: held for key, held in {**model[name], **wanted}.items() if held is not None}
        elif name == "tags":
            model[name] = {tag.casefold() for tag in value}
        elif name in ("lists", "categories"):
            model[name] = set(value)
        elif name == "address":
            city = None if value is None else value.city
            model[name] = city
        else:
            model[name] = value


def _shown(contact: Contact) -> dict[str, Any]:
    return {
        "first_name": contact.first_name,
        "assignee": contact.assignee,
        "campaign_opt_in": contact.campaign_opt_in,
        "address": contact.address and contact.address.city,
        "attributes": contact.attributes,
        "tags": {tag.casefold() for tag in contact.tags},
        "lists": set(contact.lists),
        "categories": set(contact.categories),
    }
