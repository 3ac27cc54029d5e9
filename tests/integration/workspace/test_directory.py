"""Workspaces, their keys and the first start, on a real log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from uuid_utils.compat import uuid7

from contacts import errors
from contacts.catalog import CODEC
from contacts.workspace import commands as c
from contacts.workspace.bootstrap import Bootstrapped, bootstrap
from contacts.workspace.directory import Workspaces
from contacts.workspace.events import WorkspaceSettingsChanged
from contacts.workspace.handler import WorkspaceHandler
from contacts.workspace.keys import make_key
from contacts.workspace.permissions import Action
from eventstore.cipher import Keyring
from eventstore.envelope import Metadata
from eventstore.store import EventStore

METADATA = Metadata(actor="key:test")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def store(database: str) -> AsyncIterator[EventStore]:
    keyring = Keyring.from_secret(b"a master secret of the tests, 32+ bytes")
    opened = await EventStore.open(database, codec=CODEC, keyring=keyring, pool_size=4)
    yield opened
    await opened.close()


async def start(store: EventStore, key: str | None = None, workspace_id: UUID | None = None) -> Bootstrapped:
    """As a process does that starts for the first or the tenth time."""
    handler = WorkspaceHandler(store, Workspaces(store))
    return await bootstrap(store, handler, key=key, workspace_id=workspace_id)


def service(workspace_id: UUID, key_id: str, digest: bytes, **fields: datetime) -> c.IssueKey:
    return c.IssueKey(
        workspace_id=workspace_id,
        key_id=key_id,
        name="robot",
        digest=digest,
        role="service",
        scopes=("contacts.read",),
        **fields,
    )


async def test_a_start_without_a_key_makes_one_once(store: EventStore) -> None:
    first = await start(store)
    assert first.created
    assert first.new_key is not None
    principal = await Workspaces(store).authenticate(first.new_key)
    assert principal is not None
    assert (principal.workspace_id, principal.role) == (first.workspace_id, "owner")
    again = await start(store)
    assert again == Bootstrapped(workspace_id=first.workspace_id, new_key=None, created=False)


@pytest.mark.parametrize("text", ["a key of the operator's own", None])
async def test_a_given_key_owns_the_given_workspace_however_often_it_is_given(
    store: EventStore, text: str | None
) -> None:
    workspace_id = uuid7()
    text = text or make_key(workspace_id).text
    starts = await asyncio.gather(*(start(store, text, workspace_id) for _ in range(4)))
    assert {one.workspace_id for one in starts} == {workspace_id}
    assert {one.new_key for one in starts} == {None}
    assert sum(one.created for one in starts) == 1
    # Without the workspace, and without the key, a later start comes back to it.
    assert (await start(store, text)).workspace_id == workspace_id
    assert (await start(store)).workspace_id == workspace_id
    workspace = await Workspaces(store).get(workspace_id)
    assert workspace.version == 2
    principal = await Workspaces(store).authenticate(text)
    assert principal is not None
    assert (principal.workspace_id, principal.role) == (workspace_id, "owner")


async def test_a_key_given_to_an_existing_workspace_owns_it_too(store: EventStore) -> None:
    workspace_id = (await start(store, "first key of all")).workspace_id
    await start(store, "second key of all", workspace_id)
    for text in ("first key of all", "second key of all"):
        assert await Workspaces(store).authenticate(text)


async def test_a_key_cannot_be_given_to_another_workspace(store: EventStore) -> None:
    await start(store, "a key of the operator's own")
    for text in ("a key of the operator's own", make_key(uuid4()).text, " ", "x" * 513):
        with pytest.raises(errors.InvalidInput):
            await start(store, text, uuid4())


@pytest.mark.parametrize("text", ["", "nonsense", "ключ", "x" * 10_000, "rbk_a_b_c"])
async def test_other_texts_authenticate_nobody(store: EventStore, text: str) -> None:
    assert await Workspaces(store).authenticate(text) is None


async def test_a_guessed_secret_or_an_unknown_workspace_authenticates_nobody(store: EventStore) -> None:
    first = await start(store)
    assert first.new_key is not None
    workspaces = Workspaces(store)
    assert await workspaces.authenticate(first.new_key[:-1] + "x") is None
    assert await workspaces.authenticate(make_key(first.workspace_id).text) is None
    assert await workspaces.authenticate(make_key(uuid4()).text) is None
    with pytest.raises(errors.WorkspaceNotFound):
        await workspaces.get(uuid4())


async def test_a_service_key_has_its_scopes_until_it_expires_or_is_revoked(store: EventStore) -> None:
    workspace_id = (await start(store)).workspace_id
    workspaces = Workspaces(store)
    handler = WorkspaceHandler(store, workspaces)
    key, now = make_key(workspace_id), datetime.now(UTC)
    await handler.execute(
        service(workspace_id, key.id, key.digest, expires_at=now + timedelta(days=1)), metadata=METADATA
    )
    principal = await workspaces.authenticate(key.text, now)
    assert principal is not None
    assert (principal.actor, principal.allowed) == (f"key:{key.id}", {Action.CONTACTS_READ})
    assert await workspaces.authenticate(key.text, now + timedelta(days=2)) is None
    await handler.execute(c.RevokeKey(workspace_id=workspace_id, key_id=key.id), metadata=METADATA)
    assert await workspaces.authenticate(key.text, now) is None


async def test_the_change_of_another_process_is_seen_within_a_second(store: EventStore) -> None:
    workspace_id = (await start(store)).workspace_id
    clock = Clock()
    here = Workspaces(store, clock=clock)
    assert (await here.get(workspace_id)).settings.default_region is None
    elsewhere = WorkspaceHandler(store, Workspaces(store))
    wanted = WorkspaceSettingsChanged(default_region="DE")  # type: ignore[arg-type]
    await elsewhere.execute(c.ChangeSettings(workspace_id=workspace_id, wanted=wanted), metadata=METADATA)
    clock.now = 0.9
    assert (await here.get(workspace_id)).settings.default_region is None
    clock.now = 1.0
    found = await asyncio.gather(*(here.get(workspace_id) for _ in range(20)))
    assert {workspace.settings.default_region for workspace in found} == {"DE"}


async def test_the_change_of_this_process_is_seen_at_once(store: EventStore) -> None:
    workspace_id = (await start(store)).workspace_id
    workspaces = Workspaces(store, clock=Clock())
    handler = WorkspaceHandler(store, workspaces)
    await workspaces.get(workspace_id)
    change = c.DefineAttribute(workspace_id=workspace_id, key="plan", name="Plan", type="text")
    under_way = asyncio.create_task(workspaces.get(workspace_id))
    outcome = await handler.execute(change, metadata=METADATA, idempotency_key="k-1", request_hash=b"r")
    await under_way
    assert (await workspaces.get(workspace_id)).attributes["plan"].name == "Plan"
    again = await handler.execute(change, metadata=METADATA, idempotency_key="k-1", request_hash=b"r")
    assert again.replayed
    assert (again.workspace, again.appended) == (outcome.workspace, outcome.appended)


async def test_nothing_of_a_workspace_is_readable_in_the_table(store: EventStore) -> None:
    workspace_id = (await start(store)).workspace_id
    payloads = await store.pool.fetch("SELECT payload FROM log.events WHERE stream_id = $1", workspace_id)
    assert len(payloads) == 2
    assert not any(b"First workspace" in row["payload"] for row in payloads)
