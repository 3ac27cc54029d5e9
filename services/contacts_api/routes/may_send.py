"""May I send? One answer per address or contact, right from the acknowledgement of every opt-out."""

from __future__ import annotations

from typing import Annotated, Final
from uuid import UUID

import msgspec

from contacts.addresses import parse_channel
from contacts.consent.input import parse_category
from contacts.consent.may_send import ITEMS_MAX, Verdicts
from contacts.contact.input import parse_field
from contacts.errors import InvalidInput, TooContended
from contacts.workspace.permissions import Action
from contacts_api import examples
from contacts_api.answer import Answer, json_answer
from contacts_api.decoding import Fault, Malformed
from contacts_api.endpoint import KIB, Endpoint, Nothing, Returns, endpoint
from contacts_api.request import Call
from contacts_api.routes.consents import TAG
from contacts_api.suppression_views import VerdictsView, VerdictView

#: Room for ITEMS_MAX of the longest addresses, in bytes.
MAY_SEND_BYTES_MAX: Final = 3_072 * KIB
Contacts = Annotated[list[UUID], msgspec.Meta(max_length=ITEMS_MAX)]
Addresses = Annotated[list[str], msgspec.Meta(max_length=ITEMS_MAX)]


class MaySendInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Either contacts or addresses, and over which channel."""

    channel: str
    #: Subscription category of the message; messages without one are not stopped by categories.
    category: str | None = None
    contacts: Contacts | None = None
    addresses: Addresses | None = None


@endpoint(
    "POST",
    "/v1/may-send",
    action=Action.SUPPRESSIONS_READ,
    tag=TAG,
    body_bytes_max=MAY_SEND_BYTES_MAX,
    examples=examples.MAY_SEND,
    returns=Returns(200, "The answers, in the order of the question", VerdictsView, (), examples.VERDICTS),
    refuses=(InvalidInput, TooContended),
)
async def may_send(call: Call[Nothing, Nothing, MaySendInput]) -> Answer:
    """Ask whether messages may be sent to contacts or addresses, up to 10,000 at once.

    Every answer holds as of the position it names, and an opt-out counts from the moment it was acknowledged. Of a
    merged profile the most restrictive of its addresses counts.
    """
    body, workspace_id, services = call.body, call.caller.workspace_id, call.services
    channel = parse_field("/channel", parse_channel, body.channel)
    category = None if body.category is None else parse_field("/category", parse_category, body.category)
    if (body.contacts is None) == (body.addresses is None):
        raise Malformed(Fault("either `contacts` or `addresses` is needed, and not both", pointer=""))
    if body.contacts is not None:
        verdicts = await services.may_send.to_contacts(workspace_id, channel, body.contacts, category=category)
    else:
        workspace = await services.workspaces.get(workspace_id)
        region = workspace.settings.default_region
        verdicts = await services.may_send.to_addresses(
            workspace_id, channel, body.addresses or [], category=category, region=region
        )
    return json_answer(200, _view(verdicts, services.store.lane_of(workspace_id)))


def _view(verdicts: Verdicts, lane: int) -> VerdictsView:
    position = f"{lane}.{verdicts.position}"
    allowed = VerdictView(True, None, position)
    return VerdictsView(
        tuple(allowed if reason is None else VerdictView(False, reason, position) for reason in verdicts.reasons)
    )


ENDPOINTS: Final[tuple[Endpoint, ...]] = (may_send,)
