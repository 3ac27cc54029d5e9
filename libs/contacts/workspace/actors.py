"""Who acted, as the metadata of events names people: by a digest, because metadata is stored as it is.

Identity providers choose what a person's id is, and many choose the e-mail address. A workspace knows the ids of its
members, so that whoever may read its history is told which of them it was; of anybody else only that it was the same.
"""

from __future__ import annotations

import re
from base64 import b32encode
from collections.abc import Callable, Iterable
from typing import Final
from uuid import UUID

#: A digest of 16 bytes in base32 without its padding. Before there were digests, ids were recorded as they are.
DIGEST: Final = re.compile(r"[a-z2-7]{26}")


def user_actor(hmac: Callable[[str, str], bytes], workspace_id: UUID, subject: str) -> str:
    """Of somebody with a token, for the metadata of events. `hmac` is `Keyring.hmac`; equal ids differ by workspace."""
    digest = b32encode(hmac("actor", f"{workspace_id.hex}/{subject}")).decode()
    return f"user:{digest.rstrip('=').lower()}"


def people(hmac: Callable[[str, str], bytes], workspace_id: UUID, subjects: Iterable[str]) -> dict[str, str]:
    """The ids of people by what events call them."""
    return {user_actor(hmac, workspace_id, subject): subject for subject in subjects}
