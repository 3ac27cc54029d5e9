"""A contact's past, by folding its stream: its state as of any moment, its changes as entries. Writes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from contacts import errors
from contacts.contact.decider import fold, initial
from contacts.contact.state import CATEGORY, Contact
from contacts.merge.component import meet_at
from contacts.merge.view import view
from eventstore.envelope import RecordedEvent, Stream, Unreadable
from eventstore.store import POSITION_MAX, EventStore

#: Present in every change and told by the entry itself.
_TOLD_BY_ENTRY: Final = frozenset(
    {"id", "version", "changed_at", "erased", "erased_by", "composition", "absorbed", "absorbed_by"}
)
_FIELDS: Final = tuple(name for name in Contact.__struct_fields__ if name not in _TOLD_BY_ENTRY)


class FieldChange(msgspec.Struct, frozen=True, kw_only=True):
    """One field before and after; custom attributes one by one as `attributes.<key>`."""

    field: str
    old: Any = None
    new: Any = None


class HistoryEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a contact, as a reader wants it."""

    #: Its stable name, `contact.created` and so on.
    event: str
    event_id: UUID
    version: int
    #: `Rollbook-Position` token: a contact read as of it shows this change.
    position: str
    recorded_at: datetime
    occurred_at: datetime | None
    actor: str | None
    source: str | None
    correlation_id: str | None
    operation_id: UUID | None
    #: Its content is gone: the contact was erased.
    erased: bool
    changes: tuple[FieldChange, ...]


async def as_of(
    store: EventStore,
    workspace_id: UUID,
    contact_id: UUID,
    *,
    version: int | None = None,
    position: int | None = None,
    time: datetime | None = None,
) -> Contact:
    """The contact as it was then, the moment itself included; the present one where no moment is given.

    Of a contact that was absorbed then it is the profile of the one that stood for it.

    Raises ContactNotFound where it did not exist yet, or never.
    """
    stream = Stream(workspace_id, CATEGORY, contact_id)
    moment = POSITION_MAX if position is None else position
    if time is not None:
        moment = min(moment, await store.position_at(store.lane_of(workspace_id), time))
    if version is not None:
        moment = min(
            [moment, *(event.position for event in (await store.read_stream(stream, to_version=version))[-1:])]
        )
    met = await meet_at(store, stream, moment)
    if not met.state.exists:
        raise errors.ContactNotFound(contact_id)
    return view(met.state, met.others)


async def history(store: EventStore, workspace_id: UUID, contact_id: UUID) -> list[HistoryEntry]:
    """Every change, oldest first. Raises ContactNotFound."""
    contact = initial(contact_id)
    entries: list[HistoryEntry] = []
    for recorded in await store.read_stream(Stream(workspace_id, CATEGORY, contact_id)):
        after = fold(contact, recorded)
        entries.append(_entry(recorded, contact, after))
        contact = after
    if not entries:
        raise errors.ContactNotFound(contact_id)
    return entries


def difference(old: Contact, new: Contact) -> tuple[FieldChange, ...]:
    """What differs between two states of one contact, by field."""
    return tuple(_changes(old, new))


def _entry(recorded: RecordedEvent[Any], before: Contact, after: Contact) -> HistoryEntry:
    metadata = recorded.metadata
    return HistoryEntry(
        event=recorded.type,
        event_id=recorded.event_id,
        version=recorded.version,
        position=f"{recorded.lane}.{recorded.position}",
        recorded_at=recorded.recorded_at,
        occurred_at=metadata.occurred_at,
        actor=metadata.actor,
        source=metadata.source,
        correlation_id=metadata.correlation_id,
        operation_id=metadata.operation_id,
        erased=isinstance(recorded.event, Unreadable),
        changes=difference(before, after),
    )


def _changes(old: Contact, new: Contact) -> Iterator[FieldChange]:
    for field in _FIELDS:
        before, after = getattr(old, field), getattr(new, field)
        if field == "attributes":
            for key in sorted({*before, *after}):
                if before.get(key) != after.get(key):
                    yield FieldChange(field=f"attributes.{key}", old=before.get(key), new=after.get(key))
        elif before != after:
            yield FieldChange(field=field, old=before, new=after)
