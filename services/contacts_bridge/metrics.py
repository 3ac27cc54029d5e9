"""What the bridge counts, and how far the relay is behind the log. Serving the figures is `servicekit.metrics`."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NoReturn

from prometheus_client import Counter, Gauge, Histogram

from eventstore.connection import CONNECTION_ERRORS
from eventstore.errors import EventStoreError

if TYPE_CHECKING:
    from contacts_bridge.relay import Log, Relay


STATES: Final = ("at work", "standing by", "holding", "offline")
EVERY_S: Final = 2.0

PUBLISHED: Final = Counter("rollbook_relay_events_total", "Events that JetStream acknowledged")
PUBLISH_SECONDS: Final = Histogram(
    "rollbook_relay_batch_seconds", "From handing a batch to JetStream to its acknowledgement",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)  # fmt: skip
BATCH_EVENTS: Final = Histogram(
    "rollbook_relay_batch_events", "Events in an acknowledged batch", buckets=(1, 2, 5, 10, 25, 50, 100, 250, 500)
)
STATE: Final = Gauge("rollbook_relay_state", "1 for the state the relay is in", ["state"])
LAG_EVENTS: Final = Gauge("rollbook_relay_lag_events", "Events of the log that are not in JetStream", ["lane"])
LAG_MS: Final = Gauge("rollbook_relay_lag_ms", "Age of the oldest event that is not in JetStream", ["lane"])

DELIVERIES: Final = Counter("rollbook_webhook_attempts_total", "Attempts to deliver to webhooks", ["outcome"])
WEBHOOKS: Final = Gauge("rollbook_webhooks", "Webhooks this process delivers to")


class Figures:
    """The relay's watcher."""

    def __init__(self) -> None:
        self.now = "offline"
        #: Milliseconds, of the lane that is furthest behind.
        self.lag_ms = 0.0
        self.state("offline")

    def state(self, state: str) -> None:
        self.now = state
        for each in STATES:
            STATE.labels(each).set(each == state)

    def published(self, count: int, seconds: float) -> None:
        PUBLISHED.inc(count)
        BATCH_EVENTS.observe(count)
        PUBLISH_SECONDS.observe(seconds)

    async def watch_lag(self, log_: Log, relay: Relay) -> NoReturn:
        """Keeps the lag up to date until cancelled, also while the relay is offline."""
        while True:
            try:
                self.lag_ms = max([await _lag_ms(log_, relay, lane) for lane in log_.lanes], default=0.0)
            except (*CONNECTION_ERRORS, EventStoreError):
                # Nobody can tell: what was true last keeps growing older.
                self.lag_ms += EVERY_S * 1000 if self.lag_ms else 0.0
            await asyncio.sleep(EVERY_S)

    def ready(self, lag_limit_s: float) -> str | None:
        """A check for `/readyz`: what is wrong with the relay, if anything. Standing by is well."""
        if self.now in ("holding", "offline"):
            return f"the relay is {self.now}"
        if self.lag_ms > lag_limit_s * 1000:
            return f"the relay is {self.lag_ms / 1000:.0f} s behind the log"
        return None


async def _lag_ms(log_: Log, relay: Relay, lane: int) -> float:
    position = relay.tail.position(lane)
    behind = max(0, await log_.head(lane) - position)
    LAG_EVENTS.labels(lane).set(behind)
    lag_ms = 0.0
    if behind:
        oldest = (await log_.read_lane(lane, after=position, limit=1)).events
        lag_ms = max(0.0, (datetime.now(UTC) - oldest[0].recorded_at).total_seconds() * 1000)
    LAG_MS.labels(lane).set(lag_ms)
    return lag_ms
