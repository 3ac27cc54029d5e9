"""What of a contact is compared when looking for duplicates, folded once. Compares nothing itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import msgspec

from contacts.duplicate.names import parts
from contacts.emails import email_mailbox, email_normal

if TYPE_CHECKING:
    from contacts.contact.state import Contact

#: Keys of custom attributes that hold a day of birth, in some languages of our users.
_BIRTH_KEY: Final = re.compile(
    r"(?:^|_)(?:dob|bday|birth_?da(?:y|te)|birth|born(?:_on)?|date_of_birth|geburtstag|geburtsdatum|naissance"
    r"|date_naissance|nacimiento|fecha_nacimiento|nascita|data_di_nascita|urodziny|data_urodzenia)(?:_|$)"
)
_DAY: Final = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})(?:\D.*)?")
_HOUSE: Final = re.compile(r"\d+[a-z]?")
#: What a street is called besides its name, as far as it is a word of its own.
_STREET_WORDS: Final = frozenset(
    (
        *(
            "street",
            "st",
            "road",
            "rd",
            "avenue",
            "ave",
            "av",
            "lane",
            "ln",
            "drive",
            "dr",
            "place",
            "pl",
            "court",
            "ct",
        ),
        *("crescent", "circuit", "close", "way", "terrace", "square", "boulevard", "blvd", "strasse", "str", "rue"),
        *("calle", "via", "ulica", "ul", "allee", "platz", "weg", "straat", "gata"),
    )
)


class Traits(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Folded; empty where the contact has no such thing."""

    given: str = ""
    family: str = ""
    #: Normal form.
    email: str = ""
    #: The address of the mailbox it leads to for certain.
    mailbox: str = ""
    #: E.164, with its extension.
    number: str = ""
    #: Its digits with the country code, without the extension.
    phone: str = ""
    street: str = ""
    house: str = ""
    postcode: str = ""
    city: str = ""
    #: YYYYMMDD.
    birth: str = ""


NOTHING: Final = Traits()


def traits_of(contact: Contact) -> Traits:
    """What there is to compare of a contact as it is shown."""
    given, family = parts(contact.first_name), parts(contact.last_name)
    if not family and len(given) > 1:
        # The whole name in one field.
        given, family = given[:1], given[1:]
    elif not given and len(family) > 1:
        given, family = family[:1], family[1:]
    address = contact.address
    street, house = _street(address.street if address else None)
    return Traits(
        " ".join(given),
        " ".join(family),
        email_normal(contact.email) if contact.email else "",
        email_mailbox(contact.email) if contact.email else "",
        contact.phone or "",
        contact.phone.partition(";")[0].lstrip("+") if contact.phone else "",
        street,
        house,
        "".join(parts(address.postcode)) if address else "",
        " ".join(parts(address.city)) if address else "",
        birth_of(contact.attributes) if contact.attributes else "",
    )


def is_birth_key(key: str) -> bool:
    """Whether an attribute of this key is taken for a day of birth."""
    return _BIRTH_KEY.search(key) is not None


def birth_of(attributes: Mapping[str, object]) -> str:
    """YYYYMMDD of the first attribute, by key, that is named like a day of birth and looks like a day."""
    for key in sorted(attributes):
        value = attributes[key]
        if is_birth_key(key) and isinstance(value, str) and (day := _DAY.fullmatch(value.strip())):
            return "".join(day.groups())
    return ""


def _street(text: str | None) -> tuple[str, str]:
    name: list[str] = []
    kinds: list[str] = []
    house = ""
    for word in parts(text):
        if _HOUSE.fullmatch(word):
            house = house or word
        else:
            (kinds if word in _STREET_WORDS else name).append(word)
    return " ".join(name or kinds), house
