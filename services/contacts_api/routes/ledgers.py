"""The consent ledger as a file: of a contact's addresses, or of an address that no contact needs to have."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from contacts.addresses import Address, parse_channel
from contacts.consent.reach import all_addresses
from contacts.contact.input import parse_field
from contacts.errors import ContactIsErased, ContactNotFound, InvalidInput, TooContended
from contacts.workspace.permissions import Action
from contacts_api import examples
from contacts_api.answer import Answer
from contacts_api.endpoint import Endpoint, Nothing, Returns, endpoint
from contacts_api.request import Call
from contacts_api.routes.consents import TAG
from contacts_api.routes.contacts import ContactPath

JSON_LINES: Final = "application/jsonl"
FILE: Final = Returns(200, "The ledger, to be verified offline", str, media_type=JSON_LINES)


class LedgerInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One address; in the body, so that it stands in no log of addresses asked for."""

    channel: str
    address: str


@endpoint(
    "GET",
    "/v1/contacts/{contact_id}/ledger",
    action=Action.SUPPRESSIONS_READ,
    tag=TAG,
    returns=FILE,
    refuses=(ContactIsErased, ContactNotFound, TooContended),
)
async def export_contact_ledger(call: Call[ContactPath, Nothing, Nothing]) -> Answer:
    """Export everything that was agreed and withdrawn for a contact's addresses, with its proof.

    JSON lines with a hash chain and a signature; `python -m contacts.consent.verify FILE` checks a file, offline and
    without anything else of this service. Of a merged profile all addresses are exported.
    """
    services, workspace_id, contact_id = call.services, call.caller.workspace_id, call.path.contact_id
    contact = await services.contact_handler.load(workspace_id, contact_id)
    if not contact.exists:
        raise ContactNotFound(contact_id)
    if contact.erased:
        raise ContactIsErased(contact_id)
    members = [contact]
    if contact.absorbed:
        members += await services.contact_handler.components.load_all(workspace_id, (contact.id, *contact.absorbed))
    unique = {a.widest: a for member in members[::-1] for a in all_addresses(member, services.address_keys)[::-1]}
    return await _file(call, list(unique.values())[::-1], contact.id)


@endpoint(
    "POST",
    "/v1/consent-ledgers",
    action=Action.SUPPRESSIONS_READ,
    tag=TAG,
    examples=examples.LEDGERS,
    returns=FILE,
    refuses=(InvalidInput,),
)
async def export_address_ledger(call: Call[Nothing, Nothing, LedgerInput]) -> Answer:
    """Export everything that was agreed and withdrawn for one address, whether a contact has it or not."""
    services = call.services
    channel = parse_field("/channel", parse_channel, call.body.channel)
    region = (await services.workspaces.get(call.caller.workspace_id)).settings.default_region
    address = parse_field(
        "/address", lambda text: services.address_keys.parse(channel, text, region), call.body.address
    )  # fmt: skip
    return await _file(call, [address], None)


async def _file(call: Call[Any, Any, Any], addresses: Sequence[Address], contact_id: UUID | None) -> Answer:
    now = datetime.now(UTC)
    content = await call.services.ledgers.export(
        call.caller.workspace_id, addresses, contact_id=contact_id, now=now
    )  # fmt: skip
    answer = Answer(200, content, JSON_LINES.encode())
    return answer.header(b"content-disposition", f'attachment; filename="consent-ledger-{now:%Y-%m-%d}.jsonl"')


ENDPOINTS: Final[tuple[Endpoint, ...]] = (export_contact_ledger, export_address_ledger)
