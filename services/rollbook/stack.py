"""One stack: servers (ours or given), schema, API, projector, bridge, all supervised. What people see is in `up.py`."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final
from uuid import UUID

import asyncpg
import msgspec

from contacts.catalog import CODEC
from contacts.errors import Refusal
from contacts.workspace.bootstrap import bootstrap
from contacts.workspace.directory import Workspaces
from contacts.workspace.handler import WorkspaceHandler
from contacts.workspace.keys import make_key
from eventstore import sql
from eventstore.cipher import Keyring
from eventstore.errors import KeyUnavailable
from eventstore.migrate import migrate_async
from eventstore.store import EventStore
from rollbook.embedded.nats import Nats
from rollbook.embedded.postgres import Postgres
from rollbook.embedded.process import ServerFailed, free_port
from rollbook.folder import DataFolder, Running
from rollbook.supervisor import Program, Supervisor
from servicekit.settings import Settings, parse_master_keys

READY_WAIT_S: Final = 60.0
START_CRASHES_MAX: Final = 3
DATABASE: Final = "rollbook"
#: Stopping takes 2.5 s for our processes and 2 s for the servers at most, so 5 s in all are kept.
GRACE_S: Final = 2.0

QUERIES: Final = sql.load("rollbook", "queries.sql")

Say = Callable[[str], None]


class Stack:
    """Starts and stops everything `rollbook up` is made of. `say` is told what happens, in one line each."""

    def __init__(self, settings: Settings, folder: DataFolder, say: Say) -> None:
        self.settings = settings
        self.folder = folder
        self._say = say
        self.supervisor = Supervisor(say, self._announce)
        self.postgres: Postgres | None = None
        self.nats: Nats | None = None
        self.database_url = settings.database_url
        self.nats_url = settings.nats_url
        self.api_url = f"http://{_reachable(settings.api_host)}:{settings.api_port}"
        self._metrics_ports: dict[str, int] = {}
        self._complete = False

    async def start(self) -> None:
        """Raises ServerFailed with the reason when the stack cannot run."""
        self.master_key = self.folder.master_key(self.settings)
        await self._start_servers()
        await self._prepare_database()
        self.workspace, self.api_key = await self._bootstrap()
        for program in self._programs():
            await self.supervisor.start(program)
        await self._wait_ready()
        self._complete = True
        self._announce()

    async def stop(self) -> None:
        """Everything, within 5 s: first our processes, then the servers they use."""
        servers = [server for server in (self.postgres, self.nats) if server is not None]
        await self.supervisor.stop(servers)

    async def _start_servers(self) -> None:
        if not self.database_url:
            self.postgres = Postgres(self.folder.path, log=self.folder.logs / "postgres.log")
            await self._timed("PostgreSQL", self.postgres)
            if not self.postgres.data.is_relative_to(self.folder.path):
                self._say(f"Its data is in {self.postgres.data}: its account may not enter {self.folder.path}")
            self.database_url = self.postgres.url(DATABASE)
            await create_database(self.postgres.url("postgres"), DATABASE)
        if not self.nats_url:
            self.nats = Nats(self.folder.path, log=self.folder.logs / "nats.log")
            await self._timed("NATS", self.nats)
            self.nats_url = self.nats.url

    async def _timed(self, title: str, server: Postgres | Nats) -> None:
        began = time.monotonic()
        await self.supervisor.start(server)
        self._say(f"{title} runs on port {server.port} ({time.monotonic() - began:.1f} s)")

    async def _prepare_database(self) -> None:
        began = time.monotonic()
        try:
            await migrate_async(self.database_url)
            await check_master_key(self.database_url, parse_master_keys(self.master_key))
        except (OSError, asyncpg.PostgresError) as error:
            raise ServerFailed(f"the database cannot be used: {error}\n`rollbook doctor` looks closer") from None
        self._say(f"The log's schema is up to date ({time.monotonic() - began:.1f} s)")

    async def _bootstrap(self) -> tuple[UUID, str]:
        """The workspace and the key that owns it: the settings', else the folder's own, made at its first start."""
        keys = parse_master_keys(self.master_key)
        store = await EventStore.open(
            self.database_url, codec=CODEC, keyring=Keyring(keys, current=max(keys)), pool_size=1
        )
        try:
            handler = WorkspaceHandler(store, Workspaces(store))
            key = self.settings.bootstrap_key or self.folder.api_key
            workspace_id = self.settings.bootstrap_workspace
            if key is None:
                first = await bootstrap(store, handler, workspace_id=workspace_id)
                workspace_id = first.workspace_id
                key = first.new_key or make_key(workspace_id).text
                self.folder.keep_api_key(key)
            done = await bootstrap(store, handler, key=key, workspace_id=workspace_id)
            return done.workspace_id, key
        except Refusal as refusal:
            raise ServerFailed(f"the bootstrap key or workspace is refused: {refusal}") from None
        finally:
            await store.close()

    def _programs(self) -> Iterator[Program]:
        for name in ("projector", "api", "bridge"):
            if name != "api":
                self._metrics_ports[name] = free_port()
            yield Program(
                name,
                ["-m", f"contacts_{name}"],
                environment=self._environment(name),
                log=self.folder.logs / f"{name}.log",
            )

    def _environment(self, name: str) -> Mapping[str, str]:
        return {
            "ROLLBOOK_DATABASE_URL": self.database_url,
            "ROLLBOOK_NATS_URL": self._nats_url_of(name),
            "ROLLBOOK_MASTER_KEY": self.master_key,
            "ROLLBOOK_BOOTSTRAP_KEY": self.api_key,
            "ROLLBOOK_BOOTSTRAP_WORKSPACE": str(self.workspace),
            "ROLLBOOK_API_HOST": self.settings.api_host,
            "ROLLBOOK_API_PORT": str(self.settings.api_port),
            "ROLLBOOK_DATA_DIR": str(self.folder.path),
            "ROLLBOOK_METRICS_PORT": str(self._metrics_ports.get(name, 0)),
            "ROLLBOOK_SHUTDOWN_GRACE_S": str(min(self.settings.shutdown_grace_s, GRACE_S)),
            "ROLLBOOK_LOG_FORMAT": "json",
        }

    def _nats_url_of(self, name: str) -> str:
        """Each service is a user of its own on our server; the projector has no business there."""
        if name == "projector":
            return ""
        return self.nats_url if self.nats is None else self.nats.url_of(name)

    async def _wait_ready(self) -> None:
        addresses = {"api": (_reachable(self.settings.api_host), self.settings.api_port)}
        addresses |= {name: ("127.0.0.1", port) for name, port in self._metrics_ports.items()}
        await asyncio.gather(*(self._wait_for(name, *address) for name, address in addresses.items()))

    async def _wait_for(self, name: str, host: str, port: int) -> None:
        began = time.monotonic()
        while (missing := await not_ready(host, port)) is not None:
            if self.supervisor.crashes.get(name, 0) >= START_CRASHES_MAX:
                raise ServerFailed(f"{name} ends again and again; its log: {self.folder.logs / name}.log")
            if time.monotonic() - began > READY_WAIT_S:
                # A read model of a long log may be under way; the rest can be used meanwhile.
                self._say(f"{name} is not ready after {READY_WAIT_S:.0f} s: {missing}; it goes on by itself")
                return
            await asyncio.sleep(0.05)
        self._say(f"{name} is ready ({time.monotonic() - began:.1f} s)")

    def _announce(self) -> None:
        if not self._complete:
            return
        self.folder.announce(
            Running(
                api=self.api_url,
                nats=self.nats_url,
                database=self.database_url,
                api_key=self.api_key,
                workspace=self.workspace,
                pid=os.getpid(),
                pids={each.name: each.pid for each in self.supervisor.processes if each.pid is not None},
            )
        )


async def create_database(admin_url: str, name: str) -> None:
    """Make the database unless it is there."""
    connection = await asyncpg.connect(admin_url)
    try:
        if not await connection.fetchval(QUERIES["has_database"], name):
            await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()


async def check_master_key(database_url: str, keys: Mapping[int, bytes]) -> None:
    """Raises ServerFailed where the log's data keys were wrapped by another master key."""
    connection = await asyncpg.connect(database_url, server_settings={"role": "rollbook_writer"})
    try:
        row = await connection.fetchrow(QUERIES["sample_data_key"])
    finally:
        await connection.close()
    if row is not None:
        try:
            Keyring(keys, current=max(keys)).unwrap(row["subject_id"], row["wrapped"])
        except KeyUnavailable:
            raise ServerFailed(
                "the data in this database was encrypted with another master key: give that one in "
                "ROLLBOOK_MASTER_KEY or ROLLBOOK_MASTER_KEY_FILE"
            ) from None


async def not_ready(host: str, port: int) -> str | None:
    """None when the process that serves `/readyz` there is ready, else what it is waiting for."""
    try:
        async with asyncio.timeout(3):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(f"GET /readyz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            writer.close()
            if head.split()[1:2] == [b"200"]:
                return None
            checks = msgspec.json.decode(body)["checks"]
            return ", ".join(f"{name}: {state}" for name, state in checks.items() if state != "ok")
    except (OSError, TimeoutError):
        return "it does not answer yet"
    except (ValueError, KeyError, AttributeError):
        return "its answer is not understood"


def _reachable(host: str) -> str:
    """Where a client of this machine finds a server that listens on `host`."""
    return "127.0.0.1" if host in ("0.0.0.0", "", "::") else host  # noqa: S104  # compared, not bound
