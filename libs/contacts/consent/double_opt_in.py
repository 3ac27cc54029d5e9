"""Double opt-in: an e-mail that comes with a contact of certain sources waits to be confirmed, from the first moment.

Which sources is a setting of the workspace and comes with the command. The request is appended with the contact itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from contacts.addresses import EMAIL, AddressKeys
from contacts.consent.commands import RequestDoubleOptIn
from contacts.contact.commands import ContactCommand, CreateContact, EditContact
from contacts.contact.decider import evolve
from contacts.contact.state import Contact
from contacts.execution import EPOCH, NOTHING_BESIDE, Besides
from contacts.facts import Facts


class DoubleOptIn:
    """What a new e-mail of a contact causes in the ledger of that address; nothing for most."""

    def __init__(self, facts: Facts, keys: AddressKeys) -> None:
        self._facts = facts
        self._keys = keys

    async def __call__(
        self, command: ContactCommand, before: Contact, events: Sequence[Any], *, fresh: bool
    ) -> Besides:
        if not isinstance(command, CreateContact | EditContact) or not command.double_opt_in:
            return NOTHING_BESIDE
        after = before
        for event in events:
            after = evolve(after, event, EPOCH)
        if after.source not in command.double_opt_in or after.email is None or after.email == before.email:
            return NOTHING_BESIDE
        asked = RequestDoubleOptIn(
            workspace_id=command.workspace_id,
            address=self._keys.email(after.email),
            channel=EMAIL,
            source=after.source,
            contact_id=after.id,
        )
        return await self._facts.beside([asked], fresh=fresh)
