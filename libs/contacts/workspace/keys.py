"""API keys as text: made once, shown once, kept as a digest. The workspace is in the key, so no index is needed."""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from functools import lru_cache
from typing import Final
from uuid import UUID

import msgspec

PREFIX: Final = "rbk"
#: Characters of any key text; longer ones are not looked at.
KEY_TEXT_MAX: Final = 512
_KEY_ID_BYTES: Final = 10
_SECRET_BYTES: Final = 32


class NewKey(msgspec.Struct, frozen=True):
    """A key at the only moment its text exists."""

    id: str
    text: str
    digest: bytes


def make_key(workspace_id: UUID) -> NewKey:
    """`rbk_<workspace>_<key id>_<secret>` with 256 random bits."""
    key_id = _base32(secrets.token_bytes(_KEY_ID_BYTES))
    text = f"{PREFIX}_{_base32(workspace_id.bytes)}_{key_id}_{_base32(secrets.token_bytes(_SECRET_BYTES))}"
    return NewKey(key_id, text, digest_of(text))


def adopt_key(text: str) -> NewKey:
    """A key whose text somebody else chose. Its id is derived, so that adopting it again makes the same key."""
    parsed = parse_key(text)
    digest = digest_of(text)
    return NewKey(parsed[1] if parsed else _base32(digest[:_KEY_ID_BYTES]), text, digest)


def parse_key(text: str) -> tuple[UUID, str] | None:
    """(workspace, key id) of a key in our form; None for any other text."""
    parts = text.split("_") if len(text) <= KEY_TEXT_MAX and text.isascii() else []
    if len(parts) != 4 or parts[0] != PREFIX or not (parts[2] and parts[3]):
        return None
    workspace_id = _workspace_id(parts[1])
    return (workspace_id, parts[2]) if workspace_id else None


@lru_cache(maxsize=1_024)
def _workspace_id(text: str) -> UUID | None:
    """Of every request: the cache holds workspaces only, never a secret."""
    try:
        return UUID(bytes=base64.b32decode(text.upper() + "======"))
    except (binascii.Error, ValueError):
        return None


def digest_of(text: str) -> bytes:
    """SHA-256: a slow hash would protect nothing, for the text is random already."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=").lower()
