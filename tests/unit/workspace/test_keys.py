"""API keys as text."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contacts.workspace.keys import adopt_key, digest_of, make_key, parse_key


@given(st.uuids())
def test_a_key_says_which_workspace_and_which_key_it_is(workspace_id: UUID) -> None:
    key = make_key(workspace_id)
    assert parse_key(key.text) == (workspace_id, key.id)
    assert key.digest == digest_of(key.text)
    assert key.text.startswith("rbk_")
    # 26 characters of workspace, 16 of key id, 52 of secret: 256 bits in base 32.
    assert [len(part) for part in key.text.split("_")] == [3, 26, 16, 52]


def test_no_two_keys_are_alike() -> None:
    workspace_id = uuid4()
    assert len({make_key(workspace_id).text for _ in range(100)}) == 100


@pytest.mark.parametrize(
    "text",
    ["", "rbk", "rbk___", "rbk_a_b_c", "xyz_aaaaaaaaaaaaaaaaaaaaaaaaaa_a_b", "rbk_0" + "a" * 25 + "_a_b", "ä" * 90],
)
def test_other_texts_are_no_keys_of_our_form(text: str) -> None:
    assert parse_key(text) is None


@given(st.text(max_size=100))
def test_any_text_can_be_looked_at_without_harm(text: str) -> None:
    parse_key(text)
    assert adopt_key(text) == adopt_key(text)


def test_an_adopted_key_keeps_its_own_id() -> None:
    key = make_key(uuid4())
    assert adopt_key(key.text) == key
    assert len(adopt_key("my own key").id) == 16
