"""Addresses as suppression and consent know them: by keyed digests, never by their text. No I/O.

Two digests of the same address have two meanings. The widest covers every spelling that may reach the same person, and
what stops messages holds for all of it. The exact one covers one spelling (case, IDN and an extension aside), and what
lets messages through holds for that spelling only.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Final, TypeAlias
from uuid import UUID

import msgspec

from contacts.emails import email_normal, email_widest, parse_email
from contacts.errors import InvalidValue
from contacts.phones import parse_phone
from contacts.values import KIND_MAX, Country, Email, Phone, parse_kind, parse_token

#: `email`, `phone`, or the kind of a channel whose own tokens are its addresses (`telegram`, `web_push`, …).
Family: TypeAlias = str
#: What is sent over: `email`, `sms`, `telegram`, …; several channels can have one family.
Channel: TypeAlias = str
Digest: TypeAlias = bytes

EMAIL: Final = "email"
PHONE: Final = "phone"
#: Channels that reach a phone number. `phone` itself stands for all of them.
PHONE_CHANNELS: Final = frozenset({"phone", "sms", "viber", "voice", "whatsapp"})
DIGEST_BYTES: Final = 16
_PURPOSE: Final = "address"


class Address(msgspec.Struct, frozen=True, gc=False):
    """One address of a person, as given and as its digests."""

    family: Family
    #: Of everything that may reach the same person.
    widest: Digest
    #: Of this spelling.
    exact: Digest
    #: Personal data: it goes into encrypted proof and nowhere else.
    text: str


class AddressKeys:
    """Makes digests with the installation's key (`Keyring.hmac`), so that nobody else can guess an address from one."""

    def __init__(self, hmac: Callable[[str, str], bytes]) -> None:
        self._hmac = hmac

    def email(self, email: Email) -> Address:
        return Address(EMAIL, self.email_digest(email), self._hmac(_PURPOSE, f"email={email_normal(email)}"), email)

    def phone(self, phone: Phone) -> Address:
        return Address(PHONE, self.phone_digest(phone), self._hmac(_PURPOSE, f"phone={phone}"), phone)

    def token(self, kind: str, token: str) -> Address:
        """A push token, or a person's id in a messenger. It has one spelling only, but for messengers that know people
        by their number: there it is that number."""
        if kind in PHONE_CHANNELS:
            return self.phone(_number_of(token))
        digest = self.token_digest(kind, token)
        return Address(kind, digest, digest, token)

    def token_digest(self, kind: str, token: str) -> Digest:
        """The widest one alone."""
        if kind in PHONE_CHANNELS:
            return self.phone_digest(_number_of(token))
        return self._hmac(_PURPOSE, f"{kind}/{token}")

    def email_digest(self, email: Email) -> Digest:
        """The widest one alone, for those who only look up."""
        return self._hmac(_PURPOSE, f"email/{email_widest(email)}")

    def phone_digest(self, phone: Phone) -> Digest:
        """The widest one alone. An extension is dropped: it is the same line."""
        return self._hmac(_PURPOSE, f"phone/{phone.partition(';')[0]}")

    def proof_digest(self, proof: msgspec.Struct) -> Digest:
        """Tells proofs apart without telling what they say; empty for an empty one."""
        text = msgspec.json.encode(proof).decode()
        return b"" if text == "{}" else self._hmac("proof", text)

    def parse(self, channel: Channel, text: str, region: Country | None) -> Address:
        """The address that `text` is on a channel. Raises InvalidValue."""
        family = family_of(channel)
        if family == EMAIL:
            return self.email(parse_email(text))
        if family == PHONE:
            return self.phone(parse_phone(text, region))
        return self.token(family, parse_token(text))


def _number_of(token: str) -> Phone:
    """Messengers mostly leave the plus out."""
    try:
        return parse_phone(f"+{token.removeprefix('+')}", None)
    except InvalidValue:
        return Phone(token)


def family_of(channel: Channel) -> Family:
    return PHONE if channel in PHONE_CHANNELS else channel


def parse_channel(text: str) -> Channel:
    """Any kind of channel; the set is open. Raises InvalidValue."""
    try:
        return parse_kind(text)
    except InvalidValue as error:
        expected = f"email, phone, sms, whatsapp or another kind of channel, at most {KIND_MAX} characters"
        raise InvalidValue(error.reason, expected) from None


def address_id(workspace_id: UUID, widest: Digest) -> UUID:
    """Id of the streams of an address in a workspace. Tells nobody who lacks the digest which address it is."""
    return UUID(bytes=blake2b(workspace_id.bytes + widest, digest_size=DIGEST_BYTES).digest())
