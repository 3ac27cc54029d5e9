"""Under which keys contacts are looked for that may be the same person: only who shares one is compared. Pure.

Each key is kept where another is lost to a slip: the sounds of the names survive a misspelt address, the day of birth a
new name, the sorted digits of a phone two that changed places. A key that too many share tells nothing any more; such a
block is full and passed over, for that key alone.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final, TypeAlias

from contacts.duplicate.model import PHONE_END
from contacts.duplicate.names import skeleton, sound
from contacts.duplicate.traits import Traits

#: Contacts that may share a key; one more, and nobody is compared because of it.
BLOCK_MAX: Final = 20
#: What keys are made of; also the columns of the read model.
KINDS: Final = (
    "by_name",
    "by_name_place",
    "by_birth",
    "by_house",
    "by_street",
    "by_email_sound",
    "by_email_letters",
    "by_email_ends",
    "by_phone_end",
    "by_phone_digits",
)
#: A key of each of `KINDS`; None where the contact lacks what it is made of.
Keys: TypeAlias = tuple[int | None, ...]
NO_KEYS: Final[Keys] = (None,) * len(KINDS)


def keys_of(traits: Traits) -> Keys:
    """The keys of one contact, each 64 bits of a digest: what two share by accident is found out by comparing."""
    given, family = sound(traits.given), sound(traits.family)
    names = sorted((given, family)) if given and family else None
    local, _, domain = traits.mailbox.rpartition("@")
    letters = local if local.isalnum() else "".join(filter(str.isalnum, local))
    initials = sorted((traits.given[:1], traits.family[:1]))
    street = sound(traits.street)
    return (
        _key(names),
        _key([*names, sound(traits.city) or traits.postcode]) if names and (traits.city or traits.postcode) else None,
        _key([traits.birth]) if traits.birth else None,
        _key([street, traits.house]) if street and traits.house else None,
        _key([street, traits.postcode]) if street and traits.postcode else None,
        _key([skeleton(letters)]) if len(letters) > 2 else None,
        _key(sorted(letters)) if len(letters) > 2 else None,
        _key([letters[:3], letters[-3:], domain]) if len(letters) > 5 else None,
        _key([traits.phone[-PHONE_END:]]) if traits.phone else None,
        _key([*sorted(traits.phone), *initials]) if traits.phone else None,
    )


def _key(parts: list[str] | None) -> int | None:
    if not parts:
        return None
    return int.from_bytes(blake2b("\x1f".join(parts).encode(), digest_size=8).digest(), "big", signed=True)
