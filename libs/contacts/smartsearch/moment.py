"""When a filter is asked, and which instant a local time is: the only place that knows time zones. No I/O, no clock."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import cache, lru_cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

import msgspec

#: Local times between them are instants of the calendar in every zone.
YEAR_MIN: Final = 1000
YEAR_MAX: Final = 9000


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """What `now` means, whose days are meant where nothing else is said, and as of when the contacts are looked at."""

    #: In UTC.
    now: datetime
    #: The workspace's.
    time_zone: str
    #: None: as they are.
    position: int | None = None


def to_instant(local: datetime, zone: str) -> datetime:
    """In UTC. A local time that occurs twice is the first; one that is skipped is as long after the jump as it says."""
    return local.replace(tzinfo=ZoneInfo(zone), fold=0).astimezone(UTC)


def day_start(day: date, zone: str) -> datetime:
    """The first instant of a day."""
    return to_instant(datetime.combine(day, time()), zone)


def today(now: datetime, zone: str) -> date:
    return now.astimezone(ZoneInfo(zone)).date()


@cache
def zones() -> tuple[str, ...]:
    """Every zone that a contact can have."""
    return tuple(sorted(available_timezones()))


@lru_cache(maxsize=256)
def instants_by_zone(local: datetime) -> dict[str, datetime]:
    """Which instant a local time is in every zone."""
    return {zone: to_instant(local, zone) for zone in zones()}


def todays_by_zone(now: datetime) -> dict[str, date]:
    """Which day it is in every zone."""
    return {zone: today(now, zone) for zone in zones()}


def days(duration: timedelta) -> int:
    """Of a duration that is whole days."""
    return duration.days
