"""What differs of a contact between two moments, and the events in between that made it so. Pure."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec

from contacts.audit.chronicle import Chronicle
from contacts.audit.fields import standing_difference
from contacts.audit.refs import EventRef, ref
from contacts.audit.words import Names
from contacts.contact.changes import difference
from contacts.contact.state import initial


class FieldDifference(msgspec.Struct, frozen=True, kw_only=True):
    """One field."""

    #: As in the contact; custom attributes as `attributes.<key>`, consents as `consents.<channel>`.
    field: str
    before: Any
    after: Any
    #: Each that changed the field, oldest first: the last one made it what it is.
    events: tuple[EventRef, ...]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Two moments of one contact."""

    #: The contact shown at each moment: another one where it was merged. Null before there was any.
    contact_before: UUID | None
    contact_after: UUID | None
    version_before: int
    version_after: int
    fields: tuple[FieldDifference, ...]


def diff(chronicle: Chronicle, names: Names, *, after: int, upto: int) -> Difference:
    """Between the positions `after` and `upto`; the events at `after` itself belong to before."""
    old, new = chronicle.at(after), chronicle.at(upto)
    nothing = initial(chronicle.contact_id)
    changes = (*difference(old or nothing, new or nothing), *standing_difference(old or nothing, new or nothing))
    between = [step for step in chronicle.steps if step.shown and after < step.recorded.position <= upto]
    return Difference(
        contact_before=None if old is None else old.id,
        contact_after=None if new is None else new.id,
        version_before=0 if old is None else old.version,
        version_after=0 if new is None else new.version,
        fields=tuple(
            FieldDifference(
                field=change.field,
                before=change.old,
                after=change.new,
                events=tuple(
                    ref(step.recorded, names)
                    for step in between
                    if any(each.field == change.field for each in step.changes)
                ),
            )
            for change in changes
        ),
    )
