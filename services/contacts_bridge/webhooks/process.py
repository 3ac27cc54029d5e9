"""Webhooks as one of the works of the bridge: what they need is opened and closed here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from uuid import UUID

from contacts.catalog import CODEC
from contacts.webhook.handler import WebhookHandler
from contacts_bridge.opening import open_patiently
from contacts_bridge.webhooks.sender import Sender
from contacts_bridge.webhooks.worker import Webhooks
from eventstore.connection import connector

if TYPE_CHECKING:
    from eventstore.signals import LogSignals
    from eventstore.store import EventStore
    from servicekit.settings import Settings


async def run_webhooks(
    settings: Settings, store: EventStore, signals: LogSignals, wants_values: Callable[[UUID], Awaitable[bool]]
) -> None:
    """Until cancelled."""
    # Disabling a webhook is an event, and the bridge's own role cannot append.
    writer = await open_patiently(settings, role="rollbook_writer", pool_size=2, codec=CODEC)
    sender = Sender(settings.webhook_targets)
    try:
        await Webhooks(
            store,
            connect=connector(settings.database_url, role="rollbook_projector", application_name="rollbook-webhooks"),
            handler=WebhookHandler(writer),
            sender=sender,
            signal_of=signals.of_lane,
            wants_values=wants_values,
            give_up_s=settings.webhook_give_up_s,
        ).run()
    finally:
        await sender.close()
        writer.pool.terminate()
