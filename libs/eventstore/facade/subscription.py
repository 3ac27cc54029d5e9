"""The library's subscription to an application's sequence: woken by NOTIFY, and by a poll where that got lost."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from threading import Event
from typing import Final

from eventsourcing.persistence import ApplicationRecorder, Notification, Subscription

POLL_INTERVAL_S: Final = 0.5
SELECT_LIMIT: Final = 500


class LogSubscription(Subscription[ApplicationRecorder]):
    """Reads in the thread that iterates; has no thread of its own. `stop` may be called from any other."""

    def __init__(
        self,
        recorder: ApplicationRecorder,
        gt: int | None,
        topics: Sequence[str],
        watch: Callable[[Event], Callable[[], None]],
    ) -> None:
        """`watch` sets the given event whenever the log has moved, until the function it answers is called."""
        super().__init__(recorder=recorder, gt=gt, topics=topics)
        self._buffer: deque[Notification] = deque()
        self._moved = Event()
        self._unwatch = watch(self._moved)

    def stop(self) -> None:
        super().stop()
        self._unwatch()
        self._moved.set()

    def __next__(self) -> Notification:
        while not self._has_been_stopped:
            if self._buffer:
                return self._buffer.popleft()
            self._moved.clear()
            if not self._pull():
                self._moved.wait(POLL_INTERVAL_S)
        raise StopIteration

    def _pull(self) -> bool:
        """Cleared before reading, so that an append in between is never slept through."""
        notifications = self._recorder.select_notifications(
            start=self._last_notification_id or 0, limit=SELECT_LIMIT, topics=self._topics, inclusive_of_start=False
        )
        if notifications:
            self._last_notification_id = notifications[-1].id
        self._buffer.extend(notifications)
        return bool(notifications)
