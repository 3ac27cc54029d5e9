"""The blacklist by address: list, look up, add, lift. Through contacts it is in `consents.py`."""

from __future__ import annotations

from typing import Annotated, Final
from uuid import UUID

import msgspec

from contacts.addresses import address_id, parse_channel
from contacts.consent import input as parse
from contacts.consent.input import SuppressionInput
from contacts.contact.input import parse_field
from contacts.errors import InvalidInput, InvalidValue, SuppressionNotFound, TooContended
from contacts.values import parse_reason
from contacts.workspace.permissions import Action
from contacts_api import examples
from contacts_api.answer import Answer, json_answer
from contacts_api.conventions import Cursor, Limit, MinPosition, shown_position
from contacts_api.decoding import Fault, Malformed
from contacts_api.endpoint import Endpoint, Nothing, Returns, endpoint
from contacts_api.request import Call
from contacts_api.routes.consents import TAG
from contacts_api.routes.lifecycle import ReasonInput, ReasonQuery
from contacts_api.services import SUPPRESSION
from contacts_api.suppression_views import SuppressionPage, SuppressionView, suppression_view
from contacts_api.views import Total


class SuppressionPath(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Addresses one entry."""

    suppression_id: UUID


class SuppressionsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which entries."""

    channel: Annotated[str | None, msgspec.Meta(description="Only this channel: `email`, `phone`, …")] = None
    address: Annotated[
        Annotated[str, msgspec.Meta(max_length=1_000)] | None,
        msgspec.Meta(description="Only this address, in any spelling; needs `channel`."),
    ] = None
    limit: Limit = 50
    cursor: Cursor = None
    min_position: MinPosition = None


class PositionQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How new the answer has to be."""

    min_position: MinPosition = None


@endpoint(
    "GET",
    "/v1/suppressions",
    action=Action.SUPPRESSIONS_READ,
    tag=TAG,
    takes=("Rollbook-Min-Position",),
    returns=Returns(200, "One page of entries", SuppressionPage, ("Rollbook-Position",), examples.SUPPRESSIONS),
)
async def list_suppressions(call: Call[Nothing, SuppressionsQuery, Nothing]) -> Answer:
    """List what this workspace blacklisted, newest first.

    E-mail addresses that other workspaces of the installation blacklisted are closed as well, and not in the list.
    """
    query, services, workspace_id = call.query, call.services, call.caller.workspace_id
    position = await shown_position(call, query.min_position, SUPPRESSION)
    if query.address is not None:
        page = await _of_address(call, query.address)
    else:
        channel = None if query.channel is None else _channel(query.channel)
        try:
            found = await services.suppression_queries.list(
                workspace_id, channel=channel, limit=query.limit, cursor=query.cursor
            )
        except InvalidInput as refused:
            raise Malformed(Fault(refused.errors[0].reason, parameter="cursor")) from None
        total = Total(found.total.count, found.total.exact)
        page = SuppressionPage(tuple(map(suppression_view, found.items)), found.next_cursor, total)
    return json_answer(200, page).header(b"rollbook-position", position)


async def _of_address(call: Call[Nothing, SuppressionsQuery, Nothing], text: str) -> SuppressionPage:
    services, workspace_id = call.services, call.caller.workspace_id
    if call.query.channel is None:
        raise Malformed(Fault("is needed with `address`", parameter="channel"))
    workspace = await services.workspaces.get(workspace_id)
    try:
        channel = _channel(call.query.channel)
        address = services.address_keys.parse(channel, text, workspace.settings.default_region)
        entry = await services.suppression_queries.get(workspace_id, address_id(workspace_id, address.widest))
    except InvalidValue as error:
        raise Malformed(Fault(f"{error.reason}; expected {error.expected}", parameter="address")) from None
    except SuppressionNotFound:
        return SuppressionPage((), None, Total(0, True))
    return SuppressionPage((suppression_view(entry),), None, Total(1, True))


def _channel(text: str) -> str:
    try:
        return parse_channel(text)
    except InvalidValue as error:
        raise Malformed(Fault(f"{error.reason}; expected {error.expected}", parameter="channel")) from None


@endpoint(
    "GET",
    "/v1/suppressions/{suppression_id}",
    action=Action.SUPPRESSIONS_READ,
    tag=TAG,
    takes=("Rollbook-Min-Position",),
    returns=Returns(200, "The entry", SuppressionView, ("Rollbook-Position",), examples.SUPPRESSION),
    refuses=(SuppressionNotFound,),
)
async def read_suppression(call: Call[SuppressionPath, PositionQuery, Nothing]) -> Answer:
    """Read one entry of the blacklist."""
    position = await shown_position(call, call.query.min_position, SUPPRESSION)
    entry = await call.services.suppression_queries.get(call.caller.workspace_id, call.path.suppression_id)
    return json_answer(200, suppression_view(entry)).header(b"rollbook-position", position)


@endpoint(
    "POST",
    "/v1/suppressions",
    action=Action.SUPPRESSIONS_ADD,
    tag=TAG,
    takes=("Idempotency-Key",),
    examples=examples.NEW_SUPPRESSIONS,
    returns=(
        Returns(201, "The new entry", SuppressionView, ("Rollbook-Position", "Location"), examples.SUPPRESSION),
        Returns(200, "The entry that was there", SuppressionView, ("Rollbook-Position",), examples.SUPPRESSION),
    ),
    refuses=(InvalidInput, TooContended),
)
async def add_suppression(call: Call[Nothing, Nothing, SuppressionInput]) -> Answer:
    """Blacklist an address, whether a contact has it or not.

    Nothing may be sent to it from the answer on: to an e-mail address in the whole installation, to any other in this
    workspace. An address that is listed already stays as it is.
    """
    services, workspace_id = call.services, call.caller.workspace_id
    workspace = await services.workspaces.get(workspace_id)
    command = parse.suppression(
        call.body, services.address_keys, workspace_id=workspace_id, region=workspace.settings.default_region
    )
    outcome = await services.suppression_handler.blacklist(command, **call.command())
    assert outcome.entry is not None
    answer = json_answer(201 if outcome.created else 200, suppression_view(outcome.entry))
    if outcome.created:
        answer.header(b"location", f"/v1/suppressions/{outcome.entry.id}")
    return answer.header(b"rollbook-position", outcome.appended.token)


@endpoint(
    "DELETE",
    "/v1/suppressions/{suppression_id}",
    action=Action.SUPPRESSIONS_LIFT,
    tag=TAG,
    takes=("Idempotency-Key",),
    body_required=False,
    examples=examples.REASONS,
    returns=Returns(204, "The address is no longer on this workspace's list", headers=("Rollbook-Position",)),
    refuses=(InvalidInput, SuppressionNotFound, TooContended),
)
async def lift_suppression(call: Call[SuppressionPath, ReasonQuery, ReasonInput]) -> Answer:
    """Take an entry off the blacklist.

    A reason is needed, in the body or as a query parameter. What the person said, and what other workspaces listed,
    stays. Lifting an entry that was lifted changes nothing.
    """
    reason = call.body.reason or call.query.reason
    if reason is None:
        raise Malformed(Fault("a reason is needed, here or as the query parameter `reason`", pointer="/reason"))
    outcome = await call.services.suppression_handler.lift(
        call.caller.workspace_id,
        call.path.suppression_id,
        parse_field("/reason", parse_reason, reason),
        **call.command(),
    )
    return Answer(204).header(b"rollbook-position", outcome.appended.token)


ENDPOINTS: Final[tuple[Endpoint, ...]] = (list_suppressions, read_suppression, add_suppression, lift_suppression)
