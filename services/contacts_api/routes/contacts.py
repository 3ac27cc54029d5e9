"""One contact: create, read, edit, upsert. Deleting and blocking are in `lifecycle.py`, lists in `lists.py`."""

from __future__ import annotations

from typing import Final
from uuid import UUID

import msgspec
from uuid_utils.compat import uuid7

from contacts.contact import history
from contacts.contact import input as parse
from contacts.contact.commands import UpsertKind
from contacts.contact.input import ContactInput, NewContactInput
from contacts.contact.state import Contact
from contacts.errors import (
    ClaimTakenRefusal,
    ConsentNotAttested,
    ContactIsDeleted,
    ContactIsErased,
    ContactNotFound,
    ExternalIdRequired,
    IdentityMissing,
    InvalidInput,
    TooContended,
    TooMany,
)
from contacts.workspace.permissions import Action
from contacts_api import examples
from contacts_api.answer import Answer, json_answer
from contacts_api.conventions import (
    AsOf,
    Fields,
    MinPosition,
    changed,
    contact_answer,
    etag,
    leads_to,
    position_of,
    selected_fields,
    shown_position,
)
from contacts_api.endpoint import KIB, MERGE_PATCH_TYPES, Endpoint, Nothing, Returns, endpoint
from contacts_api.request import Call
from contacts_api.services import ENGAGEMENT, Services
from contacts_api.views import ContactSelection, ContactView, contact_view, selected

TAG: Final = "Contacts"
#: Room for thousands of custom attributes, in bytes.
CONTACT_BYTES_MAX: Final = 1024 * KIB
COMMAND_HEADERS: Final = ("ETag", "Rollbook-Position")
#: Of what addresses one contact: another one may stand for it.
CONTACT_HEADERS: Final = (*COMMAND_HEADERS, "Content-Location")
EDITING: Final = ("Idempotency-Key", "If-Match")
#: What a change of any contact can be refused for.
CHANGE_REFUSALS: Final = (ContactNotFound, ContactIsDeleted, ContactIsErased, InvalidInput, TooContended)
#: What a profile can be refused for.
PROFILE_REFUSALS: Final = (ClaimTakenRefusal, ExternalIdRequired, IdentityMissing, InvalidInput, TooMany)
CHANGED: Final = Returns(200, "The contact as it is now", ContactView, CONTACT_HEADERS, examples.CONTACT)


class ContactPath(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Addresses one contact."""

    contact_id: UUID


class ContactKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Addresses a contact by what it is known by elsewhere."""

    by: UpsertKind
    value: str


class ContactReading(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which state of a contact, and how much of it."""

    as_of: AsOf = None
    fields: Fields = None
    min_position: MinPosition = None


@endpoint(
    "POST",
    "/v1/contacts",
    action=Action.CONTACTS_WRITE,
    tag=TAG,
    takes=("Idempotency-Key",),
    body_bytes_max=CONTACT_BYTES_MAX,
    examples=examples.NEW_CONTACTS,
    returns=Returns(201, "The new contact", ContactView, (*COMMAND_HEADERS, "Location"), examples.CONTACT),
    refuses=(*PROFILE_REFUSALS, ConsentNotAttested),
)
async def create_contact(call: Call[Nothing, Nothing, NewContactInput]) -> Answer:
    """Create a contact.

    It needs at least one of e-mail, phone, external id or a channel. `external_id` and `messaging_id` are unique in the
    workspace: 409 names the contact that holds one. A contact made by hand (`source` is `manual`) demands
    `consent_attested`.
    """
    workspace = await call.services.workspaces.get(call.caller.workspace_id)
    command = parse.create_contact(call.body, workspace, contact_id=uuid7())
    outcome = await call.services.contact_handler.execute(command, **call.command())
    return (await contact_answer(call, 201, outcome)).header(b"location", f"/v1/contacts/{outcome.contact_id}")


@endpoint(
    "GET",
    "/v1/contacts/{contact_id}",
    action=Action.CONTACTS_READ,
    tag=TAG,
    takes=("Rollbook-Min-Position", "If-None-Match"),
    returns=(
        Returns(200, "The contact", (ContactView, ContactSelection), CONTACT_HEADERS, examples.CONTACT),
        Returns(304, "The version is the one in `If-None-Match`", headers=CONTACT_HEADERS),
    ),
    refuses=(ContactNotFound, ContactIsErased),
)
async def read_contact(call: Call[ContactPath, ContactReading, Nothing]) -> Answer:
    """Read a contact, as it is or as it was.

    A deleted contact is shown too; `deleted_at` says so. A contact that was merged into another leads to that one,
    which `Content-Location` names. With `as_of` the contact is folded from its events up to that moment.
    """
    services, workspace_id, contact_id = call.services, call.caller.workspace_id, call.path.contact_id
    fields = selected_fields(call.query.fields)
    if call.query.as_of is None:
        position = await shown_position(call, call.query.min_position)
        contact = await _present(services, workspace_id, contact_id)
        (contact,) = await services.engagement_queries.with_engagement(workspace_id, [contact])
    else:
        # The log itself is asked, so there is nothing to wait for; a position that is none is refused all the same.
        call.min_position(call.query.min_position)
        moment = await position_of(call, call.query.as_of)
        position = f"{services.store.lane_of(workspace_id)}.{moment}"
        contact = await history.as_of(services.store, workspace_id, contact_id, position=moment)
        if contact.erased:
            raise ContactIsErased(contact_id)
        contact = await services.standings.with_standing(workspace_id, contact, position=moment)
        contact = await _engaged_at(services, workspace_id, contact, moment)
    tag = etag(contact.version)
    # The version is that of the contact alone: how its addresses stand and what it does changes without it.
    known = contact.standing is None and contact.engagement is None and call.is_known(tag)
    answer = Answer(304) if known else json_answer(200, selected(contact_view(contact), fields))
    leads_to(answer, contact_id, contact.id)
    return answer.header(b"etag", tag).header(b"rollbook-position", position)


@endpoint(
    "PATCH",
    "/v1/contacts/{contact_id}",
    action=Action.CONTACTS_WRITE,
    tag=TAG,
    takes=EDITING,
    media_types=MERGE_PATCH_TYPES,
    body_bytes_max=CONTACT_BYTES_MAX,
    examples=examples.PATCHES,
    returns=CHANGED,
    refuses=(*CHANGE_REFUSALS, *PROFILE_REFUSALS),
)
async def edit_contact(call: Call[ContactPath, Nothing, ContactInput]) -> Answer:
    """Edit any part of a contact (merge-patch, RFC 7396).

    What is not named stays, null clears, `tags` and other sets are replaced as a whole, `address` and `attributes` are
    patched member by member. What is so already is not recorded again: then the version stays.
    """
    workspace = await call.services.workspaces.get(call.caller.workspace_id)
    command = parse.edit_contact(call.body, workspace, contact_id=call.path.contact_id)
    return await changed(call, command)


@endpoint(
    "PUT",
    "/v1/contacts/by/{by}/{value:path}",
    action=Action.CONTACTS_WRITE,
    tag=TAG,
    takes=EDITING,
    body_bytes_max=CONTACT_BYTES_MAX,
    examples=examples.NEW_CONTACTS,
    returns=(CHANGED, Returns(201, "The new contact", ContactView, (*COMMAND_HEADERS, "Location"), examples.CONTACT)),
    refuses=(*CHANGE_REFUSALS, *PROFILE_REFUSALS, ConsentNotAttested),
)
async def upsert_contact(call: Call[ContactKey, Nothing, NewContactInput]) -> Answer:
    """Edit the contact that is known by a key, or create it.

    The key is one of `external_id`, `messaging_id`, `email` and `phone`, its value percent-encoded. The body edits as a
    merge-patch does; it need not repeat the key and must not contradict it. Of several contacts with the same e-mail or
    phone the oldest is meant.
    """
    workspace = await call.services.workspaces.get(call.caller.workspace_id)
    command = parse.upsert_contact(call.path.by, call.path.value, call.body, workspace, contact_id=uuid7())
    outcome = await call.services.contact_handler.execute(command, **call.command())
    if not outcome.created:
        return await contact_answer(call, 200, outcome)
    return (await contact_answer(call, 201, outcome)).header(b"location", f"/v1/contacts/{outcome.contact_id}")


async def _engaged_at(services: Services, workspace_id: UUID, contact: Contact, position: int) -> Contact:
    """With what activity said of it. Raises PositionTimeout where that read model is not there yet."""
    lane = services.store.lane_of(workspace_id)
    known = min(position, await services.store.head(lane))
    await services.progress.wait(ENGAGEMENT, lane, known, services.settings.position_wait_s)
    found = await services.engagement_queries.with_engagement(workspace_id, [contact], position=position)
    return found[0]


async def _present(services: Services, workspace_id: UUID, contact_id: UUID) -> Contact:
    """As the read model has it. Raises ContactNotFound, ContactIsErased."""
    try:
        return await services.contact_queries.get(workspace_id, contact_id)
    except ContactNotFound:
        # An erased contact has no row: only the log still knows that there was one.
        if (await services.contact_handler.load(workspace_id, contact_id)).erased:
            raise ContactIsErased(contact_id) from None
        raise


ENDPOINTS: Final[tuple[Endpoint, ...]] = (create_contact, read_contact, edit_contact, upsert_contact)
