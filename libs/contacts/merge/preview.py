"""What a merge or unmerge would come to, decided by the rules that would carry it out. Pure; changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

import msgspec

from contacts.contact.composition import ATTRIBUTE_PREFIX, PLAIN_FIELDS
from contacts.contact.events import UnmergeMode
from contacts.contact.state import Contact
from contacts.merge.edits import Edit
from contacts.merge.profile import Profile
from contacts.merge.view import owners, value_of


class PartyValue(msgspec.Struct, frozen=True, kw_only=True):
    """What one of the parties shows before the merge."""

    contact: UUID
    value: Any


class FieldOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """One field that any party has a value in."""

    #: A plain field or `attributes.<key>`.
    field: str
    value: Any
    #: The contact that says so itself, which may be part of a party; None where nothing is shown.
    contact: UUID | None
    #: Somebody chose it.
    chosen: bool
    #: Parties show different values, so that one of them will not be seen.
    conflict: bool
    #: The primary first; parties without a value are left out.
    values: tuple[PartyValue, ...]


class MergePreview(msgspec.Struct, frozen=True, kw_only=True):
    """Both sides and the outcome."""

    primary: Contact
    others: tuple[Contact, ...]
    outcome: Contact
    fields: tuple[FieldOutcome, ...]


class UnmergePreview(msgspec.Struct, frozen=True, kw_only=True):
    """Who leaves, what everybody will be, and what was edited meanwhile."""

    mode: UnmergeMode
    #: The profile that they are part of, as it is now; None where nobody is left to leave.
    now: Contact | None
    #: The same without them.
    remaining: Contact | None
    #: Those that leave, as they will be.
    leaving: tuple[Contact, ...]
    #: What was edited since they came; it stays unless it is assigned to one of them.
    edits: tuple[Edit, ...]


def merge_preview(
    primary: Profile, others: Iterable[Profile], outcome: Profile, choices: Mapping[str, UUID]
) -> MergePreview:
    """`outcome` is the primary's profile after the merge."""
    sides = (primary.shown, *(other.shown for other in others))
    shown = outcome.shown
    whose = owners(outcome.root, outcome.others)
    fields = []
    for field in _fields(sides):
        values = tuple(
            PartyValue(contact=side.id, value=value) for side in sides if (value := value_of(side, field)) is not None
        )
        if values:
            value = value_of(shown, field)
            fields.append(
                FieldOutcome(
                    field=field,
                    value=value,
                    contact=None if value is None else whose.get(field, shown.id),
                    chosen=field in choices,
                    conflict=any(each.value != values[0].value for each in values),
                    values=values,
                )
            )
    return MergePreview(primary=sides[0], others=sides[1:], outcome=shown, fields=tuple(fields))


def _fields(sides: Iterable[Contact]) -> Iterable[str]:
    attributes = sorted({key for side in sides for key in side.attributes})
    return (*PLAIN_FIELDS, *(ATTRIBUTE_PREFIX + key for key in attributes))
