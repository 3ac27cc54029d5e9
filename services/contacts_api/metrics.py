"""What the API counts, with labels that no client can multiply: route templates, methods, status classes."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from servicekit.metrics import known

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
#: What requests that no route answers are counted under.
UNMATCHED: Final = "unmatched"
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)

REQUESTS: Final = Histogram(
    "rollbook_http_request_seconds",
    "Time from the head of a request to the end of its answer",
    ("route", "method", "status"),
    buckets=_SECONDS,
)
IN_FLIGHT: Final = Gauge("rollbook_http_requests_in_flight", "Requests being answered")
SHED: Final = Counter(
    "rollbook_http_requests_shed_total", "Requests refused at the door because too many were in flight"
)
MICRO_SECONDS: Final = Histogram(
    "rollbook_micro_request_seconds",
    "Time from taking a NATS request to its answer",
    ("verb", "status"),
    buckets=_SECONDS,
)
COMMIT_SECONDS: Final = Histogram(
    "rollbook_append_commit_seconds", "Time of one commit of the log", ("lane",), buckets=_SECONDS
)
BATCH_SIZE: Final = Histogram(
    "rollbook_append_batch_commands", "Commands in one commit of the log", ("lane",), buckets=_SIZES
)
EVENTS: Final = Counter("rollbook_append_events_total", "Events appended to the log", ("lane",))
ACTIVITY: Final = Counter("rollbook_activity_total", "Inbound activities by what became of them", ("outcome",))
HEAD: Final = Gauge("rollbook_append_position", "Last position this process appended", ("lane",))


class RequestTimes:
    """Observes requests; remembers the series of each label set, which the client library looks up slowly."""

    def __init__(self) -> None:
        self._series: dict[tuple[str, str, int], Histogram] = {}

    def observe(self, template: str, method: str, status: int, seconds: float) -> None:
        key = (template, method, status // 100)
        series = self._series.get(key)
        if series is None:
            method = known(method, METHODS)
            key = (template, method, status // 100)
            series = self._series[key] = REQUESTS.labels(template, method, f"{status // 100}xx")
        series.observe(seconds)


class AppendTimes:
    """The store's observer: called once per commit, not per command."""

    def committed(self, lane: int, commands: int, events: int, seconds: float, last_position: int) -> None:
        label = str(lane)
        COMMIT_SECONDS.labels(label).observe(seconds)
        BATCH_SIZE.labels(label).observe(commands)
        EVENTS.labels(label).inc(events)
        HEAD.labels(label).set(last_position)
