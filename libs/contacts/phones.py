"""Phone numbers: any spelling in, E.164 out, the impossible refused with the reason. No I/O."""

from __future__ import annotations

import re
from functools import cache
from typing import Final, TypeAlias

import phonenumbers
from phonenumbers import NumberParseException, PhoneMetadata, PhoneNumberFormat, ValidationResult

from contacts.errors import InvalidValue
from contacts.values import Country, Phone

#: Characters of input; the library refuses longer ones too.
PHONE_MAX: Final = 250
_EXPECTED: Final = "a number like +4930901820"

_INTERNATIONAL: Final = re.compile(r"\+[1-9][0-9]{6,14}")
_PUNCTUATED: Final = re.compile(r"\+[1-9][0-9]*(?:[ .-][0-9]+)*")
_DROP_PUNCTUATION: Final = str.maketrans("", "", " .-")

#: Possible lengths of a national number, and what may be a national prefix at its start.
_Plan: TypeAlias = tuple[frozenset[int], "re.Pattern[str] | None"]


def parse_phone(text: str, region: Country | None) -> Phone:
    """E.164, plus `;ext=` where an extension was given. `region` is whose national numbers are meant without a `+`."""
    text = text.strip()
    if _PUNCTUATED.fullmatch(text):
        digits = text.translate(_DROP_PUNCTUATION)
        if _is_plainly_possible(digits):
            return Phone(digits)
    return _parse_thoroughly(text, region)


def _is_plainly_possible(digits: str) -> bool:
    """True only where the library would return `digits` unchanged. Most input is such, and this is ten times faster.

    A number that may hold a national prefix, or starts with a zero after its country code, is left to the library.
    """
    if not _INTERNATIONAL.fullmatch(digits):
        return False
    for length in (1, 2, 3):
        plan = _plan(int(digits[1 : length + 1]))
        if plan is not None:
            lengths, prefix = plan
            national = digits[length + 1 :]
            return len(national) in lengths and national[0] != "0" and not (prefix and prefix.match(national))
    return False


@cache
def _plan(country_code: int) -> _Plan | None:
    region = phonenumbers.region_code_for_country_code(country_code)
    metadata = PhoneMetadata.metadata_for_region_or_calling_code(country_code, region)
    if metadata is None or metadata.general_desc is None:
        return None
    prefix = metadata.national_prefix_for_parsing
    return frozenset(metadata.general_desc.possible_length), re.compile(prefix) if prefix else None


def _parse_thoroughly(text: str, region: Country | None) -> Phone:
    if len(text) > PHONE_MAX:
        raise InvalidValue(f"has {len(text)} characters", f"at most {PHONE_MAX} characters")
    try:
        number = phonenumbers.parse(text, region)
    except NumberParseException as error:
        raise _unparsable(error, text, region) from None
    verdict = phonenumbers.is_possible_number_with_reason(number)
    if verdict != ValidationResult.IS_POSSIBLE:
        raise InvalidValue(_IMPOSSIBLE.get(verdict, "is not a possible phone number"), _EXPECTED)
    digits = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    return Phone(f"{digits};ext={number.extension}" if number.extension else digits)


_IMPOSSIBLE: Final = {
    ValidationResult.IS_POSSIBLE_LOCAL_ONLY: "lacks its area code",
    ValidationResult.INVALID_COUNTRY_CODE: "has an unknown country code",
    ValidationResult.TOO_SHORT: "has too few digits for its country",
    ValidationResult.TOO_LONG: "has too many digits for its country",
    ValidationResult.INVALID_LENGTH: "has a number of digits its country does not use",
}
_UNPARSABLE: Final = {
    NumberParseException.NOT_A_NUMBER: "is not a phone number",
    NumberParseException.TOO_SHORT_AFTER_IDD: "has too few digits after the international prefix",
    NumberParseException.TOO_SHORT_NSN: "has too few digits",
    NumberParseException.TOO_LONG: "has too many digits",
}


def _unparsable(error: NumberParseException, text: str, region: Country | None) -> InvalidValue:
    if error.error_type != NumberParseException.INVALID_COUNTRY_CODE:
        return InvalidValue(_UNPARSABLE.get(error.error_type, "is not a phone number"), _EXPECTED)
    if region is None and not text.startswith(("+", "\uff0b")):
        return InvalidValue("has no country code, and the workspace has no default region", _EXPECTED)
    return InvalidValue("has an unknown country code", _EXPECTED)
