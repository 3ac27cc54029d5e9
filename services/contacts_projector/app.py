"""The projector process put together: the log, all read models of the catalog, their figures, and an orderly end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

import structlog

from contacts.catalog import CODEC, PROJECTIONS
from contacts.segment.clock import SegmentClock
from contacts.segment.filler import SegmentFiller
from contacts.segment.projection import SegmentProjection
from contacts_projector import retention, snapshots
from contacts_projector.metrics import Figures
from eventstore import builds, status
from eventstore.cipher import Keyring
from eventstore.connection import CONNECTION_ERRORS, Backoff, connector
from eventstore.errors import BuildBusy, EventStoreError
from eventstore.projector import Projector
from eventstore.rebuild import Rebuild
from eventstore.runner import Pace
from eventstore.store import EventStore
from servicekit import connect, logs
from servicekit.metrics import Endpoint
from servicekit.run import Stop
from servicekit.settings import Settings

if TYPE_CHECKING:
    from eventstore.connection import Connect
    from eventstore.projection import Projection

log = structlog.get_logger(__name__)

ROLE: Final = "rollbook_projector"
# How often to look whether a rebuild is due that failed or was under way elsewhere.
REBUILD_RETRY_S: Final = 30.0


async def main(settings: Settings, stop: Stop) -> None:
    """Runs the projector until `stop` is set."""
    work = asyncio.create_task(_run(settings))
    waiting = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((work, waiting), return_when=asyncio.FIRST_COMPLETED)
    finally:
        # Cancelling is always safe: a batch is committed as a whole, with its checkpoint, or not at all.
        waiting.cancel()
        work.cancel()
        await asyncio.wait((work, waiting))
    if not work.cancelled():
        work.result()


async def _run(settings: Settings) -> None:
    connect_ = connector(settings.database_url, role=ROLE, application_name="rollbook projector status")
    await _ensure_builds(connect_)
    store = await EventStore.open(
        settings.database_url, codec=CODEC, keyring=_keyring(settings), role=ROLE, pool_size=settings.append_pool_size
    )
    figures = Figures([projection.name for projection in PROJECTIONS])
    pace = Pace(batch_max=settings.projector_batch_size, poll_s=settings.poll_interval_s)
    projector = Projector(store, settings.database_url, PROJECTIONS, role=ROLE, observer=figures, pace=pace)
    endpoint = _endpoint(settings, store, figures)
    # One for all three, so that filters are parsed once.
    segments = next(each for each in PROJECTIONS if isinstance(each, SegmentProjection))
    work: list[Coroutine[Any, Any, None]] = [
        projector.run(),
        SegmentClock(
            connector(settings.database_url, role=ROLE, application_name="rollbook segment clock"),
            segments,
            on_trouble=lambda reason: log.warning("the clock of the segments stands still", reason=reason),
        ).run(),
        SegmentFiller(
            connector(settings.database_url, role=ROLE, application_name="rollbook segment filler"),
            segments,
            on_trouble=lambda reason: log.warning("the filling of the segments stands still", reason=reason),
        ).run(),
        status.watch(connect_, figures.status),
        retention.keep(settings, _keyring(settings), connect_),
        snapshots.keep(settings, _keyring(settings)),
        *(_keep_rebuilt(settings, store, connect_, projection, figures) for projection in PROJECTIONS),
    ]
    try:
        if settings.metrics_port:
            await endpoint.start()
        async with asyncio.TaskGroup() as group:
            for each in work:
                group.create_task(each)
    finally:
        await endpoint.stop()
        store.pool.terminate()


async def _ensure_builds(connect_: Connect) -> None:
    """Gives every read model its tables, waiting for a database that is still starting."""
    backoff = Backoff()
    while True:
        try:
            connection = await connect_()
            try:
                await builds.ensure_builds(connection, PROJECTIONS)
            finally:
                connection.terminate()
            return
        except CONNECTION_ERRORS as error:
            delay_s = backoff.next_s()
            log.warning("waiting for the database", reason=logs.said(error), retry_after_s=delay_s)
            await asyncio.sleep(delay_s)


async def _keep_rebuilt(
    settings: Settings, store: EventStore, connect_: Connect, projection: Projection, figures: Figures
) -> None:
    """Rebuild a read model whose code is newer than its live build; ends once that is live."""
    while True:
        try:
            connection = await connect_()
            try:
                if not await builds.ensure_builds(connection, [projection]):
                    return
            finally:
                connection.terminate()
            log.info("a rebuild begins", projection=projection.name, version=projection.version)
            rebuild = Rebuild(
                store, settings.database_url, projection, role=ROLE,
                on_progress=lambda progress: figures.rebuilding(projection.name, progress),
            )  # fmt: skip
            done = await rebuild.run()
            log.info("a rebuild is live", projection=projection.name, build=done.build.build, position=done.position)
            return
        except BuildBusy:
            log.info("a rebuild is under way elsewhere", projection=projection.name)
        except (*CONNECTION_ERRORS, EventStoreError) as error:
            log.exception("a rebuild failed", projection=projection.name, reason=logs.said(error))
        await asyncio.sleep(REBUILD_RETRY_S)


def _keyring(settings: Settings) -> Keyring:
    keys = settings.master_keys
    return Keyring(keys, current=max(keys))


def _endpoint(settings: Settings, store: EventStore, figures: Figures) -> Endpoint:
    async def read_models() -> str | None:
        return await figures.ready(settings.lag_limit_s)

    async def database() -> str | None:
        return await connect.database_ready(store.pool)

    return Endpoint(settings.metrics_host, settings.metrics_port, {"read_models": read_models, "database": database})
