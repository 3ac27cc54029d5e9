"""How alike two contacts are: what is found in which pair, what it comes to, and which rules no pair breaks."""

from __future__ import annotations

from itertools import groupby
from typing import Any, Final
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contacts.contact.events import Address
from contacts.contact.state import Contact
from contacts.duplicate.blocks import KINDS, keys_of
from contacts.duplicate.model import Verdict, judge, says
from contacts.duplicate.names import are_forms_of_one_name, parts, sound
from contacts.duplicate.traits import NOTHING, Traits, traits_of
from contacts.duplicate.weights import LEVELS, THRESHOLD, shown_from

HOME: Final = {"street": "12 Main Street", "city": "Bern", "postcode": "3000"}


def traits(name: str = "", **fields: Any) -> Traits:
    """`name` is "first last"; address parts and a birthday by their names."""
    first, _, last = name.partition(" ")
    address = {part: fields.pop(part) for part in ("street", "city", "postcode") if part in fields}
    born = fields.pop("birthday", None)
    return traits_of(
        Contact(
            id=UUID(int=1),
            first_name=first or None,
            last_name=last or None,
            address=Address(**address) if address else None,
            attributes={"birthday": born} if born else {},
            **fields,
        )
    )


def levels(verdict: Verdict) -> dict[str, str]:
    return {each.comparison: each.level for each in verdict.evidence}


#: Two contacts, what is found in them, and whether that is enough.
PAIRS: Final = {
    "a short form, the e-mail of which lacks a letter": (
        traits("Bob Miller", email="bob.miller@example.com"),
        traits("Robert Miller", email="bob.miler@example.com"),
        {"given_name": "short_form", "family_name": "same", "email": "close_long"},
        True,
    ),
    "first and last name the other way round": (
        traits("Ruiz Carmen", phone="+34911234567"),
        traits("Carmen Ruiz", phone="+34911234576"),
        {"given_name": "same", "family_name": "same", "name_order": "swapped", "phone": "close"},
        True,
    ),
    "accents, and a phone with two digits that changed places": (
        traits("Zoë Łukasiewicz", phone="+48221234567"),
        traits("Zoe Lukasiewicz", phone="+48221243567"),
        {"given_name": "same", "family_name": "same", "phone": "close"},
        True,
    ),
    "the same phone written for another country": (
        traits("Ana Prado", phone="+34911234567"),
        traits("Anna Prado", phone="+11911234567"),
        {"given_name": "close", "family_name": "same", "phone": "same_end"},
        True,
    ),
    "an umlaut spelt out, an initial, the same birthday": (
        traits("J. Müller", birthday="1980-02-29"),
        traits("Jana Mueller", birthday="19800229"),
        {"given_name": "initial", "family_name": "close", "birth": "same"},
        True,
    ),
    "day and month of birth mixed up, a moved person": (
        traits("Ann Lee", birthday="1980-03-04", street="Elm 5", city="Bern", postcode="3000"),
        traits("Ann Lee", birthday="1980-04-03", street="Oak 7", city="Basel", postcode="4001"),
        {"given_name": "same", "family_name": "same", "street": "different", "place": "different", "birth": "close"},
        False,
    ),
    "the whole name in one field": (
        traits_of(Contact(id=UUID(int=1), first_name="Anna Lee", email="anna@example.com")),  # type: ignore[arg-type]
        traits("Anna Lee", email="anna@example.org"),
        {"given_name": "same", "family_name": "same", "email": "same_name"},
        True,
    ),
    "one mailbox in two spellings": (
        traits("Ann", email="ann.smith@gmail.com"),
        traits("Anne", email="annsmith+shop@googlemail.com"),
        {"given_name": "short_form", "email": "same_mailbox"},
        True,
    ),
    "a misspelt domain": (
        traits("Ann Lee", email="ann@gmail.com"),
        traits("Ann Lee", email="ann@gmial.com"),
        {"given_name": "same", "family_name": "same", "email": "close"},
        True,
    ),
    "an address with a slip": (
        traits("Ann Lee", **HOME),
        traits("Ann Lee", street="Main St. 12", city="Berne", postcode="3001"),
        {"given_name": "same", "family_name": "same", "street": "same", "place": "close"},
        True,
    ),
    "a second last name": (
        traits("María García", phone="+34911234567"),
        traits("Maria García López", phone="+34911234567"),
        {"given_name": "same", "family_name": "close", "phone": "same"},
        True,
    ),
    "husband and wife": (
        traits("Ann Lee", phone="+41311234567", **HOME),
        traits("Tom Lee", phone="+41311234567", **HOME),
        {
            "given_name": "different",
            "family_name": "same",
            "phone": "same",
            "street": "same",
            "place": "same",
            "household": "shared",
        },
        False,
    ),
    "a common name and nothing else": (
        traits("John Smith", email="john@example.com"),
        traits("John Smith", email="smithy@example.org"),
        {"given_name": "same", "family_name": "same", "email": "different"},
        False,
    ),
    "the same name in the same town": (
        traits("John Smith", city="Leeds"),
        traits("John Smith", city="Leeds"),
        {"given_name": "same", "family_name": "same", "place": "close"},
        True,
    ),
    "long e-mails with a slip, and nothing else": (
        traits(email="john.smith@example.com"),
        traits(email="jon.smith@example.com"),
        {"email": "close_long"},
        True,
    ),
    "a consonant mistaken for its neighbour": (
        traits(email="carla.weber@example.com"),
        traits(email="carna.weber@example.com"),
        {"email": "close_long"},
        True,
    ),
    "namesakes told apart by a number": (
        traits("Ann Lee", email="ann.lee.41@example.com"),
        traits("Ann Lee", email="ann.lee.42@example.com", phone="+4930901820"),
        {"given_name": "same", "family_name": "same", "email": "numbered"},
        True,
    ),
    "numbers and nothing else": (
        traits(email="customer.10041@example.com"),
        traits(email="customer.10042@example.com"),
        {"email": "numbered"},
        False,
    ),
    "an e-mail that everybody has": (
        traits(email="info@example.com", city="Bern", postcode="3000"),
        traits(email="info@other.example", city="Bern", postcode="3000"),
        {"email": "different", "place": "same"},
        False,
    ),
    "the same e-mail and nothing else": (
        traits(email="office@example.com"),
        traits(email="office@example.com"),
        {"email": "same"},
        False,
    ),
    "colleagues with one phone": (
        traits("Ann Lee", phone="+41311234567", email="ann.lee@example.com"),
        traits("Eve Orr", phone="+41311234567", email="eve.orr@example.com"),
        {"given_name": "different", "family_name": "different", "email": "different", "phone": "same"},
        False,
    ),
    "another script": (
        traits("Олена Шевченко", phone="+380441234567"),
        traits("Олена Шевченко", phone="+380441234568"),
        {"given_name": "same", "family_name": "same", "phone": "close"},
        True,
    ),
    "nothing in common to compare": (traits("Ann"), traits(phone="+41311234567"), {}, False),
}


@pytest.mark.parametrize("name", PAIRS)
def test_what_is_found_in_a_pair_is_said_and_adds_up(name: str) -> None:
    a, b, expected, is_likely = PAIRS[name]
    verdict = judge(a, b)
    assert levels(verdict) == expected
    assert verdict.score == pytest.approx(sum(each.weight for each in verdict.evidence))
    assert verdict.is_likely is is_likely, verdict
    assert all(says(each.comparison, each.level) for each in verdict.evidence)


@pytest.mark.parametrize("name", [name for name, (*_, is_likely) in PAIRS.items() if is_likely])
def test_whoever_is_likely_the_same_shares_a_block(name: str) -> None:
    a, b, *_ = PAIRS[name]
    shared = [
        kind for kind, one, other in zip(KINDS, keys_of(a), keys_of(b), strict=True) if one is not None and one == other
    ]
    assert shared


WORDS: Final = st.sampled_from(
    ["", "ann", "anna", "annamaria", "bob", "robert", "lee", "leeson", "müller", "de la cruz"]
)
PEOPLE: Final = st.builds(
    Traits,
    given=WORDS,
    family=WORDS,
    email=st.sampled_from(["", "ann@a.com", "anna@a.com", "ann@b.com"]),
    mailbox=st.sampled_from(["ann@a.com", "anna@a.com"]),
    phone=st.sampled_from(["", "41311234567", "41311234576", "1311234567"]),
    street=WORDS,
    house=st.sampled_from(["", "1", "2"]),
    postcode=st.sampled_from(["", "3000", "3001", "4000"]),
    city=WORDS,
    birth=st.sampled_from(["", "19800229", "19802902", "19710101"]),
)


@given(a=PEOPLE, b=PEOPLE)
def test_it_does_not_matter_which_of_two_comes_first(a: Traits, b: Traits) -> None:
    assert judge(a, b) == judge(b, a)


@given(a=PEOPLE, b=PEOPLE)
def test_nobody_is_more_like_another_than_like_a_copy(a: Traits, b: Traits) -> None:
    """What is unknown of one of them aside, which a copy lacks as well."""
    both = {name: getattr(b, name) if getattr(a, name) else "" for name in Traits.__struct_fields__}
    assert judge(a, Traits(**both)).score <= judge(a, a).score + 1e-9


def test_who_has_nothing_is_like_nobody_and_in_no_block() -> None:
    assert judge(NOTHING, NOTHING) == Verdict(0, ())
    assert set(keys_of(NOTHING)) == {None}


def test_the_levels_of_a_comparison_leave_nothing_over() -> None:
    for comparison, of in groupby(LEVELS, key=lambda level: level.comparison):
        found = list(of)
        # That names are swapped is the only case of its comparison: as a rule they are not, which says nothing.
        if comparison != "name_order":
            assert sum(level.m for level in found) == pytest.approx(1), comparison
            assert sum(level.u for level in found) == pytest.approx(1), comparison
            assert found[-1].level == "different"
            assert found[-1].weight < 0 < found[0].weight
    assert len({(level.comparison, level.level) for level in LEVELS}) == len(LEVELS)


def test_the_more_contacts_there_are_the_more_is_asked_of_a_pair() -> None:
    assert [shown_from(contacts) for contacts in (0, 100, 16_384, 1_000_000)] == [THRESHOLD, THRESHOLD, 14.0, 19.93]


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("bob", "robert", True), ("bob", "bobby", True), ("liz", "beth", True), ("alex", "alexandra", True),
        ("sasha", "alexander", True), ("bob", "liz", False), ("unknown", "unknown", False), ("ivan", "john", True),
    ],
)  # fmt: skip
def test_short_forms_are_of_one_name(a: str, b: str, same: bool) -> None:
    assert are_forms_of_one_name(a, b) is are_forms_of_one_name(b, a) is same


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Łukasz-Jan O'Neil", ("lukasz", "jan", "oneil")),
        ("Müller", ("muller",)),
        (" de  la Cruz ", ("de", "la", "cruz")),
        (None, ()),
        ("--", ()),
    ],
)
def test_a_name_is_its_folded_words(text: str | None, expected: tuple[str, ...]) -> None:
    assert parts(text) == expected


@pytest.mark.parametrize(
    ("a", "b"), [("smith", "smyth"), ("meier", "mayer"), ("bob", "robert"), ("miller", "miler"), ("schmidt", "schmit")]
)
def test_many_misspellings_sound_the_same(a: str, b: str) -> None:
    assert sound(a) == sound(b) != ""


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"birthday": "1980-02-29"}, "19800229"),
        ({"date_of_birth": "1980-02-29T00:00:00Z"}, "19800229"),
        ({"dob": "19800229"}, "19800229"),
        ({"geburtsdatum": "29.02.1980"}, ""),
        ({"birthday": 19800229}, ""),
        ({"birthplace": "1980-02-29"}, ""),
        ({"b_dob": "1971-01-01", "a_dob": "1980-02-29"}, "19800229"),
    ],
)
def test_a_day_of_birth_is_taken_from_attributes_named_like_one(attributes: dict[str, Any], expected: str) -> None:
    assert traits_of(Contact(id=UUID(int=1), attributes=attributes)).birth == expected
