"""Webhooks: where events are sent over HTTP, what became of it, and sending it again. Sending is done elsewhere."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from uuid_utils.compat import uuid7

from contacts.catalog import EVENT_TYPES
from contacts.errors import InvalidInput, TooContended, TooMany
from contacts.execution import Executed
from contacts.webhook import input as parse
from contacts.webhook.commands import DeleteWebhook, ReplayWebhook, RotateSecret, SendTest
from contacts.webhook.input import WEBHOOKS_MAX, NewWebhookInput, WebhookPatch
from contacts.webhook.queries import Outcome
from contacts.webhook.refusals import WebhookIsDisabled, WebhookNotFound
from contacts.webhook.secrets import OLD_SECRET_VALID, make_secret
from contacts.webhook.state import Webhook
from contacts.workspace.permissions import Action
from contacts_api import webhook_examples as examples
from contacts_api.answer import Answer, json_answer
from contacts_api.conventions import Cursor, Limit, MinPosition, etag, page_by_key, position_of, shown_position
from contacts_api.decoding import Fault, Malformed
from contacts_api.endpoint import MERGE_PATCH_TYPES, Endpoint, Nothing, Returns, endpoint
from contacts_api.request import Call
from contacts_api.services import WEBHOOK
from contacts_api.webhook_views import (
    DeliveryPage,
    WebhookPage,
    WebhookSecretView,
    WebhookStandingView,
    WebhookView,
    delivery_view,
    secret_view,
    standing_view,
    webhook_view,
)

TAG: Final = "Webhooks"
KNOWN_EVENTS: Final = frozenset(event_type.name for event_type in EVENT_TYPES)
COMMAND_HEADERS: Final = ("ETag", "Rollbook-Position")
EDITING: Final = ("Idempotency-Key", "If-Match")
CHANGED: Final = Returns(200, "The webhook as it is now", WebhookView, COMMAND_HEADERS, examples.WEBHOOK)


class WebhookPath(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Addresses one webhook."""

    webhook_id: UUID


class WebhooksQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much of the list, and how new it has to be."""

    limit: Limit = 50
    cursor: Cursor = None
    min_position: MinPosition = None


class DeliveriesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which attempts."""

    outcome: Annotated[Outcome | None, msgspec.Meta(description="Only those with this outcome.")] = None
    limit: Limit = 50
    cursor: Cursor = None


class ReplayInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """From where on: either after a position, or since an instant."""

    after: Annotated[str | None, msgspec.Meta(description="A position as `Rollbook-Position` names it.")] = None
    since: datetime | None = None


@endpoint(
    "POST",
    "/v1/webhooks",
    action=Action.WEBHOOKS_WRITE,
    tag=TAG,
    takes=("Idempotency-Key",),
    examples=examples.NEW_WEBHOOKS,
    returns=Returns(
        201, "The webhook, with its secret", WebhookSecretView, (*COMMAND_HEADERS, "Location"), examples.WITH_SECRET
    ),
    refuses=(InvalidInput, TooMany, TooContended),
)
async def create_webhook(call: Call[Nothing, Nothing, NewWebhookInput]) -> Answer:
    """Create a webhook: every event recorded from here on, or those chosen, is sent to its URL.

    Requests are signed as Standard Webhooks says (`webhook-id`, `webhook-timestamp`, `webhook-signature`); the body is
    the CloudEvent that NATS has. Each event is sent at least once, in order per contact, and again with growing pauses
    until the answer is 2xx. The secret is in this answer and nowhere else.
    """
    services, workspace_id = call.services, call.caller.workspace_id
    command = parse.create_webhook(
        call.body,
        workspace_id,
        webhook_id=uuid7(),
        secret=make_secret(),
        known=KNOWN_EVENTS,
        reach=services.settings.webhook_targets,
    )
    if len(await services.webhook_queries.list(workspace_id)) >= WEBHOOKS_MAX:
        raise TooMany("webhooks", WEBHOOKS_MAX)
    outcome = await services.webhook_handler.execute(command, **call.command())
    secret = None if outcome.replayed else outcome.state.secret
    answer = _headed(json_answer(201, secret_view(outcome.state, secret)), outcome)
    return answer.header(b"location", f"/v1/webhooks/{outcome.id}")


@endpoint(
    "GET",
    "/v1/webhooks",
    action=Action.WEBHOOKS_READ,
    tag=TAG,
    takes=("Rollbook-Min-Position",),
    returns=Returns(200, "One page of webhooks, by id", WebhookPage, ("Rollbook-Position",)),
)
async def list_webhooks(call: Call[Nothing, WebhooksQuery, Nothing]) -> Answer:
    """List the webhooks."""
    position = await shown_position(call, call.query.min_position, WEBHOOK)
    found = await call.services.webhook_queries.list(call.caller.workspace_id)
    page, cursor, total = page_by_key(found, lambda each: str(each.id), call.query.limit, call.query.cursor)
    answer = json_answer(200, WebhookPage(tuple(map(webhook_view, page)), cursor, total))
    return answer.header(b"rollbook-position", position)


@endpoint(
    "GET",
    "/v1/webhooks/{webhook_id}",
    action=Action.WEBHOOKS_READ,
    tag=TAG,
    returns=Returns(200, "The webhook, and how its deliveries go", WebhookStandingView, ("ETag",), examples.STANDING),
    refuses=(WebhookNotFound,),
)
async def read_webhook(call: Call[WebhookPath, Nothing, Nothing]) -> Answer:
    """Read a webhook and how its deliveries go."""
    services, workspace_id = call.services, call.caller.workspace_id
    webhook = await services.webhook_handler.get(workspace_id, call.path.webhook_id)
    position, failing_since = await services.webhook_queries.standing(workspace_id, webhook.id)
    delivered_to = None if position is None else f"{services.store.lane_of(workspace_id)}.{position}"
    answer = json_answer(200, standing_view(webhook, delivered_to, failing_since))
    return answer.header(b"etag", etag(webhook.version))


@endpoint(
    "PATCH",
    "/v1/webhooks/{webhook_id}",
    action=Action.WEBHOOKS_WRITE,
    tag=TAG,
    takes=EDITING,
    media_types=MERGE_PATCH_TYPES,
    examples=examples.PATCHES,
    returns=CHANGED,
    refuses=(WebhookNotFound, InvalidInput, TooContended),
)
async def change_webhook(call: Call[WebhookPath, Nothing, WebhookPatch]) -> Answer:
    """Change any part of a webhook, or switch it off and on. Switched on, it gets all that it has missed."""
    command = parse.change_webhook(
        call.body,
        call.caller.workspace_id,
        webhook_id=call.path.webhook_id,
        known=KNOWN_EVENTS,
        reach=call.services.settings.webhook_targets,
    )
    return await _changed(call, command)


@endpoint(
    "DELETE",
    "/v1/webhooks/{webhook_id}",
    action=Action.WEBHOOKS_WRITE,
    tag=TAG,
    takes=("Idempotency-Key",),
    returns=Returns(204, "It is deleted", headers=("Rollbook-Position",)),
    refuses=(WebhookNotFound, TooContended),
)
async def delete_webhook(call: Call[WebhookPath, Nothing, Nothing]) -> Answer:
    """Delete a webhook. Nothing more is sent to it, by any process, after a second or two."""
    command = DeleteWebhook(workspace_id=call.caller.workspace_id, webhook_id=call.path.webhook_id)
    outcome = await call.services.webhook_handler.execute(command, **call.command())
    return Answer(204).header(b"rollbook-position", outcome.appended.token)


@endpoint(
    "POST",
    "/v1/webhooks/{webhook_id}/rotate-secret",
    action=Action.WEBHOOKS_WRITE,
    tag=TAG,
    takes=EDITING,
    returns=Returns(200, "The webhook, with its new secret", WebhookSecretView, COMMAND_HEADERS, examples.WITH_SECRET),
    refuses=(WebhookNotFound, TooContended),
)
async def rotate_webhook_secret(call: Call[WebhookPath, Nothing, Nothing]) -> Answer:
    """Give a webhook another secret. For 24 hours requests are signed with both, so that receivers can follow."""
    command = RotateSecret(
        workspace_id=call.caller.workspace_id,
        webhook_id=call.path.webhook_id,
        secret=make_secret(),
        old_until=datetime.now(UTC) + OLD_SECRET_VALID,
    )
    outcome = await call.services.webhook_handler.execute(command, **call.command())
    secret = None if outcome.replayed else outcome.state.secret
    return _headed(json_answer(200, secret_view(outcome.state, secret)), outcome)


@endpoint(
    "POST",
    "/v1/webhooks/{webhook_id}/test",
    action=Action.WEBHOOKS_WRITE,
    tag=TAG,
    takes=("Idempotency-Key",),
    returns=Returns(202, "A test is on its way; the deliveries tell how it went", WebhookView, COMMAND_HEADERS),
    refuses=(WebhookNotFound, WebhookIsDisabled, TooContended),
)
async def check_webhook(call: Call[WebhookPath, Nothing, Nothing]) -> Answer:
    """Send a test event (`rollbook.webhook.test_requested.v1`) to this webhook, in turn with all others."""
    command = SendTest(workspace_id=call.caller.workspace_id, webhook_id=call.path.webhook_id)
    outcome = await call.services.webhook_handler.execute(command, **call.command())
    return _headed(json_answer(202, webhook_view(outcome.state)), outcome)


@endpoint(
    "POST",
    "/v1/webhooks/{webhook_id}/replay",
    action=Action.WEBHOOKS_WRITE,
    tag=TAG,
    takes=("Idempotency-Key",),
    examples=examples.REPLAYS,
    returns=Returns(202, "Everything from there on is sent again", WebhookView, COMMAND_HEADERS),
    refuses=(WebhookNotFound, InvalidInput, TooContended),
)
async def replay_webhook(call: Call[WebhookPath, Nothing, ReplayInput]) -> Answer:
    """Send everything after a position, or since an instant, to this webhook once more, with the same ids."""
    body = call.body
    if (body.after is None) == (body.since is None):
        raise Malformed(Fault("either `after` or `since` is needed, and not both", pointer=""))
    after = await _place(call, body)
    command = ReplayWebhook(workspace_id=call.caller.workspace_id, webhook_id=call.path.webhook_id, after=after)
    outcome = await call.services.webhook_handler.execute(command, **call.command())
    return _headed(json_answer(202, webhook_view(outcome.state)), outcome)


@endpoint(
    "GET",
    "/v1/webhooks/{webhook_id}/deliveries",
    action=Action.WEBHOOKS_READ,
    tag=TAG,
    returns=Returns(200, "One page of attempts, newest first", DeliveryPage, (), examples.DELIVERIES),
    refuses=(WebhookNotFound,),
)
async def list_deliveries(call: Call[WebhookPath, DeliveriesQuery, Nothing]) -> Answer:
    """List the attempts to deliver, newest first. They are kept for seven days, and 10,000 of a webhook."""
    services, workspace_id, query = call.services, call.caller.workspace_id, call.query
    webhook = await services.webhook_handler.get(workspace_id, call.path.webhook_id)
    before = None if query.cursor is None else _number(query.cursor)
    found = await services.webhook_queries.deliveries(
        workspace_id, webhook.id, outcome=query.outcome, before=before, limit=query.limit + 1
    )
    page, lane = found[: query.limit], services.store.lane_of(workspace_id)
    cursor = str(page[-1].number) if len(found) > query.limit else None
    return json_answer(200, DeliveryPage(tuple(delivery_view(each, lane) for each in page), cursor))


async def _place(call: Call[Any, Any, Any], body: ReplayInput) -> int:
    """The position after which deliveries begin. Raises Malformed."""
    store = call.services.store
    lane = store.lane_of(call.caller.workspace_id)
    if body.since is not None:
        if body.since.tzinfo is None:
            raise Malformed(Fault("takes an instant with its offset, like 2026-11-22T09:30:00Z", pointer="/since"))
        return await store.position_at(lane, body.since)
    try:
        position = await position_of(call, body.after or "")
    except Malformed as refused:
        raise Malformed(Fault(refused.fault.detail, pointer="/after")) from None
    if position > await store.head(lane):
        raise Malformed(Fault("is no position of this workspace's log", pointer="/after"))
    return position


def _number(cursor: str) -> int:
    if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 18:
        raise Malformed(Fault("is no next_cursor of this list", parameter="cursor"))
    return int(cursor)


async def _changed(call: Call[Any, Any, Any], command: Any) -> Answer:
    outcome = await call.services.webhook_handler.execute(command, **call.command())
    return _headed(json_answer(200, webhook_view(outcome.state)), outcome)


def _headed(answer: Answer, outcome: Executed[Webhook]) -> Answer:
    return answer.header(b"etag", etag(outcome.version)).header(b"rollbook-position", outcome.appended.token)


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    create_webhook,
    list_webhooks,
    read_webhook,
    change_webhook,
    delete_webhook,
    rotate_webhook_secret,
    check_webhook,
    replay_webhook,
    list_deliveries,
)
