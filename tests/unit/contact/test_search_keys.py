"""How texts are folded for searching and sorting, and what is understood of what people type into the search box."""

from __future__ import annotations

import unicodedata
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from contacts.contact.search import QUERY_MAX, TERMS_MAX, parse_search, search_text
from contacts.contact.state import Contact
from contacts.errors import InvalidValue
from contacts.folding import fold
from contacts.values import Country, Email, ExternalId, Phone

GERMANY = Country("DE")


def matches(contact: Contact, typed: str, region: Country | None = GERMANY) -> bool:
    """LIKE as PostgreSQL does it, on what is stored for a contact."""
    name = contact.full_name and fold(contact.full_name)
    text = search_text(contact, name)
    terms = parse_search(typed, region)
    return all(
        any(all(like(pattern, text) for pattern in patterns) for patterns in term.texts)
        or (term.ids is not None and term.ids.first <= contact.id <= term.ids.last)
        for term in terms
    )


def like(pattern: str, text: str) -> bool:
    assert pattern[0] == pattern[-1] == "%"
    inner = pattern[1:-1]
    literal = inner.replace("\\\\", "\0").replace("\\%", "%").replace("\\_", "_").replace("\0", "\\")
    assert literal.count("%") == inner.count("\\%")
    return literal in text


CONTACT = Contact(
    id=UUID("018bcfe5-6800-76e9-85e1-c89a8bab7cd7"),
    version=1,
    first_name="Łucja-Zoë",
    last_name="O’Brien Müller",
    email=Email("Lucja.OBrien+news@Bücher.example"),
    phone=Phone("+493012345678"),
    external_id=ExternalId("C_100%-Ä"),
    messaging_id=ExternalId("m/77"),
)


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Łódź", "lodz"),
        ("ÅSTRÖM", "astrom"),
        ("Straße", "strasse"),
        ("STRASSE", "strasse"),
        ("Đorđević", "dordevic"),
        ("Øystein Æ", "oystein ae"),
        ("İstanbul", "istanbul"),
        ("ıspanak", "ispanak"),
        ("Ñandú", "nandu"),
        ("Ёлкин Й", "елкин и"),
        ("Ἀθηνᾶ", "αθηνα"),
        ("σίσυφος", fold("ΣΊΣΥΦΟΣ")),
        ("ﬁnn", "finn"),
        ("Ｊｏｅ", "joe"),
        ("O’Brien", "o'brien"),
        ("أحمد", "احمد"),
        ("שָׁלוֹם", "שלום"),
        ("nguyễn", "nguyen"),
        ("がぎ", fold("がぎ")),
        ("Anne–Marie", "anne-marie"),
        ("soft\u00adhyphen", "softhyphen"),
    ],
)
def test_case_and_accents_are_folded_away(text: str, folded: str) -> None:
    assert fold(text) == folded
    assert fold(unicodedata.normalize("NFD", text)) == fold(unicodedata.normalize("NFC", text))


def test_letters_of_scripts_without_accents_stay_apart() -> None:
    assert fold("か") != fold("が")
    assert fold("กา") != fold("ก่า")


def test_folding_twice_is_folding_once_for_every_character() -> None:
    characters = (chr(code) for code in range(0x20000) if not 0xD800 <= code <= 0xDFFF)
    assert [c for c in characters if fold(fold(c)) != fold(c)] == []


@pytest.mark.parametrize(
    "typed",
    [
        "łucja",
        "LUCJA",
        "lucja-zoe",
        "zoë",
        "müller łucja",
        "muller lucja",
        "obrien",
        "o'brien",
        "O’BRIEN",
        "mü",
        "l m o",
        "bücher",
        "bucher.example",
        "xn--bcher-kva",
        "lucja.obrien+news@bücher.example",
        "@bucher",
        "rien+n",
        "C_100%-Ä",
        "c_100%",
        "100%",
        "m/77",
        "018bcfe5-6800-76e9-85e1-c89a8bab7cd7",
        "018BCFE5680076E985E1C89A8BAB7CD7",
        "018bcfe5-68",
        "018bcfe5",
        "+493012345678",
        "+49 30 12345678",
        "+49 (0)30 123 456-78",
        "0049 30 12345678",
        "00493012345678",
        "030 12345678",
        "(030) 123-45",
        "030/12345678",
        "030",
        "03",
        "30123",
        "345 678",
        "345678",
        "+4",
        "٠٣٠١٢٣٤٥٦٧٨",
        "０３０ １２３４５６７８",
        "lucja 030 123",
        "30 123 müller",
    ],
)
def test_a_contact_is_found_by(typed: str) -> None:
    assert matches(CONTACT, typed)


@pytest.mark.parametrize(
    "typed",
    [
        "lucjo",
        "lucja miller",
        "c_1000",
        "cx100",
        "1000",
        "+4930999",
        "+3012345678",
        "0031 30 12345678",
        "018bcfe6",
        "018bcfe5-6900",
        "rien_n",
        "_brien",
        "78",
    ],
)
def test_a_contact_is_not_found_by(typed: str) -> None:
    assert not matches(CONTACT, typed)


@given(st.text(max_size=20))
def test_what_holds_a_letter_or_digit_narrows_something(typed: str) -> None:
    assume(any(character.isalnum() for character in fold(typed)) and "\0" not in typed)
    assert parse_search(typed, GERMANY)


@pytest.mark.parametrize("typed", ["", "   ", "+", "@ -", "%", "\\", "_", "()", "…"])
def test_what_holds_no_letter_or_digit_narrows_nothing(typed: str) -> None:
    assert parse_search(typed, GERMANY) == ()


@pytest.mark.parametrize(
    ("region", "phone", "typed"),
    [
        ("US", "+12125550123", "(212) 555-0123"),
        ("US", "+12125550123", "1-212-555-0123"),
        ("US", "+12125550123", "2125550123"),
        ("US", "+4930901820", "011 49 30 901820"),
        ("RU", "+79123456789", "8 (912) 345-67-89"),
        ("GB", "+442079460018", "020 7946 0018"),
        ("GB", "+442079460018", "0044 20 7946"),
        ("IT", "+390612345678", "06 1234 5678"),
        ("FR", "+33123456789", "01.23.45.67.89"),
        (None, "+33123456789", "01 23 45 67 89"),
        (None, "+33123456789", "234567"),
    ],
)
def test_a_phone_is_found_as_it_is_dialled(region: str | None, phone: str, typed: str) -> None:
    contact = Contact(id=UUID(int=1), version=1, phone=Phone(phone))
    assert matches(contact, typed, Country(region) if region else None)


def test_an_extension_is_found_too() -> None:
    contact = Contact(id=UUID(int=1), version=1, phone=Phone("+4930901820;ext=417"))
    assert matches(contact, "901820")
    assert matches(contact, "417")


@pytest.mark.parametrize("typed", ["李", "明", "小明", "李小明", "李 小明", "小明 李"])
def test_names_written_without_spaces_are_found_by_any_part(typed: str) -> None:
    assert matches(Contact(id=UUID(int=1), version=1, first_name="小明", last_name="李"), typed)
    assert matches(
        Contact(id=UUID(int=1), version=1, first_name="李小明"), typed.replace(" ", "").lstrip("小明") or typed
    )


def test_a_number_is_also_looked_for_as_text() -> None:
    assert matches(Contact(id=UUID(int=1), version=1, external_id=ExternalId("030 AB 12")), "030 12")


@given(name=st.text(st.characters(codec="utf-8", categories=["L"]), min_size=3, max_size=20), data=st.data())
def test_any_three_letters_of_a_name_find_it(name: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(name) - 3))
    typed = name[start : data.draw(st.integers(start + 3, len(name)))]
    assume(len(fold(typed)) >= 3)
    assert matches(Contact(id=UUID(int=1), version=1, first_name=name), typed)


@given(st.text(max_size=QUERY_MAX))
def test_every_pattern_can_use_the_index_and_every_text_is_understood_or_refused(typed: str) -> None:
    try:
        terms = parse_search(typed, GERMANY)
    except InvalidValue:
        return
    assert len(terms) <= TERMS_MAX
    for pattern in (pattern for term in terms for patterns in term.texts for pattern in patterns):
        inner = pattern[1:-1]
        trigrams = any(inner[at : at + 3].isalnum() and len(inner[at : at + 3]) == 3 for at in range(len(inner)))
        starts = any(not left.isalnum() and right.isalnum() for left, right in pairwise(inner))
        assert trigrams or starts


@pytest.mark.parametrize("typed", ["x" * (QUERY_MAX + 1), "a\0b", "\ud800", " ".join("abcdefghijkl")])
def test_what_is_too_long_or_no_text_is_refused(typed: str) -> None:
    with pytest.raises(InvalidValue):
        parse_search(typed, GERMANY)
