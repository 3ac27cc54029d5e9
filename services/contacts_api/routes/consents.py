"""What is said about the addresses of a contact: the one-click actions, the way back from them, consents."""

from __future__ import annotations

from typing import Final

from contacts.consent import input as parse
from contacts.consent.input import Action as AddressAction
from contacts.consent.input import AddressActionInput, ConsentInput
from contacts.errors import (
    ContactIsDeleted,
    ContactIsErased,
    ContactNotFound,
    InvalidInput,
    NoSuchAddress,
    ObjectionOfOtherSpelling,
    ProofMissing,
    ReasonMissing,
    SuppressedElsewhere,
    TooContended,
)
from contacts.workspace.permissions import Action
from contacts_api import examples
from contacts_api.answer import Answer
from contacts_api.conventions import contact_answer
from contacts_api.endpoint import Endpoint, Nothing, endpoint
from contacts_api.request import Call
from contacts_api.routes.contacts import CHANGED, EDITING, ContactPath

TAG: Final = "Suppression and consent"
#: What any request about a contact's addresses can be refused for.
REFUSALS: Final = (ContactIsErased, ContactNotFound, InvalidInput, NoSuchAddress, TooContended)
OPENING_REFUSALS: Final = (*REFUSALS, ContactIsDeleted)


async def _act(action: AddressAction, call: Call[ContactPath, Nothing, AddressActionInput]) -> Answer:
    asked = parse.address_action(
        action,
        call.body,
        call.services.address_keys,
        workspace_id=call.caller.workspace_id,
        contact_id=call.path.contact_id,
    )
    return await contact_answer(call, 200, await call.services.consent_handler.execute(asked, **call.command()))


@endpoint(
    "POST",
    "/v1/contacts/{contact_id}/blacklist",
    action=Action.SUPPRESSIONS_ADD,
    tag=TAG,
    takes=EDITING,
    body_required=False,
    examples=examples.BLACKLISTINGS,
    returns=CHANGED,
    refuses=REFUSALS,
)
async def blacklist_contact(call: Call[ContactPath, Nothing, AddressActionInput]) -> Answer:
    """Put the contact's e-mail or phone on the blacklist.

    Nothing may be sent to the address from the answer on, whatever contact has it and however it is spelt: to an e-mail
    address in the whole installation, to a phone number in this workspace. Of a merged profile all addresses are meant.
    """
    return await _act("blacklist", call)


@endpoint(
    "POST",
    "/v1/contacts/{contact_id}/unblacklist",
    action=Action.SUPPRESSIONS_LIFT,
    tag=TAG,
    takes=EDITING,
    examples=examples.REOPENINGS,
    returns=CHANGED,
    refuses=(*OPENING_REFUSALS, ReasonMissing, SuppressedElsewhere),
)
async def unblacklist_contact(call: Call[ContactPath, Nothing, AddressActionInput]) -> Answer:
    """Take the contact's e-mail or phone off the blacklist; a reason is needed.

    Only this workspace's own entry can be lifted: 409 `objection-stands` says that another workspace has one.
    """
    return await _act("unblacklist", call)


@endpoint(
    "POST",
    "/v1/contacts/{contact_id}/unsubscribe",
    action=Action.SUPPRESSIONS_ADD,
    tag=TAG,
    takes=EDITING,
    body_required=False,
    examples=examples.UNSUBSCRIPTIONS,
    returns=CHANGED,
    refuses=REFUSALS,
)
async def unsubscribe_contact(call: Call[ContactPath, Nothing, AddressActionInput]) -> Answer:
    """Record that the person objects to a channel, to one category, or to everything (`channel` is `all`).

    It holds for the address, however it is spelt, and outlives edits, merges, deletion and erasure of the contact. Also
    deleted contacts can be unsubscribed.
    """
    return await _act("unsubscribe", call)


@endpoint(
    "POST",
    "/v1/contacts/{contact_id}/resubscribe",
    action=Action.SUPPRESSIONS_LIFT,
    tag=TAG,
    takes=EDITING,
    examples=examples.OPT_INS,
    returns=CHANGED,
    refuses=(*OPENING_REFUSALS, ObjectionOfOtherSpelling, ProofMissing),
)
async def resubscribe_contact(call: Call[ContactPath, Nothing, AddressActionInput]) -> Answer:
    """Record that the person agreed again, with the proof of it.

    It ends only what was said with the same spelling of the address, and lifts neither blacklist nor complaint.
    """
    return await _act("resubscribe", call)


@endpoint(
    "POST",
    "/v1/contacts/{contact_id}/report-spam",
    action=Action.SUPPRESSIONS_ADD,
    tag=TAG,
    takes=EDITING,
    body_required=False,
    examples=examples.COMPLAINTS,
    returns=CHANGED,
    refuses=REFUSALS,
)
async def report_spam(call: Call[ContactPath, Nothing, AddressActionInput]) -> Answer:
    """Record that the person complained of spam."""
    return await _act("report_spam", call)


@endpoint(
    "POST",
    "/v1/contacts/{contact_id}/clear-spam",
    action=Action.SUPPRESSIONS_LIFT,
    tag=TAG,
    takes=EDITING,
    examples=examples.REOPENINGS,
    returns=CHANGED,
    refuses=(*OPENING_REFUSALS, ReasonMissing),
)
async def clear_spam(call: Call[ContactPath, Nothing, AddressActionInput]) -> Answer:
    """Take the person's spam complaints back; a reason is needed. Who unsubscribed stays so."""
    return await _act("clear_spam", call)


@endpoint(
    "POST",
    "/v1/contacts/{contact_id}/confirm",
    action=Action.SUPPRESSIONS_LIFT,
    tag=TAG,
    takes=EDITING,
    body_required=False,
    examples=examples.OPT_INS,
    returns=CHANGED,
    refuses=(*OPENING_REFUSALS, ProofMissing),
)
async def confirm_contact(call: Call[ContactPath, Nothing, AddressActionInput]) -> Answer:
    """Record that the person confirmed the address (double opt-in).

    Where nothing waits to be confirmed, nothing changes. Where the person had unsubscribed before the confirmation was
    asked for, it needs a proof, and is a new opt-in.
    """
    return await _act("confirm", call)


@endpoint(
    "POST",
    "/v1/contacts/{contact_id}/consents",
    action=Action.SUPPRESSIONS_ADD,
    tag=TAG,
    takes=EDITING,
    examples=examples.CONSENTS,
    returns=CHANGED,
    refuses=(*OPENING_REFUSALS, ObjectionOfOtherSpelling, ProofMissing),
)
async def record_consent(call: Call[ContactPath, Nothing, ConsentInput]) -> Answer:
    """Record what the person agreed or objected to, with the proof of it.

    `subscribed` also needs the permission `suppressions.lift`. There is no way back to `not_subscribed`.
    """
    if call.body.status == "subscribed":
        call.caller.require(Action.SUPPRESSIONS_LIFT)
    asked = parse.consent(
        call.body,
        call.services.address_keys,
        workspace_id=call.caller.workspace_id,
        contact_id=call.path.contact_id,
    )
    return await contact_answer(call, 200, await call.services.consent_handler.execute(asked, **call.command()))


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    blacklist_contact,
    unblacklist_contact,
    unsubscribe_contact,
    resubscribe_contact,
    report_spam,
    clear_spam,
    confirm_contact,
    record_consent,
)
