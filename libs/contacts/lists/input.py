"""What callers send for a list, and its way into commands. No I/O."""

from __future__ import annotations

from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from contacts import values
from contacts.errors import InvalidField, InvalidInput
from contacts.faults import Faults
from contacts.lists.commands import CreateList, RenameList

#: Contacts that one request may add or remove.
MEMBERS_MAX: Final = 10_000


class ListInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a list is called."""

    name: str


class MembersInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which contacts to add or remove: by their ids, each taken once, or all that match a smart search now."""

    contacts: Annotated[list[UUID], msgspec.Meta(min_length=1, max_length=MEMBERS_MAX)] | UnsetType = UNSET
    filter: dict[str, Any] | UnsetType = UNSET


def parse_members(sent: MembersInput) -> list[UUID] | dict[str, Any]:
    """The ids or the filter. Raises InvalidInput where there is neither, or both."""
    if sent.contacts is not UNSET and sent.filter is UNSET:
        return sent.contacts
    if sent.filter is not UNSET and sent.contacts is UNSET:
        return sent.filter
    raise InvalidInput([InvalidField("", "names no contacts, or names them twice", "either contacts or filter")])


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
