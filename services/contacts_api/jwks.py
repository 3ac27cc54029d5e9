"""The keys that tokens are signed with: read from a file or an address, kept, renewed, and kept while that fails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

import httpx2
import jwt
import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from contacts_api.errors import KEYS_UNAVAILABLE, Rejected

log = structlog.get_logger(__name__)

#: Asymmetric ones only: with a symmetric one whoever can check a token could make one.
_RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
#: By type and curve of the key.
ALGORITHMS: Final[Mapping[tuple[str, str | None], tuple[str, ...]]] = {
    ("RSA", None): _RSA,
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
    ("OKP", "Ed448"): ("EdDSA",),
}
RSA_BITS_MIN: Final = 2048
KEYS_MAX: Final = 100
BYTES_MAX: Final = 1024 * 1024
TIMEOUT_S: Final = 5.0
BACKOFF_MAX_S: Final = 300.0
#: Keys that could not be renewed for so long are not believed any more.
STALE_MAX_S: Final = 24 * 3600.0


class SigningKey(msgspec.Struct, frozen=True):
    """A public key and what may be signed with it."""

    key: Any
    algorithms: tuple[str, ...]


class _Set(msgspec.Struct):
    """As RFC 7517 has it."""

    keys: list[dict[str, Any]]


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where a set of keys comes from."""

    fetch: Callable[[], Awaitable[bytes]]
    #: How old the set may get before it is looked for again, beside the requests.
    fresh_s: float
    #: How soon after a look an unknown key makes for another one, so that nobody can make us ask all the time.
    pause_s: float


class Jwks:
    """One set of keys. Safe to use concurrently; nothing is fetched before the first token."""

    def __init__(self, source: Source, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._clock = clock
        self._keys: dict[str | None, SigningKey] = {}
        self._loaded_at = float("-inf")
        self._not_before = float("-inf")
        self._failures = 0
        self._refreshing: asyncio.Task[None] | None = None

    async def key(self, key_id: str | None) -> SigningKey | None:
        """None for one that is not in the set; without an id the only one there is. Raises Rejected without any set."""
        age_s = self._clock() - self._loaded_at
        if age_s > STALE_MAX_S:
            self._keys = {}
        if self._find(key_id) is None:
            await self._refresh()
        elif age_s > self._source.fresh_s:
            self._begin()
        if self._clock() - self._loaded_at > STALE_MAX_S:
            raise Rejected(KEYS_UNAVAILABLE, "the keys that tokens are signed with cannot be fetched; try again later")
        return self._find(key_id)

    def _find(self, key_id: str | None) -> SigningKey | None:
        if key_id is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(key_id)

    async def _refresh(self) -> None:
        self._begin()
        if self._refreshing is not None:
            await asyncio.shield(self._refreshing)

    def _begin(self) -> None:
        """One at a time, and after a failure or another look not at once."""
        if self._refreshing is None and self._clock() >= self._not_before:
            self._refreshing = asyncio.create_task(self._load())
            self._refreshing.add_done_callback(self._done)

    def _done(self, _task: asyncio.Task[None]) -> None:
        self._refreshing = None

    async def _load(self) -> None:
        try:
            self._keys = parse(await self._source.fetch())
        except (OSError, ValueError, TimeoutError, httpx2.HTTPError, msgspec.MsgspecError) as error:
            self._failures += 1
            wait_s = min(self._source.pause_s * 2**self._failures, BACKOFF_MAX_S)
            self._not_before = self._clock() + wait_s
            log.warning("the keys of tokens cannot be fetched", reason=type(error).__name__, retry_after_s=wait_s)
        else:
            self._failures = 0
            self._loaded_at = self._clock()
            self._not_before = self._loaded_at + self._source.pause_s


def parse(text: bytes) -> dict[str | None, SigningKey]:
    """Keys by id; those that nothing may be signed with are passed over. Raises MsgspecError."""
    found: dict[str | None, SigningKey] = {}
    for entry in msgspec.json.decode(text, type=_Set).keys[:KEYS_MAX]:
        key = _signing_key(entry)
        if key is not None:
            found.setdefault(entry.get("kid"), key)
    return found


def _signing_key(entry: dict[str, Any]) -> SigningKey | None:
    algorithms = ALGORITHMS.get((str(entry.get("kty")), entry.get("crv")), ())
    if "alg" in entry:
        algorithms = tuple(each for each in algorithms if each == entry["alg"])
    if not algorithms or entry.get("use", "sig") != "sig":
        return None
    try:
        key = jwt.PyJWK.from_dict(entry, algorithm=algorithms[0]).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    # Somebody who publishes a private key by mistake has other troubles than that we cannot check with it.
    key = key.public_key() if hasattr(key, "public_key") else key
    if isinstance(key, RSAPublicKey) and key.key_size < RSA_BITS_MIN:
        return None
    return SigningKey(key, algorithms)


def source_of(place: str) -> Source:
    """A path, or an address that begins with https:// (http:// of this machine alone)."""
    if place.startswith(("https://", "http://")):
        return Source(fetch=lambda: _fetch(place), fresh_s=600.0, pause_s=30.0)
    path = Path(place)
    return Source(fetch=lambda: asyncio.to_thread(_read, path), fresh_s=5.0, pause_s=1.0)


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(BYTES_MAX)


async def _fetch(url: str) -> bytes:
    async with httpx2.AsyncClient(timeout=TIMEOUT_S) as client, client.stream("GET", url) as answer:
        answer.raise_for_status()
        body = b""
        async for chunk in answer.aiter_bytes():
            body += chunk
            if len(body) > BYTES_MAX:
                raise ValueError("the set of keys is too large")
        return body
