"""The systems that Rollbook's appends are measured beside, each doing one durable single-event append at a time."""

from __future__ import annotations

import asyncio
import itertools
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import asyncpg
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import StoredEvent

from rollbook.embedded.binaries import postgres_bin
from tests.bench.harness import Figures, closed_loop

#: As many bytes as the encrypted payload of the contact that Rollbook writes.
PAYLOAD = b"x" * 300


class Library:
    """`eventsourcing` with its own PostgreSQL recorder, through threads as it is meant to be used."""

    def __init__(self, dsn: str, threads: int, *, database_functions: bool) -> None:
        self.name = "eventsourcing, database functions" if database_functions else "eventsourcing, default"
        parts = urlsplit(dsn)
        # Threads beyond this only queue for the library's table lock, and each would hold a connection.
        self._threads = min(threads, 64)
        self._environment = {
            "PERSISTENCE_MODULE": "eventsourcing.postgres",
            "POSTGRES_DBNAME": parts.path.lstrip("/"),
            "POSTGRES_HOST": parts.hostname or "",
            "POSTGRES_PORT": str(parts.port),
            "POSTGRES_USER": parts.username or "",
            "POSTGRES_PASSWORD": parts.password or "",
            "POSTGRES_POOL_SIZE": str(self._threads),
            "POSTGRES_MAX_OVERFLOW": "10",
            "POSTGRES_POOL_TIMEOUT": "60",
            "POSTGRES_LOCK_TIMEOUT": "0",
            "POSTGRES_ENABLE_DB_FUNCTIONS": "yes" if database_functions else "no",
        }

    async def append(self, in_flight: int, seconds: float) -> Figures:
        application = Application[UUID](env=dict(self._environment))
        recorder = application.recorder

        def write() -> None:
            recorder.insert_events([StoredEvent(uuid4(), 1, "bench:Made", PAYLOAD)])

        try:
            return await self._in_threads(write, in_flight, seconds)
        finally:
            application.close()

    async def edit(self, in_flight: int, seconds: float) -> Figures:
        """Get an aggregate of a few events, change it, save it."""
        application = Application[UUID](env=dict(self._environment))
        people = [Person("Ann") for _ in range(256)]
        for person in people:
            person.rename("Anna")
            application.save(person)
        ids = itertools.cycle([person.id for person in people])

        def write() -> None:
            person: Person = application.repository.get(next(ids))
            person.rename("Ann" if person.name == "Anna" else "Anna")
            application.save(person)

        try:
            return await self._in_threads(write, min(in_flight, 8), seconds)
        finally:
            application.close()

    async def _in_threads(self, write: Callable[[], None], in_flight: int, seconds: float) -> Figures:
        with ThreadPoolExecutor(self._threads) as executor:
            loop = asyncio.get_running_loop()
            return await closed_loop(lambda: loop.run_in_executor(executor, write), in_flight, seconds)


class Person(Aggregate):
    @event("Made")
    def __init__(self, name: str) -> None:
        self.name = name

    @event("Renamed")
    def rename(self, name: str) -> None:
        self.name = name


class MessageDB:
    """`write_message` of Message DB: its SQL comes out of its npm package when the benchmark runs."""

    name = "Message DB write_message"

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    async def install(self) -> str | None:
        """None when installed, else the reason why not."""
        if shutil.which("npm") is None:
            return "npm is not on this machine"
        with tempfile.TemporaryDirectory() as folder:
            packed = subprocess.run(
                ["npm", "pack", "--silent", "@eventide/message-db@1.3.1"],
                cwd=folder, capture_output=True, text=True, timeout=120, check=False,
            )  # fmt: skip
            archives = list(Path(folder).glob("*.tgz"))
            if packed.returncode != 0 or not archives:
                return "npm could not fetch @eventide/message-db"
            with tarfile.open(archives[0]) as archive:
                archive.extractall(folder, filter="data")
            await self._run(Path(folder) / "package/database")
        return None

    async def _run(self, folder: Path) -> None:
        functions = re.findall(r"\$base/functions/(\S+\.sql)", (folder / "install-functions.sh").read_text())
        files = ["schema/message-store.sql", "tables/messages.sql", "types/message.sql"]
        files += [f"functions/{name}" for name in functions]
        files += [f"indexes/{path.name}" for path in sorted((folder / "indexes").glob("*.sql"))]
        connection = await self._connect()
        try:
            for file in files:
                await connection.execute((folder / file).read_text())
        finally:
            await connection.close()

    async def _connect(self) -> asyncpg.Connection:
        return await asyncpg.connect(self._dsn, server_settings={"search_path": "message_store,public"})

    async def append(self, in_flight: int, seconds: float) -> Figures:
        data = '{"x": "' + "x" * 290 + '"}'
        async with connections(self._connect, in_flight) as pool:

            async def write() -> None:
                connection = await pool.get()
                await connection.fetchval(
                    "SELECT write_message($1::varchar, $2::varchar, 'Made', $3::jsonb, NULL, -1)",
                    str(uuid4()), f"contact-{uuid4()}", data,
                )  # fmt: skip
                pool.put_nowait(connection)

            return await closed_loop(write, in_flight, seconds)


@asynccontextmanager
async def connections(connect: Callable[[], Any], count: int) -> AsyncIterator[asyncio.Queue[asyncpg.Connection]]:
    pool: asyncio.Queue[asyncpg.Connection] = asyncio.Queue()
    for _ in range(count):
        pool.put_nowait(await connect())
    try:
        yield pool
    finally:
        while not pool.empty():
            await pool.get_nowait().close()


class PgBench:
    """PostgreSQL's own load generator with one prepared single-row INSERT per transaction."""

    name = "pgbench single-row INSERT"

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    async def install(self) -> None:
        connection = await asyncpg.connect(self._dsn)
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS pgbench_rows (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, data bytea)"
        )
        await connection.close()

    async def append(self, in_flight: int, seconds: float) -> Figures:
        """Longer with many clients: their connecting counts as well."""
        with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
            script.write(f"INSERT INTO pgbench_rows (data) VALUES ('{PAYLOAD.decode()}'::bytea);\n")
            script.flush()
            process = await asyncio.create_subprocess_exec(
                str(postgres_bin(None) / "pgbench"), "-n", "-M", "prepared", "-f", script.name, "-c", str(in_flight),
                "-j", "2", "-T", str(max(round(seconds), in_flight // 50, 1)), self._dsn,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            )  # fmt: skip
            text = (await process.communicate())[0].decode()
        rate = re.search(r"tps = ([\d.]+)", text)
        latency = re.search(r"latency average = ([\d.]+) ms", text)
        if rate is None or latency is None:
            raise RuntimeError(f"pgbench said {text[-400:]}")
        # It reports no median: its mean stands in both places.
        return Figures(float(rate[1]), float(latency[1]), float(latency[1]))


__all__ = ["Library", "MessageDB", "PgBench"]
