"""A contact as a row of the read model: which columns there are and what stands in them. No SQL, no I/O."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, TypeAlias
from uuid import UUID

import msgspec

from contacts.contact.extras import extras_of
from contacts.contact.search import search_text
from contacts.contact.state import Contact
from contacts.emails import email_normal
from contacts.folding import fold
from contacts.values import AttributeValue

ACTIVE: Final = "active"

#: Columns of `contact` in the order of a row; `schema.sql` says what they mean.
COLUMNS: Final = (
    "workspace_id",
    "contact_id",
    "created_at",
    "changed_at",
    "deleted_at",
    "position",
    "version",
    "blocked",
    "campaign_opt_in",
    "external_id",
    "messaging_id",
    "first_name",
    "last_name",
    "full_name",
    "filed_name",
    "email",
    "email_status",
    "phone",
    "phone_status",
    "country",
    "language",
    "time_zone",
    "assignee",
    "source",
    "tags",
    "lists",
    "categories",
    "channels",
    "attributes",
    "extras",
    "absorbed",
    "search",
    "state",
)
#: A value for each of `COLUMNS`. A plain tuple: a rebuild makes one for every contact there is.
Row: TypeAlias = tuple[object, ...]

#: A contact as the column `state` has it, with how it stands.
encode_state: Final = msgspec.msgpack.Encoder(uuid_format="bytes").encode
_json: Final = msgspec.json.Encoder().encode


def row_of(contact: Contact, workspace_id: UUID, position: int) -> Row:
    """The row of a contact that was created and not erased, as of the event at `position`."""
    assert contact.created_at is not None
    first_name = fold(contact.first_name) if contact.first_name else None
    last_name = fold(contact.last_name) if contact.last_name else None
    full_name = f"{first_name} {last_name}" if first_name and last_name else first_name or last_name
    return (
        workspace_id,
        contact.id,
        contact.created_at,
        contact.changed_at,
        contact.deleted_at,
        position,
        contact.version,
        contact.blocked,
        contact.campaign_opt_in,
        contact.external_id,
        contact.messaging_id,
        first_name,
        last_name,
        full_name,
        f"{last_name}\t{first_name}" if first_name and last_name else full_name,
        email_normal(contact.email) if contact.email else None,
        email_status(contact),
        contact.phone,
        phone_status(contact),
        contact.country,
        contact.language,
        contact.time_zone,
        fold(contact.assignee) if contact.assignee else None,
        contact.source,
        _folded(contact.tags) if contact.tags else (),
        contact.lists,
        _folded(contact.categories) if contact.categories else (),
        tuple(sorted({channel.kind for channel in contact.channels})) if contact.channels else (),
        _attributes(contact.attributes) if contact.attributes else "{}",
        extras_json(contact),
        contact.absorbed or None,
        search_text(contact, full_name),
        encode_state(contact),
    )


def extras_json(contact: Contact) -> str | None:
    """The column `extras`."""
    extras = extras_of(contact)
    return _json(extras).decode() if extras else None


def email_status(contact: Contact) -> str | None:
    if not contact.email:
        return None
    return contact.standing.email.status if contact.standing and contact.standing.email else ACTIVE


def phone_status(contact: Contact) -> str | None:
    if not contact.phone:
        return None
    return contact.standing.phone.status if contact.standing and contact.standing.phone else ACTIVE


@lru_cache(maxsize=4_096)
def _folded(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Remembered: many contacts have the same tags."""
    return tuple(sorted({fold(text) for text in texts}))


def _attributes(attributes: dict[str, AttributeValue]) -> str:
    """As JSON text, with the texts in it folded."""
    text = _json(attributes).decode()
    # Nothing else in JSON has a case: keys of attributes and escapes are lower case.
    if text.isascii():
        return fold(text)
    return _json({key: _folded_value(value) for key, value in attributes.items()}).decode()


def _folded_value(value: AttributeValue) -> AttributeValue:
    if isinstance(value, str):
        return fold(value)
    return tuple(map(fold, value)) if isinstance(value, tuple) else value
