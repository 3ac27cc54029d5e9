"""What callers send for merges, and its one way into commands: every edge parses here. No I/O."""

from __future__ import annotations

from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec

from contacts.contact.events import UnmergeMode
from contacts.merge.commands import MergeContacts, UnmergeContacts

#: More are refused before anybody looks at them; how many may be merged is a rule (`decider.WIDTH_MAX`).
NAMED_MAX: Final = 1_000


class _Input(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """Shared shape of what callers send: unknown fields are refused."""


class MergeInput(_Input, frozen=True, kw_only=True):
    """Contacts to merge."""

    #: The contact that the others become part of. An absorbed one stands for the contact that absorbed it.
    primary: UUID
    #: At most 100 that are not part of it yet; they fill what is empty in this order.
    others: Annotated[list[UUID], msgspec.Meta(min_length=1, max_length=NAMED_MAX)]
    #: Whose value is shown, by field (`first_name`, `attributes.<key>` …). All else is the primary's.
    choices: dict[str, UUID] = {}
    #: Restore those that are deleted. An `external_id` or `messaging_id` that somebody took meanwhile stays there.
    restore: bool = False


class UnmergeInput(_Input, frozen=True, kw_only=True):
    """Contacts to take out of a merge."""

    #: None means all that the merge still holds.
    contacts: Annotated[list[UUID], msgspec.Meta(max_length=NAMED_MAX)] = []
    #: With all that they had absorbed themselves, or each alone: then that stays.
    mode: UnmergeMode = "subtree"
    #: Which of them an edit of the merged profile goes with, by field; all other edits stay.
    assign: dict[str, UUID] = {}
    #: What to do where a contact would hold an `external_id` or `messaging_id` again that somebody took meanwhile.
    on_conflict: Literal["refuse", "release"] = "refuse"


def merge_contacts(sent: MergeInput, *, workspace_id: UUID, merge_id: UUID) -> MergeContacts:
    return MergeContacts(
        workspace_id=workspace_id,
        merge_id=merge_id,
        primary=sent.primary,
        others=tuple(sent.others),
        choices=sent.choices,
        restore=sent.restore,
    )


def unmerge_contacts(sent: UnmergeInput, *, workspace_id: UUID, merge_id: UUID) -> UnmergeContacts:
    return UnmergeContacts(
        workspace_id=workspace_id,
        merge_id=merge_id,
        contacts=tuple(sent.contacts),
        mode=sent.mode,
        assign=sent.assign,
        release=sent.on_conflict == "release",
    )
