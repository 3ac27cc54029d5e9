"""`python -m contacts_api` as a process: it takes its settings, opens the bootstrap workspace, and ends in time."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import uuid4

import httpx2

from contacts_api.services import CONTACT
from rollbook.embedded.postgres import Postgres
from rollbook.embedded.process import free_port
from servicekit.settings import Settings
from tests.integration.api.conftest import projecting, running_api
from tests.support.waiting import until

MASTER_KEY = b64encode(bytes(range(32))).decode()


@asynccontextmanager
async def process(
    database: str, **settings: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, httpx2.AsyncClient]]:
    """The process and a client for it, once it answers."""
    port = free_port()
    values = {"DATABASE_URL": database, "MASTER_KEY": MASTER_KEY, "API_PORT": str(port), "LOG_LEVEL": "warning"}
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "contacts_api"),
        env=os.environ | {f"ROLLBOOK_{name}": value for name, value in (values | settings).items()},
    )
    try:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:

            async def answers() -> bool:
                try:
                    return (await client.get("/healthz")).status_code == 200
                except httpx2.TransportError:
                    assert running.returncode is None
                    return False

            await until(answers, what="the API answers")
            yield running, client
    finally:
        if running.returncode is None:
            running.kill()
        await running.wait()


async def test_the_bootstrap_key_opens_its_workspace_at_every_start(database: str) -> None:
    workspace_id = str(uuid4())
    settings = {"BOOTSTRAP_KEY": "a-key-of-my-own", "BOOTSTRAP_WORKSPACE": workspace_id}
    for _ in range(2):
        async with process(database, **settings) as (_, client):
            answer = await client.get("/v1/settings", headers={"Authorization": "Bearer a-key-of-my-own"})
            keys = await client.get("/v1/keys", headers={"Authorization": "Bearer a-key-of-my-own"})
        assert answer.json()["workspace_id"] == workspace_id
        assert keys.json()["total"]["count"] == 1


async def test_it_is_ready_once_read_models_are_there(database: str) -> None:
    async with process(database) as (_, client):
        before = await client.get("/readyz")
        assert (before.status_code, before.json()["checks"]["database"]) == (503, "ok")
        assert "no projector" in before.json()["checks"]["read_models"]
        async with projecting(Settings(database_url=database, master_key=MASTER_KEY)):
            assert (await client.get("/readyz")).json()["status"] == "ready"


async def test_it_ends_in_time_though_a_query_is_waiting(database: str) -> None:
    settings = {"BOOTSTRAP_KEY": "a-key-of-my-own", "POSITION_WAIT_S": "60"}
    headers = {"Authorization": "Bearer a-key-of-my-own"}
    async with process(database, **settings) as (running, client):
        created = await client.post("/v1/contacts", json={"email": "ann@example.com"}, headers=headers)
        assert created.status_code == 201
        # Nothing keeps the read model, so this position is never reached.
        wanted = headers | {"Rollbook-Min-Position": created.headers["Rollbook-Position"]}
        waiting = asyncio.create_task(client.get("/v1/contacts", headers=wanted))
        await until(lambda: in_flight(client), what="the query is waiting")
        began = time.monotonic()
        running.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(running.wait(), 10) == 0
        assert time.monotonic() - began < 3
        await asyncio.gather(waiting, return_exceptions=True)


async def in_flight(client: httpx2.AsyncClient) -> bool:
    return "rollbook_http_requests_in_flight 2.0" in (await client.get("/metrics")).text


async def test_without_a_database_it_says_so_and_comes_back(private_postgres: Callable[..., Postgres]) -> None:
    postgres = await asyncio.to_thread(private_postgres, fsync=False)
    async with running_api(postgres.url()) as api:
        tenant = await api.tenant()
        contact = await tenant.contact(email="ann@example.com")
        await asyncio.to_thread(postgres.stop)
        for method, path, body in (
            ("GET", "/v1/contacts", None),
            ("GET", f"/v1/contacts/{contact['id']}", None),
            ("GET", f"/v1/contacts/{contact['id']}/history", None),
            ("GET", "/v1/contacts/counts", None),
        ):
            answer = await tenant.owner.request(method, path, json=body)
            assert (answer.status_code, answer.json()["type"]) == (503, "urn:rollbook:problem:unavailable"), path
            assert int(answer.headers["Retry-After"]) > 0
        assert (await tenant.owner.get("/healthz")).status_code == 200
        assert (await tenant.owner.get("/readyz")).status_code == 503
        held = asyncio.create_task(tenant.owner.post("/v1/contacts", json={"email": "bob@example.com"}))
        await asyncio.to_thread(postgres.start)
        assert (await held).status_code == 201

        async def is_back() -> bool:
            return (await tenant.owner.get("/v1/contacts", params={"q": "bob"})).status_code == 200

        await until(is_back, timeout_s=20)
        assert api.services.progress.reached(CONTACT, 0) > 0
