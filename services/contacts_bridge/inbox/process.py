"""The inbox as one of the works of the bridge: what it needs is opened and closed here. Wiring only."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final, NoReturn
from uuid import UUID

from contacts.activity.handler import ActivityHandler
from contacts.activity.matching import CaughtUpLookUp, Matcher
from contacts.activity.queries import MatchQueries
from contacts.activity.strangers import Strangers
from contacts.addresses import AddressKeys
from contacts.catalog import CODEC
from contacts.consent.double_opt_in import DoubleOptIn
from contacts.contact.handler import ContactHandler
from contacts.contact.queries import ContactQueries
from contacts.execution import Together
from contacts.facts import Facts
from contacts.lists.handler import ListHandler
from contacts.lists.joining import Joining
from contacts.workspace.directory import Workspaces
from contacts_bridge.inbox.erasing import Erasing
from contacts_bridge.inbox.ingest import Ingest
from contacts_bridge.inbox.recorder import Recorder
from contacts_bridge.opening import open_patiently
from eventstore.progress import Progress
from servicekit.connect import open_pool

if TYPE_CHECKING:
    from contacts.contact.commands import UpsertKind
    from contacts_bridge.inbox.metrics import InboxFigures
    from eventstore.store import EventStore
    from servicekit.settings import Settings

CONTACT: Final = "contact"
APPEND_POOL_SIZE: Final = 4
QUERY_POOL_SIZE: Final = 3
CLOSE_TIMEOUT_S: Final = 2.0


async def run_inbox(settings: Settings, figures: InboxFigures) -> NoReturn:
    """Until cancelled."""
    async with open_recorder(settings) as recorder:
        ingest = Ingest(
            recorder, nats_url=settings.nats_url, figures=figures, replicas=settings.nats_replicas,
            dead_days=settings.dead_letter_days,
        )  # fmt: skip
        await ingest.run()
    raise AssertionError("ingest ends by cancelling only")


async def run_erasing(settings: Settings, store: EventStore) -> NoReturn:
    """Until cancelled."""
    await Erasing(
        store, nats_url=settings.nats_url, replicas=settings.nats_replicas, dead_days=settings.dead_letter_days
    ).run()


async def _close(store: EventStore) -> None:
    """What was not answered is not acknowledged either, so nothing needs to wait for a database that is away."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await store.close()
    store.pool.terminate()


@asynccontextmanager
async def open_recorder(settings: Settings) -> AsyncIterator[Recorder]:
    """Connects to the log and to the read models that say who is meant."""
    async with AsyncExitStack() as stack:
        store = await open_patiently(settings, role="rollbook_writer", pool_size=APPEND_POOL_SIZE, codec=CODEC)
        stack.push_async_callback(_close, store)
        pool = await open_pool(
            settings.query_url, role="rollbook_reader", application="bridge", size_max=QUERY_POOL_SIZE
        )
        stack.callback(pool.terminate)
        progress = await Progress.open(settings.query_url)
        stack.push_async_callback(progress.close)
        queries = ContactQueries(pool, store.keyring.hmac("cursor", CONTACT))

        async def find(workspace_id: UUID, by: UpsertKind, key: str, *, lane: int, position: int) -> UUID | None:
            await progress.wait(CONTACT, lane, position, settings.position_wait_s)
            found = await queries.find_by(workspace_id, by, key)
            return found[0] if found else None

        facts = Facts(store)
        opt_in = DoubleOptIn(facts, AddressKeys(store.keyring.hmac))
        contacts = ContactHandler(store, find=find, beside=Together(opt_in, Joining(ListHandler(store))))
        look_up = CaughtUpLookUp(MatchQueries(pool), progress, settings.position_wait_s)
        activity = ActivityHandler(
            store,
            contacts.components,
            Matcher(store, look_up),
            facts=facts,
            strangers=Strangers(contacts, store.keyring),
        )
        yield Recorder(Workspaces(store), activity, contacts, store.keyring)
