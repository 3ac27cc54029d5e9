"""The JSON of merges: what was merged, what a merge or unmerge would come to. No queries here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from contacts.contact.events import UnmergeMode
from contacts.contact.state import Contact
from contacts.merge.preview import FieldOutcome, MergePreview, UnmergePreview
from contacts.merge.state import Merge
from contacts_api.views import ContactView, View, contact_view


class ReversalView(View, frozen=True, kw_only=True):
    """One unmerge."""

    contacts: tuple[UUID, ...]
    #: The profile they were part of then.
    out_of: UUID
    mode: UnmergeMode
    #: Which contact each edit went with, by field.
    assigned: dict[str, UUID]
    at: datetime


class MergeView(View, frozen=True, kw_only=True):
    """One merge, and what was taken out of it again."""

    id: UUID
    primary: UUID
    #: All that it absorbed.
    others: tuple[UUID, ...]
    #: Those of the others that did not come out again.
    merged: tuple[UUID, ...]
    #: Whose value was chosen, by field.
    choices: dict[str, UUID]
    merged_at: datetime
    #: Oldest first.
    reversals: tuple[ReversalView, ...]


class PartyValueView(View, frozen=True, kw_only=True):
    """What one of the parties shows."""

    contact: UUID
    value: Any


class FieldOutcomeView(View, frozen=True, kw_only=True):
    """One field that any party has a value in."""

    field: str
    value: Any
    #: The contact that says so itself; null where nothing is shown.
    contact: UUID | None
    chosen: bool
    #: Parties show different values, so that one of them will not be seen.
    conflict: bool
    #: The primary's first; parties without a value are left out.
    values: tuple[PartyValueView, ...]


class ConsentOutcomeView(View, frozen=True, kw_only=True):
    """How an address or a channel will stand: the most restrictive of all counts."""

    #: `email_status`, `phone_status`, or `consents.<channel>`.
    field: str
    value: str | None
    values: tuple[PartyValueView, ...]


class MergePreviewView(View, frozen=True, kw_only=True):
    """Both sides, and what they would come to."""

    primary: ContactView
    others: tuple[ContactView, ...]
    outcome: ContactView
    fields: tuple[FieldOutcomeView, ...]
    consent: tuple[ConsentOutcomeView, ...]


class EditView(View, frozen=True, kw_only=True):
    """A field that was edited on the merged profile since, and so stays with it unless it is assigned."""

    field: str
    #: The contact that it stays with.
    contact: UUID
    value: Any
    #: What that contact has again if the edit is assigned to one that leaves.
    before: Any


class UnmergePreviewView(View, frozen=True, kw_only=True):
    """Who would leave and what everybody would be. Nobody leaves where all have left before."""

    mode: UnmergeMode
    now: ContactView | None
    #: The profile without those that leave.
    remaining: ContactView | None
    leaving: tuple[ContactView, ...]
    edits: tuple[EditView, ...]


def merge_view(merge: Merge) -> MergeView:
    """It must exist."""
    assert merge.primary is not None
    assert merge.merged_at is not None
    return MergeView(
        id=merge.id,
        primary=merge.primary,
        others=merge.others,
        merged=merge.merged,
        choices=merge.choices,
        merged_at=merge.merged_at,
        reversals=tuple(
            ReversalView(contacts=r.contacts, out_of=r.out_of, mode=r.mode, assigned=r.assigned, at=r.at)
            for r in merge.reversals
        ),
    )


def merge_preview_view(preview: MergePreview, sides: Sequence[Contact], outcome: Contact) -> MergePreviewView:
    """`sides` (the primary first) and `outcome` are those of the preview, with how they stand."""
    primary, *others = map(contact_view, sides)
    after = contact_view(outcome)
    return MergePreviewView(
        primary=primary,
        others=tuple(others),
        outcome=after,
        fields=tuple(map(_field, preview.fields)),
        consent=_consent((primary, *others), after),
    )


def _field(outcome: FieldOutcome) -> FieldOutcomeView:
    return FieldOutcomeView(
        field=outcome.field,
        value=outcome.value,
        contact=outcome.contact,
        chosen=outcome.chosen,
        conflict=outcome.conflict,
        values=tuple(PartyValueView(contact=each.contact, value=each.value) for each in outcome.values),
    )


def _consent(sides: Sequence[ContactView], after: ContactView) -> tuple[ConsentOutcomeView, ...]:
    standings = [(side.id, _standing(side)) for side in sides]
    return tuple(
        ConsentOutcomeView(
            field=field,
            value=value,
            values=tuple(PartyValueView(contact=id_, value=of.get(field)) for id_, of in standings),
        )
        for field, value in _standing(after).items()
    )


def _standing(view: ContactView) -> dict[str, str | None]:
    standing: dict[str, str | None] = {
        "email_status": None if view.email_status is None else view.email_status.status,
        "phone_status": None if view.phone_status is None else view.phone_status.status,
    }
    return standing | {f"consents.{channel}": status for channel, status in view.consents.items()}


def unmerge_preview_view(
    preview: UnmergePreview, now: Contact | None, remaining: Contact | None, leaving: Sequence[Contact]
) -> UnmergePreviewView:
    """The contacts are those of the preview, with how they stand."""
    return UnmergePreviewView(
        mode=preview.mode,
        now=None if now is None else contact_view(now),
        remaining=None if remaining is None else contact_view(remaining),
        leaving=tuple(map(contact_view, leaving)),
        edits=tuple(
            EditView(field=edit.field, contact=edit.contact, value=edit.now, before=edit.before)
            for edit in preview.edits
        ),
    )
