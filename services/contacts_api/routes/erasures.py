"""Erasing a contact for good, and the certificates of what was erased."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import msgspec
from uuid_utils.compat import uuid7

from contacts.contact.events import ErasureReason
from contacts.erasure.commands import EraseContact
from contacts.erasure.state import Erasure
from contacts.errors import ContactNotFound, ErasureNotFound, InvalidField, InvalidInput, TooContended
from contacts.workspace.permissions import Action
from contacts_api import examples
from contacts_api.answer import Answer, json_answer
from contacts_api.endpoint import Endpoint, Nothing, Returns, endpoint
from contacts_api.request import Call
from contacts_api.routes.contacts import EDITING, TAG, ContactPath
from contacts_api.views import View


class EraseInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why the data goes, and that its end is meant."""

    confirm: Annotated[bool, msgspec.Meta(description="Has to be true: nothing brings the data back.")]
    reason: Annotated[ErasureReason, msgspec.Meta(description="A code, because it stays readable.")]


class ErasurePath(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Addresses one certificate."""

    erasure_id: UUID


class ErasedStreamView(View, frozen=True):
    """One stream whose content is gone. Its events stand where they stood, unreadable."""

    category: str
    id: UUID
    events: int
    first_position: str
    last_position: str


class ErasureView(View, frozen=True):
    """The certificate of an erasure."""

    id: UUID
    #: The contact erased, or the one that stood for it.
    contact: UUID
    #: All whose data went.
    contacts: tuple[UUID, ...]
    reason: ErasureReason
    erased_at: datetime
    actor: str | None
    #: Whatever was recorded in the streams up to here is gone.
    position: str
    streams: tuple[ErasedStreamView, ...]


@endpoint(
    "POST",
    "/v1/contacts/{contact_id}/erase",
    action=Action.CONTACTS_ERASE,
    tag=TAG,
    takes=EDITING,
    examples=examples.ERASURES,
    returns=Returns(200, "The certificate", ErasureView, ("Rollbook-Position",), examples.ERASURE),
    refuses=(ContactNotFound, InvalidInput, TooContended),
)
async def erase_contact(call: Call[ContactPath, Nothing, EraseInput]) -> Answer:
    """Erase a contact: everything personal about it becomes unreadable for good, for everybody.

    Its data key is destroyed, and with it what the log, its copies and its backups say of the contact and its activity,
    and the proof about every address it had. A merged contact goes with all that were merged into it. Objections stand.
    A second erasure answers the first one's certificate. Of an erased contact everything else answers 410.
    """
    if not call.body.confirm:
        raise InvalidInput([InvalidField("/confirm", "is not true", "true, because nothing brings the data back")])
    command = EraseContact(
        workspace_id=call.caller.workspace_id,
        contact_id=call.path.contact_id,
        erasure_id=uuid7(),
        reason=call.body.reason,
    )
    outcome = await call.services.erasure_handler.execute(command, **call.command())
    answer = json_answer(200, _view(outcome.erasure, outcome.appended.lane))
    return answer.header(b"rollbook-position", outcome.appended.token)


@endpoint(
    "GET",
    "/v1/erasures/{erasure_id}",
    action=Action.AUDIT_READ,
    tag=TAG,
    returns=Returns(200, "The certificate", ErasureView, example=examples.ERASURE),
    refuses=(ErasureNotFound,),
)
async def read_erasure(call: Call[ErasurePath, Nothing, Nothing]) -> Answer:
    """Read the certificate of an erasure: what went, when, why and through whom. It holds nothing personal."""
    workspace_id = call.caller.workspace_id
    erasure = await call.services.erasure_handler.get(workspace_id, call.path.erasure_id)
    return json_answer(200, _view(erasure, call.services.store.lane_of(workspace_id)))


def _view(erasure: Erasure, lane: int) -> ErasureView:
    assert erasure.contact_id is not None
    assert erasure.reason is not None
    assert erasure.erased_at is not None
    return ErasureView(
        id=erasure.id,
        contact=erasure.contact_id,
        contacts=erasure.contacts,
        reason=erasure.reason,
        erased_at=erasure.erased_at,
        actor=erasure.actor,
        position=f"{lane}.{erasure.position}",
        streams=tuple(
            ErasedStreamView(
                category=stream.category,
                id=stream.stream_id,
                events=stream.events,
                first_position=f"{lane}.{stream.first_position}",
                last_position=f"{lane}.{stream.last_position}",
            )
            for stream in erasure.streams
        ),
    )


ENDPOINTS: Final[tuple[Endpoint, ...]] = (erase_contact, read_erasure)
