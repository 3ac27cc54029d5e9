"""A contact's comings and goings: delete, restore, block, unblock."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Final

import msgspec
from uuid_utils.compat import uuid7

from contacts.contact import commands
from contacts.contact.input import parse_field
from contacts.errors import ContactIsBlocked, ContactIsDeleted, NotAllowed
from contacts.restore.commands import BringBack, OnConflict
from contacts.restore.refusals import RestoreConflict
from contacts.values import REASON_MAX, parse_reason
from contacts.workspace.permissions import Action
from contacts_api import examples
from contacts_api.answer import Answer
from contacts_api.conventions import changed, contact_answer
from contacts_api.decoding import Fault, Malformed
from contacts_api.endpoint import Endpoint, Nothing, Returns, endpoint
from contacts_api.request import Call
from contacts_api.restore_views import RestoredView, restored_view
from contacts_api.routes.contacts import CHANGE_REFUSALS, CHANGED, CONTACT_HEADERS, EDITING, TAG, ContactPath
from contacts_api.views import ContactView

Reason = Annotated[str | None, msgspec.Meta(description=f"Why, in at most {REASON_MAX} characters.")]
#: A deleted contact can be deleted and restored again.
_OF_ANY_CONTACT: Final = tuple(refusal for refusal in CHANGE_REFUSALS if refusal is not ContactIsDeleted)


class ReasonQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why, for clients that send no body with DELETE."""

    reason: Reason = None


class ReasonInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Why something is done."""

    reason: Reason = None


class RestoreInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Why it comes back, and what to do where others hold what it had."""

    reason: Reason = None
    on_conflict: Annotated[
        OnConflict, msgspec.Meta(description="What to do where another contact took a unique value of it.")
    ] = "offer"


@endpoint(
    "DELETE",
    "/v1/contacts/{contact_id}",
    action=Action.CONTACTS_DELETE,
    tag=TAG,
    takes=EDITING,
    body_required=False,
    examples=examples.REASONS,
    returns=CHANGED,
    refuses=_OF_ANY_CONTACT,
)
async def delete_contact(call: Call[ContactPath, ReasonQuery, ReasonInput]) -> Answer:
    """Delete a contact: it leaves the list, and can be restored as it was.

    A reason is needed, in the body or as a query parameter. Its `external_id` and `messaging_id` become free. Deleting
    a deleted contact changes nothing.
    """
    reason = call.body.reason or call.query.reason
    if reason is None:
        raise Malformed(Fault("a reason is needed, here or as the query parameter `reason`", pointer="/reason"))
    command = commands.DeleteContact(
        workspace_id=call.caller.workspace_id,
        contact_id=call.path.contact_id,
        reason=parse_field("/reason", parse_reason, reason),
    )
    return await changed(call, command)


@endpoint(
    "POST",
    "/v1/contacts/{contact_id}/restore",
    action=Action.CONTACTS_DELETE,
    tag=TAG,
    takes=EDITING,
    body_required=False,
    examples=examples.RESTORES,
    returns=Returns(200, "The contact as it is now", (ContactView, RestoredView), CONTACT_HEADERS, examples.CONTACT),
    refuses=(*_OF_ANY_CONTACT, RestoreConflict, ContactIsBlocked, NotAllowed),
)
async def restore_contact(call: Call[ContactPath, Nothing, RestoreInput]) -> Answer:
    """Bring a deleted contact back, exactly as it was. It never fails for good.

    Where another contact took its `external_id` or `messaging_id` meanwhile, `on_conflict` says what then. `offer`
    changes nothing: 409 `claim-taken` names the holder and has in `offer` what can be sent next. `release` restores it
    without what was taken. `merge` does the same and merges it into the holder at once, to be unmerged at any time; it
    needs the permission `contacts.merge` as well. `released` in the answer says what it had to give up.

    Nobody is subscribed again by a restore. Restoring a contact that is not deleted changes nothing.
    """
    if call.body.on_conflict == "merge":
        call.caller.require(Action.CONTACTS_MERGE)
    command = BringBack(
        workspace_id=call.caller.workspace_id,
        contact_id=call.path.contact_id,
        reason=None if call.body.reason is None else parse_field("/reason", parse_reason, call.body.reason),
        on_conflict=call.body.on_conflict,
        merge_id=uuid7(),
    )
    restored = await call.services.restore_handler.execute(command, **call.command())
    return await contact_answer(call, 200, restored.outcome, view=partial(restored_view, restored))


@endpoint(
    "POST",
    "/v1/contacts/{contact_id}/block",
    action=Action.CONTACTS_WRITE,
    tag=TAG,
    takes=EDITING,
    body_required=False,
    examples=examples.REASONS,
    returns=CHANGED,
    refuses=CHANGE_REFUSALS,
)
async def block_contact(call: Call[ContactPath, Nothing, ReasonInput]) -> Answer:
    """Block a contact: nothing inbound from it counts any more."""
    command = commands.BlockContact(
        workspace_id=call.caller.workspace_id, contact_id=call.path.contact_id, reason=_reason(call.body)
    )
    return await changed(call, command)


@endpoint(
    "POST",
    "/v1/contacts/{contact_id}/unblock",
    action=Action.CONTACTS_WRITE,
    tag=TAG,
    takes=EDITING,
    body_required=False,
    examples=examples.REASONS,
    returns=CHANGED,
    refuses=CHANGE_REFUSALS,
)
async def unblock_contact(call: Call[ContactPath, Nothing, ReasonInput]) -> Answer:
    """Let a blocked contact's messages count again."""
    command = commands.UnblockContact(
        workspace_id=call.caller.workspace_id, contact_id=call.path.contact_id, reason=_reason(call.body)
    )
    return await changed(call, command)


def _reason(body: ReasonInput) -> str | None:
    return None if body.reason is None else parse_field("/reason", parse_reason, body.reason)


ENDPOINTS: Final[tuple[Endpoint, ...]] = (delete_contact, restore_contact, block_contact, unblock_contact)
