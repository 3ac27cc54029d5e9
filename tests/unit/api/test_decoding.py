"""What strangers send as JSON and query strings: read exactly, or refused with the place. Never another exception."""

from __future__ import annotations

import json
from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contacts_api.decoding import BodyDecoder, Malformed, QueryDecoder


class Street(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    name: str | None = None


class Person(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    name: str
    age: Annotated[int, msgspec.Meta(ge=0, le=2**53)] | None = None
    score: float | None = None
    colour: Literal["red", "green"] | None = None
    street: Street | None = None
    tags: list[str] = []
    extra: dict[Annotated[str, msgspec.Meta(max_length=4)], str | int | float | bool | None | list[str]] = {}


class Search(msgspec.Struct, forbid_unknown_fields=True):
    q: str | None = None
    sort: Literal["name", "-name"] = "name"
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 50


decode_person = BodyDecoder(Person)
decode_search = QueryDecoder(Search)

NASTY_BODIES = {
    "nothing": (b"", "", "one JSON value"),
    "null": (b"null", "", "expected `object`"),
    "a list": (b"[]", "", "expected `object`"),
    "cut short": (b'{"name": "A', "", "one JSON value"),
    "two values": (b'{"name": "A"} {}', "", "trailing"),
    "a byte order mark": (b'\xef\xbb\xbf{"name": "A"}', "", "malformed"),
    "single quotes": (b"{'name': 'A'}", "", "malformed"),
    "deep list": (b"[" * 100_000, "", "expected `object`"),
    "deep object in a field": (b'{"name": ' * 100_000, "/name", "expected `str`"),
    "deep list in a mapping": (b'{"extra": {"a": ' + b"[" * 100_000, "/extra", "expected `str`"),
    "deep unknown field": (b'{"x": ' + b"[" * 100_000, "/x", "unknown field"),
    "invalid UTF-8": (b'{"name": "\xff"}', "", "not UTF-8"),
    "a surrogate written as UTF-8": (b'{"name": "\xed\xa0\x80"}', "", "not UTF-8"),
    "invalid UTF-8 in a key": (b'{"\xff": 1}', "", "not UTF-8"),
    "latin-1": ('{"name": "Zoë"}'.encode("latin-1"), "", "not UTF-8"),
    "UTF-16": ('{"name": "A"}'.encode("utf-16"), "", ""),
    "a high surrogate alone": (b'{"name": "\\ud800"}', "", "half a surrogate pair"),
    "a low surrogate alone": (b'{"name": "\\udc00"}', "", "half a surrogate pair"),
    "surrogates the wrong way round": (b'{"name": "\\udc00\\ud800"}', "", "half a surrogate pair"),
    "NUL": (b'{"name": "a\\u0000b"}', "/name", "NUL"),
    "NUL in a mapping": (b'{"name": "A", "extra": {"k": "\\u0000"}}', "/extra/k", "NUL"),
    "NUL in a list": (b'{"name": "A", "tags": ["x", "\\u0000"]}', "/tags/1", "NUL"),
    "NUL in a key": (b'{"name": "A", "extra": {"\\u0000": 1}}', "/extra/\0", "NUL"),
    "raw control character": (b'{"name": "a\x00b"}', "", "malformed"),
    "number too large for a float": (b'{"name": "A", "score": 1e400}', "/score", "out of range"),
    "thirty digits": (b'{"name": "A", "age": ' + b"9" * 30 + b"}", "/age", "<= 9007199254740992"),
    "five thousand digits": (b'{"name": "A", "age": ' + b"9" * 5000 + b"}", "/age", "out of range"),
    "NaN": (b'{"name": "A", "score": NaN}', "", "malformed"),
    "a negative": (b'{"name": "A", "age": -1}', "/age", ">= 0"),
    "a fraction": (b'{"name": "A", "age": 1.5}', "/age", "expected `int"),
    "a number as text": (b'{"name": "A", "age": "1"}', "/age", "expected `int"),
    "a boolean as number": (b'{"name": "A", "age": true}', "/age", "expected `int"),
    "nothing where text is needed": (b'{"name": null}', "/name", "expected `str`"),
    "a missing field": (b"{}", "/name", "required and missing"),
    "an unknown field": (b'{"name": "A", "nmae": "B"}', "/nmae", "unknown field"),
    "an unknown field inside": (b'{"name": "A", "street": {"x": 1}}', "/street/x", "unknown field"),
    "an unknown field with a slash": (b'{"name": "A", "a/b~": 1}', "/a~1b~0", "unknown field"),
    "a wrong item": (b'{"name": "A", "tags": ["x", 3]}', "/tags/1", "expected `str`"),
    "a wrong choice": (b'{"name": "A", "colour": "blue"}', "/colour", "one of green, red"),
    "a wrong value in a mapping": (b'{"name": "A", "extra": {"a": 1, "b/c": {}}}', "/extra/b~1c", "expected"),
    "a key too long": (b'{"name": "A", "extra": {"abcde": 1}}', "/extra", "length <= 4"),
    "the same key twice": (b'{"name": "A", "name": "B"}', "/name", "twice"),
    "the same key twice, hidden by an escaped colon": (b'{"name": "A", "name": "\\u003a"}', "/name", "twice"),
    "the same key, once escaped": (b'{"name": "A", "\\u006eame": "B"}', "/name", "twice"),
    "the same key twice in a mapping": (b'{"name": "A", "extra": {"k": 1, "k": 2}}', "/extra/k", "twice"),
    "the same key twice, null first": (b'{"name": "A", "age": null, "age": 3}', "/age", "twice"),
}


@pytest.mark.parametrize(("body", "pointer", "said"), NASTY_BODIES.values(), ids=NASTY_BODIES.keys())
def test_a_nasty_body_is_refused_with_the_place_and_what_would_be_right(body: bytes, pointer: str, said: str) -> None:
    with pytest.raises(Malformed) as refused:
        decode_person(body)
    assert refused.value.fault.pointer == pointer
    assert said in refused.value.fault.detail


GOOD_BODIES = {
    "whitespace": (b' { "name" : "A" }\n', Person("A")),
    "colons in text": (b'{"name": "a:b::c"}', Person("a:b::c")),
    "an escaped backslash before u0000": (b'{"name": "\\\\u0000"}', Person("\\u0000")),
    "an escaped colon": (b'{"name": "\\u003a"}', Person(":")),
    "a surrogate pair": (b'{"name": "\\ud83d\\ude00"}', Person("😀")),
    "null for the default": (b'{"name": "A", "age": null}', Person("A")),
    "equal keys in different objects": (b'{"name": "A", "street": {"name": "B"}}', Person("A", street=Street("B"))),
}


@pytest.mark.parametrize(("body", "person"), GOOD_BODIES.values(), ids=GOOD_BODIES.keys())
def test_unusual_but_right_bodies_are_read(body: bytes, person: Person) -> None:
    assert decode_person(body) == person


def test_a_long_unknown_name_is_repeated_only_in_part() -> None:
    with pytest.raises(Malformed) as refused:
        decode_person(b'{"name": "A", "' + b"x" * 10_000 + b'": 1}')
    assert len(str(refused.value.fault.pointer)) < 100


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_as_malformed(body: bytes) -> None:
    try:
        decode_person(body)
    except Malformed as refused:
        msgspec.json.encode(refused.fault)


members = st.lists(
    st.tuples(
        st.sampled_from(["name", "age", "score", "tags", "street"]),
        st.sampled_from(['"a"', '"a:b"', '":"', '"\\u003a"', "1", "null", "[]", '{"name": ":"}', '{"name": null}']),
    ),
    max_size=6,
)


@given(members)
def test_a_key_is_found_to_be_repeated_exactly_when_it_is(pairs: list[tuple[str, str]]) -> None:
    """The quick look (counting colons) against a plain one."""
    body = "{" + ", ".join(f'"{key}": {value}' for key, value in pairs) + "}"
    repeated = len({key for key, _ in pairs}) < len(pairs)
    try:
        decode_person(body.encode())
    except Malformed as refused:
        if "twice" in refused.fault.detail:
            assert repeated
    else:
        assert not repeated
        assert json.loads(body)


NASTY_QUERIES = {
    "unknown": (b"nope=1", "nope", "known here: q, sort, limit"),
    "given twice": (b"q=a&q=b", "q", "once"),
    "not a number": (b"limit=ten", "limit", "expected `int`"),
    "a number in other digits": (b"limit=%D9%A3", "limit", "expected `int`"),
    "too small": (b"limit=0", "limit", ">= 1"),
    "too large": (b"limit=1001", "limit", "<= 1000"),
    "five thousand digits": (b"limit=" + b"9" * 5000, "limit", "out of range"),
    "a wrong choice": (b"sort=size", "sort", "one of -name, name"),
    "NUL": (b"q=%00", "q", "NUL"),
    "invalid UTF-8": (b"q=%ff", "", "UTF-8"),
    "raw bytes": (b"q=\xff", "", "UTF-8"),
    "too many": (b"&".join(b"a%d=1" % n for n in range(200)), "", "100"),
}


@pytest.mark.parametrize(("query", "parameter", "said"), NASTY_QUERIES.values(), ids=NASTY_QUERIES.keys())
def test_a_nasty_query_is_refused_with_its_parameter(query: bytes, parameter: str, said: str) -> None:
    with pytest.raises(Malformed) as refused:
        decode_search(query)
    assert refused.value.fault.parameter == parameter
    assert said in refused.value.fault.detail


def test_a_query_is_read_with_its_defaults() -> None:
    assert decode_search(b"") == Search()
    assert decode_search(b"q=a+b%26c&limit=7") == Search(q="a b&c", limit=7)
    assert decode_search(b"q=null") == Search(q="null")
    assert decode_search(b"q=") == Search(q="")
