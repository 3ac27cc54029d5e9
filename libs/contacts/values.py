"""Texts that were parsed once and are trusted from there on. No I/O."""

from __future__ import annotations

from typing import Literal, NewType, TypeAlias

#: As typed, valid, NFC; `email_normal` and `email_widest` give its keys.
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
