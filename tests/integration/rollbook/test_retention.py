"""`rollbook retention` counts who is due, and erases only when it is meant."""

from __future__ import annotations

import asyncio
import base64
import os
import subprocess
import sys

import asyncpg

from contacts.catalog import CODEC, PROJECTIONS
from contacts.contact.commands import CreateContact, DeleteContact, Details
from contacts.contact.handler import ContactHandler
from contacts.values import Email
from contacts.workspace.bootstrap import bootstrap
from contacts.workspace.commands import ChangeSettings
from contacts.workspace.directory import Workspaces
from contacts.workspace.events import WorkspaceSettingsChanged
from contacts.workspace.handler import WorkspaceHandler
from eventstore import builds
from eventstore.connection import connector
from eventstore.envelope import Metadata, new_id
from eventstore.rebuild import Rebuild
from eventstore.store import EventStore
from tests.support.sample import SECRET, keyring


async def test_it_counts_and_erases_who_is_due(database: str) -> None:
    store = await EventStore.open(database, codec=CODEC, keyring=keyring())
    contacts, workspaces = ContactHandler(store), WorkspaceHandler(store, Workspaces(store))
    workspace_id = (await bootstrap(store, workspaces, workspace_id=new_id())).workspace_id
    at_once = WorkspaceSettingsChanged(deleted_retention_days=0)
    await workspaces.execute(ChangeSettings(workspace_id=workspace_id, wanted=at_once), metadata=Metadata())
    ids = [new_id() for _ in range(3)]
    for contact_id in ids:
        details = Details(email=Email(f"{contact_id}@example.com"))
        new = CreateContact(workspace_id=workspace_id, contact_id=contact_id, source="api", details=details)
        await contacts.execute(new, metadata=Metadata())
    for contact_id in ids[:2]:
        gone = DeleteContact(workspace_id=workspace_id, contact_id=contact_id, reason="gone")
        await contacts.execute(gone, metadata=Metadata())
    await _project(store, database)
    counted = await asyncio.to_thread(_run, database, "--dry-run")
    assert "Erased" not in counted
    assert f"{workspace_id}" in counted
    assert [(await contacts.load(workspace_id, each)).erased for each in ids] == [False] * 3
    assert "Erased 2; 0 could not be erased" in await asyncio.to_thread(_run, database)
    assert [(await contacts.load(workspace_id, each)).erased for each in ids] == [True, True, False]
    await store.close()


async def _project(store: EventStore, database: str) -> None:
    connection: asyncpg.Connection = await connector(database, role="rollbook_projector", application_name="test")()
    await builds.ensure_builds(connection, PROJECTIONS)
    await connection.close()
    contact = next(projection for projection in PROJECTIONS if projection.name == "contact")
    await Rebuild(store, database, contact, role="rollbook_projector").run()


def _run(database: str, *options: str) -> str:
    environment = {
        **os.environ,
        "ROLLBOOK_DATABASE_URL": database,
        "ROLLBOOK_MASTER_KEY": base64.b64encode(SECRET).decode(),
        "COLUMNS": "200",
    }
    done = subprocess.run(
        [sys.executable, "-m", "rollbook", "retention", *options], env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout
