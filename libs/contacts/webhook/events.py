"""What can happen to a webhook, as facts in its stream, encrypted with a key of its own. No rules, no encoding."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

CATEGORY: Final = "webhook"
Cause: TypeAlias = Literal["by_hand", "failing", "gone"]


class _Fact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Shared shape of a webhook's events: immutable, defaults left out of the payload."""


class WebhookCreated(_Fact, frozen=True, kw_only=True):
    """Deliveries begin with what is recorded from here on."""

    url: str
    #: Names of events, `contact.*` for all of a kind; empty for every event.
    events: tuple[str, ...] = ()
    description: str | None = None
    #: Signs deliveries; shown once.
    secret: bytes


class WebhookChanged(_Fact, frozen=True, kw_only=True):
    """Fields that got another value: UNSET is untouched, None is cleared."""

    url: str | UnsetType = UNSET
    events: tuple[str, ...] | UnsetType = UNSET
    description: str | None | UnsetType = UNSET


class WebhookSecretRotated(_Fact, frozen=True, kw_only=True):
    """Deliveries are signed with both secrets until the old one ends."""

    secret: bytes
    old_until: datetime


class WebhookDisabled(_Fact, frozen=True, kw_only=True):
    """Nothing is delivered; where it stands is kept."""

    cause: Cause
    #: When the first of the failures happened that led to it.
    failing_since: datetime | None = None


class WebhookEnabled(_Fact, frozen=True, kw_only=True):
    """Deliveries go on where they stopped."""


class WebhookReplayRequested(_Fact, frozen=True, kw_only=True):
    """Everything after a position of the workspace's lane is delivered again."""

    after: int


class WebhookTestRequested(_Fact, frozen=True, kw_only=True):
    """This event itself is delivered to this webhook, whatever it has chosen."""


class WebhookDeleted(_Fact, frozen=True, kw_only=True):
    """Nothing follows."""


WebhookEvent: TypeAlias = (
    WebhookCreated
    | WebhookChanged
    | WebhookSecretRotated
    | WebhookDisabled
    | WebhookEnabled
    | WebhookReplayRequested
    | WebhookTestRequested
    | WebhookDeleted
)
