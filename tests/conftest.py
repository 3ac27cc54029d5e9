"""Fixtures for every test: real PostgreSQL and NATS, a fresh database per test, servers of one's own to kill."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import uvloop

from rollbook.embedded.nats import Nats
from rollbook.embedded.postgres import Postgres
from tests.support import servers

SERVERS = pytest.StashKey[servers.Servers]()
#: Variables that steer the tests themselves; every other setting of the one who runs them is left out.
OURS = ("ROLLBOOK_CHAOS", "ROLLBOOK_PROPERTY")

# Two busy cores make any deadline wrong. The full figures look at a hundred times as many examples.
hypothesis.settings.register_profile("ci", deadline=None, print_blob=True)
hypothesis.settings.register_profile("full", deadline=None, print_blob=True, max_examples=10_000)


def pytest_configure() -> None:
    for name in [name for name in os.environ if name.startswith("ROLLBOOK_") and not name.startswith(OURS)]:
        del os.environ[name]
    hypothesis.settings.load_profile("full" if os.environ.get("ROLLBOOK_PROPERTY") == "full" else "ci")


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Tests run on the event loop that the services run on."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """xdist: tell each worker where to ask for the servers."""
    node.workerinput["servers_port"] = _own_servers(node.config).port


def pytest_unconfigure(config: pytest.Config) -> None:
    running = config.stash.get(SERVERS, None)
    if running is not None:
        running.stop()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The figures of the kill tests, which say more than a dot."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    found = {text for report in reports for name, text in getattr(report, "user_properties", ()) if name == "chaos"}
    for text in sorted(found):
        terminalreporter.write_line(text)


def _own_servers(config: pytest.Config) -> servers.Servers:
    if SERVERS not in config.stash:
        config.stash[SERVERS] = servers.Servers()
    return config.stash[SERVERS]


@pytest.fixture(scope="session")
def servers_port(request: pytest.FixtureRequest) -> int:
    worker_input: Mapping[str, Any] | None = getattr(request.config, "workerinput", None)
    return int(worker_input["servers_port"]) if worker_input else _own_servers(request.config).port


@pytest.fixture(scope="session")
def admin_url(servers_port: int) -> str:
    """URL of the maintenance database of the shared cluster (superuser, fsync off)."""
    return servers.ask(servers_port, "postgres")


@pytest.fixture
def create_database(admin_url: str) -> Iterator[Callable[..., str]]:
    """Makes databases for one test: `create_database()` has the log's schema, `create_database(empty=True)` nothing."""
    names: list[str] = []

    def create(*, empty: bool = False) -> str:
        names.append(f"test_{secrets.token_hex(6)}")
        return servers.create_database(admin_url, names[-1], template="template0" if empty else servers.TEMPLATE)

    yield create
    for name in names:
        servers.drop_database(admin_url, name)


@pytest.fixture
def database(create_database: Callable[..., str]) -> str:
    """URL of a fresh, migrated database of this test's own. Logs in as superuser; take a role with `SET ROLE`."""
    return create_database()


@pytest.fixture(scope="module")
def module_database(admin_url: str) -> Iterator[str]:
    """URL of a fresh, migrated database that the tests of one module share, where each uses its own workspace."""
    name = f"test_{secrets.token_hex(6)}"
    yield servers.create_database(admin_url, name)
    servers.drop_database(admin_url, name)


@pytest.fixture(scope="session")
def nats_server(servers_port: int) -> str:
    """URL of the shared NATS server with JetStream. Name streams and subjects with `nats_prefix`."""
    return servers.ask(servers_port, "nats")


@pytest.fixture
def nats_prefix() -> str:
    """Unique to this test: good as the start of stream names, durable names and subjects."""
    return f"T{secrets.token_hex(6)}"


@pytest.fixture
def scratch_folder() -> Iterator[Path]:
    """A folder that PostgreSQL's account can pass through, unlike `tmp_path` when root runs the tests."""
    folder = servers.scratch_folder()
    yield folder
    servers.remove_folder(folder)


@pytest.fixture
def private_postgres(scratch_folder: Path) -> Iterator[Callable[..., Postgres]]:
    """Starts clusters of this test's own, with fsync on, to be killed: `private_postgres(settings={...})`.

    A migrated one has a database `rollbook` with the log's schema: `postgres.url()`.
    """
    started: list[Postgres] = []

    def start(*, fsync: bool = True, migrated: bool = True, settings: Mapping[str, str] | None = None) -> Postgres:
        settings = {"shared_buffers": "64MB", **(settings or {})}
        folder = scratch_folder / f"postgres-{len(started)}"
        postgres = Postgres(folder, fsync=fsync, settings=settings, sync_new=False)
        started.append(postgres)
        postgres.start()
        if migrated:
            servers.create_database(postgres.url("postgres"), "rollbook", template="template0")
            servers.migrate(postgres.url())
        return postgres

    yield start
    for postgres in started:
        postgres.stop()


@pytest.fixture
def private_nats(scratch_folder: Path) -> Iterator[Callable[..., Nats]]:
    """Starts NATS servers of this test's own, with streams of any name: `private_nats(sync_always=True)`."""
    started: list[Nats] = []

    def start(**options: Any) -> Nats:
        nats = Nats(scratch_folder / f"nats-{len(started)}", **{"sync_always": False, **options})
        started.append(nats)
        nats.start()
        return nats

    yield start
    for nats in started:
        nats.stop()
