"""The history of a contact as entries that can be read, merged contacts' earlier history included. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec

from contacts.audit.chronicle import Chronicle, Step
from contacts.audit.refs import ref
from contacts.audit.sentences import sentence
from contacts.audit.words import Names
from contacts.contact.changes import FieldChange
from eventstore.envelope import Unreadable

if TYPE_CHECKING:
    from contacts.proof import ProofRecorded


class HistoryEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One event, as a reader wants it."""

    #: Its stable name, `contact.created` and so on.
    event: str
    #: Null for a fact that another workspace of the installation recorded.
    event_id: UUID | None
    #: Of the contact whose event it is, after it; of what this workspace recorded of an address for a fact about one.
    version: int
    #: `Rollbook-Position` token: a contact read as of it shows this change.
    position: str
    recorded_at: datetime
    occurred_at: datetime | None
    actor: str | None
    #: The actor in words.
    actor_name: str | None
    source: str | None
    correlation_id: str | None
    operation_id: UUID | None
    #: Whose event it is; null for a fact about an address.
    contact: UUID | None
    #: It happened to a contact that was merged later, and changed nothing of what was shown then.
    before_merge: bool
    #: The merge that made it part of this history.
    merge: UUID | None
    #: Who did what, how and why.
    sentence: str
    #: Its content is gone: the contact was erased.
    erased: bool
    #: Of what was shown; before a merge of the contact itself.
    changes: tuple[FieldChange, ...]


def entries(steps: Iterable[Step], chronicle: Chronicle, names: Names) -> list[HistoryEntry]:
    """Some steps of a contact in words."""
    return [_entry(step, chronicle, names) for step in steps]


def belonging(chronicle: Chronicle) -> list[Step]:
    """In the order of the log. Of contacts that came out of it again only what happened while they were part of it."""
    return [step for step in chronicle.steps if _belongs(step, chronicle)]


def _belongs(step: Step, chronicle: Chronicle) -> bool:
    if step.contact is None:
        return step.digest in chronicle.digests
    return step.shown or step.contact in chronicle.members


def _entry(step: Step, chronicle: Chronicle, names: Names) -> HistoryEntry:
    recorded, told = step.recorded, ref(step.recorded, names)
    proof: ProofRecorded | None = chronicle.proofs.get((recorded.category, recorded.stream_id, recorded.version))
    own = recorded.workspace_id == names.workspace_id
    before_merge = step.contact is not None and not step.shown
    return HistoryEntry(
        event=told.event,
        event_id=told.event_id,
        version=recorded.version if own else 0,
        position=told.position,
        recorded_at=told.recorded_at,
        occurred_at=told.occurred_at,
        actor=told.actor,
        actor_name=told.actor_name,
        source=told.source,
        correlation_id=told.correlation_id,
        operation_id=told.operation_id,
        contact=told.contact,
        before_merge=before_merge,
        merge=chronicle.members.get(step.contact) if step.contact is not None else None,
        sentence=sentence(step, names, proof, own_workspace=own),
        erased=isinstance(recorded.event, Unreadable),
        changes=step.changes,
    )
