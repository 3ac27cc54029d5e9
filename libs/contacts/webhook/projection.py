"""Keeps the webhook read model: whom to deliver to, and from where on. Holds no secret and delivers nothing."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from contacts.webhook.events import CATEGORY, WebhookCreated, WebhookReplayRequested
from contacts.webhook.state import Webhook, fold, initial
from eventstore.projection import PoisonedEvent, Projection
from eventstore.sql import load

if TYPE_CHECKING:
    from eventstore.envelope import RecordedEvent
    from eventstore.projection import Connection

SQL: Final = load("contacts.webhook", "projection.sql")
decode: Final = msgspec.msgpack.Decoder(Webhook).decode
_encode: Final = msgspec.msgpack.Encoder(uuid_format="bytes").encode


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """One row."""

    workspace_id: UUID
    lane: int
    state: Webhook
    start_version: int = 0
    start_position: int = 0

    def row(self) -> tuple[Any, ...]:
        state = self.state
        return (
            self.workspace_id,
            state.id,
            state.version,
            state.exists,
            state.enabled,
            self.lane,
            self.start_version,
            self.start_position,
            _encode(state),
        )


class WebhookProjection(Projection):
    """Rows of `webhook`. Applying events again changes nothing."""

    name = "webhook"
    version = 1
    stands_back_s = 0.01
    types = frozenset(
        {
            "webhook.created",
            "webhook.changed",
            "webhook.secret_rotated",
            "webhook.disabled",
            "webhook.enabled",
            "webhook.replay_requested",
            "webhook.test_requested",
            "webhook.deleted",
        }
    )
    schema_sql = files("contacts.webhook").joinpath("schema.sql").read_text(encoding="utf-8")
    index_sql = files("contacts.webhook").joinpath("indexes.sql").read_text(encoding="utf-8")

    async def apply(
        self,
        connection: Connection,
        events: Sequence[RecordedEvent[Any]],
        *,
        fresh: bool,  # webhooks are few
    ) -> None:
        wanted = {event.stream_id: event for event in events if event.category == CATEGORY}
        if not wanted:
            return
        rows = await connection.fetch(SQL["load"], [event.workspace_id for event in wanted.values()], list(wanted))
        shown = {
            row["webhook_id"]: Shown(
                workspace_id=wanted[row["webhook_id"]].workspace_id,
                lane=wanted[row["webhook_id"]].lane,
                state=decode(row["state"]),
                start_version=row["start_version"],
                start_position=row["start_position"],
            )
            for row in rows
        }
        for event in events:
            if event.category == CATEGORY:
                before = shown.get(event.stream_id) or _new(event)
                shown[event.stream_id] = _applied(before, event)
        columns = [list(column) for column in zip(*(each.row() for each in shown.values()), strict=True)]
        await connection.execute(SQL["upsert"], *columns)


def _new(event: RecordedEvent[Any]) -> Shown:
    return Shown(workspace_id=event.workspace_id, lane=event.lane, state=initial(event.stream_id))


def _applied(shown: Shown, event: RecordedEvent[Any]) -> Shown:
    expected = shown.state.version + 1
    if event.version < expected:
        return shown
    if event.version > expected:
        raise PoisonedEvent(event.stream_id, event, f"found version {event.version}, expected {expected}")
    state = replace(fold(shown.state, event), secret=b"", old_secret=None)
    shown = replace(shown, state=state)
    if isinstance(event.event, WebhookCreated):
        return replace(shown, start_version=event.version, start_position=event.position)
    if isinstance(event.event, WebhookReplayRequested):
        return replace(shown, start_version=event.version, start_position=event.event.after)
    return shown
