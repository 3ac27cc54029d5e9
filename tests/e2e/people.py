"""The thousand people of `data/people.csv`, what a stack must make of them, and how they are searched for."""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

FILE: Final = Path(__file__).with_name("data") / "people.csv"
#: Whose national numbers the file spells without a country code.
REGION: Final = "DE"

#: Scripts in which people leave accents and points out when they type.
_ACCENTED: Final = frozenset({"LATIN", "GREEK", "CYRILLIC", "HEBREW", "ARABIC"})
_APOSTROPHES: Final = dict.fromkeys(map(ord, "'’ʻʼ`\u200c"))
_TYPED: Final = str.maketrans(
    {"ł": "l", "ø": "o", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d", "đ": "d", "ı": "i", "ß": "ss", "ə": "e"}
)


class Person(NamedTuple):
    """One row, as it is written there."""

    external_id: str
    first_name: str
    last_name: str
    email: str
    phone: str
    phone_e164: str
    country: str
    language: str
    time_zone: str
    tags: str

    @property
    def body(self) -> dict[str, Any]:
        """What is sent to create them: names, address and number as somebody typed them."""
        said = self._asdict()
        del said["phone_e164"]
        return {name: value for name, value in said.items() if value} | {"tags": self.tag_list}

    @property
    def tag_list(self) -> list[str]:
        return self.tags.split(";") if self.tags else []

    @property
    def expected(self) -> dict[str, Any]:
        """What the contact must then show: composed names, the international number, the rest as it was."""
        first, last = (unicodedata.normalize("NFC", name) or None for name in (self.first_name, self.last_name))
        return {
            "external_id": self.external_id,
            "first_name": first,
            "last_name": last,
            "full_name": " ".join(filter(None, (first, last))),
            "email": self.email or None,
            "phone": self.phone_e164 or None,
            "country": self.country,
            "language": self.language,
            "time_zone": self.time_zone,
            "tags": self.tag_list,
        }

    @property
    def canaries(self) -> Iterator[str]:
        """Texts that give them away wherever they turn up; short names could be parts of other words."""
        yield self.external_id
        yield from filter(None, (self.email, self.phone_e164.removeprefix("+")))
        for name in (self.first_name, self.last_name):
            for form in ("NFC", "NFD"):
                text = unicodedata.normalize(form, name)
                if len(text) > 3:
                    yield text


def read_people() -> list[Person]:
    with FILE.open(encoding="utf-8", newline="") as file:
        return [Person(**row) for row in csv.DictReader(file)]


def typed(text: str) -> str:
    """A name as somebody in a hurry types it: small letters, no accents, no apostrophes."""
    words = (_typed(word) for word in text.lower().translate(_APOSTROPHES).split())
    return " ".join(words)


def _typed(word: str) -> str:
    if not word or unicodedata.name(word[0]).split()[0] not in _ACCENTED:
        return word
    return unicodedata.normalize("NFC", _without_marks(word)).translate(_TYPED)


def may_match(text: str, contact: dict[str, Any]) -> bool:
    """Whether any reading of a search for `text` could find the contact, marks of every script left out."""
    names = [contact[field] or "" for field in ("first_name", "last_name", "email", "external_id")]
    kept = _widest("".join((*names, names[1], names[0])))
    return all(_widest(word) in kept for word in text.split())


def _widest(text: str) -> str:
    plain = _without_marks(text.casefold().translate(_APOSTROPHES)).casefold().translate(_TYPED)
    return "".join(plain.split())


def _without_marks(text: str) -> str:
    return "".join(
        part for part in unicodedata.normalize("NFKD", text) if not unicodedata.category(part).startswith("M")
    )
