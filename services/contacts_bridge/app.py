"""The bridge process put together: the log, the relays, the inbox, webhooks, figures, and an orderly end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final
from uuid import UUID

from contacts.catalog import CODEC
from contacts.errors import WorkspaceNotFound
from contacts.workspace.directory import Workspaces
from contacts_bridge.definitions import events_stream
from contacts_bridge.inbox.metrics import InboxFigures
from contacts_bridge.inbox.process import run_erasing, run_inbox
from contacts_bridge.metrics import Figures
from contacts_bridge.opening import open_patiently
from contacts_bridge.relay import Relay
from contacts_bridge.segments.feed import segments_stream
from contacts_bridge.segments.relay import SegmentRelay
from contacts_bridge.webhooks.process import run_webhooks
from eventstore.signals import LogSignals
from eventstore.store import EventStore
from servicekit import connect
from servicekit.metrics import Endpoint
from servicekit.run import Stop
from servicekit.settings import Settings

POOL_SIZE: Final = 6
"""Connections of the process to the log: relay, figures and webhooks share them."""


async def main(settings: Settings, stop: Stop) -> None:
    """Runs the bridge until `stop` is set."""
    store = await open_log(settings, stop)
    if store is None:
        return
    figures, inbox_figures = Figures(), InboxFigures()
    signals = LogSignals(store.connect)
    asks_for_values = wants_values(Workspaces(store))
    relay = Relay(
        store,
        nats_url=settings.nats_url,
        definition=events_stream(replicas=settings.nats_replicas),
        signals={lane: signals.of_lane(lane) for lane in store.lanes},
        watcher=figures,
        wants_values=asks_for_values,
        batch_size=settings.relay_batch_size,
        idle_check_s=settings.poll_interval_s,
    )

    segments = SegmentRelay(
        store.pool, nats_url=settings.nats_url, definition=segments_stream(replicas=settings.nats_replicas),
        lanes=store.lanes,
    )  # fmt: skip

    async def relay_ready() -> str | None:
        return figures.ready(settings.lag_limit_s)

    async def inbox_ready() -> str | None:
        return inbox_figures.reason

    async def database_ready() -> str | None:
        return await connect.database_ready(store.pool)

    checks = {"relay": relay_ready, "inbox": inbox_ready, "database": database_ready}
    endpoint = Endpoint(settings.metrics_host, settings.metrics_port, checks)
    if settings.metrics_port:
        await endpoint.start()
    try:
        async with asyncio.TaskGroup() as group:
            works = (
                signals.run(),
                relay.run(),
                segments.run(),
                figures.watch_lag(store, relay),
                run_webhooks(settings, store, signals, asks_for_values),
                run_inbox(settings, inbox_figures),
                run_erasing(settings, store),
            )
            tasks = [group.create_task(work) for work in works]
            group.create_task(_cancel_on(stop, tasks))
    finally:
        await endpoint.stop()
        store.pool.terminate()


def wants_values(workspaces: Workspaces) -> Callable[[UUID], Awaitable[bool]]:
    """Whether a workspace's messages hold personal data: by its present settings, at most a second old."""

    async def asked(workspace_id: UUID) -> bool:
        try:
            return (await workspaces.get(workspace_id)).settings.publish_values
        except WorkspaceNotFound:
            return False

    return asked


async def open_log(settings: Settings, stop: Stop) -> EventStore | None:
    """The log, waiting for a database that is still starting; None when told to stop meanwhile."""
    # A role that cannot write: the relay only reads.
    opening = asyncio.create_task(open_patiently(settings, role="rollbook_projector", pool_size=POOL_SIZE, codec=CODEC))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({opening, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if opening.done():
        return opening.result()
    opening.cancel()
    await asyncio.wait({opening})
    return None


async def _cancel_on(stop: Stop, tasks: list[asyncio.Task[None]]) -> None:
    # Cancelling is always safe here: what was under way is in the stream or not, and the next start looks.
    await stop.wait()
    for task in tasks:
        task.cancel()
