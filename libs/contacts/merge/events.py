"""What can happen to a merge itself, in a stream of its own. It holds ids only, so it stays readable for ever.

What a merge means for each contact stands in the contacts' own streams (`contact/events.py`), in the same append.
"""

from __future__ import annotations

from typing import TypeAlias
from uuid import UUID

import msgspec

from contacts.contact.events import UnmergeMode


class _Fact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Shared shape of events: immutable, defaults left out of the payload."""


class MergeCompleted(_Fact, frozen=True, kw_only=True):
    """The first event of every merge."""

    primary: UUID
    others: tuple[UUID, ...]
    #: Whose value is shown, by field; custom attributes as `attributes.<key>`.
    choices: dict[str, UUID] = {}


class MergeReversed(_Fact, frozen=True, kw_only=True):
    """Some or all of the others stand for themselves again."""

    contacts: tuple[UUID, ...]
    #: The profile they came out of.
    out_of: UUID
    mode: UnmergeMode = "subtree"
    #: Which contact each edit of the merged profile went with, by field; all other edits stayed.
    assigned: dict[str, UUID] = {}


MergeEvent: TypeAlias = MergeCompleted | MergeReversed
