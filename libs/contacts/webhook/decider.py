"""Webhook rules: (command, state) -> events. No I/O, no clock; the fold itself is in `webhook/state.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from msgspec import UNSET

from contacts.webhook import commands as c
from contacts.webhook import events as e
from contacts.webhook import refusals
from contacts.webhook.state import Webhook, evolve, fold, initial

__all__ = ["Webhook", "decide", "evolve", "fold", "initial"]

Events = list[e.WebhookEvent]


def decide(command: c.WebhookCommand, webhook: Webhook) -> Events:
    """The events `command` causes; none where everything is as wanted already. Raises Refusal as each command names."""
    if isinstance(command, c.CreateWebhook):
        return _create(command, webhook)
    if isinstance(command, c.DeleteWebhook) and webhook.deleted:
        return []
    if not webhook.exists:
        raise refusals.WebhookNotFound(webhook.id)
    return _DECIDE[type(command)](command, webhook)


def _create(command: c.CreateWebhook, webhook: Webhook) -> Events:
    if webhook.version:
        raise refusals.WebhookAlreadyExists(webhook.id)
    return [
        e.WebhookCreated(url=command.url, events=command.events, description=command.description, secret=command.secret)
    ]


def _change(command: c.ChangeWebhook, webhook: Webhook) -> Events:
    wanted = {name: getattr(command, name) for name in ("url", "events", "description")}
    changed = {name: value for name, value in wanted.items() if value is not UNSET and value != getattr(webhook, name)}
    events: Events = [e.WebhookChanged(**changed)] if changed else []
    if command.enabled is True and not webhook.enabled:
        events.append(e.WebhookEnabled())
    if command.enabled is False and webhook.enabled:
        events.append(e.WebhookDisabled(cause="by_hand"))
    return events


def _rotate(command: c.RotateSecret, webhook: Webhook) -> Events:
    if command.secret == webhook.secret:
        return []
    return [e.WebhookSecretRotated(secret=command.secret, old_until=command.old_until)]


def _disable(command: c.DisableWebhook, webhook: Webhook) -> Events:
    if not webhook.enabled:
        return []
    return [e.WebhookDisabled(cause=command.cause, failing_since=command.failing_since)]


def _replay(command: c.ReplayWebhook, _webhook: Webhook) -> Events:
    return [e.WebhookReplayRequested(after=command.after)]


def _test(_command: c.SendTest, webhook: Webhook) -> Events:
    if not webhook.enabled:
        raise refusals.WebhookIsDisabled(webhook.id)
    return [e.WebhookTestRequested()]


def _delete(_command: c.DeleteWebhook, _webhook: Webhook) -> Events:
    return [e.WebhookDeleted()]


_DECIDE: Final[dict[type, Callable[[Any, Webhook], Events]]] = {
    c.ChangeWebhook: _change,
    c.RotateSecret: _rotate,
    c.DisableWebhook: _disable,
    c.ReplayWebhook: _replay,
    c.SendTest: _test,
    c.DeleteWebhook: _delete,
}
