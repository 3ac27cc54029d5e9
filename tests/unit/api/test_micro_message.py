"""Whatever comes as a message is either the request it stands for, or refused: nothing else can happen."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contacts_api.decoding import Malformed
from contacts_api.micro.message import CLOUDEVENTS, Asked, Reader, workspace_of
from contacts_api.micro.verbs import verbs
from contacts_api.routes import ENDPOINTS

READERS = {verb: Reader(endpoint) for verb, endpoint in verbs(ENDPOINTS).items()}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["contact_id", "by", "value", "tag", "limit", "q", "first_name", "reason", "fields"])
PAYLOADS = (
    st.binary(max_size=40)
    | JSON.map(msgspec.json.encode)
    | st.dictionaries(NAMES, JSON, max_size=4).map(msgspec.json.encode)
)
HEADERS = st.dictionaries(
    st.sampled_from(
        ["Content-Type", "content-length", "Rollbook-Key", "authorization", "If-Match", "X-Request-Id", "x"]
    ),
    st.text(max_size=10) | st.just(CLOUDEVENTS),
    max_size=4,
)


@given(st.sampled_from(sorted(READERS)), HEADERS, PAYLOADS)
@example("contacts.get", {}, b'{"contact_id":"\xff"}')
@example("contacts.get", {}, b"[" * 100_000)
@example("contacts.upsert", {}, b'{"by":"email","value":"a/../b?c#d","first_name":1}')
@example("contacts.create", {"Content-Type": CLOUDEVENTS}, b'{"specversion":"1.0","data":"x"}')
@example("contacts.list", {}, b'{"limit":1e999,"q":"\\ud800"}')
def test_a_message_is_a_request_or_malformed(verb: str, headers: dict[str, str], payload: bytes) -> None:
    try:
        asked = READERS[verb].request(headers, payload)
    except Malformed:
        return
    assert asked.scope["raw_path"].startswith(b"/v1/")
    assert b" " not in asked.scope["raw_path"] + asked.scope["query_string"]
    assert b"content-length" not in dict(asked.scope["headers"])
    assert isinstance(body_of(asked), bytes)


def body_of(asked: Asked) -> bytes:
    """It is there already: receiving it waits for nothing."""
    receiving: Any = asked.receive()
    try:
        receiving.send(None)
    except StopIteration as done:
        body: bytes = done.value["body"]
        return body
    raise AssertionError("it waits")


@pytest.mark.parametrize(
    ("payload", "query"),
    [
        (b'{"contact_id":"x","as_of":"0.5","fields":"id"}', b"as_of=0.5&fields=id"),
        (b'{"contact_id":"x","fields":null}', b""),
        (b'{"contact_id":"x y/z"}', b""),
    ],
)
def test_parameters_go_where_http_has_them(payload: bytes, query: bytes) -> None:
    asked = READERS["contacts.get"].request({}, payload)
    assert asked.scope["query_string"] == query


def test_what_body_and_query_both_know_belongs_into_the_body() -> None:
    asked = READERS["contacts.delete"].request({}, b'{"contact_id":"x","reason":"asked"}')
    assert (asked.scope["query_string"], body_of(asked)) == (b"", b'{"reason":"asked"}')


@pytest.mark.parametrize(
    "token", ["", "*", "x", "01900000-0000-7000-8000-00000000000", "01900000000070008000000000000001"]
)
def test_a_subject_names_a_workspace_by_its_id_only(token: str) -> None:
    assert workspace_of(f"rollbook.svc.v1.{token}.may-send") is None
