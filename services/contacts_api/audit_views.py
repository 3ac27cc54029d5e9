"""The JSON of provenance and differences, around what the domain found. No queries here."""

from __future__ import annotations

from uuid import UUID

from contacts.audit.diff import FieldDifference
from contacts.audit.provenance import FieldProvenance
from contacts_api.views import View


class ProvenanceView(View, frozen=True):
    """Where everything that a contact shows comes from."""

    #: The contact shown: the one asked for, or the one that stands for it.
    id: UUID
    version: int
    #: In the order of the contact's fields.
    fields: tuple[FieldProvenance, ...]


class MomentView(View, frozen=True):
    """One of two moments."""

    position: str
    #: The contact shown then: another one where it was merged; null before there was any.
    contact: UUID | None
    version: int


class DifferenceView(View, frozen=True):
    """What differs between two moments of a contact."""

    before: MomentView
    after: MomentView
    #: Those that differ, in the order of the contact's fields.
    fields: tuple[FieldDifference, ...]
