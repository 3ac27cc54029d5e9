"""The event store as a persistence module of the `eventsourcing` library: `PERSISTENCE_MODULE=eventstore.facade`.

Synchronous and thin: each factory runs the asynchronous store on a thread of its own. No aggregates, no rules.
"""

from eventstore.facade.factory import LogFactory
from eventstore.facade.recorders import (
    LogAggregateRecorder,
    LogApplicationRecorder,
    LogProcessRecorder,
    LogSnapshotRecorder,
    LogTrackingRecorder,
)

__all__ = [
    "LogAggregateRecorder",
    "LogApplicationRecorder",
    "LogFactory",
    "LogProcessRecorder",
    "LogSnapshotRecorder",
    "LogTrackingRecorder",
]
