"""What holds on every route: credentials, idempotency keys, positions, moments, limits, request ids, refusals."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import structlog
from uuid_utils.compat import uuid7

from tests.integration.api.conftest import Api, Tenant
from tests.unit.api.test_decoding import NASTY_BODIES


async def test_without_a_valid_key_nothing_is_answered(api: Api, tenant: Tenant) -> None:
    forged = tenant.owner_key[:-4] + "aaaa"
    other_workspace = f"rbk_{'a' * 26}_{'b' * 16}_{'c' * 52}"
    for authorization in (
        None,
        "",
        "Bearer",
        f"Basic {tenant.owner_key}",
        f"Bearer {forged}",
        f"Bearer {other_workspace}",
        "Bearer " + "x" * 5_000,
        "Bearer \xff\xfe",
    ):
        headers = {} if authorization is None else {b"Authorization": authorization.encode("latin-1")}
        async with httpx2.AsyncClient(base_url=api.url) as client:
            answer = await client.get("/v1/contacts", headers=headers)
        assert (answer.status_code, answer.json()["type"]) == (401, "urn:rollbook:problem:unauthenticated")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_a_revoked_key_opens_nothing(api: Api, tenant: Tenant) -> None:
    key = await tenant.key("auditor")
    async with tenant.client(key) as client:
        assert (await client.get("/v1/settings")).status_code == 200
        revoked = await tenant.owner.delete(f"/v1/keys/{key.split('_')[2]}")
        assert revoked.json()["revoked_at"] is not None
        assert (await client.get("/v1/settings")).status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "body", "other"),
    [
        ("POST", "/v1/contacts", {"phone": "+4930901820"}, {"phone": "+4930901821"}),
        ("PUT", "/v1/contacts/by/external_id/same", {"first_name": "Ann"}, {"first_name": "Bob"}),
        ("PATCH", "/v1/settings", {"name": "Renamed"}, {"name": "Again"}),
        ("POST", "/v1/members", {"member_id": "m", "role": "agent"}, {"member_id": "n", "role": "agent"}),
        ("POST", "/v1/attributes", {"key": "once", "type": "text"}, {"key": "twice", "type": "text"}),
    ],
)
async def test_the_same_key_has_one_effect_and_one_answer(
    api: Api, method: str, path: str, body: dict[str, Any], other: dict[str, Any]
) -> None:
    tenant = await api.tenant()
    headers = {"Idempotency-Key": str(uuid4())}

    async def send(body: dict[str, Any]) -> httpx2.Response:
        return await tenant.owner.request(method, path, json=body, headers=headers)

    answers = await asyncio.gather(*(send(body) for _ in range(5)))
    answers.append(await send(body))
    assert len({(a.status_code, a.text, a.headers["Rollbook-Position"]) for a in answers}) == 1, answers[0].text
    refused = await send(other)
    assert (refused.status_code, refused.json()["type"]) == (422, "urn:rollbook:problem:idempotency-key-reused")


async def test_a_key_belongs_to_method_address_and_body(tenant: Tenant) -> None:
    contact = await tenant.contact()
    headers = {"Idempotency-Key": str(uuid4())}
    url = f"/v1/contacts/{contact['id']}"
    assert (await tenant.owner.post(f"{url}/block", headers=headers)).status_code == 200
    for method, path in (("POST", f"{url}/unblock"), ("DELETE", f"{url}?reason=x"), ("PATCH", url)):
        answer = await tenant.owner.request(method, path, headers=headers, json={} if method == "PATCH" else None)
        assert answer.status_code == 422, (method, path)
    assert (await tenant.owner.post(f"{url}/block", headers=headers)).status_code == 200


async def test_a_repeated_answer_shows_the_contact_as_it_was_then(tenant: Tenant) -> None:
    headers = {"Idempotency-Key": str(uuid4())}
    body = {"email": f"{uuid7()}@example.com"}
    first = await tenant.owner.post("/v1/contacts", json=body, headers=headers)
    await tenant.owner.patch(first.headers["Location"], json={"first_name": "Later"})
    again = await tenant.owner.post("/v1/contacts", json=body, headers=headers)
    assert (again.status_code, again.json(), again.headers["ETag"]) == (201, first.json(), '"1"')
    assert again.headers["Location"] == first.headers["Location"]


async def test_a_repeated_key_request_does_not_show_the_secret_again(tenant: Tenant) -> None:
    headers = {"Idempotency-Key": str(uuid4())}
    body = {"name": "billing", "role": "agent"}
    first = (await tenant.owner.post("/v1/keys", json=body, headers=headers)).json()
    again = (await tenant.owner.post("/v1/keys", json=body, headers=headers)).json()
    assert again == first | {"key": None}
    assert first["key"].startswith("rbk_")


@pytest.mark.parametrize("key", ["", "a b", "ä", "x" * 256])
async def test_an_idempotency_key_that_is_none_is_refused(tenant: Tenant, key: str) -> None:
    headers = {b"Idempotency-Key": key.encode()}
    answer = await tenant.owner.post("/v1/contacts", json={"email": "a@example.com"}, headers=headers)
    assert (answer.status_code, answer.json()["errors"][0]["header"]) == (400, "Idempotency-Key")


@pytest.mark.parametrize("position", ["", "1", "0.", ".1", "a.b", "0.-1", "0.999999999999", "7.1", "0." + "9" * 30])
async def test_a_position_nobody_gave_out_is_refused_at_once(tenant: Tenant, position: str) -> None:
    by_header = await tenant.owner.get("/v1/contacts", headers={"Rollbook-Min-Position": position})
    by_parameter = await tenant.owner.get("/v1/contacts", params={"min_position": position})
    assert (by_header.status_code, by_parameter.status_code) == (400, 400)


async def test_a_position_that_is_not_reached_in_time_answers_503(tenant: Tenant, api: Api) -> None:
    services = api.services
    lane = services.store.lane_of(tenant.workspace_id)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(services.progress, "reached", lambda *_: 0)

        async def never(name: str, lane: int, position: int, timeout_s: float) -> None:
            from eventstore.errors import PositionTimeout

            raise PositionTimeout(name, position, 0)

        patch.setattr(services.progress, "wait", never)
        answer = await tenant.owner.get("/v1/contacts", headers={"Rollbook-Min-Position": f"{lane}.1"})
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:rollbook:problem:not-yet-visible")
    assert int(answer.headers["Retry-After"]) > 0


async def test_a_contact_is_shown_as_of_any_moment(tenant: Tenant) -> None:
    created = await tenant.owner.post("/v1/contacts", json={"email": f"{uuid7()}@example.com", "first_name": "One"})
    url = created.headers["Location"]
    edited = await tenant.owner.patch(url, json={"first_name": "Two"})
    await tenant.owner.delete(url, params={"reason": "x"})
    assert (
        await tenant.owner.get(url, params={"as_of": created.headers["Rollbook-Position"]})
    ).json() == created.json()
    assert (await tenant.owner.get(url, params={"as_of": edited.headers["Rollbook-Position"]})).json() == edited.json()
    at = edited.json()["changed_at"]
    assert (await tenant.owner.get(url, params={"as_of": at})).json()["first_name"] == "Two"
    before = datetime.fromisoformat(created.json()["created_at"]) - timedelta(microseconds=1)
    assert (await tenant.owner.get(url, params={"as_of": before.isoformat()})).status_code == 404
    now = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert (await tenant.owner.get(url, params={"as_of": now})).json()["deleted_at"] is not None


@pytest.mark.parametrize("moment", ["", "yesterday", "2026-01-01", "2026-01-01T00:00:00", "9999-12-31T23:59:59-12:00"])
async def test_a_moment_that_is_none_is_refused(tenant: Tenant, moment: str) -> None:
    contact = await tenant.contact()
    for path in ("", "/history"):
        answer = await tenant.owner.get(f"/v1/contacts/{contact['id']}{path}", params={"as_of": moment})
        assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (400, "as_of"), moment


async def test_history_tells_every_change_newest_first_in_pages(tenant: Tenant) -> None:
    contact = await tenant.contact(email=f"{uuid7()}@example.com", first_name="One")
    url = f"/v1/contacts/{contact['id']}"
    request_id = str(uuid4())
    await tenant.owner.patch(url, json={"first_name": "Two"}, headers={"X-Request-Id": request_id})
    edited = await tenant.owner.post(f"{url}/tags", json={"tags": ["x"]})
    whole = (await tenant.owner.get(f"{url}/history")).json()
    assert [entry["event"] for entry in whole["items"]] == [
        "contact.tagged",
        "contact.details_changed",
        "contact.created",
    ]
    assert whole["items"][1]["changes"] == [{"field": "first_name", "old": "One", "new": "Two"}]
    assert whole["items"][1]["correlation_id"] == request_id
    assert whole["items"][0]["actor"].startswith("key:")
    assert whole["items"][0]["position"] == edited.headers["Rollbook-Position"]
    assert whole["total"] == {"count": 3, "exact": True}
    found, cursor = [], None
    while True:
        params = {"limit": "1", "sort": "version"} | ({"cursor": cursor} if cursor else {})
        page = (await tenant.owner.get(f"{url}/history", params=params)).json()
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found == whole["items"][::-1]
    past = (await tenant.owner.get(f"{url}/history", params={"as_of": found[1]["position"]})).json()
    assert past["items"] == found[1::-1]
    assert (await tenant.owner.get(f"{url}/history", params={"cursor": "77"})).status_code == 400


async def test_request_ids_come_back_and_are_made_where_missing(tenant: Tenant) -> None:
    answer = await tenant.owner.get("/v1/settings", headers={"X-Request-Id": "checkout-77"})
    assert answer.headers["X-Request-Id"] == "checkout-77"
    answer = await tenant.owner.get("/v1/settings", headers={"X-Request-Id": "no blanks allowed"})
    assert len(answer.headers["X-Request-Id"]) == 36
    assert (await tenant.owner.get("/nowhere")).headers["X-Request-Id"]


@pytest.mark.parametrize(
    ("method", "path", "status", "slug"),
    [
        ("GET", "/", 404, "not-found"),
        ("GET", "/v1", 404, "not-found"),
        ("GET", "/v1/nothing", 404, "not-found"),
        ("GET", "/docs/../app.py", 404, "not-found"),
        ("GET", "/docs/SHA256SUMS", 404, "not-found"),
        ("PUT", "/v1/contacts", 405, "method-not-allowed"),
        ("DELETE", "/healthz", 405, "method-not-allowed"),
        ("TRACE", "/v1/contacts", 405, "method-not-allowed"),
    ],
)
async def test_what_the_router_refuses_is_a_problem_too(
    tenant: Tenant, method: str, path: str, status: int, slug: str
) -> None:
    answer = await tenant.owner.request(method, path)
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:rollbook:problem:{slug}")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert status != 405 or "GET" in answer.headers["Allow"]


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1", "json", "\xff"],
)
async def test_other_media_types_are_refused(tenant: Tenant, content_type: str) -> None:
    headers = {b"Content-Type": content_type.encode("latin-1")}
    answer = await tenant.owner.post("/v1/contacts", content=b'{"email": "a@example.com"}', headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (415, "urn:rollbook:problem:unsupported-media-type")


async def test_a_compressed_body_is_refused(tenant: Tenant) -> None:
    answer = await tenant.owner.post("/v1/contacts", content=b"x", headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 415


def chunks(size: int) -> Iterator[bytes]:
    for _ in range(size // 65536):
        yield b" " * 65536


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_over_the_limit_is_refused(tenant: Tenant, announced: bool) -> None:
    size = 2 * 1024 * 1024

    async def stream() -> Any:
        for chunk in chunks(size):
            yield chunk

    headers = {"Content-Type": "application/json"}
    content = b" " * size if announced else stream()
    answer = await tenant.owner.post("/v1/contacts", content=content, headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (413, "urn:rollbook:problem:body-too-large")
    assert "1048576 bytes" in answer.json()["detail"]


async def test_an_unknown_parameter_is_refused_with_the_known_ones(tenant: Tenant) -> None:
    answer = await tenant.owner.get("/v1/contacts", params={"limt": 3})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["parameter"] == "limt"
    assert "limit" in answer.json()["errors"][0]["detail"]


@pytest.mark.parametrize("body", [body for body, _, _ in NASTY_BODIES.values()], ids=NASTY_BODIES.keys())
async def test_nasty_bodies_are_refused_with_a_pointer_everywhere(tenant: Tenant, body: bytes) -> None:
    contact = await tenant.contact(email=f"{uuid7()}@example.com")
    for method, path in (
        ("POST", "/v1/contacts"),
        ("PATCH", f"/v1/contacts/{contact['id']}"),
        ("PUT", "/v1/contacts/by/external_id/x"),
        ("POST", f"/v1/contacts/{contact['id']}/tags"),
        ("PATCH", "/v1/settings"),
    ):
        renamed = body.replace(b'"name"', b'"first_name"')
        answer = await tenant.owner.request(method, path, content=renamed, headers={"Content-Type": "application/json"})
        assert answer.status_code in (200, 201, 400, 413, 422), (method, path, answer.status_code, answer.text)
        if answer.status_code == 400:
            assert "pointer" in answer.json()["errors"][0]


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /v1/contacts?q=\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/contacts/%zz HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/contacts HTTP/1.1\r\nHost: \xff\xff\r\n\r\n",
        b"GET /v1/contacts HTTP/1.1\r\nHost: a b\r\n\r\n",
        b"POST /v1/contacts HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/contacts HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"POST /v1/contacts HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /v1/contacts HTTP/9.9\r\n\r\n",
        b"\x00\x01\x02\r\n\r\n",
        b"GET http://elsewhere/v1/contacts HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
async def test_broken_http_never_gets_a_5xx(api: Api, request_bytes: bytes) -> None:
    host, port = api.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request_bytes.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
    writer.write_eof()
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    assert answer == b"" or answer.split(b" ")[1][:1] == b"4", answer[:200]


async def test_everyone_gets_security_headers(tenant: Tenant) -> None:
    answer = await tenant.owner.get("/v1/settings")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert "Server" not in answer.headers
    page = await tenant.owner.get("/docs")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]


async def test_metrics_have_templates_for_labels_and_no_ids(api: Api, tenant: Tenant) -> None:
    contact = await tenant.contact()
    await tenant.owner.get(f"/v1/contacts/{contact['id']}")
    await tenant.owner.get("/wp-admin.php")
    await tenant.owner.request("BREW", "/v1/contacts")
    metrics = (await tenant.owner.get("/metrics")).text
    assert 'route="/v1/contacts/{contact_id}",status="2xx"' in metrics
    assert 'route="unmatched"' in metrics
    for bounded in (contact["id"], contact["email"], "wp-admin", "BREW", str(tenant.workspace_id)):
        assert bounded not in metrics
    assert "rollbook_append_batch_commands_bucket" in metrics


async def test_health_and_readiness_need_no_key(api: Api) -> None:
    async with httpx2.AsyncClient(base_url=api.url) as client:
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        ready = await client.get("/readyz")
    assert (ready.status_code, ready.json()["checks"]) == (200, {"database": "ok", "schema": "ok", "read_models": "ok"})


async def test_the_description_is_served(api: Api) -> None:
    async with httpx2.AsyncClient(base_url=api.url) as client:
        schema = await client.get("/schema")
    assert json.loads(schema.text)["openapi"] == "3.1.0"
    assert socket.gethostname() not in schema.text


async def test_a_failure_is_logged_with_its_request_and_without_what_was_sent(
    api: Api, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("canary@example.com")

    monkeypatch.setattr(type(api.services.contact_handler), "execute", broken)
    body = {"email": "canary@example.com"}
    with structlog.testing.capture_logs() as lines:
        answer = await tenant.owner.post("/v1/contacts", json=body, headers={"X-Request-Id": "r-1"})
    assert (answer.status_code, answer.json()["type"]) == (500, "urn:rollbook:problem:internal-error")
    assert "canary" not in answer.text
    assert [(line["route"], line["method"], line["request_id"]) for line in lines] == [("/v1/contacts", "POST", "r-1")]
