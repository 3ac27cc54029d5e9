"""Secrets and signatures of webhooks as Standard Webhooks has them: `whsec_…`, HMAC-SHA256 over id, time and body."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from datetime import timedelta
from typing import Final

PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32
OLD_SECRET_VALID: Final = timedelta(hours=24)


def make_secret() -> bytes:
    return secrets.token_bytes(SECRET_BYTES)


def shown(secret: bytes) -> str:
    """As receivers configure it."""
    return PREFIX + base64.b64encode(secret).decode()


def signature(keys: Iterable[bytes], id_: str, timestamp_s: int, body: bytes) -> str:
    """The header `webhook-signature`: one signature for each key that is valid now."""
    signed = f"{id_}.{timestamp_s}.".encode() + body
    digests = (hmac.new(key, signed, hashlib.sha256).digest() for key in keys)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)
