"""The PostgreSQL and NATS of one test run: started by the first test that wants them, shared by all xdist workers."""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
import threading
from pathlib import Path
from typing import Any

import psycopg

from rollbook.embedded.nats import Nats
from rollbook.embedded.postgres import Postgres

TEMPLATE = "rollbook_template"
FOLDER_PREFIX = "rollbook-tests-"


class Servers:
    """Lives in the process that was started by hand (xdist's controller, or the only one), and serves the others.

    Workers ask over a loopback connection. The servers are children of one thread of this process, so the kernel ends
    them with it, whatever way it goes.
    """

    def __init__(self) -> None:
        remove_leftovers()
        self._folder = Path(tempfile.mkdtemp(prefix=f"{FOLDER_PREFIX}{os.getpid()}-"))
        self._folder.chmod(0o711)  # PostgreSQL's account passes through; names inside are not listed
        self._postgres: Postgres | None = None
        self._nats: Nats | None = None
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, name="test-servers", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        port: int = self._socket.getsockname()[1]
        return port

    def _serve(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            with connection, connection.makefile("rw") as lines:
                wanted = lines.readline().strip()
                if wanted == "stop":
                    self._stop()
                    return
                lines.write(json.dumps(self._answer(wanted)) + "\n")

    def _answer(self, wanted: str) -> dict[str, Any]:
        try:
            return {"url": self._postgres_url() if wanted == "postgres" else self._nats_url()}
        except Exception as error:  # noqa: BLE001  # said by the test that asked
            return {"error": f"{type(error).__name__}: {error}"}

    def _postgres_url(self) -> str:
        if self._postgres is None:
            postgres = Postgres(self._folder, fsync=False, settings={"shared_buffers": "128MB", "max_wal_size": "2GB"})
            postgres.start()
            try:
                make_template(postgres.url("postgres"))
            except BaseException:
                postgres.stop()
                shutil.rmtree(self._folder / "postgres")
                raise
            self._postgres = postgres
        return self._postgres.url("postgres")

    def _nats_url(self) -> str:
        if self._nats is None:
            nats = Nats(self._folder, sync_always=False)
            nats.start()
            self._nats = nats
        return self._nats.url

    def stop(self) -> None:
        ask(self.port, "stop")
        self._thread.join()

    def _stop(self) -> None:
        for server in (self._postgres, self._nats):
            if server is not None:
                server.stop()
        self._socket.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def remove_leftovers() -> None:
    """Folders of test runs that were killed; their servers ended with them."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*"):
        pid = folder.name.removeprefix(FOLDER_PREFIX).partition("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists() and Path("/proc/self").exists():
            shutil.rmtree(folder, ignore_errors=True)


def ask(port: int, wanted: str) -> str:
    """The URL of the server wanted, started if it was not. Raises RuntimeError where that failed."""
    with socket.create_connection(("127.0.0.1", port)) as connection, connection.makefile("rw") as lines:
        lines.write(wanted + "\n")
        lines.flush()
        answer = lines.readline()
    if not answer:
        return ""
    reply = json.loads(answer)
    if "error" in reply:
        raise RuntimeError(f"the {wanted} of the tests did not start: {reply['error']}")
    return str(reply["url"])


def make_template(admin_url: str) -> None:
    """A database with the log's schema, closed to connections so that copies can be made of it at any time."""
    create_database(admin_url, TEMPLATE, template="template0")
    migrate(database_url(admin_url, TEMPLATE))
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {TEMPLATE} ALLOW_CONNECTIONS false")


def migrate(url: str) -> None:
    try:
        from eventstore.migrate import migrate as migrate_log
    except ModuleNotFoundError as error:
        # The platform's own tests need no log; whoever does will say which table is missing.
        if error.name != "eventstore.migrate":
            raise
        return
    migrate_log(url)


def create_database(admin_url: str, name: str, *, template: str = TEMPLATE) -> str:
    """A copy of the template, in 22–35 ms by file copy (measured; by WAL 75–185 ms)."""
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        if template == TEMPLATE:  # rights on the database itself are not copied with what is in it
            connection.execute(f"GRANT CREATE ON DATABASE {name} TO rollbook_projector")
    return database_url(admin_url, name)


def drop_database(admin_url: str, name: str) -> None:
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def database_url(admin_url: str, name: str) -> str:
    return f"{admin_url.rpartition('/')[0]}/{name}"


def scratch_folder() -> Path:
    """A folder that PostgreSQL's account can pass through also when we are root; pytest's own is closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="rollbook-test-"))
    folder.chmod(0o711)
    return folder


def remove_folder(folder: Path) -> None:
    data = folder / "postgres"
    if data.is_symlink():
        shutil.rmtree(os.readlink(data), ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
