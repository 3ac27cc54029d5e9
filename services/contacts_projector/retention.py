"""Looks every now and then for what is kept no longer, deleted contacts and activity, in one process at a time.

It runs beside the projector, whose read model it follows; erasing itself is the domain's.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import structlog

from contacts.activity import retention as activity
from contacts.catalog import CODEC
from contacts.erasure.retention import Retention, Swept, turn
from contacts.errors import WorkspaceNotFound
from contacts.workspace.directory import Workspaces
from contacts_projector.metrics import RETENTION_ERASED, RETENTION_FAILED, RETENTION_ROUND
from eventstore.connection import CONNECTION_ERRORS
from eventstore.errors import EventStoreError
from eventstore.store import EventStore
from servicekit import logs

if TYPE_CHECKING:
    from eventstore.cipher import Keyring
    from eventstore.connection import Connect
    from servicekit.settings import Settings

log = structlog.get_logger(__name__)

#: One erasure at a time, beside look-ups of its own.
POOL_SIZE = 2


class Told:
    """Counts and logs what becomes of each; which contact it was is in its certificate alone."""

    def erased(self, workspace_id: UUID) -> None:
        RETENTION_ERASED.inc()
        log.debug("a contact was erased because its time was over", workspace_id=str(workspace_id))

    def failed(self, workspace_id: UUID, error: Exception) -> None:
        RETENTION_FAILED.inc()
        log.error("a contact that is due cannot be erased", workspace_id=str(workspace_id), reason=logs.said(error))


async def keep(settings: Settings, keyring: Keyring, connect: Connect) -> None:
    """A round at once and then one per `retention_interval_s`, for ever; what fails is tried again in the next."""
    store: EventStore | None = None
    try:
        while True:
            try:
                # The projector itself may only read the log.
                store = store or await EventStore.open(
                    settings.database_url, codec=CODEC, keyring=keyring, pool_size=POOL_SIZE
                )
                await round_(Retention(store, Told()), connect)
            except (*CONNECTION_ERRORS, EventStoreError) as error:
                log.warning("looking for contacts to erase failed", reason=logs.said(error))
            await asyncio.sleep(settings.retention_interval_s)
    finally:
        if store is not None:
            await store.close()


def activity_days(workspaces: Workspaces) -> activity.RetentionOf:
    """For how long a workspace keeps activity; one that is not there keeps it."""

    async def days(workspace_id: UUID) -> int | None:
        try:
            return (await workspaces.get(workspace_id)).settings.activity_retention_days
        except WorkspaceNotFound:
            return None

    return days


async def round_(retention: Retention, connect: Connect) -> Swept | None:
    """None where another process is at it."""
    connection = await connect()
    try:
        async with turn(connection) as ours:
            if not ours:
                return None
            now = datetime.now(UTC)
            swept = await retention.sweep(connection, now)
            pruned = await activity.prune(connection, activity_days(retention.workspaces), now)
    finally:
        connection.terminate()
    RETENTION_ROUND.set_to_current_time()
    if pruned:
        log.info("activity was taken away because its time was over", count=pruned)
    if swept.erased or swept.failed:
        log.info("contacts were erased because their time was over", count=swept.erased, remaining=swept.failed)
    return swept
