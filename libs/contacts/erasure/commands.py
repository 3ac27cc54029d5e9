"""What one can ask of erasure."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from contacts.contact.events import ErasureReason


class EraseContact(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Destroys everything personal about a contact and all that it stands for, deleted or not; there is no way back.

    Refused: ContactNotFound, NotDeletedLongEnough. Of an erased contact nothing is left to erase: the first certificate
    is the answer.
    """

    workspace_id: UUID
    contact_id: UUID
    #: Used only if there is something to erase.
    erasure_id: UUID
    #: A code and never free text: it stays readable.
    reason: ErasureReason
    #: Only if it was deleted by then and still is; None erases it in any case.
    deleted_before: datetime | None = None
