"""E-mail addresses: parsing, and the keys under which two spellings are one address. No DNS."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

import msgspec
from email_validator import EmailNotValidError, ValidatedEmail, validate_email

from contacts.errors import InvalidValue
from contacts.values import Email

EMAIL_MAX: Final = 254
_EXPECTED: Final = "an address like name@example.com"

# What email-validator certainly accepts, in plain ASCII; it also takes more, so whatever fails here is given to it.
# A differential test holds the two together. Special-use names (`.local`, …) are left to it by the list at the end.
_LABEL: Final = r"(?!..--)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_PLAIN: Final = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    rf"@(?:{_LABEL}\.)+(?!(?:arpa|invalid|local|localhost|onion)\Z)(?!..--)(?!-)[A-Za-z0-9-]{{0,62}}[A-Za-z]",
    re.IGNORECASE,
)


def parse_email(text: str) -> Email:
    """As typed, trimmed, NFC. `.test` and `example.com` are accepted, so that examples can use what nobody owns."""
    text = text.strip()
    if len(text) <= EMAIL_MAX and _PLAIN.fullmatch(text):
        return Email(text)
    if len(text) > 4 * EMAIL_MAX:
        raise InvalidValue(f"has {len(text)} characters", f"at most {EMAIL_MAX} characters")
    text = unicodedata.normalize("NFC", text)
    _validated(text)
    return Email(text)


def _validated(text: str) -> ValidatedEmail:
    try:
        # `test_environment` only means that `.test` may be used.
        return validate_email(text, check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        raise InvalidValue(str(error).rstrip("."), _EXPECTED) from None


def email_normal(email: Email) -> str:
    """The key for looking up: case ignored, the domain as ASCII (`Ann@bücher.de` is `ann@xn--bcher-kva.de`)."""
    if email.isascii() and "xn--" not in email:
        return email.lower()
    parts = _validated(email)
    local = unicodedata.normalize("NFC", email.rpartition("@")[0].casefold())
    return f"{local}@{parts.ascii_domain.lower()}"


class _Provider(msgspec.Struct, frozen=True):
    """How a provider reads the part before the @: what it ignores, where a tag begins."""

    domain: str
    ignored: str = ""
    tag: str = "+"


_GOOGLE: Final = _Provider("gmail.com", ignored=".")
_PROTON: Final = _Provider("proton.me", ignored=".-_")
_YANDEX: Final = _Provider("yandex.ru", ignored=".-")
_PROVIDERS: Final = {
    "gmail.com": _GOOGLE,
    "googlemail.com": _GOOGLE,
    "proton.me": _PROTON,
    "protonmail.com": _PROTON,
    "protonmail.ch": _PROTON,
    "pm.me": _PROTON,
    "yandex.ru": _YANDEX,
    "yandex.com": _YANDEX,
    "yandex.by": _YANDEX,
    "yandex.kz": _YANDEX,
    "ya.ru": _YANDEX,
    "icloud.com": _Provider("icloud.com"),
    "me.com": _Provider("icloud.com"),
    "mac.com": _Provider("icloud.com"),
    # Yahoo's own names hold no hyphen: what follows one is a disposable tag.
    "yahoo.com": _Provider("yahoo.com", tag="-"),
    "ymail.com": _Provider("ymail.com", tag="-"),
}


def email_widest(email: Email) -> str:
    """The key for suppression: everything that may reach the same mailbox. It does not tell that two people are one.

    Plus-tags are dropped for every domain, for a suppression that is too wide is safe and one too narrow is not.
    """
    local, _, domain = email_normal(email).rpartition("@")
    provider = _PROVIDERS.get(domain)
    return f"{local.partition('+')[0] or local}@{domain}" if provider is None else _as_read_by(provider, local)


def email_mailbox(email: Email) -> str:
    """The key for duplicates: two addresses with the same one lead to the same mailbox for certain.

    Dots and tags are dropped where the provider is known to ignore them, and nowhere else: elsewhere `office+de` and
    `office+fr` may be two people.
    """
    normal = email_normal(email)
    local, _, domain = normal.rpartition("@")
    provider = _PROVIDERS.get(domain)
    return normal if provider is None else _as_read_by(provider, local)


def _as_read_by(provider: _Provider, local: str) -> str:
    # An address that is nothing but a tag or ignored characters stays what it is.
    base = local.partition(provider.tag)[0] or local
    kept = base.translate(str.maketrans("", "", provider.ignored)) or base
    return f"{kept}@{provider.domain}"
