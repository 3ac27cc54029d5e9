"""Unsubscribe links (RFC 8058): who holds the token may object for one address, and learns nothing from it. No I/O."""

from __future__ import annotations

import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from typing import Final
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from contacts.addresses import Address, Channel, Digest, family_of
from contacts.consent.commands import ConsentCommand, UnsubscribeCategory, WithdrawConsent
from contacts.errors import Refusal
from contacts.proof import Proof

#: What the link's objections are recorded as coming from.
ONE_CLICK: Final = "one_click"
#: No token is longer: whatever is was not made here.
TOKEN_MAX: Final = 1_024
_NONCE_BYTES: Final = 12
_CONTEXT: Final = b"unsubscribe"

_encode: Final = msgspec.msgpack.Encoder(uuid_format="bytes").encode


class Target(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a link unsubscribes: one address on one channel, from everything or from one category. Holds no address."""

    workspace_id: UUID
    channel: Channel
    widest: Digest
    exact: Digest
    #: Case folded.
    category: str | None = None
    contact_id: UUID | None = None

    def objection(self, proof: Proof, proof_digest: Digest) -> ConsentCommand:
        address = Address(family_of(self.channel), self.widest, self.exact, "")
        if self.category is not None:
            return UnsubscribeCategory(
                workspace_id=self.workspace_id, address=address, channel=self.channel, category=self.category,
                source=ONE_CLICK, proof=proof, proof_digest=proof_digest, contact_id=self.contact_id,
            )  # fmt: skip
        return WithdrawConsent(
            workspace_id=self.workspace_id, address=address, channel=self.channel, source=ONE_CLICK, proof=proof,
            proof_digest=proof_digest, contact_id=self.contact_id,
        )  # fmt: skip


class InvalidLink(Refusal):
    """Not a token of this installation, or no longer what it was."""

    def __init__(self) -> None:
        super().__init__("this is no unsubscribe link, or a part of it is missing")


class UnsubscribeLinks:
    """Seals and opens tokens. `key` has 16, 24 or 32 bytes and must stay the same: mail is read years later."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self._decode = msgspec.msgpack.Decoder(Target).decode

    def seal(self, target: Target) -> str:
        """Another token at every call, so that two mails to one address cannot be told to be."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, _encode(target), _CONTEXT)
        return urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def open(self, token: str) -> Target:
        """Raises InvalidLink."""
        try:
            if len(token) > TOKEN_MAX:
                raise InvalidLink
            sealed = urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
            return self._decode(self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _CONTEXT))
        except (InvalidTag, Base64Error, ValueError, msgspec.DecodeError):
            raise InvalidLink from None
