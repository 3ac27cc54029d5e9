"""What callers send for a list, and its way into commands. No I/O."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import msgspec

from contacts import values
from contacts.faults import Faults
from contacts.lists.commands import CreateList, RenameList

#: Contacts that one request may add or remove.
MEMBERS_MAX = 10_000


class ListInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a list is called."""

    name: str


class MembersInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which contacts to add or remove. One that is named twice is taken once."""

    contacts: Annotated[list[UUID], msgspec.Meta(min_length=1, max_length=MEMBERS_MAX)]


def create_list(sent: ListInput, workspace_id: UUID, list_id: UUID) -> CreateList:
    """Raises InvalidInput."""
    return CreateList(workspace_id=workspace_id, list_id=list_id, name=parse_name(sent.name))


def rename_list(sent: ListInput, workspace_id: UUID, list_id: UUID) -> RenameList:
    """Raises InvalidInput."""
    return RenameList(workspace_id=workspace_id, list_id=list_id, name=parse_name(sent.name))


def parse_name(name: str) -> str:
    """Of a list or a segment. Raises InvalidInput."""
    fault = Faults()
    parsed = fault.parse("/name", values.parse_name, name)
    fault.raise_if_any()
    assert parsed is not None
    return parsed
