"""What one can ask of merges. Values are parsed (`merge/input.py`); ids come from outside."""

from __future__ import annotations

from typing import TypeAlias
from uuid import UUID

import msgspec

from contacts.contact.events import UnmergeMode


class _Command(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Shared shape of commands: which merge of which workspace."""

    workspace_id: UUID
    merge_id: UUID


class MergeContacts(_Command, frozen=True, kw_only=True):
    """One profile for several contacts, with a new id for the merge. What is merged already is passed over.

    Refused: ContactNotFound, ContactIsDeleted, ContactIsErased, ContactIsBlocked, MergedWithItself, AlreadyAbsorbed,
    InvalidInput, TooMany.
    """

    #: An absorbed one stands for the contact that absorbed it.
    primary: UUID
    #: In the order in which they fill what is empty.
    others: tuple[UUID, ...]
    #: Whose value is shown, by field; custom attributes as `attributes.<key>`. All else is the primary's, and what is
    #: empty there the first other's that has it.
    choices: dict[str, UUID] = {}
    #: Deleted contacts are restored by it instead of refused; what others hold meanwhile they give up.
    restore: bool = False
    reason: str | None = None


class UnmergeContacts(_Command, frozen=True, kw_only=True):
    """Contacts of a merge stand for themselves again; those that do already are passed over.

    Refused: MergeNotFound, NotInMerge, InvalidChoice, ContactIsErased, ClaimTakenRefusal (the merged profile was
    deleted, or an edit is given back, and somebody else took the value since).
    """

    #: None means all.
    contacts: tuple[UUID, ...] = ()
    mode: UnmergeMode = "subtree"
    #: Which of them an edit of the merged profile goes with, by field; all other edits stay.
    assign: dict[str, UUID] = {}
    #: Where the profile is deleted and somebody took unique values meanwhile: those that leave go without them.
    release: bool = False


MergeCommand: TypeAlias = MergeContacts | UnmergeContacts
