"""What one can ask of a list. Names are parsed (`lists/input.py`); ids come from outside."""

from __future__ import annotations

from typing import TypeAlias
from uuid import UUID

import msgspec


class _Command(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Shared shape of commands: which list of which workspace."""

    workspace_id: UUID
    list_id: UUID


class CreateList(_Command, frozen=True, kw_only=True):
    """A new list with a new id. Refused: ListAlreadyExists."""

    name: str


class RenameList(_Command, frozen=True, kw_only=True):
    """Refused: ListNotFound."""

    name: str


class ArchiveList(_Command, frozen=True, kw_only=True):
    """It takes no new members; a repeat changes nothing. Refused: ListNotFound."""


class RestoreList(_Command, frozen=True, kw_only=True):
    """It takes members again; a repeat changes nothing. Refused: ListNotFound."""


ListCommand: TypeAlias = CreateList | RenameList | ArchiveList | RestoreList
