"""The micro service on a real NATS server: what it says of itself, and that it is the API in every respect."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import msgspec
import nats
import pytest
import pytest_asyncio
import structlog
from jsonschema import Draft202012Validator
from nats.aio.client import Client
from nats.aio.msg import Msg

from contacts_api.endpoint import PUBLIC
from contacts_api.micro.connection import micro_service
from contacts_api.micro.message import Reader
from contacts_api.micro.service import MicroService
from contacts_api.micro.verbs import subject_of, verb_of, verbs
from contacts_api.routes import ENDPOINTS
from rollbook.embedded.nats import Nats
from tests.integration.api.conftest import Api, Tenant
from tests.support import servers
from tests.support.waiting import until

VERBS = verbs(ENDPOINTS)


class Caller:
    """Asks in the name of one workspace."""

    def __init__(self, client: Client, tenant: Tenant, key: str | None = None) -> None:
        self.client = client
        self.tenant = tenant
        self.key = key or tenant.owner_key

    async def ask(self, verb: str, body: Any = None, *, workspace: UUID | str | None = None, **headers: str) -> Msg:
        sent = {"Rollbook-Key": self.key} | {name.replace("_", "-"): value for name, value in headers.items()}
        payload = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
        subject = subject_of(verb, workspace or self.tenant.workspace_id)
        return await self.client.request(subject, payload, timeout=10, headers=sent)

    async def answer(self, verb: str, body: Any = None, **headers: str) -> Any:
        reply = await self.ask(verb, body, **headers)
        assert "Nats-Service-Error" not in reply.headers, reply.data
        return msgspec.json.decode(reply.data)


@pytest.fixture(scope="module")
def private_server() -> Iterator[Nats]:
    # Of the module's own: another API on the same server would share the work.
    folder = servers.scratch_folder()
    server = Nats(folder / "nats", sync_always=False)
    server.start()
    yield server
    server.stop()
    servers.remove_folder(folder)


@pytest_asyncio.fixture(scope="module")
async def client(private_server: Nats, api: Api) -> AsyncIterator[Client]:
    async with micro_service(private_server.url, api.services):
        async with contextlib.AsyncExitStack() as stack:
            connected = await nats.connect(private_server.url)
            stack.push_async_callback(connected.close)
            await until(lambda: answers(connected), what="the micro service answers")
            yield connected


async def answers(client: Client) -> bool:
    try:
        await client.request("$SRV.PING.rollbook", timeout=0.5)
    except (nats.errors.NoRespondersError, nats.errors.TimeoutError):
        return False
    # Endpoints are added after the service itself.
    info = msgspec.json.decode((await client.request("$SRV.INFO.rollbook", timeout=5)).data)
    return len(info["endpoints"]) == len(VERBS)


@pytest.fixture
def caller(client: Client, tenant: Tenant) -> Caller:
    return Caller(client, tenant)


def test_every_route_for_programs_has_a_verb_of_its_own() -> None:
    assert {"contacts.get", "contacts.create", "contacts.update", "contacts.upsert", "contacts.delete"} <= VERBS.keys()
    assert {"merges.preview", "merges.create", "merges.unmerge", "may-send", "activity"} <= VERBS.keys()
    left_out = {endpoint.path for endpoint in ENDPOINTS} - {endpoint.path for endpoint in VERBS.values()}
    assert left_out == {each.path for each in ENDPOINTS if each.action is PUBLIC}


@pytest.mark.parametrize("verb", VERBS)
def test_address_and_body_share_no_name(verb: str) -> None:
    endpoint = VERBS[verb]
    names = [set(each.__struct_encode_fields__) for each in (endpoint.path_type, endpoint.body_type)]
    assert not names[0] & names[1]


async def test_the_service_is_discovered_with_its_schemas_and_stats(caller: Caller) -> None:
    reply = await caller.client.request("$SRV.INFO.rollbook", timeout=5)
    info = msgspec.json.decode(reply.data)

    assert (info["name"], len(reply.data) < 900_000) == ("rollbook", True)
    assert {each["subject"] for each in info["endpoints"]} == {subject_of(verb) for verb in VERBS}
    for endpoint in info["endpoints"]:
        for name in ("request_schema", "response_schema"):
            if name in endpoint["metadata"]:
                Draft202012Validator.check_schema(msgspec.json.decode(endpoint["metadata"][name]))
    await caller.ask("contacts.get", {"contact_id": str(uuid4())})
    stats = msgspec.json.decode((await caller.client.request("$SRV.STATS.rollbook", timeout=5)).data)
    one = next(each for each in stats["endpoints"] if each["name"] == "contacts-get")
    assert one["num_requests"] >= 1
    assert one["num_errors"] >= 1
    assert one["last_error"] == "urn:rollbook:problem:not-found"
    assert one["average_processing_time"] > 0


async def test_a_contact_is_created_read_edited_found_and_deleted(caller: Caller) -> None:
    email = f"{uuid4().hex}@example.com"
    created = await caller.ask("contacts.create", {"email": email, "first_name": "Ada"})
    contact_id = msgspec.json.decode(created.data)["id"]
    assert created.headers["Rollbook-Status"] == "201"
    position = created.headers["Rollbook-Position"]

    read = await caller.ask("contacts.get", {"contact_id": contact_id}, Rollbook_Min_Position=position)
    assert msgspec.json.decode(read.data)["first_name"] == "Ada"
    edited = await caller.ask(
        "contacts.update", {"contact_id": contact_id, "first_name": "Grace"}, If_Match=read.headers["ETag"]
    )
    assert msgspec.json.decode(edited.data)["first_name"] == "Grace"
    late = await caller.ask("contacts.update", {"contact_id": contact_id}, If_Match=read.headers["ETag"])
    assert late.headers["Nats-Service-Error-Code"] == "412"
    upserted = await caller.answer("contacts.upsert", {"by": "email", "value": email, "last_name": "Hopper"})
    assert (upserted["id"], upserted["last_name"]) == (contact_id, "Hopper")
    page = await caller.answer(
        "contacts.list", {"q": email, "limit": 5}, Rollbook_Min_Position=edited.headers["Rollbook-Position"]
    )
    assert [each["id"] for each in page["items"]] == [contact_id]
    deleted = await caller.answer("contacts.delete", {"contact_id": contact_id, "reason": "asked"})
    assert deleted["deletion_reason"] == "asked"


async def test_it_refuses_as_http_does(caller: Caller) -> None:
    tenant, missing = caller.tenant, uuid4()
    over_http = await tenant.owner.get(f"/v1/contacts/{missing}")
    reply = await caller.ask("contacts.get", {"contact_id": str(missing)})

    assert msgspec.json.decode(reply.data) == over_http.json()
    assert reply.headers["Nats-Service-Error-Code"] == "404"
    assert reply.headers["Nats-Service-Error"] == over_http.json()["title"]
    assert reply.headers["Content-Type"] == "application/problem+json"
    wrong = await caller.ask("contacts.create", {"email": "x", "nickname": "y"})
    assert msgspec.json.decode(wrong.data)["errors"] == [{"detail": "unknown field", "pointer": "/nickname"}]
    nowhere = await caller.ask("contacts.create", {"email": "a@example.com", "lists": [str(UUID(int=7))]})
    (fault,) = msgspec.json.decode(nowhere.data)["errors"]
    assert fault["pointer"] == "/lists/0"
    assert fault["detail"].startswith(f"is no list: {UUID(int=7)}; expected")


async def test_an_idempotency_key_means_the_same_request_whichever_way_it_came(caller: Caller) -> None:
    key, body = uuid4().hex, msgspec.json.encode({"email": f"{uuid4().hex}@example.com"})
    over_http = await caller.tenant.owner.post(
        "/v1/contacts", content=body, headers={"Idempotency-Key": key, "Content-Type": "application/json"}
    )
    reply = await caller.ask("contacts.create", body, Idempotency_Key=key)

    assert msgspec.json.decode(reply.data)["id"] == over_http.json()["id"]
    assert reply.headers["Rollbook-Position"] == over_http.headers["Rollbook-Position"]
    other = await caller.ask("contacts.create", {"email": "other@example.com"}, Idempotency_Key=key)
    assert other.headers["Nats-Service-Error-Code"] == "422"


async def test_cloudevents_are_taken_and_answered(caller: Caller) -> None:
    event = {
        "specversion": "1.0",
        "id": "1",
        "source": "/shop",
        "type": "shop.new-customer",
        "data": {"email": f"{uuid4().hex}@example.com"},
    }
    reply = await caller.ask("contacts.create", event, Content_Type="application/cloudevents+json")
    answered = msgspec.json.decode(reply.data)

    assert reply.headers["Content-Type"] == "application/cloudevents+json"
    assert answered["type"] == "rollbook.svc.v1.contacts.create.reply"
    assert answered["data"]["email"] == event["data"]["email"]  # type: ignore[index]


async def test_merges_and_may_send_work_as_over_http(caller: Caller) -> None:
    one, two = [await caller.tenant.contact() for _ in range(2)]
    merge = await caller.answer("merges.create", {"primary": one["id"], "others": [two["id"]]})
    undone = await caller.ask("merges.unmerge", {"merge_id": merge["id"]})
    assert undone.headers["Rollbook-Status"] == "200"
    await caller.answer("contacts.unsubscribe", {"contact_id": one["id"], "channel": "email", "reason": "asked"})
    asked = {"channel": "email", "contacts": [one["id"], two["id"]]}
    verdicts = await caller.answer("may-send", asked)
    assert [each["allowed"] for each in verdicts["items"]] == [False, True]


async def test_keys_open_their_own_workspace_only(api: Api, caller: Caller) -> None:
    stranger = await api.tenant()
    refused = [
        await caller.ask("contacts.list", workspace=workspace) for workspace in (stranger.workspace_id, uuid4(), "*x")
    ]
    assert {reply.headers["Nats-Service-Error-Code"] for reply in refused} == {"403"}
    assert len({reply.data for reply in refused[:2]}) == 1
    keyless = Caller(caller.client, caller.tenant, key="rbk_none")
    assert (await keyless.ask("contacts.list")).headers["Nats-Service-Error-Code"] == "401"
    auditor = Caller(caller.client, caller.tenant, await caller.tenant.key("auditor"))
    refusal = await auditor.ask("contacts.create", {"email": "a@example.com"})
    assert refusal.headers["Nats-Service-Error-Code"] == "403"


MALFORMED = (
    b"[]",
    b"\xff",
    b"{",
    b'{"contact_id":[1]}',
    b'{"contact_id":"\\u0000"}',
    b'{"a":1,"a":2}',
    b'{"limit":1e999}',
    b'{"contact_id":"\xff","q":"\\ud800"}',
    b'"x"',
    b"null",
)


@pytest.mark.parametrize("verb", ["contacts.create", "contacts.get", "contacts.update", "contacts.list", "may-send"])
async def test_malformed_payloads_are_refused_and_never_fail(caller: Caller, verb: str) -> None:
    deep = b'{"email":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    for payload in (*MALFORMED, deep):
        reply = await caller.ask(verb, payload)
        assert reply.headers["Nats-Service-Error-Code"] in {"400", "422"}, (payload[:40], reply.data)


async def test_every_verb_answers_as_its_route_does(api: Api, client: Client) -> None:
    """Two fresh workspaces, all endpoints in the same order: one over HTTP, the other over NATS."""
    web, caller = await api.tenant(), Caller(client, await api.tenant())
    differing = []
    for verb, endpoint in VERBS.items():
        body = next(iter(endpoint.examples.values()), None)
        address = {name: str(uuid4()) for name in endpoint.path_type.__struct_encode_fields__}
        address |= {name: value for name, value in {"by": "email", "value": "x@example.com"}.items() if name in address}
        over_http = await web.owner.request(endpoint.method, endpoint.template.format_map(address), json=body)
        reply = await caller.ask(verb, {**address, **(body or {})})
        kinds = [over_http.json().get("type") if over_http.status_code >= 400 else None, _kind(reply)]
        if (over_http.status_code, kinds[0]) != (int(reply.headers["Rollbook-Status"]), kinds[1]):
            differing.append((verb, over_http.status_code, over_http.text[:200], reply.data[:200]))
    assert differing == []


def _kind(reply: Msg) -> str | None:
    return msgspec.json.decode(reply.data)["type"] if "Nats-Service-Error" in reply.headers else None


async def test_what_cannot_be_read_at_all_ends_no_connection(private_server: Nats, caller: Caller) -> None:
    subject = subject_of("settings.get", caller.tenant.workspace_id).encode()
    wire = [
        b"PUB rollbook.svc.v1.\xff\xfe.settings.get 2\r\n{}\r\n",
        _with_headers(subject, b"NATS/1.0 \xff\xff\xff \xff\r\n\r\n"),
        _with_headers(subject, b"NATS/1.0"),
        _with_headers(subject, b"NATS/1.0\r\nRollbook-Key\xff: \xff\r\nno colon\r\n\r\n"),
    ]
    place = urlsplit(private_server.url)
    credentials = msgspec.json.encode(
        {"user": place.username, "pass": place.password, "headers": True, "verbose": False}
    )
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    with structlog.testing.capture_logs() as lines:
        writer.write(b"CONNECT " + credentials + b"\r\n" + b"".join(wire) + b"PING\r\n")
        await reader.readuntil(b"PONG\r\n")
        assert await caller.answer("settings.get")
    writer.close()
    said = [line["event"] for line in lines]
    assert "a message that cannot be read was dropped" in said
    assert "connection to NATS lost; trying again" not in said


def _with_headers(subject: bytes, headers: bytes) -> bytes:
    return b"HPUB %s %d %d\r\n%s\r\n" % (subject, len(headers), len(headers), headers)


async def test_several_processes_share_the_work(private_server: Nats, api: Api, caller: Caller) -> None:
    other = await nats.connect(private_server.url)
    before = _requests_of((await _all_replies(caller.client, "$SRV.STATS.rollbook", 1))[0], "keys-list")
    try:
        second = MicroService(other, api.services, ENDPOINTS)
        await second.start()

        async def answered_by_both() -> list[int]:
            await asyncio.gather(*(caller.answer("keys.list") for _ in range(20)))
            replies = await _all_replies(caller.client, "$SRV.STATS.rollbook", 2)
            counts = [_requests_of(stats, "keys-list") for stats in replies]
            return counts if min(counts) > 0 else []

        counts = await until(answered_by_both, what="both processes have answered")
        assert (sum(counts) - before) % 20 == 0, "each request is answered by one of them"
        await second.stop()
        await asyncio.gather(*(caller.answer("keys.list") for _ in range(20)))
    finally:
        await other.close()


def _requests_of(stats: Any, name: str) -> int:
    return int(next(each["num_requests"] for each in stats["endpoints"] if each["name"] == name))


async def test_a_full_house_says_so_at_once(private_server: Nats, api: Api, tenant: Tenant) -> None:
    folder = servers.scratch_folder()
    server = Nats(folder / "nats", sync_always=False)
    await asyncio.to_thread(server.start)
    try:
        client = await nats.connect(server.url)
        service = MicroService(client, api.services, ENDPOINTS, in_flight_max=3)
        await service.start()
        caller = Caller(client, tenant)
        await caller.answer("settings.get")
        replies = await asyncio.gather(*(caller.ask("contacts.list") for _ in range(50)))
        refused = [reply for reply in replies if "Nats-Service-Error" in reply.headers]
        assert 0 < len(refused) < 50
        assert {reply.headers["Nats-Service-Error-Code"] for reply in refused} == {"429"}
        assert {reply.headers["Retry-After"] for reply in refused} == {"1"}
        await service.stop()
        await client.close()
    finally:
        await asyncio.to_thread(server.stop)
        servers.remove_folder(folder)


async def test_it_is_back_after_the_server_was_killed(private_server: Nats, caller: Caller) -> None:
    await asyncio.to_thread(private_server.kill)
    await asyncio.to_thread(private_server.start)

    async def answered() -> bool:
        try:
            return bool(await caller.answer("settings.get"))
        except (nats.errors.Error, OSError):
            return False

    assert await until(answered, what="the micro service answers again")


async def test_it_ends_in_time_while_nats_is_away(api: Api, tenant: Tenant) -> None:
    folder = servers.scratch_folder()
    server = Nats(folder / "nats", sync_always=False)
    await asyncio.to_thread(server.start)
    client = await nats.connect(server.url, allow_reconnect=False)
    async with micro_service(server.url, api.services):
        await until(lambda: answers(client), what="the micro service answers")
        await asyncio.to_thread(server.kill)
        began = time.monotonic()
    assert time.monotonic() - began < 2.5
    await client.close()
    servers.remove_folder(folder)


def test_an_address_is_the_one_of_http() -> None:
    upsert = next(each for each in ENDPOINTS if verb_of(each) == "contacts.upsert")
    asked = Reader(upsert).request({}, b'{"by":"external_id","value":"a/b c","first_name":"Ada"}')

    assert asked.scope["raw_path"] == b"/v1/contacts/by/external_id/a%2Fb%20c"
    assert asked.scope["method"] == "PUT"


async def _all_replies(client: Client, subject: str, count: int) -> list[Any]:
    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox)
    await client.publish(subject, reply=inbox)
    found = [msgspec.json.decode((await subscription.next_msg(timeout=5)).data) for _ in range(count)]
    await subscription.unsubscribe()
    return found
