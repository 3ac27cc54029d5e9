"""Sixty contacts in one workspace, a fifth of them deleted, and some in another; and how tests list them."""

from __future__ import annotations

import random
from typing import Any, Final
from uuid import UUID

from contacts.contact import events as e
from contacts.contact.queries import Page
from contacts.contact.state import Contact
from contacts.values import Email, ExternalId, Phone
from tests.integration.contact.model import Log, Model

WORKSPACE: Final = UUID(int=1)
OTHER: Final = UUID(int=2)
CONTACTS: Final = 60


def history(workspace_id: UUID) -> Log:
    chance = random.Random(11)
    log = Log()
    for number in range(CONTACTS):
        contact_id = UUID(int=chance.getrandbits(128))
        log.record(workspace_id, contact_id, created(chance, number))
        if number % 5 == 0:
            log.record(workspace_id, contact_id, e.ContactDeleted(reason="test"))
    for _ in range(40):
        known = chance.choice(log.events)
        log.record(workspace_id, known.stream_id, e.ContactTagged(tags=("x",)))  # type: ignore[arg-type]
    for number in range(10):
        log.record(OTHER, UUID(int=chance.getrandbits(128)), created(chance, 1_000 + number))
    return log


def created(chance: random.Random, number: int) -> e.ContactCreated:
    def maybe(value: str) -> str | None:
        return value if chance.random() < 0.7 else None

    return e.ContactCreated(
        source="api",
        first_name=maybe(chance.choice(["Anna", "Łukasz", "Zoë", "bert", "Ömer"])),
        last_name=maybe(chance.choice(["Meyer", "meyer", "Ødegård", "Zając"])),
        email=Email(email) if (email := maybe(f"user{number}@example.com")) else None,
        phone=Phone(f"+4930{1000 + number}") if chance.random() < 0.5 else None,
        external_id=ExternalId(f"C-{number:04}"),
    )


async def pages(model: Model, *, workspace_id: UUID = WORKSPACE, **query: Any) -> list[Page]:
    found = [await model.queries.list(workspace_id, **query)]
    while (cursor := found[-1].next_cursor) is not None:
        found.append(await model.queries.list(workspace_id, cursor=cursor, **query))
    return found


async def listed(model: Model, **query: Any) -> list[Contact]:
    return [contact for page in await pages(model, **query) for contact in page.items]
