"""What one can ask of restoring. Values are parsed (`contact/input.py`); ids come from outside."""

from __future__ import annotations

from typing import Literal, TypeAlias
from uuid import UUID

import msgspec

#: What is done where others hold what the contact had: tell the caller, become part of the holder, or go without.
OnConflict: TypeAlias = Literal["offer", "merge", "release"]


class BringBack(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A deleted contact is present again, with all it had: tags, lists, channels, activity, what it stands for.

    Nobody is subscribed again by it: consent is about addresses, and this touches none.

    Refused: ContactNotFound, ContactIsErased, RestoreConflict (with `offer`), ContactIsBlocked (with `merge`).
    """

    workspace_id: UUID
    contact_id: UUID
    reason: str | None = None
    on_conflict: OnConflict = "offer"
    #: Used only if it comes to a merge.
    merge_id: UUID
