"""JWTs on a running API, signed with real keys: what opens a workspace, what does not, and what a bearer may do."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import asyncpg
import httpx2
import jwt
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from contacts_api import jwks
from tests.integration.api.conftest import Api, Tenant, running_api
from tests.unit.api.test_jwks import document, entry

ISSUER, AUDIENCE = "https://id.example", "rollbook"
KEYS: dict[str, tuple[str, Any]] = {
    "ed": ("EdDSA", ed25519.Ed25519PrivateKey.generate()),
    "ec": ("ES256", ec.generate_private_key(ec.SECP256R1())),
    "rsa": ("RS256", rsa.generate_private_key(65537, 2048)),
}
STRANGER = ed25519.Ed25519PrivateKey.generate()


@pytest_asyncio.fixture(scope="module")
async def api(module_database: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    file = tmp_path_factory.mktemp("keys") / "jwks.json"
    file.write_bytes(document(*(entry(key, kid=kid) for kid, (_, key) in KEYS.items())))
    async with running_api(module_database, jwt_jwks=str(file), jwt_issuer=ISSUER, jwt_audience=AUDIENCE) as running:
        yield running


def claims(tenant: Tenant, **more: Any) -> dict[str, Any]:
    now = int(time.time())
    wanted = {
        "iss": ISSUER, "aud": AUDIENCE, "sub": "anna", "iat": now, "exp": now + 300,
        "rollbook_workspace": str(tenant.workspace_id), "rollbook_role": "manager", **more,
    }  # fmt: skip
    return {name: value for name, value in wanted.items() if value is not None}


def signed(payload: dict[str, Any], kid: str = "ed", key: Any = None, **headers: Any) -> str:
    algorithm, own = KEYS[kid]
    return jwt.encode(payload, key or own, algorithm=algorithm, headers={"kid": kid, **headers})


async def get(tenant: Tenant, token: str, path: str = "/v1/contacts") -> httpx2.Response:
    return await tenant.client(token).get(path)


@pytest.mark.parametrize("kid", KEYS)
async def test_a_token_signed_with_a_key_of_the_set_opens_its_workspace(tenant: Tenant, kid: str) -> None:
    token = signed(claims(tenant, aud=["other", AUDIENCE]), kid)
    assert (await get(tenant, token)).status_code == 200
    made = await tenant.client(token).post("/v1/contacts", json={"email": f"{uuid4()}@example.com"})
    assert made.status_code == 201, made.text
    history = (await get(tenant, token, f"/v1/contacts/{made.json()['id']}/history")).json()["items"]
    kind, _, digest = history[0]["actor"].partition(":")
    assert (kind, history[0]["actor_name"]) == ("user", f"user {digest[:8]}")


async def test_who_acted_is_a_digest_in_the_log_and_a_name_in_the_history(tenant: Tenant, module_database: str) -> None:
    """Metadata is stored as it is, and the id of a person may be their e-mail address."""
    subject = f"ben.{uuid4().hex}@example.com"
    await tenant.owner.post("/v1/members", json={"member_id": subject, "role": "agent"})
    token = signed(claims(tenant, sub=subject))
    made = await tenant.client(token).post("/v1/contacts", json={"email": f"{uuid4()}@example.com"})
    history = (await get(tenant, token, f"/v1/contacts/{made.json()['id']}/history")).json()["items"]
    assert history[0]["actor_name"] == f"member “{subject}”"
    connection = await asyncpg.connect(module_database)
    try:
        stored = await connection.fetch("SELECT e::text AS row FROM log.events e")
    finally:
        await connection.close()
    assert not [row["row"] for row in stored if subject in row["row"] or subject.encode().hex() in row["row"]]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"exp": 1_000_000_000}, "expired"),
        ({"nbf": 4_000_000_000}, "times"),
        ({"exp": None}, "times"),
        ({"iss": "https://other.example"}, "issuer"),
        ({"iss": None}, "issuer"),
        ({"aud": "billing"}, "audience"),
        ({"aud": None}, "audience"),
        ({"sub": None}, "wrong"),
        ({"sub": "a\0b"}, "subject"),
        ({"rollbook_workspace": None}, "workspace"),
        ({"rollbook_workspace": "acme"}, "workspace"),
        ({"rollbook_workspace": 7}, "workspace"),
        ({"rollbook_workspace": "00000000-0000-7000-8000-000000000001"}, "workspace"),
    ],
    ids=str,
)
async def test_a_token_that_is_not_for_us_now_opens_nothing(tenant: Tenant, changed: dict[str, Any], said: str) -> None:
    answer = await get(tenant, signed(claims(tenant, **changed)))
    assert (answer.status_code, answer.json()["type"]) == (401, "urn:rollbook:problem:unauthenticated")
    assert said in answer.json()["detail"]
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")


def forgeries(tenant: Tenant) -> dict[str, str]:
    good, payload = signed(claims(tenant)), claims(tenant, rollbook_role="owner")
    head, body, signature = good.split(".")
    other = jwt.encode(payload, STRANGER, algorithm="EdDSA", headers={"kid": "ed"}).split(".")
    public = KEYS["rsa"][1].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    secret = json.dumps({"alg": "HS256", "kid": "rsa", "typ": "JWT"}).encode()
    hashed = b".".join(jwt.utils.base64url_encode(part) for part in (secret, json.dumps(payload).encode()))
    sign = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign
    hmac = jwt.utils.base64url_encode(sign(hashed, public))
    return {
        "another key": signed(payload, key=STRANGER),
        "another body": f"{head}.{other[1]}.{signature}",
        "no signature": f"{head}.{body}.",
        "alg none": jwt.encode(payload, None, algorithm="none", headers={"kid": "ed"}),
        "signed with the public key as a secret": (hashed + b"." + hmac).decode(),
        "an unknown key": jwt.encode(payload, STRANGER, algorithm="EdDSA", headers={"kid": "mine"}),
        "a key of its own in the header": jwt.encode(
            payload, STRANGER, algorithm="EdDSA", headers={"kid": "ed", "jwk": entry(STRANGER)}
        ),
        "a key of another kind": jwt.encode(payload, KEYS["ec"][1], algorithm="ES256", headers={"kid": "ed"}),
        "something critical": signed(payload, crit=["exp"]),
        "no id where there are several": jwt.encode(payload, KEYS["ed"][1], algorithm="EdDSA"),
        "a key id that is none": "eyJhbGciOiJFZERTQSIsImtpZCI6N30.e30.x",
        "no JSON": "eyJ.e30.x",
        "too long": signed(claims(tenant, more="x" * 9_000)),
    }


async def test_what_somebody_made_up_opens_nothing(tenant: Tenant) -> None:
    for name, token in forgeries(tenant).items():
        answer = await get(tenant, token)
        assert answer.status_code == 401, name
        assert "owner" not in answer.text


async def test_the_role_of_the_token_says_what_its_bearer_may_do(tenant: Tenant) -> None:
    auditor = tenant.client(signed(claims(tenant, rollbook_role="auditor")))
    assert (await auditor.get("/v1/contacts")).status_code == 200
    assert (await auditor.post("/v1/contacts", json={"email": "a@example.com"})).status_code == 403
    for role in (None, "root", ["owner"], 1):
        answer = await get(tenant, signed(claims(tenant, rollbook_role=role)))
        assert (answer.status_code, answer.json()["type"]) == (403, "urn:rollbook:problem:forbidden")


async def test_the_role_of_a_member_is_the_workspaces_word_and_counts_at_once(tenant: Tenant) -> None:
    subject = f"member-{uuid4()}"
    token = signed(claims(tenant, sub=subject, rollbook_role="owner"))
    await tenant.owner.post("/v1/members", json={"member_id": subject, "role": "auditor"})
    assert (await tenant.client(token).post("/v1/contacts", json={"email": "a@example.com"})).status_code == 403
    assert (await get(tenant, signed(claims(tenant, sub=subject, rollbook_role=None)))).status_code == 200
    await tenant.owner.patch(f"/v1/members/{subject}", json={"role": "agent"})
    made = await tenant.client(token).post("/v1/contacts", json={"email": f"{uuid4()}@example.com"})
    assert made.status_code == 201


async def test_scopes_narrow_a_role_and_make_a_service(tenant: Tenant) -> None:
    async def statuses(**more: Any) -> tuple[int, int]:
        client = tenant.client(signed(claims(tenant, **more)))
        created = await client.post("/v1/contacts", json={"email": f"{uuid4()}@example.com"})
        return (await client.get("/v1/contacts")).status_code, created.status_code

    assert await statuses(scope="openid contacts.read") == (200, 403)
    assert await statuses(scope="openid profile") == (200, 201)
    assert await statuses(rollbook_role="service", scope=["contacts.read", 7]) == (200, 403)
    assert await statuses(rollbook_role="service") == (403, 403)
    assert await statuses(rollbook_role="agent", scope="contacts.read keys.write") == (200, 403)


async def test_a_token_of_one_workspace_sees_nothing_of_another(api: Api, tenant: Tenant) -> None:
    foreign = await (await api.tenant()).contact()
    answer = await get(tenant, signed(claims(tenant)), f"/v1/contacts/{foreign['id']}")
    assert answer.status_code == 404


async def test_api_keys_go_on_opening_what_they_did(tenant: Tenant) -> None:
    assert (await tenant.owner.get("/v1/contacts")).status_code == 200
    assert (await get(tenant, "rbk_no")).status_code == 401


async def test_where_no_keys_are_configured_a_token_is_an_unknown_key(module_database: str) -> None:
    async with running_api(module_database) as plain:
        tenant = await plain.tenant()
        answer = await get(tenant, signed(claims(tenant)))
        assert (answer.status_code, "API key" in answer.json()["detail"]) == (401, True)


async def test_a_set_is_fetched_from_an_address() -> None:
    answers = [b"HTTP/1.1 503 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"]
    body = document(entry(KEYS["ed"][1], kid="ed"))
    answers.append(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    endless = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b" " * (jwks.BYTES_MAX + 1)
    answers.append(endless)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answers.pop(0))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        source = jwks.source_of(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys")
        with pytest.raises(httpx2.HTTPError):
            await source.fetch()
        assert jwks.parse(await source.fetch()).keys() == {"ed"}
        with pytest.raises(ValueError, match="too large"):
            await source.fetch()
