"""Texts parsed once and trusted from there on: names, ids, tags, country, language, time zone, degrees. No I/O.

Every parser takes what a caller sent, returns the one form that is stored, is idempotent on its own result, and raises
`InvalidValue`, which says what was wrong and what would be right. E-mail, phone and custom attributes have modules of
their own beside this one.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Final, Literal, NewType, TypeAlias
from zoneinfo import available_timezones

from babel import Locale
from babel.core import get_global

from contacts.errors import InvalidValue

#: As typed, valid, NFC; `emails.email_normal` and `emails.email_widest` give its keys.
Email = NewType("Email", str)
#: E.164 (`+4930901820`), with `;ext=12` where an extension was given.
Phone = NewType("Phone", str)
#: ISO 3166-1 alpha-2, upper case.
Country = NewType("Country", str)
#: BCP 47 in canonical case (`pt-BR`, `zh-Hant-TW`).
Language = NewType("Language", str)
#: A name of the IANA time zone database.
TimeZone = NewType("TimeZone", str)
#: A key of the caller's own system, trimmed, NFC.
ExternalId = NewType("ExternalId", str)
#: Trimmed, NFC; two tags that differ only in case are the same tag.
Tag = NewType("Tag", str)

AttributeType: TypeAlias = Literal[
    "text", "number", "boolean", "date", "datetime", "url", "email", "phone", "select", "multi_select"
]
AttributeValue: TypeAlias = str | int | float | bool | tuple[str, ...]

#: How a contact can come about.
SOURCES: Final = frozenset(
    {"manual", "import", "subscription_form", "order", "api", "mobile_api", "event", "message_channel"}
)

# Limits in characters, after NFC and trimming.
NAME_MAX: Final = 200
EXTERNAL_ID_MAX: Final = 255
TAG_MAX: Final = 100
CATEGORY_MAX: Final = 100
LINE_MAX: Final = 500
REASON_MAX: Final = 1_000
TOKEN_MAX: Final = 4_096
KIND_MAX: Final = 50
LANGUAGE_MAX: Final = 35

#: Controls and lone surrogates; PostgreSQL cannot store NUL, UTF-8 cannot carry a surrogate.
_UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
#: The same, but line breaks and tabs may stay.
_UNPRINTABLE_IN_LINES: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_KIND: Final = re.compile(r"[a-z][a-z0-9_]*")


def parse_text(text: str, limit: int, *, lines: bool = False) -> str:
    """NFC, trimmed, neither blank nor longer than `limit` characters; control characters only where `lines` allows."""
    # Most text is plain ASCII, where NFC and the search for controls have nothing to do.
    if not (text.isascii() and text.isprintable()):
        text = _normalised(text, _UNPRINTABLE_IN_LINES if lines else _UNPRINTABLE)
    text = text.strip()
    if not text:
        raise InvalidValue("is blank", "some text, or null for none")
    if len(text) > limit:
        raise InvalidValue(f"has {len(text)} characters", f"at most {limit} characters")
    return text


def _normalised(text: str, forbidden: re.Pattern[str]) -> str:
    found = forbidden.search(text)
    if found:
        code = ord(found[0])
        what = "a lone surrogate" if 0xD800 <= code <= 0xDFFF else "a control character"
        raise InvalidValue(f"holds {what} (U+{code:04X}) at character {found.start() + 1}", "text without it")
    return unicodedata.normalize("NFC", text)


def parse_name(text: str) -> str:
    return parse_text(text, NAME_MAX)


def parse_line(text: str) -> str:
    """A part of an address, an assignee, an application: one line."""
    return parse_text(text, LINE_MAX)


def parse_reason(text: str) -> str:
    return parse_text(text, REASON_MAX, lines=True)


def parse_token(text: str) -> str:
    return parse_text(text, TOKEN_MAX)


def parse_external_id(text: str) -> ExternalId:
    return ExternalId(parse_text(text, EXTERNAL_ID_MAX))


def parse_tag(text: str) -> Tag:
    """Inner white space is one space, so that tags which look the same are the same."""
    return Tag(parse_text(" ".join(text.split()) if " " in text or not text.isascii() else text, TAG_MAX))


def parse_category(text: str) -> str:
    return parse_text(text, CATEGORY_MAX)


def parse_kind(text: str) -> str:
    """The kind of a channel: `telegram`, `web_push`, …; the set is open."""
    kind = text.strip().lower()
    if len(kind) > KIND_MAX or not _KIND.fullmatch(kind):
        raise InvalidValue(
            "is not a channel kind", f"a letter, then letters, digits and _, at most {KIND_MAX} in all, like web_push"
        )
    return kind


def parse_source(text: str) -> str:
    if text not in SOURCES:
        raise InvalidValue("is not a source of contacts", "one of " + ", ".join(sorted(SOURCES)))
    return text


# ISO 3166-1 alpha-2, officially assigned codes; XK is user-assigned but in use for Kosovo everywhere.
_COUNTRIES: Final = frozenset(
    """
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ
    CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR
    GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT
    JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO
    MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY
    QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO
    TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW
    """.split()  # noqa: SIM905  (two hundred and fifty quoted strings would hide the list)
)


def parse_country(text: str) -> Country:
    if text in _COUNTRIES:
        return Country(text)
    code = text.strip().upper()
    if code in _COUNTRIES:
        return Country(code)
    hint = " (the United Kingdom is GB)" if code == "UK" else ""
    raise InvalidValue("is not a country code", f"two letters of ISO 3166-1, like DE{hint}")


_LANGUAGE_TAG: Final = re.compile(
    r"(?P<language>[a-z]{2,3})"
    r"(?:-(?P<script>[a-z]{4}))?"
    r"(?:-(?P<region>[a-z]{2}|[0-9]{3}))?"
    r"(?P<variants>(?:-(?:[a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*)"
    r"(?P<extensions>(?:-[a-wy-z0-9](?:-[a-z0-9]{2,8})+)*)"
    r"(?P<private>(?:-x(?:-[a-z0-9]{1,8})+)?)"
)


def parse_language(text: str) -> Language:
    """Well-formed, with a language, script and region that CLDR knows; `pt_br` becomes `pt-BR`."""
    # Longer texts must not even reach the cache, which would keep them.
    if len(text) > LANGUAGE_MAX:
        raise InvalidValue(f"has {len(text)} characters", f"at most {LANGUAGE_MAX} characters")
    return _parse_language(text)


@lru_cache(maxsize=4_096)
def _parse_language(text: str) -> Language:
    tag = text.strip().replace("_", "-").lower()
    match = _LANGUAGE_TAG.fullmatch(tag) if tag.isascii() else None
    if match is None:
        raise InvalidValue("is not a language tag", "BCP 47, like en, pt-BR or zh-Hant-TW")
    language, script, region = match["language"], match["script"], match["region"]
    languages, scripts, regions = _known_subtags()
    _require_known("language", language, languages)
    _require_known("script", script, scripts)
    _require_known("region", region, regions)
    parts = [language, script and script.capitalize(), region and region.upper()]
    rest = match["variants"] + match["extensions"] + match["private"]
    return Language("-".join(part for part in parts if part) + rest)


def _require_known(what: str, subtag: str | None, known: frozenset[str]) -> None:
    if subtag is not None and subtag not in known:
        raise InvalidValue(f"has the unknown {what} {subtag!r}", "BCP 47, like en, pt-BR or zh-Hant-TW")


@cache
def _known_subtags() -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    english = Locale.parse("en")
    # Display names cover the common languages, likely subtags some thousand rarer ones.
    names = [*english.languages, *get_global("likely_subtags")]
    return (
        frozenset(str(name).partition("_")[0].lower() for name in names),
        frozenset(str(name).lower() for name in english.scripts),
        frozenset(str(name).lower() for name in english.territories),
    )


@cache
def _time_zones() -> dict[str, str]:
    # `posixrules`, `localtime` and `Factory` name no place and mean something else on every machine.
    names = available_timezones() - {"posixrules", "localtime", "Factory"}
    return {name.lower(): name for name in names}


def parse_time_zone(text: str) -> TimeZone:
    """Case is forgiven: `europe/berlin` becomes `Europe/Berlin`."""
    name = _time_zones().get(text.strip().lower())
    if name is None:
        raise InvalidValue("is not a time zone", "a name of the IANA database, like Europe/Berlin")
    return TimeZone(name)


def parse_latitude(degrees: float) -> float:
    return _parse_degrees(degrees, 90)


def parse_longitude(degrees: float) -> float:
    return _parse_degrees(degrees, 180)


def _parse_degrees(degrees: float, limit: int) -> float:
    # Written so that NaN, which compares false to everything, is refused as well.
    if not -limit <= degrees <= limit:
        raise InvalidValue("is out of range", f"degrees from -{limit} to {limit}")
    return float(degrees)


def parse_instant(instant: datetime) -> datetime:
    """In UTC; a time without an offset is refused, for nobody knows which instant it is."""
    if instant.tzinfo is None:
        raise InvalidValue("has no offset from UTC", "an RFC 3339 instant, like 2026-01-31T12:00:00Z")
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        raise InvalidValue("is beyond the calendar", "a year from 1 to 9999") from None
