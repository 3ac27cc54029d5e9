"""What can happen to a list itself. Who joins or leaves it is a fact of the contact (`contact/events.py`).

Events only ever grow by fields with defaults.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec

CATEGORY: Final = "list"


class _Fact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Shared shape of events: immutable, defaults left out of the payload."""


class ListCreated(_Fact, frozen=True, kw_only=True):
    """The first event of every list."""

    name: str


class ListRenamed(_Fact, frozen=True, kw_only=True):
    """It is called otherwise from here on."""

    name: str


class ListArchived(_Fact, frozen=True, kw_only=True):
    """It takes no new members; those it has stay."""


class ListRestored(_Fact, frozen=True, kw_only=True):
    """It takes members again."""


ListEvent: TypeAlias = ListCreated | ListRenamed | ListArchived | ListRestored
