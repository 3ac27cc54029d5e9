"""What the data of each kind may be, and how exactly it is said what is wrong with it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contacts.activity.data import DATA_BYTES_MAX, DEPTH_MAX, parse_data
from contacts.activity.kinds import CATEGORIES, FAMILIES, category_of, data_type, parse_kind
from contacts.errors import InvalidInput, InvalidValue
from tests.unit.activity.examples import LEAST


def nested(levels: int) -> Any:
    return {"properties": {"x": nested(levels - 1)["properties"]}} if levels > 1 else {"properties": {}}


def test_every_kind_has_a_category_and_data_of_its_own() -> None:
    named = {f"{family}.{name}" for family, each in FAMILIES.items() for name in each.kinds}
    assert named | {kind for kind in LEAST if kind.partition(".")[0] in FAMILIES} == set(LEAST)
    assert {category_of(kind) for kind in LEAST} == set(CATEGORIES)
    for kind, data in LEAST.items():
        assert parse_kind(kind) == kind
        assert parse_data(kind, data) is not None, kind


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("", "message.* or"),
        ("message", "message.sent"),
        ("message.", "message.sent"),
        ("message.clickd", "message.clicked"),
        ("conversation.message", "conversation.message_in"),
        ("contact.upsert", "order.*"),
        ("order.", "a letter"),
        ("order.Placed", "a letter"),
        ("web.9", "a letter"),
        ("web." + "x" * 51, "at most 50"),
        ("web.a.b", "letters"),
        ("\x00", "message.*"),
    ],
)
def test_a_kind_that_is_none_is_refused_with_those_there_are(kind: str, expected: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        parse_kind(kind)
    assert expected in refused.value.expected


@pytest.mark.parametrize(
    ("kind", "data", "pointer", "reason"),
    [
        ("message.sent", {}, "/data/channel", "is missing"),
        ("message.sent", {"channel": 1}, "/data/channel", "is `int`"),
        ("message.sent", {"channel": "E-mail"}, "/data/channel", "is not a channel kind"),
        ("message.sent", {"channel": "email", "mesage_name": "x"}, "/data/mesage_name", "is no field of this kind"),
        ("message.sent", {"channel": "email", "message_name": ""}, "/data/message_name", "does not fit"),
        ("message.sent", {"channel": "email", "message_name": "x" * 501}, "/data/message_name", "does not fit"),
        ("message.sent", {"channel": "email", "language": "xx-yy-zz"}, "/data/language", "is not a language tag"),
        ("message.sent", {"channel": "email", "url": "https://example.com"}, "/data/url", "is no field of this kind"),
        ("message.undelivered", {"channel": "email", "bounce": "medium"}, "/data/bounce", "is no bounce"),
        ("order.placed", {"external_id": "o", "amount": "12"}, "/data/amount", "is `str`"),
        ("order.placed", {"external_id": "o", "currency": "Euro"}, "/data/currency", "is no currency"),
        ("order.placed", {"external_id": "o", "items": [{"name": "a"}, {}]}, "/data/items/1/name", "is missing"),
        (
            "order.placed",
            {"external_id": "o", "items": [{"name": "a", "price": "1"}]},
            "/data/items/0/price",
            "is `str`",
        ),
        ("order.placed", {"external_id": "o", "items": [{"name": "a"}] * 501}, "/data/items", "does not fit"),
        ("location.seen", {"latitude": 91, "longitude": 0}, "/data/latitude", "does not fit"),
        ("conversation.assigned", {}, "/data/assignee", "is missing"),
        ("conversation.snoozed", {"until": "tomorrow"}, "/data/until", "is no instant"),
        ("conversation.snoozed", {"until": "2026-03-01T12:00:00"}, "/data/until", "is no instant"),
        ("conversation.message_in", {"preview": "x" * 1_001}, "/data/preview", "does not fit"),
        ("conversation.fields_changed", {"fields": {"a": [1]}}, "/data/fields", "is `array`"),
        ("web.seen", {"name": "x", "properties": {"a/b~": "\x00"}}, "/data/properties/a~1b~0", "holds U+0000"),
        ("web.seen", {"name": "x", "properties": {"a": ["ok", "\ud800"]}}, "/data/properties/a/1", "holds U+D800"),
        ("web.seen", {"name": "x", "properties": {"\x00": 1}}, "/data/properties", "has a key that holds U+0000"),
        ("web.seen", {"name": "x", "properties": {"k" * 101: 1}}, "/data/properties", "has a key that has 101"),
        ("web.seen", {"name": "x", "properties": {"n": 2**53}}, "/data/properties/n", "is too large to be kept"),
        ("web.seen", {"name": "x", "properties": {"n": float("inf")}}, "/data/properties/n", "is not a finite"),
        ("web.seen", {"name": "x", "properties": {"t": "x" * 10_001}}, "/data/properties/t", "has 10001 characters"),
        ("web.seen", {"name": "x", "properties": [1]}, "/data/properties", "is `array`"),
    ],
)
def test_what_is_wrong_with_data_is_said_with_its_place(kind: str, data: Any, pointer: str, reason: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_data(kind, data)
    (fault,) = refused.value.errors
    assert fault.pointer == pointer
    assert fault.reason.startswith(reason), fault
    assert fault.expected


def test_all_wrong_values_are_told_at_once() -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_data("web.seen", {"name": "\x07", "properties": {"a": "\x00", "b": 2**60}})
    assert [error.pointer for error in refused.value.errors] == [
        "/data/name", "/data/properties/a", "/data/properties/b",
    ]  # fmt: skip


def test_data_has_a_size_and_a_depth() -> None:
    text = "x" * 8_000
    fits = {"name": "x", "properties": {"a": text, "b": text}}
    assert parse_data("web.seen", fits) == fits
    for data in ({"name": "x", "properties": dict.fromkeys("abc", text)}, {"name": "x", **nested(DEPTH_MAX + 1)}):
        with pytest.raises(InvalidInput):
            parse_data("web.seen", data)
    assert parse_data("web.seen", {"name": "x", **nested(DEPTH_MAX - 1)})
    assert 2 * len(text) < DATA_BYTES_MAX < 3 * len(text)


def test_texts_have_one_form() -> None:
    parsed = parse_data("message.sent", {"channel": " Email ", "language": "pt_br", "message_name": "Gru\u0308ße"})
    assert parsed == {"channel": "email", "language": "pt-BR", "message_name": "Grüße"}
    assert parse_data("order.placed", {"external_id": "o", "currency": "eur"})["currency"] == "EUR"


def test_numbers_and_instants_stay_what_they_are() -> None:
    order = {"external_id": "o", "amount": 12, "items": [{"name": "a", "price": 9.99, "quantity": 2}]}
    assert json.dumps(parse_data("order.placed", order), sort_keys=True) == json.dumps(order, sort_keys=True)
    snoozed = parse_data("conversation.snoozed", {"until": "2026-03-01T12:00:00+01:00"})
    assert snoozed == {"until": "2026-03-01T12:00:00+01:00"}


def test_null_is_the_same_as_nothing_but_where_it_says_something() -> None:
    assert parse_data("message.sent", {"channel": "sms", "message_name": None}) == {"channel": "sms"}
    assert parse_data("conversation.assigned", {"assignee": None}) == {"assignee": None}
    assert parse_data("conversation.fields_changed", {"fields": {"a": None}}) == {"fields": {"a": None}}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=20,
)


@given(kind=st.sampled_from(sorted(LEAST)), data=st.dictionaries(st.text(max_size=12), JSON, max_size=4))
def test_any_json_is_kept_or_refused_and_what_is_kept_parses_to_itself(kind: str, data: dict[str, Any]) -> None:
    fields = {**LEAST[kind], "properties": data}
    try:
        parsed = parse_data(kind, fields)
    except InvalidInput:
        return
    assert parse_data(kind, parsed) == parsed
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(parsed)) == parsed
    assert "\x00" not in str(parsed)


@given(kind=st.sampled_from(sorted(LEAST)), value=JSON, field=st.sampled_from(["channel", "name", "items", "labels"]))
def test_any_value_of_any_field_is_kept_or_refused(kind: str, value: Any, field: str) -> None:
    try:
        parsed = parse_data(kind, {**LEAST[kind], field: value})
    except InvalidInput:
        return
    assert msgspec.convert(parsed, data_type(kind)) is not None
