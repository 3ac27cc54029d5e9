"""Master keyring, data keys per subject, encryption of payloads. Not where wrapped keys are kept."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from hashlib import blake2b
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from eventstore.errors import KeyUnavailable

NONCE_BYTES: Final = 12
DATA_KEY_BYTES: Final = 32
HMAC_BYTES: Final = 16
CACHED_KEYS_MAX: Final = 100_000
RANDOM_BYTES_AT_ONCE: Final = 4096
MASTER_KEY_BYTES_MIN: Final = 32


class _Randomness(threading.local):
    """Bytes of the operating system's generator, fetched many at once: a call into the kernel for each nonce is slow.

    Bytes handed out twice would end all secrecy, so every thread has its own, and a forked process forgets them.
    """

    def __init__(self) -> None:
        self._bytes = b""
        self._used = 0

    def take(self, count: int) -> bytes:
        begin = self._used
        if begin + count > len(self._bytes):
            self._bytes, begin = os.urandom(RANDOM_BYTES_AT_ONCE), 0
        self._used = begin + count
        return self._bytes[begin : self._used]

    def forget(self) -> None:
        self._bytes, self._used = b"", 0


_randomness: Final = _Randomness()
_random_bytes: Final = _randomness.take
os.register_at_fork(after_in_child=_randomness.forget)


class Keyring:
    """Master keys by number (0–255). New data keys are wrapped by `current`; older numbers still unwrap.

    The HMAC key is derived from the oldest master key, so that rotation does not change how claims are found.
    """

    def __init__(self, masters: Mapping[int, bytes], current: int) -> None:
        if current not in masters:
            raise ValueError(f"master key {current} is not among {sorted(masters)}")
        short = [number for number, secret in masters.items() if len(secret) < MASTER_KEY_BYTES_MIN]
        if short:
            raise ValueError(f"master keys {short} are shorter than {MASTER_KEY_BYTES_MIN} bytes")
        self._wrapping = {number: AESGCM(_derive(secret, b"wrap")) for number, secret in masters.items()}
        self._current = current
        self._hmac_key = _derive(masters[min(masters)], b"hmac")
        #: By purpose, keyed and ready to be copied: keying anew would be half of the work.
        self._hmacs: dict[str, blake2b] = {}

    @classmethod
    def from_secret(cls, secret: bytes) -> Keyring:
        """A keyring of one master key, number 1; at least 32 bytes of secret."""
        return cls({1: secret}, current=1)

    def wrap(self, subject_id: UUID, data_key: bytes) -> bytes:
        nonce = _random_bytes(NONCE_BYTES)
        sealed = self._wrapping[self._current].encrypt(nonce, data_key, subject_id.bytes)
        return bytes((self._current,)) + nonce + sealed

    def unwrap(self, subject_id: UUID, wrapped: bytes) -> bytes:
        """Raises KeyUnavailable where the master key is missing or is not the one that wrapped."""
        master = self._wrapping.get(wrapped[0])
        if master is None:
            raise KeyUnavailable(f"master key {wrapped[0]} is not configured")
        try:
            return master.decrypt(wrapped[1 : 1 + NONCE_BYTES], wrapped[1 + NONCE_BYTES :], subject_id.bytes)
        except InvalidTag:
            raise KeyUnavailable(f"master key {wrapped[0]} is not the one that wrapped this data key") from None

    def hmac(self, purpose: str, text: str) -> bytes:
        """16 bytes that stand for `text` where the text itself must not be stored; keyed, so not guessable."""
        keyed = self._hmacs.get(purpose)
        if keyed is None:
            keyed = blake2b(key=self._hmac_key, digest_size=HMAC_BYTES, person=purpose.encode()[:16])
            self._hmacs[purpose] = keyed
        digest = keyed.copy()
        digest.update(text.encode())
        return digest.digest()


def _derive(secret: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"rollbook/" + purpose).derive(secret)


class SubjectCipher:
    """Encrypts and decrypts the payloads of subjects with their data keys, which it caches unwrapped.

    The cache is keyed by the wrapped key found in the database: a destroyed key is never served from it.
    """

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._unwrapped: dict[bytes, AESGCM] = {}
        # The key made last: what follows at once is its first event, and perhaps never another.
        self._made: tuple[bytes, AESGCM] | None = None

    def create_key(self, subject_id: UUID) -> bytes:
        """A new data key, wrapped."""
        data_key = _random_bytes(DATA_KEY_BYTES)
        wrapped = self._keyring.wrap(subject_id, data_key)
        self._made = wrapped, AESGCM(data_key)
        return wrapped

    def encrypt(self, subject_id: UUID, wrapped: bytes, payload: bytes, context: bytes) -> bytes:
        nonce = _random_bytes(NONCE_BYTES)
        return nonce + self._key(subject_id, wrapped).encrypt(nonce, payload, context)

    def decrypt(self, subject_id: UUID, wrapped: bytes, sealed: bytes, context: bytes) -> bytes:
        """Raises cryptography's InvalidTag where the payload was changed or moved to another stream."""
        return self._key(subject_id, wrapped).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context)

    def _key(self, subject_id: UUID, wrapped: bytes) -> AESGCM:
        if self._made is not None and self._made[0] is wrapped:
            return self._made[1]
        key = self._unwrapped.get(wrapped)
        if key is None:
            key = AESGCM(self._keyring.unwrap(subject_id, wrapped))
            self._remember(wrapped, key)
        return key

    def _remember(self, wrapped: bytes, key: AESGCM) -> None:
        if len(self._unwrapped) >= CACHED_KEYS_MAX:
            self._unwrapped.clear()
        self._unwrapped[wrapped] = key
