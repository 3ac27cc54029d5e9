"""Who may do what: the table of roles and actions (W2). Denied is whatever is not in it."""

from __future__ import annotations

from enum import StrEnum
from typing import Final
from uuid import UUID

import msgspec

from contacts.errors import NotAllowed
from contacts.workspace.events import Role


class Action(StrEnum):
    """Everything that can be allowed; the values are also the scopes of service keys."""

    CONTACTS_READ = "contacts.read"
    #: Past states and who changed what.
    CONTACTS_HISTORY = "contacts.history"
    #: Create and edit, with tags, lists, channels, block and unblock.
    CONTACTS_WRITE = "contacts.write"
    #: Delete and restore one contact.
    CONTACTS_DELETE = "contacts.delete"
    CONTACTS_MERGE = "contacts.merge"
    CONTACTS_IMPORT = "contacts.import"
    CONTACTS_EXPORT = "contacts.export"
    CONTACTS_BULK = "contacts.bulk"
    CONTACTS_ERASE = "contacts.erase"
    ACTIVITY_WRITE = "activity.write"
    #: Segments and lists.
    SEGMENTS_READ = "segments.read"
    SEGMENTS_WRITE = "segments.write"
    #: Unsubscribe, blacklist, report spam.
    SUPPRESSIONS_ADD = "suppressions.add"
    #: The way back, with a reason and a new opt-in.
    SUPPRESSIONS_LIFT = "suppressions.lift"
    SUPPRESSIONS_READ = "suppressions.read"
    ATTRIBUTES_READ = "attributes.read"
    ATTRIBUTES_WRITE = "attributes.write"
    SETTINGS_READ = "settings.read"
    SETTINGS_WRITE = "settings.write"
    WEBHOOKS_READ = "webhooks.read"
    #: A webhook sends what happens to whoever its URL names.
    WEBHOOKS_WRITE = "webhooks.write"
    #: Inbound messages that could not be recorded, as they came.
    DEAD_LETTERS_READ = "dead-letters.read"
    #: Send them again, or drop them.
    DEAD_LETTERS_WRITE = "dead-letters.write"
    MEMBERS_READ = "members.read"
    MEMBERS_WRITE = "members.write"
    KEYS_READ = "keys.read"
    KEYS_WRITE = "keys.write"
    #: Who read or exported personal data.
    AUDIT_READ = "audit.read"


_A = Action
_AGENT: Final = frozenset(
    {
        _A.CONTACTS_READ,
        _A.CONTACTS_HISTORY,
        _A.CONTACTS_WRITE,
        _A.CONTACTS_DELETE,
        _A.ACTIVITY_WRITE,
        _A.SEGMENTS_READ,
        _A.SUPPRESSIONS_ADD,
        _A.SUPPRESSIONS_READ,
        _A.ATTRIBUTES_READ,
        _A.SETTINGS_READ,
    }
)
_MANAGER: Final = _AGENT | {
    _A.CONTACTS_MERGE,
    _A.CONTACTS_IMPORT,
    _A.CONTACTS_EXPORT,
    _A.CONTACTS_BULK,
    _A.SEGMENTS_WRITE,
    _A.SUPPRESSIONS_LIFT,
    _A.ATTRIBUTES_WRITE,
    _A.SETTINGS_WRITE,
    _A.WEBHOOKS_READ,
    _A.WEBHOOKS_WRITE,
    _A.DEAD_LETTERS_READ,
    _A.DEAD_LETTERS_WRITE,
    _A.MEMBERS_READ,
    _A.KEYS_READ,
}
_AUDITOR: Final = frozenset(
    {
        _A.CONTACTS_READ,
        _A.CONTACTS_HISTORY,
        _A.SEGMENTS_READ,
        _A.SUPPRESSIONS_READ,
        _A.ATTRIBUTES_READ,
        _A.SETTINGS_READ,
        _A.WEBHOOKS_READ,
        _A.DEAD_LETTERS_READ,
        _A.MEMBERS_READ,
        _A.KEYS_READ,
        _A.AUDIT_READ,
    }
)
ALLOWED: Final[dict[Role, frozenset[Action]]] = {
    "owner": frozenset(Action),
    "manager": _MANAGER,
    "agent": _AGENT,
    "auditor": _AUDITOR,
    # A service may do what its scopes say, and nothing else.
    "service": frozenset(),
}
#: What a service can be given: never the keys to the house, never what cannot be taken back.
GRANTABLE: Final = frozenset(Action) - {
    _A.CONTACTS_ERASE,
    _A.WEBHOOKS_READ,
    _A.WEBHOOKS_WRITE,
    _A.MEMBERS_READ,
    _A.MEMBERS_WRITE,
    _A.KEYS_READ,
    _A.KEYS_WRITE,
    _A.AUDIT_READ,
}


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, as authentication found out."""

    workspace_id: UUID
    #: For the metadata of events: `key:<id>`, `user:<digest>` (`contacts.workspace.actors`).
    actor: str
    role: Role
    #: What it may do, the scopes of a service included.
    allowed: frozenset[Action]

    def may(self, action: Action) -> bool:
        return action in self.allowed

    def require(self, action: Action) -> None:
        """Raises NotAllowed."""
        if action not in self.allowed:
            raise NotAllowed(action.value, self.role)


def allowed_actions(role: Role, scopes: tuple[str, ...]) -> frozenset[Action]:
    """Scopes count for services only; an unknown one, or one that may not be granted, counts for nothing."""
    if role != "service":
        return ALLOWED[role]
    return frozenset(action for action in GRANTABLE if action.value in scopes)
