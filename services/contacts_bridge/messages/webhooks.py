"""Messages of webhooks: that something about one changed. Its URL and its secrets are told to nobody."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from contacts.webhook import events as webhook
from contacts_bridge.messages.public import Data, PublicMessage, names


class WebhookEvent(Data, frozen=True, kw_only=True, gc=False):
    """Something about a webhook; the event's name says it all."""


class WebhookChanged(Data, frozen=True, kw_only=True, gc=False):
    """Another target, choice of events or description."""

    changed: Annotated[tuple[str, ...], Meta(description="Names of the fields that got another value.", min_length=1)]


class WebhookDisabled(Data, frozen=True, kw_only=True, gc=False):
    """Nothing is delivered until somebody enables it again."""

    cause: Annotated[webhook.Cause, Meta(description="`failing` for long, `gone` by its own answer, or `by_hand`.")]
    failing_since: str | UnsetType = UNSET


class WebhookReplayRequested(Data, frozen=True, kw_only=True, gc=False):
    """Everything after a position is delivered to it again."""

    after: Annotated[int, Meta(ge=0, description="Position in the workspace's lane of the log.")]


def _event(_: Any, _with_values: bool) -> WebhookEvent:
    return WebhookEvent()


def _changed(event: webhook.WebhookChanged, _: bool) -> WebhookChanged:
    return WebhookChanged(changed=names(msgspec.to_builtins(event)))


def _disabled(event: webhook.WebhookDisabled, _: bool) -> WebhookDisabled:
    since = UNSET if event.failing_since is None else event.failing_since.isoformat()
    return WebhookDisabled(cause=event.cause, failing_since=since)


def _replay(event: webhook.WebhookReplayRequested, _: bool) -> WebhookReplayRequested:
    return WebhookReplayRequested(after=event.after)


MESSAGES: Final = (
    PublicMessage("webhook.created", "A webhook was created", WebhookEvent, _event),
    PublicMessage("webhook.changed", "A webhook was changed", WebhookChanged, _changed),
    PublicMessage("webhook.secret_rotated", "A webhook got another secret", WebhookEvent, _event),
    PublicMessage("webhook.disabled", "A webhook gets nothing any more", WebhookDisabled, _disabled),
    PublicMessage("webhook.enabled", "A webhook gets events again", WebhookEvent, _event),
    PublicMessage("webhook.replay_requested", "A webhook gets events once more", WebhookReplayRequested, _replay),
    PublicMessage("webhook.test_requested", "A webhook was to be tested", WebhookEvent, _event),
    PublicMessage("webhook.deleted", "A webhook was deleted", WebhookEvent, _event),
)
