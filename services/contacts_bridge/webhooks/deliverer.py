"""Deliveries to one webhook: a window over the log, in order per contact, retried with back-off. Elects nobody.

What waits for a retry stops only its own contact. The position that is saved is the one before the oldest event that is
not delivered, so what was delivered beyond it is delivered again after a restart: at least once, never not at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NoReturn, Protocol
from uuid import UUID

import msgspec

from contacts.webhook.events import Cause
from contacts.webhook.state import Webhook
from contacts_bridge.messages import MESSAGES, public_message
from contacts_bridge.metrics import DELIVERIES
from contacts_bridge.webhooks.sender import Sender, Sent
from contacts_bridge.webhooks.state import DATABASE_ERRORS, Attempt, DeliveryState, Target
from eventstore.envelope import RecordedEvent

AT_ONCE: Final = 8
"""Requests to one webhook under way at the same time, each for another contact."""
WAITING_MAX: Final = 500
AHEAD_MAX: Final = 20_000
"""Positions read beyond the oldest event that is not delivered: so much is repeated at most after a restart."""
SAVE_EVERY_S: Final = 0.1
LAST_SAVE_S: Final = 1.0
LOOK_EVERY_S: Final = 1.0
BACKOFF_FIRST_S: Final = 1.0
BACKOFF_LAST_S: Final = 600.0


class Signal(Protocol):
    """Says that the lane may have grown. May be wrong and may be silent."""

    async def wait(self, after: int, timeout_s: float) -> None: ...


class Ended(Exception):
    """The webhook is to be disabled."""

    def __init__(self, cause: Cause, failing_since: datetime | None) -> None:
        super().__init__(cause)
        self.cause = cause
        self.failing_since = failing_since


class Deliverer:
    """One run for one webhook. Cancel it at any time."""

    def __init__(
        self,
        target: Target,
        webhook: Webhook,
        *,
        state: DeliveryState,
        sender: Sender,
        signal: Signal,
        wants_values: Callable[[UUID], Awaitable[bool]],
        give_up_s: float,
        backoff_first_s: float = BACKOFF_FIRST_S,
    ) -> None:
        """`webhook` is the target's with its secrets."""
        self._target = target
        self._webhook = webhook
        self._state = state
        self._sender = sender
        self._signal = signal
        self._types = _types_of(webhook)
        self._wants_values = wants_values
        self._give_up_s = give_up_s
        self._backoff_first_s = backoff_first_s
        self._room = asyncio.Semaphore(AT_ONCE)
        self._changed = asyncio.Event()
        self._attempts: list[Attempt] = []
        #: By contact, what waits for it; the first is under way.
        self._queues: dict[UUID, deque[RecordedEvent[Any]]] = {}
        #: Positions of all that waits, in order.
        self._waiting: dict[int, None] = {}
        self._read_to = 0
        self._failing_since: datetime | None = None
        self._succeeded_at: datetime | None = None

    async def run(self) -> NoReturn:
        """Until cancelled. Raises Ended, and whatever the database or an unreadable event raises."""
        self._read_to, self._failing_since = await self._state.begin(self._target)
        ended: Ended | None = None
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._save_now_and_then())
                await self._follow(group)
        except* Ended as found:
            ended = next(each for each in found.exceptions if isinstance(each, Ended))
        finally:
            # What is not saved is delivered again, so there is no need to insist.
            with contextlib.suppress(*DATABASE_ERRORS):
                async with asyncio.timeout(LAST_SAVE_S):
                    await self._save()
        assert ended is not None, "it follows until it fails"
        raise ended

    async def _follow(self, group: asyncio.TaskGroup) -> NoReturn:
        while True:
            while len(self._waiting) >= WAITING_MAX or self._read_to - self._position >= AHEAD_MAX:
                self._changed.clear()
                await self._changed.wait()
            events, upto = await self._state.read(
                self._target.lane, self._target.workspace_id, after=self._read_to, types=self._types
            )
            if upto == self._read_to:
                await self._signal.wait(upto, LOOK_EVERY_S)
                continue
            for event in filter(self._is_wanted, events):
                self._add(event, group)
            self._read_to = upto

    def _is_wanted(self, event: RecordedEvent[Any]) -> bool:
        is_own_test = event.type == "webhook.test_requested" and event.stream_id == self._target.webhook_id
        return is_own_test or self._webhook.wants(event.type)

    def _add(self, event: RecordedEvent[Any], group: asyncio.TaskGroup) -> None:
        self._waiting[event.position] = None
        queue = self._queues.get(event.stream_id)
        if queue is not None:
            queue.append(event)
            return
        self._queues[event.stream_id] = deque((event,))
        group.create_task(self._deliver_all(event.stream_id))

    async def _deliver_all(self, stream_id: UUID) -> None:
        queue = self._queues[stream_id]
        while queue:
            await self._deliver(queue[0])
            del self._waiting[queue.popleft().position]
            self._changed.set()
        del self._queues[stream_id]

    async def _deliver(self, event: RecordedEvent[Any]) -> None:
        """Returns once it is delivered or given up. Raises Ended."""
        failed_at: datetime | None = None
        attempt = 0
        while True:
            attempt += 1
            async with self._room:
                sent = await self._send(event)
            now = datetime.now(UTC)
            if sent.delivered:
                self._failing_since, self._succeeded_at = None, now
                self._record(event, attempt, "delivered", sent, now)
                return
            failed_at = failed_at or now
            self._failing_since = self._failing_since or now
            self._record(event, attempt, "failed", sent, now)
            if sent.gone:
                raise Ended("gone", self._failing_since)
            if self._is_long_ago(failed_at, now) and self._succeeded_at and self._succeeded_at > failed_at:
                # Only this event is refused, so it shall not hold up the rest of its contact for ever.
                self._record(event, attempt, "given_up", sent, now)
                return
            if self._is_long_ago(self._failing_since, now):
                raise Ended("failing", self._failing_since)
            await asyncio.sleep(max(sent.retry_after_s, self._backoff_s(attempt)))

    async def _send(self, event: RecordedEvent[Any]) -> Sent:
        with_values = await self._wants_values(event.workspace_id)
        body = msgspec.json.encode(public_message(event, with_values=with_values))
        keys = self._webhook.secrets(datetime.now(UTC))
        return await self._sender.send(self._webhook.url, id_=str(event.event_id), body=body, keys=keys)

    def _is_long_ago(self, moment: datetime, now: datetime) -> bool:
        return (now - moment).total_seconds() >= self._give_up_s

    def _backoff_s(self, attempt: int) -> float:
        # Many contacts that fail together shall not all come back at the same moment.
        longest: float = min(self._backoff_first_s * 2 ** min(attempt - 1, 20), BACKOFF_LAST_S)
        return longest * random.uniform(0.5, 1.0)

    def _record(self, event: RecordedEvent[Any], attempt: int, outcome: Any, sent: Sent, at: datetime) -> None:
        DELIVERIES.labels(outcome).inc()
        self._attempts.append(
            Attempt(
                event.event_id, event.type, event.position, attempt, outcome, sent.status, sent.reason,
                sent.duration_ms, at,
            )
        )  # fmt: skip

    @property
    def _position(self) -> int:
        """Everything up to it is delivered."""
        oldest = next(iter(self._waiting), None)
        return self._read_to if oldest is None else oldest - 1

    async def _save_now_and_then(self) -> NoReturn:
        saved: Sequence[object] = ()
        while True:
            await asyncio.sleep(SAVE_EVERY_S)
            if self._attempts or saved != (self._position, self._failing_since):
                saved = await self._save()

    async def _save(self) -> Sequence[object]:
        attempts, self._attempts = self._attempts, []
        position, failing_since = self._position, self._failing_since
        await self._state.save(self._target, position, failing_since, attempts)
        return position, failing_since


def _types_of(webhook: Webhook) -> list[str] | None:
    """The events that are to be read; None for all."""
    if not webhook.events:
        return None
    return ["webhook.test_requested", *(message.name for message in MESSAGES if webhook.wants(message.name))]
