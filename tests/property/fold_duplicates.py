"""Groups of contacts with one e-mail or phone, counted over all that are present: written apart from production."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tests.property.fold import State


def address_groups(present: Iterable[State]) -> dict[tuple[str, str], int]:
    """How many have each address that more than one has, as (kind, address)."""
    found: Counter[tuple[str, str]] = Counter()
    for shown in present:
        if shown["email"]:
            found["email", _mailbox(shown["email"])] += 1
        if shown["phone"]:
            found["phone", shown["phone"]] += 1
    return {address: contacts for address, contacts in found.items() if contacts > 1}


def _mailbox(email: str) -> str:
    """Of the providers that histories use."""
    local, _, domain = email.lower().partition("@")
    if domain in ("gmail.com", "googlemail.com"):
        return f"{local.partition('+')[0].replace('.', '')}@gmail.com"
    return f"{local}@{domain}"
