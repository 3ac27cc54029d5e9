"""A whole API on real PostgreSQL, for one test module: server, projector and services in this process."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx2
import pytest_asyncio
from uuid_utils.compat import uuid7

from contacts.catalog import CODEC, PROJECTIONS
from contacts.segment.clock import SegmentClock
from contacts.segment.projection import SegmentProjection
from contacts.workspace.bootstrap import bootstrap
from contacts_api.app import create_app
from contacts_api.server import listen, serving
from contacts_api.services import Services, open_services
from eventstore import builds
from eventstore.cipher import Keyring
from eventstore.connection import connector
from eventstore.projector import Projector
from eventstore.store import EventStore
from servicekit.settings import Settings

ROLES = ("owner", "manager", "agent", "auditor", "service")


class Tenant:
    """One workspace with a client for its owner, and clients for other roles on demand."""

    def __init__(self, api: Api, workspace_id: UUID, owner_key: str) -> None:
        self._api = api
        self.workspace_id = workspace_id
        self.owner_key = owner_key
        self.owner = self.client(owner_key)

    def client(self, key: str) -> httpx2.AsyncClient:
        return self._api.client({"Authorization": f"Bearer {key}"})

    async def key(self, role: str, *scopes: str) -> str:
        answer = await self.owner.post("/v1/keys", json={"name": role, "role": role, "scopes": list(scopes)})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["key"])

    async def contact(self, **fields: Any) -> dict[str, Any]:
        """A contact created over HTTP, visible to queries; an e-mail of its own where nothing else is said."""
        fields = fields or {"email": f"{uuid7()}@example.com"}
        answer = await self.owner.post("/v1/contacts", json=fields)
        assert answer.status_code == 201, answer.text
        await self.visible(answer)
        contact: dict[str, Any] = answer.json()
        return contact

    async def visible(self, answer: httpx2.Response) -> None:
        """Waits until queries show what the answer's command did."""
        position = {"Rollbook-Min-Position": answer.headers["Rollbook-Position"]}
        shown = await self.owner.get("/v1/contacts", params={"limit": 1}, headers=position)
        assert shown.status_code == 200, shown.text


class Api:
    """A running API."""

    def __init__(self, url: str, services: Services) -> None:
        self.url = url
        self.services = services
        self._clients: list[httpx2.AsyncClient] = []

    def client(self, headers: dict[str, str]) -> httpx2.AsyncClient:
        """Closed with the API, if not before."""
        self._clients.append(httpx2.AsyncClient(base_url=self.url, headers=headers, timeout=30))
        return self._clients[-1]

    async def close_clients(self) -> None:
        await asyncio.gather(*(client.aclose() for client in self._clients))

    async def tenant(self) -> Tenant:
        """A new workspace."""
        made = await bootstrap(self.services.store, self.services.workspace_handler, workspace_id=uuid7())
        assert made.new_key is not None
        return Tenant(self, made.workspace_id, made.new_key)


@pytest_asyncio.fixture(scope="module")
async def api(module_database: str) -> AsyncIterator[Api]:
    async with running_api(module_database) as running:
        yield running


@pytest_asyncio.fixture(scope="module")
async def tenant(api: Api) -> Tenant:
    """The workspace that the tests of a module share."""
    return await api.tenant()


@contextlib.asynccontextmanager
async def running_api(database: str, **settings: Any) -> AsyncIterator[Api]:
    """Starts everything and stops it again."""
    master_key = base64.b64encode(os.urandom(32)).decode()
    values = Settings(database_url=database, master_key=master_key, position_wait_s=10.0, **settings)
    sock = listen("127.0.0.1", 0)
    async with (
        projecting(values),
        open_services(values) as services,
        serving(create_app(services), sock, grace_s=1),
    ):
        api = Api(f"http://127.0.0.1:{sock.getsockname()[1]}", services)
        try:
            yield api
        finally:
            await api.close_clients()


@contextlib.asynccontextmanager
async def projecting(settings: Settings) -> AsyncIterator[None]:
    """Keeps the read models while the block runs."""
    keys = settings.master_keys
    role = "rollbook_projector"
    connection = await connector(settings.database_url, role=role, application_name="test")()
    await builds.ensure_builds(connection, PROJECTIONS)
    await connection.close()
    keyring = Keyring(keys, current=max(keys))
    store = await EventStore.open(settings.database_url, codec=CODEC, keyring=keyring, role=role, pool_size=2)
    clock = SegmentClock(connector(settings.database_url, role=role, application_name="clock"), SegmentProjection())
    work = (Projector(store, settings.database_url, PROJECTIONS).run(), clock.run())
    tasks = [asyncio.create_task(each) for each in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await store.close()
