"""A contact as a row of the read model: which columns there are and what stands in them. No SQL, no I/O."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from msgspec.structs import fields

from contacts.contact.search import search_text
from contacts.contact.state import Contact
from contacts.emails import email_normal
from contacts.folding import fold
from contacts.values import AttributeValue

ACTIVE: Final = "active"

_state: Final = msgspec.msgpack.Encoder(uuid_format="bytes").encode
_json: Final = msgspec.json.Encoder().encode


class Row(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One row of `contact`; `schema.sql` says what each column means. The order of the fields is that of COPY."""

    workspace_id: UUID
    contact_id: UUID
    created_at: datetime
    changed_at: datetime
    deleted_at: datetime | None
    position: int
    version: int
    blocked: bool
    campaign_opt_in: bool | None
    external_id: str | None
    messaging_id: str | None
    first_name: str | None
    last_name: str | None
    full_name: str | None
    filed_name: str | None
    email: str | None
    email_status: str | None
    phone: str | None
    phone_status: str | None
    country: str | None
    language: str | None
    time_zone: str | None
    assignee: str | None
    source: str | None
    tags: tuple[str, ...]
    lists: tuple[UUID, ...]
    categories: tuple[str, ...]
    channels: tuple[str, ...]
    #: As JSON text.
    attributes: str
    search: str
    state: bytes


COLUMNS: Final = tuple(field.name for field in fields(Row))


def row_of(contact: Contact, workspace_id: UUID, position: int) -> Row:
    """The row of a contact that was created and not erased, as of the event at `position`."""
    assert contact.created_at is not None
    assert contact.changed_at is not None
    first_name = fold(contact.first_name) if contact.first_name else None
    last_name = fold(contact.last_name) if contact.last_name else None
    return Row(
        workspace_id=workspace_id,
        contact_id=contact.id,
        created_at=contact.created_at,
        changed_at=contact.changed_at,
        deleted_at=contact.deleted_at,
        position=position,
        version=contact.version,
        blocked=contact.blocked,
        campaign_opt_in=contact.campaign_opt_in,
        external_id=contact.external_id,
        messaging_id=contact.messaging_id,
        first_name=first_name,
        last_name=last_name,
        full_name=f"{first_name} {last_name}" if first_name and last_name else first_name or last_name,
        filed_name=f"{last_name}\t{first_name}" if first_name and last_name else last_name or first_name,
        email=email_normal(contact.email) if contact.email else None,
        email_status=email_status(contact),
        phone=contact.phone,
        phone_status=phone_status(contact),
        country=contact.country,
        language=contact.language,
        time_zone=contact.time_zone,
        assignee=fold(contact.assignee) if contact.assignee else None,
        source=contact.source,
        tags=_folded(contact.tags) if contact.tags else (),
        lists=contact.lists,
        categories=_folded(contact.categories) if contact.categories else (),
        channels=tuple(sorted({channel.kind for channel in contact.channels})) if contact.channels else (),
        attributes=_attributes(contact.attributes) if contact.attributes else "{}",
        search=search_text(contact),
        state=_state(contact),
    )


def email_status(contact: Contact) -> str | None:
    return ACTIVE if contact.email else None


def phone_status(contact: Contact) -> str | None:
    return ACTIVE if contact.phone else None


def _folded(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({fold(text) for text in texts}))


def _attributes(attributes: dict[str, AttributeValue]) -> str:
    return _json({key: _folded_value(value) for key, value in attributes.items()}).decode()


def _folded_value(value: AttributeValue) -> AttributeValue:
    if isinstance(value, str):
        return fold(value)
    return tuple(map(fold, value)) if isinstance(value, tuple) else value
