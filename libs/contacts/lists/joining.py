"""Only lists that exist and are open take contacts, whichever way these come: decided with what is to be appended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from contacts.contact.commands import AddContactToLists, ContactCommand, CreateContact, EditContact
from contacts.contact.events import ContactCreated, ContactListed
from contacts.contact.state import Contact
from contacts.errors import InvalidField, InvalidInput
from contacts.execution import NOTHING_BESIDE, Besides
from contacts.lists.decider import ContactList
from contacts.lists.events import CATEGORY
from contacts.lists.handler import ListHandler
from contacts.lists.refusals import ListIsArchived, ListNotFound
from eventstore.envelope import Stream, StreamWrite


class Joining:
    """Looks at the lists that a command puts a contact on; nothing for most.

    Each is appended to with nothing, at the version that was looked at: so none is archived in between.
    """

    def __init__(self, lists: ListHandler) -> None:
        self._lists = lists

    async def __call__(
        self, command: ContactCommand, before: Contact, events: Sequence[Any], *, fresh: bool
    ) -> Besides:
        """Raises InvalidInput with a pointer to each id that is wrong; ListNotFound, ListIsArchived for a command that
        is about lists alone."""
        joined = [list_id for event in events for list_id in _joined(event)]
        if not joined:
            return NOTHING_BESIDE
        lists = await self._lists.look_at(command.workspace_id, joined, fresh=fresh)
        closed = {list_id: list_ for list_id, (list_, _) in lists.items() if list_.archived or not list_.exists}
        if closed:
            _refuse(command, closed)
        looked_at = (
            StreamWrite(stream=Stream(command.workspace_id, CATEGORY, list_id), expected_version=version, events=())
            for list_id, (_, version) in lists.items()
        )
        return Besides(streams=tuple(looked_at))


def _joined(event: Any) -> Iterable[UUID]:
    return event.lists if isinstance(event, ContactCreated | ContactListed) else ()


def _refuse(command: ContactCommand, closed: Mapping[UUID, ContactList]) -> None:
    if isinstance(command, AddContactToLists):
        list_id, list_ = next(iter(closed.items()))
        raise ListIsArchived(list_id) if list_.exists else ListNotFound(list_id)
    raise InvalidInput(_faults(_sent(command), closed))


def _sent(command: ContactCommand) -> Sequence[UUID]:
    sent = command.details.lists if isinstance(command, CreateContact | EditContact) else ()
    return sent or ()


def _faults(sent: Sequence[UUID], closed: Mapping[UUID, ContactList]) -> Iterable[InvalidField]:
    for number, list_id in enumerate(sent):
        if list_id not in closed:
            continue
        if closed[list_id].exists:
            expected = f"one that takes members (POST /v1/lists/{list_id}/restore)"
            yield InvalidField(f"/lists/{number}", f"is an archived list: {list_id}", expected)
        else:
            yield InvalidField(f"/lists/{number}", f"is no list: {list_id}", "the id of a list, as GET /v1/lists shows")
