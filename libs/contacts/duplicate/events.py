"""What can happen to a group or pair of duplicates, as facts in a stream of its own. No rules, no personal data."""

from __future__ import annotations

from typing import Final, TypeAlias
from uuid import UUID

import msgspec

from contacts.duplicate.keys import By

CATEGORY: Final = "duplicate"


class DuplicateDismissed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Somebody says that these are not the same person, or that it does not matter: nobody is to be asked again.

    Which address it is about nobody can tell from the log; the id of the stream is its keyed digest.
    """

    by: By
    #: Of a likely pair; empty where it is about an address, whoever has it now or later.
    contacts: tuple[UUID, ...] = ()


DuplicateEvent: TypeAlias = DuplicateDismissed
