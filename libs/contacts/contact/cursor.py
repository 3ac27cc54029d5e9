"""The `next_cursor` of contact lists: where a page ended, sealed, so that it can neither be read nor altered."""

from __future__ import annotations

import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from contacts.errors import InvalidField, InvalidInput

NONCE_BYTES: Final = 12

_encode: Final = msgspec.msgpack.Encoder(uuid_format="bytes").encode


class Total(msgspec.Struct, frozen=True, array_like=True):
    """How many contacts a list has in all; an estimate where it is not exact."""

    count: int
    exact: bool


class After(msgspec.Struct, frozen=True, array_like=True):
    """The last contact of a page, with what the list is sorted by: an instant, a text, or neither where it has none."""

    contact_id: UUID
    instant: datetime | None
    text: str | None
    #: Counted for the first page only, and shown again.
    total: Total
    #: Of a list of the past, the position it is as of.
    position: int | None = None
    #: Of a search, what it takes for now.
    now: datetime | None = None

    @property
    def key(self) -> datetime | str | None:
        return self.instant if self.instant is not None else self.text


class Cursors:
    """Seals and opens cursors. A key of 16, 24 or 32 bytes, the same in every process that answers the same callers.

    They go through URLs and logs of others and hold names or addresses, so they are encrypted, not just signed.
    """

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self._decode = msgspec.msgpack.Decoder(After).decode

    def seal(self, after: After, listing: bytes) -> str:
        """`listing` says which list it belongs to: workspace, filter and order."""
        nonce = os.urandom(NONCE_BYTES)
        return urlsafe_b64encode(nonce + self._cipher.encrypt(nonce, _encode(after), listing)).rstrip(b"=").decode()

    def open(self, cursor: str, listing: bytes) -> After:
        """Raises InvalidInput for anything that was not sealed for the same list."""
        try:
            sealed = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
            return self._decode(self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], listing))
        except (InvalidTag, Base64Error, ValueError, msgspec.DecodeError):
            reason = "is no next_cursor of this list"
            raise InvalidInput([InvalidField("/cursor", reason, "one from the same filter and order")]) from None
