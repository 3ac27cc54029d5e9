"""What the inbox counts: every message that was given out ends in exactly one of these."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from contacts_bridge.inbox.recorder import Fate, Outcome

MESSAGES: Final = Counter("rollbook_inbox_messages_total", "Messages of the inbox by what became of them", ["fate"])
BATCH_SECONDS: Final = Histogram(
    "rollbook_inbox_batch_seconds", "From taking a batch to its acknowledgement",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)  # fmt: skip
BATCH_MESSAGES: Final = Histogram(
    "rollbook_inbox_batch_messages", "Messages of one batch", buckets=(1, 5, 25, 100, 250, 500, 1000)
)
STATE: Final = Gauge("rollbook_inbox_up", "1 while messages of the inbox are being taken")


class InboxFigures:
    """The watcher of a process."""

    def __init__(self) -> None:
        self.counts: Tally[Fate] = Tally()
        self.reason: str | None = "the inbox is offline"

    def up(self) -> None:
        self.reason = None
        STATE.set(1)

    def down(self, why: str) -> None:
        self.reason = f"the inbox is offline: {why}"
        STATE.set(0)

    def settled(self, outcomes: Iterable[Outcome], seconds: float) -> None:
        counts = Tally(outcome.fate for outcome in outcomes)
        self.counts += counts
        for fate, count in counts.items():
            MESSAGES.labels(fate).inc(count)
        BATCH_SECONDS.observe(seconds)
        BATCH_MESSAGES.observe(sum(counts.values()))
