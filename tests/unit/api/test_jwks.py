"""The set of keys: which are taken, how long they are kept, and that nobody can make us ask for them all the time."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from contacts_api.errors import KEYS_UNAVAILABLE, Rejected
from contacts_api.jwks import STALE_MAX_S, Jwks, Source, parse


def entry(key: Any, **more: Any) -> dict[str, Any]:
    of = {
        ed25519.Ed25519PrivateKey: jwt.algorithms.OKPAlgorithm,
        ec.EllipticCurvePrivateKey: jwt.algorithms.ECAlgorithm,
        rsa.RSAPrivateKey: jwt.algorithms.RSAAlgorithm,
    }
    algorithm = next(algorithm for type_, algorithm in of.items() if isinstance(key, type_))
    return {**json.loads(algorithm.to_jwk(key.public_key())), **more}  # type: ignore[attr-defined]


ED = ed25519.Ed25519PrivateKey.generate()


def document(*entries: dict[str, Any]) -> bytes:
    return json.dumps({"keys": entries}).encode()


def test_each_key_may_sign_with_what_its_type_and_curve_allow() -> None:
    found = parse(
        document(
            entry(ED, kid="ed"),
            entry(ec.generate_private_key(ec.SECP256R1()), kid="ec"),
            entry(rsa.generate_private_key(65537, 2048), kid="rsa"),
            entry(rsa.generate_private_key(65537, 2048), kid="ps", alg="PS256"),
        )
    )
    assert {kid: key.algorithms for kid, key in found.items()} == {
        "ed": ("EdDSA",),
        "ec": ("ES256",),
        "rsa": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
        "ps": ("PS256",),
    }


def test_keys_that_nothing_may_be_signed_with_are_passed_over() -> None:
    """Planted bug: a symmetric key in the set would let whoever reads it sign."""
    found = parse(
        document(
            {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0", "kid": "a", "alg": "HS256"},
            entry(ED, kid="b", use="enc"),
            entry(ED, kid="c", alg="HS256"),
            entry(ED, kid="d", alg="none"),
            entry(rsa.generate_private_key(65537, 1024), kid="e"),
            {"kty": "OKP", "crv": "Ed25519", "x": "???", "kid": "f"},
            {"kty": ["RSA"], "kid": "g"},
            {},
        )
    )
    assert found == {}


def test_a_private_key_in_the_set_checks_as_its_public_half_does() -> None:
    key = rsa.generate_private_key(65537, 2048)
    private = {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key)), "kid": "p"}  # type: ignore[arg-type]
    assert "d" in private
    assert parse(document(private))["p"].key.public_numbers() == key.public_key().public_numbers()


class Place:
    """Where keys come from, and a clock that is set by hand."""

    def __init__(self, *key_ids: str) -> None:
        self.now = 1_000.0
        self.looks = 0
        self.key_ids = key_ids
        self.broken = False
        self.jwks = Jwks(Source(fetch=self.fetch, fresh_s=600, pause_s=30), clock=lambda: self.now)

    async def fetch(self) -> bytes:
        self.looks += 1
        await asyncio.sleep(0)
        if self.broken:
            raise ConnectionError
        return document(*(entry(ED, kid=key_id) for key_id in self.key_ids))

    async def has(self, key_id: str | None) -> bool:
        found = await self.jwks.key(key_id) is not None
        for _ in range(5):
            await asyncio.sleep(0)
        return found


async def test_a_set_is_fetched_once_for_many_and_again_beside_the_requests_when_it_gets_old() -> None:
    place = Place("a")
    assert await asyncio.gather(*(place.has("a") for _ in range(10))) == [True] * 10
    assert place.looks == 1
    place.key_ids = ("b",)
    place.now += 601
    # The old set answers while the new one is on its way.
    assert await place.has("a")
    assert (place.looks, await place.has("a"), await place.has("b")) == (2, False, True)


async def test_an_unknown_key_makes_for_one_look_and_not_for_many() -> None:
    place = Place("a")
    assert await place.has("a")
    place.now += 31
    place.key_ids = ("a", "new")
    assert await place.has("new")
    assert place.looks == 2
    for made_up in range(50):
        assert not await place.has(f"made up {made_up}")
    assert place.looks == 2


async def test_what_cannot_be_renewed_is_kept_and_looked_for_less_and_less() -> None:
    place = Place("a")
    assert await place.has("a")
    place.broken = True
    for _ in range(600):
        place.now += 10
        assert await place.has("a")
    assert 10 < place.looks < 30
    place.broken = False
    place.now += 301
    assert await place.has("a")
    assert place.jwks._failures == 0


async def test_without_any_set_nobody_can_be_told_who_they_are() -> None:
    place = Place("a")
    place.broken = True
    for _ in range(5):
        with pytest.raises(Rejected) as refused:
            await place.has("a")
        assert refused.value.kind == KEYS_UNAVAILABLE
    assert place.looks == 1
    place.broken = False
    place.now += 61
    assert await place.has("a")
    place.broken = True
    place.now += STALE_MAX_S + 1
    with pytest.raises(Rejected):
        await place.has("a")


async def test_without_an_id_the_only_key_is_meant() -> None:
    assert await Place("a").has(None)
    assert not await Place("a", "b").has(None)
