"""The present of one webhook as a fold of its stream. No rules, no I/O."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from contacts.webhook import events as e
from eventstore.envelope import RecordedEvent, Unreadable


class Webhook(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything a webhook's stream says of it. Version 0 means it was never created."""

    id: UUID
    version: int = 0
    url: str = ""
    events: tuple[str, ...] = ()
    description: str | None = None
    secret: bytes = b""
    #: Signs as well until `old_until`.
    old_secret: bytes | None = None
    old_until: datetime | None = None
    disabled_by: e.Cause | None = None
    disabled_at: datetime | None = None
    created_at: datetime | None = None
    changed_at: datetime | None = None
    deleted: bool = False

    @property
    def exists(self) -> bool:
        return self.version > 0 and not self.deleted

    @property
    def enabled(self) -> bool:
        return self.exists and self.disabled_by is None

    def secrets(self, now: datetime) -> tuple[bytes, ...]:
        """Those that sign at this moment, the newest first."""
        old = self.old_secret is not None and self.old_until is not None and now < self.old_until
        return (self.secret, self.old_secret) if old and self.old_secret else (self.secret,)

    def wants(self, event_name: str) -> bool:
        """Whether an event of this name is delivered. Requests for tests are nobody's choice."""
        if event_name == "webhook.test_requested":
            return False
        return not self.events or event_name in self.events or f"{event_name.partition('.')[0]}.*" in self.events


def initial(webhook_id: UUID) -> Webhook:
    """The state before the first event."""
    return Webhook(id=webhook_id)


def evolve(webhook: Webhook, event: e.WebhookEvent | Unreadable, at: datetime) -> Webhook:
    """The state after `event`, recorded `at`. Total: any event can follow any state, `Unreadable` too."""
    return _EVOLVE[type(event)](replace(webhook, version=webhook.version + 1, changed_at=at), event, at)


def fold(webhook: Webhook, recorded: RecordedEvent[Any]) -> Webhook:
    """`evolve` for an event as the log holds it."""
    return evolve(webhook, recorded.event, recorded.recorded_at)


def _created(webhook: Webhook, event: e.WebhookCreated, at: datetime) -> Webhook:
    return replace(
        webhook,
        url=event.url,
        events=event.events,
        description=event.description,
        secret=event.secret,
        created_at=at,
    )


def _changed(webhook: Webhook, event: e.WebhookChanged, _at: datetime) -> Webhook:
    changes = {name: value for name in event.__struct_fields__ if (value := getattr(event, name)) is not UNSET}
    return replace(webhook, **changes)


def _rotated(webhook: Webhook, event: e.WebhookSecretRotated, _at: datetime) -> Webhook:
    return replace(webhook, secret=event.secret, old_secret=webhook.secret, old_until=event.old_until)


def _disabled(webhook: Webhook, event: e.WebhookDisabled, at: datetime) -> Webhook:
    return replace(webhook, disabled_by=event.cause, disabled_at=at)


def _enabled(webhook: Webhook, _event: e.WebhookEnabled, _at: datetime) -> Webhook:
    return replace(webhook, disabled_by=None, disabled_at=None)


def _deleted(webhook: Webhook, _event: e.WebhookDeleted, _at: datetime) -> Webhook:
    return replace(webhook, deleted=True, secret=b"", old_secret=None)


def _same(webhook: Webhook, _event: object, _at: datetime) -> Webhook:
    return webhook


_EVOLVE: Final[dict[type, Callable[[Webhook, Any, datetime], Webhook]]] = {
    e.WebhookCreated: _created,
    e.WebhookChanged: _changed,
    e.WebhookSecretRotated: _rotated,
    e.WebhookDisabled: _disabled,
    e.WebhookEnabled: _enabled,
    e.WebhookReplayRequested: _same,
    e.WebhookTestRequested: _same,
    e.WebhookDeleted: _deleted,
    Unreadable: _same,
}
