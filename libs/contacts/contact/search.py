"""The search box: the text a contact is found by, and what is typed turned into patterns on it. No SQL, no I/O."""

from __future__ import annotations

import re
import unicodedata
from typing import Final
from uuid import UUID

import msgspec
import phonenumbers

from contacts.contact.state import Contact
from contacts.emails import email_normal
from contacts.errors import InvalidValue
from contacts.folding import fold
from contacts.phones import parse_phone
from contacts.values import Country

#: Characters that may be typed, and terms (words, or a phone number in several groups) they may make.
QUERY_MAX: Final = 200
TERMS_MAX: Final = 10
#: Hexadecimal digits from which a word may be the start of a contact id.
ID_PREFIX_MIN: Final = 8

# Scripts written without spaces: each character is searched as a word, so that any part of a name finds it.
_UNSPACED: Final = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_PHONE_LIKE: Final = re.compile(r"[+(/.\-]*[0-9][0-9+()/.\-]*")
_ONLY_IN_PHONES: Final = re.compile(r"[+()/]")
_LETTER: Final = re.compile(r"[^\W_]")
_INDEXED: Final = re.compile(r"[^\W_]{3}|[\W_][^\W_]")
_HEX: Final = re.compile(r"[0-9a-f]+")
#: Where the dashes of a UUID are.
_DASHES: Final = (8, 13, 18, 23)


class IdRange(msgspec.Struct, frozen=True):
    """Contact ids that start with what was typed; both ends belong to it."""

    first: UUID
    last: UUID


class Term(msgspec.Struct, frozen=True):
    """One thing that was typed. A contact matches with any of `texts` or with an id in `ids`."""

    #: Ways to read it as text: LIKE patterns that must match all together.
    texts: tuple[tuple[str, ...], ...]
    ids: IdRange | None = None


# -- what is stored ---------------------------------------------------------------------------------------------------


def search_text(contact: Contact, name: str | None) -> str:
    """What the patterns of `parse_search` are matched against: folded, every part after a space. `name` is folded."""
    parts = (name, contact.email, contact.external_id, contact.messaging_id)
    text = " ".join([part for part in parts if part])
    text = _searchable(text if text.isascii() else f"{text} {_spelt_otherwise(contact)}")
    return f" {text} {contact.phone.replace(';ext=', ' ')}" if contact.phone else f" {text}"


def _spelt_otherwise(contact: Contact) -> str:
    others = []
    if contact.email and not contact.email.isascii():
        others.append(email_normal(contact.email))
    if contact.first_name and contact.last_name and _UNSPACED.search(contact.last_name):
        # Family name first and no space: the order in which such names are typed.
        others.append(f"{contact.last_name}{contact.first_name}")
    return " ".join(others)


def _searchable(text: str) -> str:
    if text.isascii():
        return text.lower().replace("'", "").replace("`", "")
    folded = fold(text).replace("'", "")
    if folded.isascii():
        return " ".join(folded.split())
    return " ".join(_UNSPACED.sub(r" \g<0> ", folded).split())


# -- what is typed ----------------------------------------------------------------------------------------------------


def parse_search(typed: str, region: Country | None = None) -> tuple[Term, ...]:
    """The terms of a query, all of which a contact must match; none where nothing searchable was typed.

    Words of one or two letters match the start of a word, longer ones any part. `region` is whose national numbers
    are meant. Raises InvalidValue for what is too long or cannot be text.
    """
    _check(typed)
    terms: list[Term] = []
    for group in _groups(typed.split()):
        term = _term(group, region)
        if term is not None and term not in terms:
            terms.append(term)
    if len(terms) > TERMS_MAX:
        raise InvalidValue(f"has {len(terms)} words", f"at most {TERMS_MAX} words")
    return tuple(terms)


def _check(typed: str) -> None:
    if len(typed) > QUERY_MAX:
        raise InvalidValue(f"has {len(typed)} characters", f"at most {QUERY_MAX} characters")
    if any(character == "\0" or "\ud800" <= character <= "\udfff" for character in typed):
        raise InvalidValue("holds a character that is not text", "text without NUL and lone surrogates")


def _groups(words: list[str]) -> list[list[str]]:
    """Neighbouring words that may be parts of one phone number stay together, every other word is alone."""
    groups: list[list[str]] = []
    in_phone = False
    for word in words:
        is_part = _PHONE_LIKE.fullmatch(_plain_digits(word)) is not None
        if is_part and in_phone and not word.startswith("+"):
            groups[-1].append(word)
        else:
            groups.append([word])
        in_phone = is_part
    return groups


def _plain_digits(text: str) -> str:
    """Full-width, Arabic, Devanagari … digits as ASCII ones, any dash as a hyphen."""
    if text.isascii():
        return text
    return "".join(str(unicodedata.decimal(character, character)) for character in fold(text))


def _term(words: list[str], region: Country | None) -> Term | None:
    phone = _phone_patterns(_plain_digits(" ".join(words)), region)
    texts = _widest([*_word_patterns(words), *((pattern,) for pattern in phone)])
    ids = _id_range(words[0].lower()) if len(words) == 1 else None
    return Term(texts, ids) if texts or ids else None


def _widest(texts: list[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    """Without those that can only match where another one does."""
    unique = dict.fromkeys(texts)
    alone = [text[0][1:-1] for text in unique if len(text) == 1]
    return tuple(
        text
        for text in unique
        if not any(part in pattern and f"%{part}%" != pattern for part in alone for pattern in text)
    )


def _word_patterns(words: list[str]) -> list[tuple[str, ...]]:
    if _ONLY_IN_PHONES.search("".join(words)) and _PHONE_LIKE.fullmatch(_plain_digits("".join(words))):
        return []
    patterns = tuple(pattern for pattern in map(_word_pattern, words) if pattern)
    return [patterns] if patterns else []


def _word_pattern(word: str) -> str | None:
    searchable = _searchable(word)
    if not _LETTER.search(searchable):
        return None
    # What the index knows of a word are three letters in a row or its first ones. A pattern with neither would be
    # looked for in every row, so a short word is taken as the beginning of one.
    anywhere = _INDEXED.search(searchable)
    return f"%{_escaped(searchable)}%" if anywhere else f"% {_escaped(searchable)}%"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _phone_patterns(typed: str, region: Country | None) -> list[str]:
    """Patterns on the E.164 number for any spelling of it or of a part of it."""
    if not all(_PHONE_LIKE.fullmatch(part) for part in typed.split()):
        return []
    digits = re.sub(r"\D", "", typed.replace("(0)", ""))
    if typed.lstrip("(").startswith("+"):
        return [f"% +{digits}%"]
    patterns = [f"%{digits}%"] if len(digits) >= 3 else [f"% +{_calling_code(region)}{digits}%"]
    if digits.startswith("00"):
        patterns += [f"% +{digits[2:]}%"] if len(digits) > 2 else []
    elif digits.startswith("0"):
        # The national prefix is no part of the international number.
        national = f"{_calling_code(region)}{digits[1:]}"
        patterns = [f"%{digits[1:]}%"] if len(digits) > 3 else [f"% +{national}%"] if national else []
    return [*patterns, *_complete_number(typed, region)]


def _calling_code(region: Country | None) -> str:
    return str(phonenumbers.country_code_for_region(region) or "") if region else ""


def _complete_number(typed: str, region: Country | None) -> list[str]:
    """Where it is a whole number of `region`: with that country's own prefixes read (011 in the US, 8 in Russia)."""
    if region is None:
        return []
    try:
        return [f"% {parse_phone(typed, region)}%"]
    except InvalidValue:
        return []


def _id_range(word: str) -> IdRange | None:
    digits = word.replace("-", "")
    if not ID_PREFIX_MIN <= len(digits) <= 32 or not _HEX.fullmatch(digits):
        return None
    if "-" in word and any((character == "-") != (at in _DASHES) for at, character in enumerate(word)):
        return None
    return IdRange(UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f")))
