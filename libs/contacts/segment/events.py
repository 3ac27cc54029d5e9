"""What can happen to the definition of a segment. Who enters and leaves is no event of the log: it follows from it.

Events only ever grow by fields with defaults.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import msgspec

CATEGORY: Final = "segment"


class _Fact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Shared shape of events: immutable, defaults left out of the payload."""


class SegmentCreated(_Fact, frozen=True, kw_only=True):
    """The first event of every segment."""

    name: str
    #: As it was sent; `smartsearch.parse` accepted it.
    filter: Any


class SegmentRenamed(_Fact, frozen=True, kw_only=True):
    """It is called otherwise from here on."""

    name: str


class SegmentRedefined(_Fact, frozen=True, kw_only=True):
    """Others are in it from here on; who was in it before stays as it was."""

    filter: Any


class SegmentArchived(_Fact, frozen=True, kw_only=True):
    """Nobody is in it any more. Its definition stays, also for segments that refer to it."""


class SegmentRestored(_Fact, frozen=True, kw_only=True):
    """Whoever matches is in it again."""


SegmentEvent: TypeAlias = SegmentCreated | SegmentRenamed | SegmentRedefined | SegmentArchived | SegmentRestored
