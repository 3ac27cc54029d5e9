"""What a person may be known by in a text of which nobody knows whose it is: keyed digests of it. No I/O.

An erasure leaves the digests of everything its contacts were ever known by, and whoever keeps messages that belong to
nobody finds with them which of these named the person. Nobody can read a digest, or make one without the master key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final
from unicodedata import normalize
from uuid import UUID

import msgspec

from contacts.contact.state import Contact
from contacts.emails import email_widest, parse_email
from contacts.errors import InvalidValue
from contacts.phones import parse_phone
from contacts.values import Country

PURPOSE: Final = "erased"
#: Enough that no two people meet in an installation.
BYTES: Final = 8
#: Fields that hold an id, as written in any way. Elsewhere a short id is mostly something else: an amount, a day.
_ID_FIELD: Final = re.compile(r"^(?:ce-)?(?:external|messaging)[-_ ]?id$|^token$", re.IGNORECASE)
_ID_IN_TEXT: Final = re.compile(
    r"""(?:external[-_ ]?id|messaging[-_ ]?id|token)\W{0,3}[:=]\s*(?:"([^"]*)|'([^']*)|([^\s,;&}\]]+))""", re.IGNORECASE
)
# Bounded, so that a message made up to be slow is not.
_EMAIL: Final = re.compile(r"[^\s\"'<>()\[\]{},;:=&\\@]{1,64}@[^\s\"'<>()\[\]{},;:=&\\/@]{1,255}")
_PHONE: Final = re.compile(r"[+(]?\d[\d ()./-]{5,24}\d")
_UUID: Final = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)
_UNREADABLE: Final = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, OverflowError, MemoryError)


class Marks:
    """Makes them with the installation's key (`Keyring.hmac`)."""

    def __init__(self, hmac: Callable[[str, str], bytes]) -> None:
        self._hmac = hmac

    def of_contact(self, contact: Contact) -> set[bytes]:
        """Of all that it is known by at present."""
        known_by = [("id", str(contact.id)), ("id", contact.external_id), ("id", contact.messaging_id)]
        marks = {self._mark(kind, value) for kind, value in known_by if value}
        for text in filter(None, (contact.email, contact.phone)):
            marks |= self._of_words(text, None)
        for channel in contact.channels:
            marks |= {self._mark("id", channel.token), *self._of_words(channel.token, None)}
        return marks

    def of_message(self, data: bytes, headers: dict[str, str], region: Country | None) -> set[bytes]:
        """Of whatever somebody may be known by in it, in a message that nobody could read as well."""
        marks: set[bytes] = set()
        try:
            said = msgspec.json.decode(data)
        except _UNREADABLE:
            text = data.decode(errors="replace")
            marks |= self._of_words(text, region)
            marks |= {self._mark("id", next(filter(None, found), "")) for found in _ID_IN_TEXT.findall(text)}
        else:
            marks |= {mark for field, text in _texts(said, "") for mark in self._of_field(field, text, region)}
        return marks | {mark for name, text in headers.items() for mark in self._of_field(name, text, region)}

    def _of_field(self, field: str, text: str, region: Country | None) -> set[bytes]:
        marks = self._of_words(text, region)
        if _ID_FIELD.match(field):
            marks.add(self._mark("id", text.strip()))
        return marks

    def _of_words(self, text: str, region: Country | None) -> set[bytes]:
        """Of what looks like an address or an id of ours, wherever it stands in the text."""
        marks = {self._mark("id", str(UUID(word))) for word in _UUID.findall(text)}
        for word in _EMAIL.findall(text):
            try:
                marks.add(self._mark("email", email_widest(parse_email(word.strip(".!?")))))
            except InvalidValue:
                continue
        for word in _PHONE.findall(text):
            # Messengers mostly leave the plus out.
            for spelling in (word, f"+{word}"):
                try:
                    marks.add(self._mark("phone", parse_phone(spelling, region).partition(";")[0]))
                except InvalidValue:
                    continue
        return marks

    def _mark(self, kind: str, value: str) -> bytes:
        return self._hmac(PURPOSE, f"{kind}/{normalize('NFC', value)}")[:BYTES]


def _texts(value: Any, field: str) -> Iterator[tuple[str, str]]:
    """Every text and number with the name of its field, keys of objects among them."""
    match value:
        case dict():
            for name, each in value.items():
                yield "", name
                yield from _texts(each, name)
        case list():
            for each in value:
                yield from _texts(each, field)
        case str():
            yield field, value
        case int() | float():
            yield field, str(value)
