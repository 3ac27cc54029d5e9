"""Webhook commands on the log, and webhooks as the log has them. Rules are in the decider."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from contacts.execution import Executed, Execution, Request
from contacts.webhook.commands import CreateWebhook, WebhookCommand
from contacts.webhook.decider import Webhook, decide, evolve, fold, initial
from contacts.webhook.events import CATEGORY, WebhookEvent
from contacts.webhook.refusals import WebhookNotFound
from eventstore.aggregate import Aggregates
from eventstore.envelope import Claim, Metadata, RecordedEvent, Stream
from eventstore.store import EventStore

CACHE_SIZE: Final = 1_000


class WebhookHandler:
    """One per process; safe to use concurrently."""

    def __init__(self, store: EventStore) -> None:
        aggregates = Aggregates(store, category=CATEGORY, initial=initial, evolve=fold, cache_size=CACHE_SIZE)
        self._execution = Execution(store, WebhookRules(), aggregates)

    async def execute(
        self,
        command: WebhookCommand,
        *,
        metadata: Metadata,
        idempotency_key: str | None = None,
        request_hash: bytes = b"",
        expected_version: int | None = None,
    ) -> Executed[Webhook]:
        """Durable when it returns. A repeat with the same key and hash answers what the first time did, for ever.

        Raises:
            Refusal: as the command names, VersionMismatch, TooContended, IdempotencyKeyReused.
            StoreUnavailable, Overloaded: repeat with the same key.
        """
        request = Request(
            metadata=metadata, idempotency_key=idempotency_key, digest=request_hash, expected_version=expected_version
        )
        stream = Stream(command.workspace_id, CATEGORY, command.webhook_id)
        return await self._execution.execute(command, stream, request, new=isinstance(command, CreateWebhook))

    async def get(self, workspace_id: UUID, webhook_id: UUID) -> Webhook:
        """As it is now. Raises WebhookNotFound."""
        webhook, _ = await self._execution.load(Stream(workspace_id, CATEGORY, webhook_id), fresh=True)
        if not webhook.exists:
            raise WebhookNotFound(webhook_id)
        return webhook


class WebhookRules:
    """The decider as `Execution` wants it; a webhook claims nothing."""

    category: str = CATEGORY

    def initial(self, id_: UUID) -> Webhook:
        return initial(id_)

    def decide(self, command: WebhookCommand, state: Webhook) -> Sequence[WebhookEvent]:
        return decide(command, state)

    def fold(self, state: Webhook, recorded: RecordedEvent[Any]) -> Webhook:
        return fold(state, recorded)

    def evolve(self, state: Webhook, event: WebhookEvent, at: datetime) -> Webhook:
        return evolve(state, event, at)

    def show(self, state: Webhook, _others: Mapping[UUID, Webhook]) -> Webhook:
        return state

    def claims(self, _before: Webhook, _after: Webhook, _others: Mapping[UUID, Webhook]) -> Iterable[Claim]:
        return ()
