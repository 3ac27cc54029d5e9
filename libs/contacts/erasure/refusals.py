"""Why nothing was erased."""

from __future__ import annotations

from uuid import UUID

from contacts.errors import Refusal


class NotDeletedLongEnough(Refusal):
    """The contact is present again, or was deleted anew: its time begins anew as well."""

    def __init__(self, contact_id: UUID) -> None:
        super().__init__(f"contact {contact_id} was not deleted long enough ago")
        self.contact_id = contact_id
