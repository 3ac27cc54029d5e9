"""Values: what each parser accepts, how it stores it, and what it says of the rest."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import phonenumbers
import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import given, settings
from hypothesis import strategies as st

from contacts import attributes, emails, phones, values
from contacts.attributes import AttributeDefinition, parse_attribute
from contacts.errors import InvalidValue
from contacts.values import Country, Email

DE = Country("DE")
PARSERS: dict[str, Callable[[str], str]] = {
    "name": values.parse_name,
    "line": values.parse_line,
    "reason": values.parse_reason,
    "external_id": values.parse_external_id,
    "tag": values.parse_tag,
    "category": values.parse_category,
    "kind": values.parse_kind,
    "source": values.parse_source,
    "country": values.parse_country,
    "language": values.parse_language,
    "time_zone": values.parse_time_zone,
    "token": values.parse_token,
    "url": attributes.parse_url,
    "attribute_key": attributes.parse_attribute_key,
    "email": emails.parse_email,
    "phone": lambda text: phones.parse_phone(text, DE),
}
TEXTS = st.text(max_size=60) | st.text(st.sampled_from("+0123456789 ()-.@aäßx;=\u200d\u0301\u3000'\"<>"), max_size=40)


def refusal(parser: Callable[..., Any], *arguments: Any) -> str:
    with pytest.raises(InvalidValue) as refused:
        parser(*arguments)
    assert refused.value.expected
    return refused.value.reason


@pytest.mark.parametrize("kind", PARSERS)
@settings(deadline=None)
@given(text=TEXTS)
def test_any_text_is_parsed_once_and_for_all_or_refused_with_a_reason(kind: str, text: str) -> None:
    parser = PARSERS[kind]
    try:
        parsed = parser(text)
    except InvalidValue as refused:
        assert refused.reason  # noqa: PT017
        assert refused.expected  # noqa: PT017
        return
    assert parser(parsed) == parsed
    assert unicodedata.is_normalized("NFC", parsed)
    parsed.encode()
    assert "\0" not in parsed


@pytest.mark.parametrize(
    ("text", "parsed"),
    [("  Ann ", "Ann"), ("A\u0308nn", "Änn"), ("山田 太郎", "山田 太郎"), ("O'Brien-\u200dX", "O'Brien-\u200dX")],
)
def test_names_are_trimmed_and_nfc(text: str, parsed: str) -> None:
    assert values.parse_name(text) == parsed


def test_text_that_cannot_be_stored_or_read_is_refused() -> None:
    assert refusal(values.parse_name, "   ") == "is blank"
    assert refusal(values.parse_name, "a\0b") == "holds a control character (U+0000) at character 2"
    assert refusal(values.parse_name, "a\ud800") == "holds a lone surrogate (U+D800) at character 2"
    assert refusal(values.parse_name, "a\nb") == "holds a control character (U+000A) at character 2"
    assert refusal(values.parse_name, "x" * 201) == "has 201 characters"


def test_reasons_may_have_lines() -> None:
    assert values.parse_reason("one\ntwo\t3") == "one\ntwo\t3"
    assert refusal(values.parse_reason, "bell\a").startswith("holds a control character")


def test_white_space_in_tags_is_one_space() -> None:
    assert values.parse_tag(" big \u3000 spender ") == "big spender"


# -- e-mail -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "normal", "widest"),
    [
        ("Ann@Example.COM", "ann@example.com", "ann@example.com"),
        ("a.n.n+news@gmail.com", "a.n.n+news@gmail.com", "ann@gmail.com"),
        ("A.nn@GoogleMail.com", "a.nn@googlemail.com", "ann@gmail.com"),
        ("ann+x@example.com", "ann+x@example.com", "ann@example.com"),
        ("ann-shop@yahoo.com", "ann-shop@yahoo.com", "ann@yahoo.com"),
        ("ann@bücher.de", "ann@xn--bcher-kva.de", "ann@xn--bcher-kva.de"),
        ("ann@XN--bcher-kva.de", "ann@xn--bcher-kva.de", "ann@xn--bcher-kva.de"),
        ("ÄNN@example.com", "änn@example.com", "änn@example.com"),
        ("+news@example.com", "+news@example.com", "+news@example.com"),
        ("ann.lee@ya.ru", "ann.lee@ya.ru", "annlee@yandex.ru"),
    ],
)
def test_an_email_is_kept_as_typed_and_has_two_keys(typed: str, normal: str, widest: str) -> None:
    email = emails.parse_email(f" {typed} ")
    assert (email, emails.email_normal(email), emails.email_widest(email)) == (typed, normal, widest)


@pytest.mark.parametrize(
    "text",
    ["", "ann", "ann@", "@example.com", "ann@example", "ann@localhost", "a b@example.com", "ann@-x.com", "a..b@x.com",
     "Ann <ann@example.com>", "ann@[127.0.0.1]", "ann@example.com.", "ann@exa_mple.com", "ann\0@example.com",
     "a" * 250 + "@example.com", "ann@" + "x" * 5_000],
)  # fmt: skip
def test_what_is_no_email_is_refused(text: str) -> None:
    assert refusal(emails.parse_email, text)


LOCALS = st.text(st.sampled_from("aZ09.!#$%&'*+/=?^_`{|}~-@ \"ä"), min_size=1, max_size=12)
DOMAINS = st.text(st.sampled_from("abXN09-."), min_size=1, max_size=14)
ENDS = st.sampled_from([".com", ".test", ".local", ".ONION", ".xn--p1ai", ".c-m", "", ".x9"])


@settings(deadline=None, max_examples=1_000)
@given(LOCALS, DOMAINS, ENDS)
def test_the_fast_path_for_email_equals_the_library(local: str, domain: str, end: str) -> None:
    text = f"{local}@{domain}{end}".strip()
    try:
        expected = validate_email(text, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        assert refusal(emails.parse_email, text)
        return
    email = emails.parse_email(text)
    assert email == text
    assert emails.email_normal(email).rpartition("@")[2] == expected.ascii_domain
    # Whatever else it is, the widest key covers the normal one.
    assert emails.email_widest(email) == emails.email_widest(Email(emails.email_normal(email)))


# -- phone ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("+4930901820", "+4930901820"),
        ("+49 30 90 18 20", "+4930901820"),
        ("030 901820", "+4930901820"),
        ("0049 (0)30 / 901820", "+4930901820"),
        ("tel:+49-30-901820", "+4930901820"),
        ("+1 800 FLOWERS", "+18003569377"),
        ("+٤٩٣٠٩٠١٨٢٠", "+4930901820"),
        ("+49 30 901820 ext. 12", "+4930901820;ext=12"),
        ("+4930901820;ext=12", "+4930901820;ext=12"),
        ("+39 02 3661 8300", "+390236618300"),
        ("+44 020 7946 0958", "+442079460958"),
    ],
)
def test_phones_in_any_spelling_become_e164(text: str, parsed: str) -> None:
    assert phones.parse_phone(text, DE) == parsed


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is not a phone number"),
        ("call me", "is not a phone number"),
        ("+49 30", "lacks its area code"),
        ("+1 202 555", "has too few digits for its country"),
        ("+1 202 555 01234", "has too many digits for its country"),
        ("+999 12345678", "has an unknown country code"),
        ("1" * 251, "has 251 characters"),
        ("+" + "1" * 40, "has too many digits"),
    ],
)
def test_an_impossible_number_is_refused_with_the_reason(text: str, reason: str) -> None:
    assert refusal(phones.parse_phone, text, DE) == reason


def test_a_national_number_without_a_region_is_refused() -> None:
    assert "no default region" in refusal(phones.parse_phone, "030 901820", None)


CODES = st.sampled_from([*phonenumbers.COUNTRY_CODE_TO_REGION_CODE, 883, 888, 979, 999, 210])
NATIONAL = st.text(st.sampled_from("0123456789"), min_size=2, max_size=14)


@settings(deadline=None, max_examples=2_000)
@given(CODES, NATIONAL, st.sampled_from(["", " ", "-", "."]), st.integers(0, 12))
def test_the_fast_path_for_phones_equals_the_library(code: int, national: str, gap: str, at: int) -> None:
    text = f"+{code}{national[:at]}{gap}{national[at:]}".strip()
    try:
        number = phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException:
        assert refusal(phones.parse_phone, text, None)
        return
    if phonenumbers.is_possible_number_with_reason(number) != phonenumbers.ValidationResult.IS_POSSIBLE:
        assert refusal(phones.parse_phone, text, None)
        return
    assert phones.parse_phone(text, None) == phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


# -- country, language, time zone, place, time ------------------------------------------------------------------------


def test_countries_are_upper_case_iso_codes() -> None:
    assert values.parse_country(" de ") == "DE"
    assert len(values._COUNTRIES) == 250
    for wrong in ("UK", "DEU", "Germany", "EU", "XX", ""):
        assert refusal(values.parse_country, wrong) == "is not a country code"


@pytest.mark.parametrize(
    ("text", "parsed"),
    [("EN", "en"), ("pt_br", "pt-BR"), ("zh-hant-tw", "zh-Hant-TW"), ("es-419", "es-419"), ("de-1996", "de-1996"),
     ("en-u-ca-gregory", "en-u-ca-gregory"), ("sl-rozaj", "sl-rozaj"), ("en-x-shop", "en-x-shop"), ("gsw", "gsw")],
)  # fmt: skip
def test_languages_are_bcp_47_in_canonical_case(text: str, parsed: str) -> None:
    assert values.parse_language(text) == parsed


@pytest.mark.parametrize("text", ["", "english", "e", "en-", "qx", "en-QQ1", "en-Xxxy", "en-ZZ9", "ен", "x-shop"])
def test_what_is_no_language_is_refused(text: str) -> None:
    assert refusal(values.parse_language, text)


def test_time_zones_are_names_of_places() -> None:
    assert values.parse_time_zone("europe/berlin") == "Europe/Berlin"
    assert values.parse_time_zone("UTC") == "UTC"
    for wrong in ("CEST+2", "Factory", "Mars/Olympus", "../etc/passwd", ""):
        assert refusal(values.parse_time_zone, wrong) == "is not a time zone"


def test_degrees_have_limits() -> None:
    assert (values.parse_latitude(-90), values.parse_longitude(180)) == (-90.0, 180.0)
    for degrees in (90.01, float("nan"), float("inf")):
        assert refusal(values.parse_latitude, degrees) == "is out of range"
    assert refusal(values.parse_longitude, -180.5) == "is out of range"


def test_instants_are_utc_and_need_an_offset() -> None:
    berlin = datetime(2026, 1, 31, 13, tzinfo=timezone(timedelta(hours=1)))
    assert values.parse_instant(berlin) == datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert refusal(values.parse_instant, berlin.replace(tzinfo=None)) == "has no offset from UTC"
    edge = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1)))
    assert refusal(values.parse_instant, edge) == "is beyond the calendar"


# -- custom attributes ------------------------------------------------------------------------------------------------


def attribute(type_: Any, value: Any) -> Any:
    options = ("red", "blue") if "select" in type_ else ()
    return parse_attribute(AttributeDefinition(key="x", name="X", type=type_, options=options), value, DE)


@pytest.mark.parametrize(
    ("type_", "value", "stored"),
    [
        ("text", " a\nb ", "a\nb"),
        ("number", 3, 3),
        ("number", 3.0, 3),
        ("number", 1.5, 1.5),
        ("boolean", True, True),
        ("date", "2024-02-29", "2024-02-29"),
        ("datetime", "2026-01-31T13:00:00+01:00", "2026-01-31T12:00:00Z"),
        ("datetime", "2026-01-31t12:00:00.5z", "2026-01-31T12:00:00.500000Z"),
        ("url", "https://example.com/ä?x=1#y", "https://example.com/ä?x=1#y"),
        ("email", " Ann@example.com", "Ann@example.com"),
        ("phone", "030 901820", "+4930901820"),
        ("select", "red", "red"),
        ("multi_select", ["blue", "red", "blue"], ("red", "blue")),
        ("multi_select", [], None),
    ],
)
def test_an_attribute_is_stored_in_the_form_of_its_type(type_: str, value: Any, stored: Any) -> None:
    parsed = attribute(type_, value)
    assert parsed == stored
    assert type(parsed) is type(stored)
    if parsed is not None:
        assert attribute(type_, parsed) == parsed


@pytest.mark.parametrize(
    ("type_", "value", "reason"),
    [
        ("text", 3, "is a number"),
        ("text", "x" * 10_001, "has 10001 characters"),
        ("number", "3", "is text"),
        ("number", True, "is a boolean"),
        ("number", float("nan"), "is not a finite number"),
        ("number", 2**53, "is too large to be kept exactly"),
        ("boolean", "true", "is text"),
        ("date", "2026-02-29", "is not a day of the calendar"),
        ("date", "20260131", "is not a date"),
        ("datetime", "2026-01-31T12:00:00", "is not an instant with an offset from UTC"),
        ("datetime", "2026-13-31T12:00:00Z", "is not a time of the calendar"),
        ("datetime", "0001-01-01T00:00:00+01:00", "is beyond the calendar"),
        ("url", "javascript:alert(1)", "is not an http or https URL"),
        ("url", "https://exa mple.com", "holds white space"),
        ("url", "http://[::1", "is not a URL"),
        ("select", "green", "is not one of the options"),
        ("multi_select", "red", "is text"),
        ("multi_select", ["green"], "is not one of the options"),
        ("email", "ann", "An email address must have an @-sign"),
        ("phone", "12", "lacks its area code"),
    ],
)
def test_a_value_of_another_type_is_refused_with_the_reason(type_: str, value: Any, reason: str) -> None:
    assert refusal(attribute, type_, value) == reason


VALUES = st.text(max_size=30) | st.booleans() | st.integers() | st.floats() | st.lists(st.text(max_size=5), max_size=3)


@pytest.mark.parametrize("type_", list(attributes._PARSERS))
@settings(deadline=None)
@given(value=VALUES)
def test_any_value_of_an_attribute_is_parsed_or_refused(type_: str, value: Any) -> None:
    try:
        parsed = attribute(type_, value)
    except InvalidValue:
        return
    if parsed is not None:
        assert attribute(type_, parsed) == parsed
