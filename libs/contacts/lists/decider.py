"""List rules: (command, state) -> events, and the fold. No I/O, no clock."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import replace

from contacts.lists import commands as c
from contacts.lists import events as e
from contacts.lists.refusals import ListAlreadyExists, ListNotFound
from eventstore.envelope import RecordedEvent


class ContactList(msgspec.Struct, frozen=True, kw_only=True):
    """What a list's own stream says of it. Version 0: it was never created."""

    id: UUID
    version: int = 0
    name: str = ""
    created_at: datetime | None = None
    changed_at: datetime | None = None
    archived_at: datetime | None = None

    @property
    def exists(self) -> bool:
        return self.version > 0

    @property
    def archived(self) -> bool:
        return self.archived_at is not None


def initial(list_id: UUID) -> ContactList:
    """The state before the first event."""
    return ContactList(id=list_id)


def decide(command: c.ListCommand, list_: ContactList) -> list[e.ListEvent]:
    """The events `command` causes; none where everything is as wanted already. Raises as each command names."""
    if isinstance(command, c.CreateList):
        if list_.exists:
            raise ListAlreadyExists(list_.id)
        return [e.ListCreated(name=command.name)]
    if not list_.exists:
        raise ListNotFound(list_.id)
    match command:
        case c.RenameList(name=name):
            return [] if name == list_.name else [e.ListRenamed(name=name)]
        case c.ArchiveList():
            return [] if list_.archived else [e.ListArchived()]
        case c.RestoreList():
            return [e.ListRestored()] if list_.archived else []


def evolve(list_: ContactList, event: e.ListEvent, at: datetime) -> ContactList:
    """The state after `event`, recorded `at`. Total: any event can follow any state."""
    after = replace(list_, version=list_.version + 1, changed_at=at)
    match event:
        case e.ListCreated(name=name):
            return replace(after, name=name, created_at=at)
        case e.ListRenamed(name=name):
            return replace(after, name=name)
        case e.ListArchived():
            return replace(after, archived_at=at)
        case e.ListRestored():
            return replace(after, archived_at=None)


def fold(list_: ContactList, recorded: RecordedEvent[Any]) -> ContactList:
    """`evolve` for an event as the log holds it."""
    return evolve(list_, recorded.event, recorded.recorded_at)
