"""The projector as a process: it builds what is missing, keeps it, shows its figures and stops when told."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import asyncpg
import pytest

from contacts.catalog import CODEC, PROJECTIONS
from contacts.contact.commands import CreateContact, DeleteContact, Details
from contacts.contact.events import ContactCreated, ContactEvent, ContactTagged
from contacts.contact.handler import ContactHandler
from contacts.values import Email, Tag
from contacts.workspace.bootstrap import bootstrap
from contacts.workspace.commands import ChangeSettings
from contacts.workspace.directory import Workspaces
from contacts.workspace.events import WorkspaceSettingsChanged
from contacts.workspace.handler import WorkspaceHandler
from eventstore.aggregate import SNAPSHOT_EVERY
from eventstore.envelope import Metadata, Stream, StreamWrite, Write, new_id
from eventstore.store import EventStore
from rollbook.embedded.process import free_port
from tests.support.sample import SECRET, keyring
from tests.support.waiting import until


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def projector(database: str, nats_server: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    settings = {
        "ROLLBOOK_DATABASE_URL": database,
        "ROLLBOOK_NATS_URL": nats_server,
        "ROLLBOOK_MASTER_KEY": base64.b64encode(SECRET).decode(),
        "ROLLBOOK_METRICS_PORT": str(port),
        "ROLLBOOK_RETENTION_INTERVAL_S": "1",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "contacts_projector"], env=os.environ | settings, stdout=subprocess.DEVNULL
    )
    yield process
    process.kill()
    process.wait()


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


def created(*more: ContactEvent) -> Write:
    contact_id, workspace_id = new_id(), new_id()
    part = StreamWrite(
        stream=Stream(workspace_id, "contact", contact_id),
        expected_version=0,
        events=(ContactCreated(source="api", first_name="Zoë"), *more),
        subject_id=contact_id,
        new_subject=True,
    )
    return Write(workspace_id=workspace_id, streams=(part,))


async def test_it_keeps_every_read_model_and_stops_within_two_seconds(
    database: str, projector: subprocess.Popen[bytes], port: int
) -> None:
    store = await EventStore.open(database, codec=CODEC, keyring=keyring())
    connection = await asyncpg.connect(database)
    try:
        await until(lambda: _is_ready(port), timeout_s=20)
        for _ in range(5):
            await store.append(created())
        await until(lambda: _level(connection, 5), timeout_s=10)
        assert await connection.fetchval("SELECT count(*) FROM rm_contact.contact") == 5
        _, metrics = await asyncio.to_thread(get, port, "/metrics")
        assert 'rollbook_projection_events_total{projection="contact"} 5.0' in metrics
        assert 'rollbook_projection_parked_keys{projection="contact"} 0.0' in metrics
        started = time.monotonic()
        projector.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(projector.wait, 5) == 0
        assert time.monotonic() - started < 2
        assert await connection.fetchval("SELECT count(*) FROM projector.checkpoints WHERE owner IS NOT NULL") == 0
    finally:
        await connection.close()
        await store.close()


async def test_it_erases_who_was_deleted_longer_ago_than_the_workspace_wants(
    database: str, projector: subprocess.Popen[bytes], port: int
) -> None:
    store = await EventStore.open(database, codec=CODEC, keyring=keyring())
    contacts, workspaces = ContactHandler(store), WorkspaceHandler(store, Workspaces(store))
    try:
        workspace_id = (await bootstrap(store, workspaces, workspace_id=new_id())).workspace_id
        at_once = WorkspaceSettingsChanged(deleted_retention_days=0)
        await workspaces.execute(ChangeSettings(workspace_id=workspace_id, wanted=at_once), metadata=Metadata())
        new = CreateContact(
            workspace_id=workspace_id, contact_id=new_id(), source="api", details=Details(email=Email("a@example.com"))
        )
        await contacts.execute(new, metadata=Metadata())
        gone = DeleteContact(workspace_id=workspace_id, contact_id=new.contact_id, reason="gone")
        await contacts.execute(gone, metadata=Metadata())
        await until(lambda: _is_erased(contacts, new), timeout_s=20)
        await until(lambda: _counts(port, "rollbook_retention_erased_total 1.0"))
    finally:
        await store.close()


async def test_it_keeps_snapshots_of_contacts_with_long_histories(
    database: str, projector: subprocess.Popen[bytes]
) -> None:
    """It follows the log from where it begins, so that only what is written later tells."""
    store = await EventStore.open(database, codec=CODEC, keyring=keyring())
    connection = await asyncpg.connect(database)

    async def grown_and_kept() -> bool:
        await store.append_bulk([created(*[ContactTagged(tags=(Tag("a"),))] * SNAPSHOT_EVERY)])
        return await connection.fetchval("SELECT count(*) FROM log.snapshots WHERE subject_id = stream_id") > 0

    try:
        await until(grown_and_kept, timeout_s=20)
    finally:
        await connection.close()
        await store.close()


async def _is_erased(contacts: ContactHandler, new: CreateContact) -> bool:
    return (await contacts.load(new.workspace_id, new.contact_id)).erased


async def _counts(port: int, line: str) -> bool:
    return line in (await asyncio.to_thread(get, port, "/metrics"))[1]


async def _is_ready(port: int) -> bool:
    return (await asyncio.to_thread(get, port, "/readyz"))[0] == 200


async def _level(connection: asyncpg.Connection, head: int) -> bool:
    rows = await connection.fetch("SELECT name, position FROM projector.checkpoints")
    return {row["name"] for row in rows} == {p.name for p in PROJECTIONS} and all(r["position"] == head for r in rows)
