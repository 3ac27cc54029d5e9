"""What one can ask of a webhook. Values are parsed (`webhook/input.py`); ids, secrets and times come from outside."""

from __future__ import annotations

from datetime import datetime
from typing import TypeAlias
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from contacts.webhook.events import Cause


class _Command(msgspec.Struct, frozen=True, kw_only=True):
    """Shared shape of commands: which webhook."""

    workspace_id: UUID
    webhook_id: UUID


class CreateWebhook(_Command, frozen=True, kw_only=True):
    """Refused: WebhookAlreadyExists."""

    url: str
    events: tuple[str, ...]
    description: str | None
    secret: bytes


class ChangeWebhook(_Command, frozen=True, kw_only=True):
    """May hold what is so already; only the rest is recorded. Refused: WebhookNotFound."""

    url: str | UnsetType = UNSET
    events: tuple[str, ...] | UnsetType = UNSET
    description: str | None | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class RotateSecret(_Command, frozen=True, kw_only=True):
    """A repeat with the same secret changes nothing. Refused: WebhookNotFound."""

    secret: bytes
    old_until: datetime


class DisableWebhook(_Command, frozen=True, kw_only=True):
    """By the one who delivers. Refused: WebhookNotFound."""

    cause: Cause
    failing_since: datetime | None


class ReplayWebhook(_Command, frozen=True, kw_only=True):
    """Refused: WebhookNotFound."""

    after: int


class SendTest(_Command, frozen=True, kw_only=True):
    """Refused: WebhookNotFound, WebhookIsDisabled."""


class DeleteWebhook(_Command, frozen=True, kw_only=True):
    """Refused: WebhookNotFound, unless it was deleted before."""


WebhookCommand: TypeAlias = (
    CreateWebhook | ChangeWebhook | RotateSecret | DisableWebhook | ReplayWebhook | SendTest | DeleteWebhook
)
