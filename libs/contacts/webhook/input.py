"""What callers send for a webhook, and its way into commands. No I/O."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import Final
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from contacts.errors import InvalidValue
from contacts.faults import Faults
from contacts.values import parse_reason
from contacts.webhook.commands import ChangeWebhook, CreateWebhook
from contacts.webhook.targets import Reach, parse_target

PATTERNS_MAX: Final = 100
WEBHOOKS_MAX: Final = 50
"""Of one workspace."""


class _Input(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Shared shape of what callers send: unknown fields are refused."""


class NewWebhookInput(_Input, frozen=True, kw_only=True):
    """A target and what it gets."""

    url: str
    events: list[str] = []
    description: str | None = None


class WebhookPatch(_Input, frozen=True, kw_only=True):
    """Any subset; null clears the description."""

    url: str | UnsetType = UNSET
    events: list[str] | UnsetType = UNSET
    description: str | None | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


def create_webhook(
    sent: NewWebhookInput, workspace_id: UUID, *, webhook_id: UUID, secret: bytes, known: Collection[str], reach: Reach
) -> CreateWebhook:
    """`known` are the names of events there are. Raises InvalidInput."""
    fault = Faults()
    url = fault.parse("/url", lambda text: parse_target(text, reach), sent.url)
    events = _events(sent.events, known, fault)
    description = None if sent.description is None else fault.parse("/description", parse_reason, sent.description)
    fault.raise_if_any()
    return CreateWebhook(
        workspace_id=workspace_id,
        webhook_id=webhook_id,
        url=url or "",
        events=events,
        description=description,
        secret=secret,
    )


def change_webhook(
    sent: WebhookPatch, workspace_id: UUID, *, webhook_id: UUID, known: Collection[str], reach: Reach
) -> ChangeWebhook:
    """Raises InvalidInput."""
    fault = Faults()
    url = sent.url if sent.url is UNSET else fault.parse("/url", lambda text: parse_target(text, reach), sent.url)
    events = sent.events if sent.events is UNSET else _events(sent.events, known, fault)
    description = sent.description
    if description is not UNSET and description is not None:
        description = fault.parse("/description", parse_reason, description)
    fault.raise_if_any()
    return ChangeWebhook(
        workspace_id=workspace_id,
        webhook_id=webhook_id,
        url=url or UNSET,
        events=events,
        description=description,
        enabled=sent.enabled,
    )


def _events(patterns: list[str], known: Collection[str], fault: Faults) -> tuple[str, ...]:
    kinds = {f"{name.partition('.')[0]}.*" for name in known}
    choice = sorted({*known, *kinds} - {"webhook.test_requested"})
    if len(patterns) > PATTERNS_MAX:
        fault.add("/events", InvalidValue(f"has {len(patterns)} names", f"at most {PATTERNS_MAX}"))
        return ()
    for number, pattern in enumerate(patterns):
        if pattern not in choice:
            near = ", ".join(difflib.get_close_matches(pattern, choice, n=3)) or "contact.created or contact.*"
            fault.add(f"/events/{number}", InvalidValue("is no event", f"the name of one, such as {near}"))
    return tuple(dict.fromkeys(patterns))
