"""Runs a deliverer for each enabled webhook, in one process of all bridges; the others wait to take over."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NoReturn
from uuid import UUID

import asyncpg
import structlog

from contacts.errors import Refusal
from contacts.webhook import deliveries
from contacts.webhook.commands import DisableWebhook
from contacts.webhook.handler import WebhookHandler
from contacts.webhook.refusals import WebhookNotFound
from contacts_bridge.metrics import WEBHOOKS
from contacts_bridge.webhooks.deliverer import BACKOFF_FIRST_S, Deliverer, Ended, Signal
from contacts_bridge.webhooks.sender import Sender
from contacts_bridge.webhooks.state import DATABASE_ERRORS, DeliveryState, Target
from eventstore.connection import Backoff
from eventstore.envelope import Metadata
from eventstore.errors import EventStoreError
from servicekit import logs

if TYPE_CHECKING:
    from eventstore.connection import Connect, Connection
    from eventstore.store import EventStore

log = structlog.get_logger(__name__)

LOOK_EVERY_S: Final = 1.0
SWEEP_EVERY_S: Final = 600.0
_LEADER_LOCK: Final = 1382836402


class Webhooks:
    """Runs until cancelled; several processes may run it at once."""

    def __init__(
        self,
        store: EventStore,
        *,
        connect: Connect,
        handler: WebhookHandler,
        sender: Sender,
        signal_of: Callable[[int], Signal],
        wants_values: Callable[[UUID], Awaitable[bool]],
        give_up_s: float,
        look_every_s: float = LOOK_EVERY_S,
        backoff_first_s: float = BACKOFF_FIRST_S,
    ) -> None:
        """`store` and `connect` have the role that owns the state; `handler` may append."""
        self._connect = connect
        self._handler = handler
        self._state = DeliveryState(store)
        self._signal_of = signal_of
        self._look_every_s = look_every_s
        self._backoff_first_s = backoff_first_s
        self._options: Mapping[str, Any] = {"sender": sender, "wants_values": wants_values, "give_up_s": give_up_s}
        #: By webhook: what its deliveries depend on, and the task that delivers.
        self._running: dict[UUID, tuple[tuple[Any, ...], asyncio.Task[None]]] = {}

    async def run(self) -> NoReturn:
        """Over every outage of the database."""
        backoff = Backoff()
        while True:
            began = time.monotonic()
            try:
                await self._lead()
            except DATABASE_ERRORS as error:
                if time.monotonic() - began > 10 * LOOK_EVERY_S:
                    backoff.reset()
                delay_s = backoff.next_s()
                # Before projectors first run there is no read model, which is in order.
                tell = log.info if isinstance(error, asyncpg.UndefinedTableError) else log.warning
                tell("webhooks interrupted", reason=logs.said(error), retry_after_s=delay_s)
            await asyncio.sleep(delay_s)

    async def _lead(self) -> NoReturn:
        """Raises what a lost connection raises: then somebody else may lead, and nothing is delivered here."""
        connection = await self._connect()
        try:
            await self._elected(connection)
            await deliveries.ensure(connection)
            swept_at = 0.0
            while True:
                await self._adjust(connection)
                if time.monotonic() - swept_at > SWEEP_EVERY_S:
                    await self._state.sweep(datetime.now(UTC))
                    swept_at = time.monotonic()
                await asyncio.sleep(self._look_every_s)
        finally:
            await self._stop(list(self._running))
            connection.terminate()

    async def _elected(self, connection: Connection) -> None:
        """Returns when this process is the one; until then whoever leads shows by keeping the lock."""
        while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LEADER_LOCK):  # noqa: ASYNC110
            await asyncio.sleep(self._look_every_s)

    async def _adjust(self, connection: Connection) -> None:
        """Starts, restarts and ends deliverers as the read model says."""
        wanted = {target.webhook_id: target for target in await self._state.enabled(connection)}
        changed = [
            id_ for id_, (choice, task) in self._running.items()
            if id_ not in wanted or wanted[id_].choice != choice or task.done()
        ]  # fmt: skip
        await self._stop(changed)
        for id_, target in wanted.items():
            if id_ not in self._running:
                self._running[id_] = target.choice, asyncio.create_task(self._deliver(target))
        WEBHOOKS.set(len(self._running))

    async def _stop(self, ids: list[UUID]) -> None:
        tasks = [self._running.pop(id_)[1] for id_ in ids]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _deliver(self, target: Target) -> None:
        """Until cancelled, or disabled."""
        backoff = Backoff()
        while True:
            try:
                webhook = await self._handler.get(target.workspace_id, target.webhook_id)
                if not webhook.enabled:
                    return
                signal = self._signal_of(target.lane)
                deliverer = Deliverer(
                    target, webhook, state=self._state, signal=signal, backoff_first_s=self._backoff_first_s,
                    **self._options,
                )  # fmt: skip
                await deliverer.run()
            except Ended as ended:
                await self._disable(target, ended)
                return
            except WebhookNotFound:
                return
            except Exception as error:  # noqa: BLE001  # one webhook must not end the others
                delay_s = backoff.next_s()
                # Of a group, what msgspec or PostgreSQL say may quote a payload: the kind of error is enough.
                found = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error
                log.warning(
                    "deliveries of a webhook interrupted",
                    webhook=str(target.webhook_id), reason=type(found).__name__, retry_after_s=delay_s,
                )  # fmt: skip
                await asyncio.sleep(delay_s)

    async def _disable(self, target: Target, ended: Ended) -> None:
        command = DisableWebhook(
            workspace_id=target.workspace_id,
            webhook_id=target.webhook_id,
            cause=ended.cause,
            failing_since=ended.failing_since,
        )
        log.warning("a webhook is disabled", webhook=str(target.webhook_id), reason=ended.cause)
        with contextlib.suppress(Refusal, EventStoreError):
            await self._handler.execute(command, metadata=Metadata(actor="system:webhooks", source="webhooks"))
