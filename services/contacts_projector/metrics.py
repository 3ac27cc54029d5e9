"""What the projector counts, and how far the read models are behind. Serving the figures is `servicekit.metrics`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import structlog
from prometheus_client import Counter, Gauge, Histogram

if TYPE_CHECKING:
    from eventstore.checkpoint import Unit
    from eventstore.poison import Failure
    from eventstore.rebuild import RebuildProgress
    from eventstore.status import BuildStatus

log = structlog.get_logger(__name__)

APPLIED: Final = Counter("rollbook_projection_events_total", "Events applied", ["projection"])
BATCH_SECONDS: Final = Histogram(
    "rollbook_projection_batch_seconds", "Folding and writing a batch, with its commit", ["projection"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)  # fmt: skip
VISIBLE_SECONDS: Final = Histogram(
    "rollbook_projection_visible_seconds", "From the commit of a batch's last event to its row", ["projection"],
    buckets=(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 300),
)  # fmt: skip
TROUBLE: Final = Counter("rollbook_projection_trouble_total", "Batches that failed as a whole", ["projection"])
LAG_EVENTS: Final = Gauge("rollbook_projection_lag_events", "Positions not applied yet", ["projection"])
LAG_MS: Final = Gauge("rollbook_projection_lag_ms", "Age of the oldest event that is not applied yet", ["projection"])
PARKED: Final = Gauge("rollbook_projection_parked_keys", "Keys that wait for a cure", ["projection"])
REBUILD_DONE: Final = Gauge("rollbook_rebuild_done_ratio", "Done of the present phase of a rebuild", ["projection"])
RETENTION_ERASED: Final = Counter("rollbook_retention_erased_total", "Contacts erased because their time was over")
RETENTION_FAILED: Final = Counter("rollbook_retention_failed_total", "Contacts that were due and could not be erased")
RETENTION_ROUND: Final = Gauge("rollbook_retention_round_timestamp_seconds", "When this process last ended a round")


class Figures:
    """The projector's observer, and the check for `/readyz`."""

    def __init__(self, projections: Collection[str]) -> None:
        self._wanted = frozenset(projections)
        self._live: dict[str, BuildStatus] = {}
        self._told = False

    def applied(self, unit: Unit, events: int, seconds: float, position: int, recorded_at: datetime | None) -> None:
        APPLIED.labels(unit.name).inc(events)
        BATCH_SECONDS.labels(unit.name).observe(seconds)
        if recorded_at is not None:
            VISIBLE_SECONDS.labels(unit.name).observe(max(0.0, (datetime.now(UTC) - recorded_at).total_seconds()))

    def parked(self, unit: Unit, failures: Sequence[Failure]) -> None:
        for failure in failures:
            log.error("a key is parked", **_place(unit), position=failure.position, reason=failure.error)

    def troubled(self, unit: Unit | None, trouble: str) -> None:
        if unit is None:
            log.warning("cannot share out work", reason=trouble)
        else:
            TROUBLE.labels(unit.name).inc()
            log.error("a projection does not move", **_place(unit), reason=trouble)

    def rebuilding(self, name: str, progress: RebuildProgress) -> None:
        REBUILD_DONE.labels(name).set(progress.done / progress.total if progress.total else 0)

    def status(self, builds: list[BuildStatus]) -> None:
        """Told once a second by `eventstore.status.watch`."""
        self._told = True
        self._live = {build.name: build for build in builds if build.state == "live" and build.name in self._wanted}
        for name, build in self._live.items():
            LAG_EVENTS.labels(name).set(build.lag_events)
            LAG_MS.labels(name).set(build.lag_ms)
            PARKED.labels(name).set(build.parked_keys)

    async def ready(self, lag_limit_s: float) -> str | None:
        """What is wrong with the read models, if anything."""
        if not self._told:
            return "nothing is known of the read models yet"
        missing = sorted(self._wanted - self._live.keys())
        if missing:
            return f"no live build of {', '.join(missing)}"
        late = sorted(name for name, build in self._live.items() if build.lag_ms > lag_limit_s * 1000)
        return f"behind the log: {', '.join(late)}" if late else None


def _place(unit: Unit) -> dict[str, object]:
    return {
        "projection": unit.name,
        "build": unit.build,
        "lane": unit.lane,
        "slices": f"{unit.slice_from}-{unit.slice_to}",
    }
