"""Why a command about a list was refused."""

from __future__ import annotations

from uuid import UUID

from contacts.errors import Refusal


class ListNotFound(Refusal):
    """No such list in this workspace; also the answer for a list of another workspace."""

    def __init__(self, list_id: UUID) -> None:
        super().__init__(f"list {list_id} does not exist")
        self.list_id = list_id


class ListAlreadyExists(Refusal):
    """The id of a new list is in use."""

    def __init__(self, list_id: UUID) -> None:
        super().__init__(f"list {list_id} exists already")
        self.list_id = list_id


class ListIsArchived(Refusal):
    """An archived list takes no new members."""

    def __init__(self, list_id: UUID) -> None:
        super().__init__(f"list {list_id} is archived; restore it first")
        self.list_id = list_id
