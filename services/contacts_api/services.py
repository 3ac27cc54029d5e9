"""What the routes work with, opened once per process and closed in the opposite order. Wiring only."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg

from contacts.catalog import CODEC
from contacts.contact.finding import CaughtUpFinder
from contacts.contact.handler import ContactHandler
from contacts.contact.queries import ContactQueries
from contacts.workspace.directory import Workspaces
from contacts.workspace.handler import WorkspaceHandler
from contacts_api.metrics import AppendTimes
from eventstore.cipher import Keyring
from eventstore.progress import Progress
from eventstore.store import EventStore
from servicekit.connect import open_pool

if TYPE_CHECKING:
    from servicekit.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything is safe to use concurrently."""

    settings: Settings
    store: EventStore
    workspaces: Workspaces
    workspace_handler: WorkspaceHandler
    contact_handler: ContactHandler
    contact_queries: ContactQueries
    progress: Progress
    #: Sessions of `rollbook_reader`.
    pool: asyncpg.Pool


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Connects; what is queued for the log is committed before it is closed."""
    async with AsyncExitStack() as stack:
        keys = settings.master_keys
        pool = await open_pool(
            settings.query_url, role="rollbook_reader", application="api", size_max=settings.query_pool_size
        )
        stack.push_async_callback(pool.close)
        store = await EventStore.open(
            settings.database_url,
            codec=CODEC,
            keyring=Keyring(keys, current=max(keys)),
            pool_size=settings.append_pool_size,
            observer=AppendTimes(),
        )
        stack.push_async_callback(store.close)
        progress = await Progress.open(settings.query_url)
        stack.push_async_callback(progress.close)
        workspaces = Workspaces(store)
        queries = ContactQueries(pool, cursor_key=store.keyring.hmac("cursors", "contact"))
        yield Services(
            settings=settings,
            store=store,
            workspaces=workspaces,
            workspace_handler=WorkspaceHandler(store, workspaces),
            contact_handler=ContactHandler(store, find=CaughtUpFinder(queries, progress)),
            contact_queries=queries,
            progress=progress,
            pool=pool,
        )
