"""Why a contact was not restored: somebody else holds what it had, and the caller has to say what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from contacts.contact.events import Released
from contacts.errors import ClaimTakenRefusal


class RestoreConflict(ClaimTakenRefusal):
    """Values of the contact were taken meanwhile. Repeating with another `on_conflict` restores it all the same."""

    def __init__(self, contact_id: UUID, taken: Sequence[Released], primary: UUID | None) -> None:
        super().__init__(taken[0].field, taken[0].holder)
        self.contact_id = contact_id
        #: Never none.
        self.taken = tuple(taken)
        #: The contact that it can be merged into; None where one of the two is blocked.
        self.primary = primary
