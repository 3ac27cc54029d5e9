"""Plausible people for demonstrations and benchmarks: names of many countries, valid numbers, addresses nobody owns."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from random import Random
from typing import Final, NamedTuple

import mimesis
import phonenumbers
from mimesis.locales import Locale

from contacts.phones import parse_phone
from contacts.values import Country, Email, Language, Phone, Tag, TimeZone, parse_line, parse_name

#: Reserved by RFC 2606 and RFC 6761: mail to them reaches nobody.
DOMAINS: Final = ("example.com", "example.org", "example.net", "mail.test", "bücher.example")
TAGS: Final = (
    "newsletter",
    "vip",
    "wholesale",
    "trial",
    "press",
    "partner",
    "returned goods",
    "event 2026",
    "école",
    "日本",
)
ASSIGNEES: Final = ("ada@rollbook.test", "grace@rollbook.test", "linus@rollbook.test", "edsger@rollbook.test")


class Place(NamedTuple):
    """A country people come from, how its names are made, and how many of a hundred come from there."""

    locale: str
    country: str
    language: str
    time_zones: tuple[str, ...]
    share: int


PLACES: Final = (
    Place("de", "DE", "de", ("Europe/Berlin",), 14),
    Place("en", "US", "en", ("America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles"), 14),
    Place("en-gb", "GB", "en-GB", ("Europe/London",), 8),
    Place("fr", "FR", "fr", ("Europe/Paris",), 8),
    Place("es", "ES", "es", ("Europe/Madrid",), 5),
    Place("es-mx", "MX", "es-MX", ("America/Mexico_City",), 5),
    Place("pt-br", "BR", "pt-BR", ("America/Sao_Paulo", "America/Manaus"), 7),
    Place("it", "IT", "it", ("Europe/Rome",), 5),
    Place("pl", "PL", "pl", ("Europe/Warsaw",), 4),
    Place("uk", "UA", "uk", ("Europe/Kyiv",), 4),
    Place("tr", "TR", "tr", ("Europe/Istanbul",), 4),
    Place("ja", "JP", "ja", ("Asia/Tokyo",), 4),
    Place("zh", "CN", "zh-Hans", ("Asia/Shanghai",), 4),
    Place("ko", "KR", "ko", ("Asia/Seoul",), 2),
    Place("ar-sy", "SY", "ar", ("Asia/Damascus",), 2),
    Place("el", "GR", "el", ("Europe/Athens",), 2),
    Place("sv", "SE", "sv", ("Europe/Stockholm",), 2),
    Place("nl", "NL", "nl", ("Europe/Amsterdam",), 3),
    Place("cs", "CZ", "cs", ("Europe/Prague",), 2),
    Place("hu", "HU", "hu", ("Europe/Budapest",), 1),
)


class Person(NamedTuple):
    """Someone who may become a contact. Every value is in the form the domain stores."""

    first_name: str
    last_name: str
    email: Email
    phone: Phone
    country: Country
    time_zone: TimeZone
    language: Language
    street: str
    city: str
    postcode: str


class People:
    """Makes people, the same ones for the same seed. About 20,000 a second."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self._shares = [place.share for place in PLACES]
        self._names = {
            place.locale: mimesis.Person(Locale(place.locale), seed=f"{seed} {place.locale}") for place in PLACES
        }
        self._streets = {
            place.locale: mimesis.Address(Locale(place.locale), seed=f"{seed} {place.locale}") for place in PLACES
        }

    def person(self, number: int) -> Person:
        """`number` keeps e-mail addresses apart, as in `ann.lee.42@…`."""
        place = self.random.choices(PLACES, self._shares)[0]
        names, streets = self._names[place.locale], self._streets[place.locale]
        first, last = names.first_name(), names.last_name()
        return Person(
            first_name=parse_name(first),
            last_name=parse_name(last),
            email=self.email(first, last, number),
            phone=self.phone(place.country),
            country=Country(place.country),
            time_zone=TimeZone(self.random.choice(place.time_zones)),
            language=Language(place.language),
            street=parse_line(streets.address()),
            city=parse_line(streets.city()),
            postcode=parse_line(streets.postal_code()),
        )

    def last_name(self, person: Person) -> str:
        """Another family name of the same country."""
        return parse_name(self._names[next(p.locale for p in PLACES if p.country == person.country)].last_name())

    def email(self, first: str, last: str, number: int) -> Email:
        parts = [part for part in (_latin(first), _latin(last)) if part] or ["kontakt"]
        return Email(f"{'.'.join(parts)}.{number}@{self.random.choices(DOMAINS, (40, 25, 20, 12, 3))[0]}")

    def phone(self, country: str) -> Phone:
        """A mobile number that is valid by the country's numbering plan, in E.164."""
        pattern, example, code = _numbering(country)
        while True:
            keep = self.random.randint(1, 4)
            tail = "".join(self.random.choices("0123456789", k=len(example) - keep))
            number = example[:keep] + tail
            if pattern.fullmatch(number):
                return parse_phone(f"+{code}{number}", None)

    def tag(self) -> Tag:
        return Tag(self.random.choice(TAGS))


@cache
def _numbering(country: str) -> tuple[re.Pattern[str], str, int]:
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(country)
    mobile = metadata.mobile if metadata else None
    # Every country of PLACES has mobile numbers with an example.
    assert metadata
    assert mobile
    assert mobile.national_number_pattern
    assert mobile.example_number
    assert metadata.country_code
    return re.compile(mobile.national_number_pattern), mobile.example_number, metadata.country_code


def _latin(name: str) -> str:
    """What a person of this name would type before the @: ASCII letters only, empty for other scripts."""
    plain = unicodedata.normalize("NFKD", name.lower().replace("ø", "o").replace("ł", "l").replace("ß", "ss"))
    return "".join(letter for letter in plain if letter.isascii() and letter.isalpha())
