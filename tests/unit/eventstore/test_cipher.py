"""Master keys, data keys and what each of them opens."""

from __future__ import annotations

from uuid import uuid4

import pytest
from cryptography.exceptions import InvalidTag
from hypothesis import given
from hypothesis import strategies as st

from eventstore import cipher
from eventstore.cipher import DATA_KEY_BYTES, Keyring, SubjectCipher
from eventstore.errors import KeyUnavailable

ONE, TWO = b"one" * 11, b"two" * 11
SUBJECT = uuid4()


@given(st.binary(max_size=200), st.binary(max_size=50))
def test_what_was_encrypted_is_decrypted(payload: bytes, context: bytes) -> None:
    subjects = SubjectCipher(Keyring.from_secret(ONE))
    wrapped = subjects.create_key(SUBJECT)
    sealed = subjects.encrypt(SUBJECT, wrapped, payload, context)
    assert SubjectCipher(Keyring.from_secret(ONE)).decrypt(SUBJECT, wrapped, sealed, context) == payload


def test_another_context_or_any_changed_bit_is_refused() -> None:
    subjects = SubjectCipher(Keyring.from_secret(ONE))
    wrapped = subjects.create_key(SUBJECT)
    sealed = subjects.encrypt(SUBJECT, wrapped, b"payload", b"here")
    with pytest.raises(InvalidTag):
        subjects.decrypt(SUBJECT, wrapped, sealed, b"there")
    for bit in range(len(sealed) * 8):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(InvalidTag):
            subjects.decrypt(SUBJECT, wrapped, bytes(changed), b"here")


def test_a_data_key_opens_nothing_of_another_subject() -> None:
    subjects = SubjectCipher(Keyring.from_secret(ONE))
    wrapped, other = subjects.create_key(SUBJECT), subjects.create_key(uuid4())
    assert wrapped != other
    sealed = subjects.encrypt(SUBJECT, wrapped, b"payload", b"")
    with pytest.raises((KeyUnavailable, InvalidTag)):
        SubjectCipher(Keyring.from_secret(ONE)).decrypt(SUBJECT, other, sealed, b"")


def test_a_wrapped_key_belongs_to_its_subject() -> None:
    keyring = Keyring.from_secret(ONE)
    wrapped = keyring.wrap(SUBJECT, b"k" * DATA_KEY_BYTES)
    assert keyring.unwrap(SUBJECT, wrapped) == b"k" * DATA_KEY_BYTES
    with pytest.raises(KeyUnavailable):
        keyring.unwrap(uuid4(), wrapped)


def test_older_master_keys_still_open_and_the_current_one_wraps() -> None:
    before = Keyring({1: ONE}, current=1)
    after = Keyring({1: ONE, 2: TWO}, current=2)
    wrapped = before.wrap(SUBJECT, b"k" * DATA_KEY_BYTES)
    assert after.unwrap(SUBJECT, wrapped) == b"k" * DATA_KEY_BYTES
    renewed = after.wrap(SUBJECT, b"k" * DATA_KEY_BYTES)
    assert (wrapped[0], renewed[0]) == (1, 2)
    with pytest.raises(KeyUnavailable, match="2 is not configured"):
        before.unwrap(SUBJECT, renewed)


def test_the_wrong_master_key_says_so_without_showing_anything() -> None:
    wrapped = Keyring.from_secret(ONE).wrap(SUBJECT, b"k" * DATA_KEY_BYTES)
    with pytest.raises(KeyUnavailable) as refused:
        Keyring.from_secret(TWO).unwrap(SUBJECT, wrapped)
    assert refused.value.__cause__ is None
    assert "two" not in str(refused.value)


def test_claims_are_found_again_after_a_rotation() -> None:
    before, after = Keyring({1: ONE}, current=1), Keyring({1: ONE, 2: TWO}, current=2)
    assert before.hmac("claim", "ada@x.test") == after.hmac("claim", "ada@x.test")


def test_hmacs_differ_by_key_purpose_and_text_and_stay_what_they_are_stored_as() -> None:
    keyring = Keyring.from_secret(b"\x01" * 32)
    assert len({keyring.hmac(p, t) for p in ("claim", "suppression") for t in ("a", "b", "")}) == 6
    assert keyring.hmac("claim", "a") != Keyring.from_secret(b"\x02" * 32).hmac("claim", "a")
    assert keyring.hmac("claim", "a").hex() == "17db3b660977146524ca4dd538bb768f"


@pytest.mark.parametrize(("masters", "current"), [({}, 1), ({1: ONE}, 2), ({1: b"short"}, 1), ({1: ONE, 2: b""}, 1)])
def test_a_keyring_that_cannot_work_is_refused_at_once(masters: dict[int, bytes], current: int) -> None:
    with pytest.raises(ValueError, match="master key"):
        Keyring(masters, current)


def test_a_full_cache_of_data_keys_is_emptied_not_outgrown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cipher, "CACHED_KEYS_MAX", 3)
    subjects = SubjectCipher(Keyring.from_secret(ONE))
    kept = [(subject, subjects.create_key(subject)) for subject in (uuid4() for _ in range(10))]
    for subject, wrapped in kept:
        assert subjects.decrypt(subject, wrapped, subjects.encrypt(subject, wrapped, b"p", b""), b"") == b"p"
        assert len(subjects._unwrapped) <= 3
