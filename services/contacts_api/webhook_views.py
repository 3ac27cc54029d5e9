"""The JSON of webhooks and their deliveries. A secret is only in the answer that made it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from contacts.webhook.events import Cause
from contacts.webhook.queries import Delivery, Outcome
from contacts.webhook.secrets import shown
from contacts.webhook.state import Webhook
from contacts_api.views import Total, View

Status = Literal["enabled", "disabled"]


class WebhookView(View, frozen=True, kw_only=True):
    """Where events are sent to, and which."""

    id: UUID
    version: int
    url: str
    #: Empty for every event.
    events: tuple[str, ...]
    description: str | None
    status: Status
    #: `failing` for long, `gone` by its own answer, or `by_hand`.
    disabled_by: Cause | None
    disabled_at: datetime | None
    #: Until then the secret before the present one signs as well.
    old_secret_until: datetime | None
    created_at: datetime | None
    changed_at: datetime | None


class WebhookSecretView(WebhookView, frozen=True, kw_only=True):
    """A webhook with its new secret, which is in this answer and nowhere else; null in the answer to a repeat."""

    secret: str | None


class WebhookStandingView(WebhookView, frozen=True, kw_only=True):
    """A webhook and how its deliveries go."""

    #: Everything up to it is delivered; null before the first delivery.
    delivered_to: str | None
    #: The first failure since the last success; null while all is well.
    failing_since: datetime | None


class WebhookPage(View, frozen=True):
    """One page of webhooks."""

    items: tuple[WebhookView, ...]
    next_cursor: str | None
    total: Total


class DeliveryView(View, frozen=True, kw_only=True):
    """One attempt to deliver one event."""

    event_id: UUID
    type: str
    position: str
    attempt: int
    outcome: Outcome
    #: What the receiver answered; null where it did not.
    status: int | None
    reason: str | None
    duration_ms: int
    at: datetime


class DeliveryPage(View, frozen=True):
    """One page of attempts, newest first. They are kept for seven days, and 10,000 of a webhook."""

    items: tuple[DeliveryView, ...]
    next_cursor: str | None


def _fields(webhook: Webhook) -> dict[str, object]:
    return {
        "id": webhook.id,
        "version": webhook.version,
        "url": webhook.url,
        "events": webhook.events,
        "description": webhook.description,
        "status": "enabled" if webhook.enabled else "disabled",
        "disabled_by": webhook.disabled_by,
        "disabled_at": webhook.disabled_at,
        "old_secret_until": webhook.old_until,
        "created_at": webhook.created_at,
        "changed_at": webhook.changed_at,
    }


def webhook_view(webhook: Webhook) -> WebhookView:
    return WebhookView(**_fields(webhook))  # type: ignore[arg-type]


def secret_view(webhook: Webhook, secret: bytes | None) -> WebhookSecretView:
    return WebhookSecretView(**_fields(webhook), secret=None if secret is None else shown(secret))  # type: ignore[arg-type]


def standing_view(webhook: Webhook, delivered_to: str | None, failing_since: datetime | None) -> WebhookStandingView:
    return WebhookStandingView(**_fields(webhook), delivered_to=delivered_to, failing_since=failing_since)  # type: ignore[arg-type]


def delivery_view(delivery: Delivery, lane: int) -> DeliveryView:
    return DeliveryView(
        event_id=delivery.event_id,
        type=delivery.type,
        position=f"{lane}.{delivery.position}",
        attempt=delivery.attempt,
        outcome=delivery.outcome,
        status=delivery.status,
        reason=delivery.reason,
        duration_ms=delivery.duration_ms,
        at=delivery.at,
    )
