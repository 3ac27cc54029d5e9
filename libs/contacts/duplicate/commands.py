"""What one can ask about duplicates. Values are parsed (`duplicate/input.py`)."""

from __future__ import annotations

from typing import Literal, TypeAlias
from uuid import UUID

import msgspec

from contacts.duplicate.keys import AddressKind, By

#: Which contact of a group stays, by when it was created.
Keep: TypeAlias = Literal["earliest", "latest"]


class DismissDuplicate(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """These are no duplicates, or it does not matter; a repeat changes nothing. Refused: DuplicateNotFound."""

    workspace_id: UUID
    by: By
    #: The address in its normal form, or a `pair_key`.
    key: str


class RemoveDuplicates(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Deletes all contacts of each group but one. Refused: UnexpectedCount."""

    workspace_id: UUID
    by: AddressKind
    keep: Keep
    #: Addresses in their normal form; None for every group that is not dismissed.
    keys: tuple[str, ...] | None
    reason: str
    #: How many contacts the caller thinks will be deleted in all.
    expected_count: int | None = None
