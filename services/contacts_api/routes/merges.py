"""Merges: several contacts as one profile, and taken apart again; what either would come to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec.structs import replace
from uuid_utils.compat import uuid7

from contacts.contact.state import Contact
from contacts.engagement.state import Engagement
from contacts.errors import (
    AlreadyAbsorbed,
    ClaimTakenRefusal,
    ContactIsBlocked,
    ContactIsDeleted,
    ContactIsErased,
    ContactNotFound,
    InvalidInput,
    MergedWithItself,
    MergeNotFound,
    NotInMerge,
    TooContended,
    TooMany,
)
from contacts.merge.input import MergeInput, UnmergeInput, merge_contacts, unmerge_contacts
from contacts.workspace.permissions import Action
from contacts_api import examples
from contacts_api.answer import Answer, json_answer
from contacts_api.endpoint import Endpoint, Nothing, Returns, endpoint
from contacts_api.merge_views import (
    MergePreviewView,
    MergeView,
    UnmergePreviewView,
    merge_preview_view,
    merge_view,
    unmerge_preview_view,
)
from contacts_api.request import Call

TAG: Final = "Merges"
MERGE_REFUSALS: Final = (
    AlreadyAbsorbed,
    ContactIsBlocked,
    ContactIsDeleted,
    ContactIsErased,
    ContactNotFound,
    InvalidInput,
    MergedWithItself,
    TooContended,
    TooMany,
)
UNMERGE_REFUSALS: Final = (ContactIsErased, InvalidInput, MergeNotFound, NotInMerge, TooContended)


class MergePath(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Addresses one merge."""

    merge_id: UUID


@endpoint(
    "POST",
    "/v1/merges/preview",
    action=Action.CONTACTS_MERGE,
    tag=TAG,
    examples=examples.MERGES,
    returns=Returns(200, "What the merge would come to", MergePreviewView),
    refuses=MERGE_REFUSALS,
)
async def preview_merge(call: Call[Nothing, Nothing, MergeInput]) -> Answer:
    """Show what a merge would come to: both sides, each field, consent. Nothing is changed.

    It is decided by the very rules that carry the merge out, so it refuses what that would refuse.
    """
    command = merge_contacts(call.body, workspace_id=call.caller.workspace_id, merge_id=uuid7())
    preview = await call.services.merge_handler.preview_merge(command)
    *sides, outcome = await _standing(call, (preview.primary, *preview.others, preview.outcome))
    workspace_id, engagements = call.caller.workspace_id, call.services.engagement_queries
    sides = await engagements.with_engagement(workspace_id, sides)
    outcome = replace(outcome, engagement=await engagements.merged(workspace_id, [side.id for side in sides]))
    return json_answer(200, merge_preview_view(preview, sides, outcome))


@endpoint(
    "POST",
    "/v1/merges",
    action=Action.CONTACTS_MERGE,
    tag=TAG,
    takes=("Idempotency-Key",),
    examples=examples.MERGES,
    returns=(
        Returns(201, "The new merge", MergeView, ("Location", "Rollbook-Position"), examples.MERGE),
        Returns(200, "They were merged before; the merge that did it", MergeView, ("Rollbook-Position",)),
    ),
    refuses=MERGE_REFUSALS,
)
async def create_merge(call: Call[Nothing, Nothing, MergeInput]) -> Answer:
    """Merge contacts: the others become part of the primary.

    Its own values stay, what is empty is filled from the others in their order, unless `choices` says whose value is
    shown. Tags, lists, categories and channels come together. The ids of the others lead to the primary from here on.
    Nothing is lost: what a merge brought together can be taken apart at any time, in any order.

    What is part of the primary already is passed over. 409 `already-absorbed` names the contact that one of the others
    is part of; blocked, deleted and erased contacts are refused.
    """
    command = merge_contacts(call.body, workspace_id=call.caller.workspace_id, merge_id=uuid7())
    outcome = await call.services.merge_handler.execute(command, **_envelope(call))
    answer = json_answer(201 if outcome.created else 200, merge_view(outcome.merge))
    if outcome.created:
        answer.header(b"location", f"/v1/merges/{outcome.merge.id}")
    return answer.header(b"rollbook-position", outcome.appended.token)


@endpoint(
    "GET",
    "/v1/merges/{merge_id}",
    action=Action.CONTACTS_READ,
    tag=TAG,
    returns=Returns(200, "The merge", MergeView, example=examples.MERGE),
    refuses=(MergeNotFound,),
)
async def read_merge(call: Call[MergePath, Nothing, Nothing]) -> Answer:
    """Read a merge: who was merged, and who came out of it again."""
    merge = await call.services.merge_handler.get(call.caller.workspace_id, call.path.merge_id)
    return json_answer(200, merge_view(merge))


@endpoint(
    "POST",
    "/v1/merges/{merge_id}/unmerge/preview",
    action=Action.CONTACTS_MERGE,
    tag=TAG,
    body_required=False,
    examples=examples.UNMERGES,
    returns=Returns(200, "What the unmerge would come to", UnmergePreviewView),
    refuses=UNMERGE_REFUSALS,
)
async def preview_unmerge(call: Call[MergePath, Nothing, UnmergeInput]) -> Answer:
    """Show what an unmerge would come to, and which edits could go with a contact. Nothing is changed."""
    command = unmerge_contacts(call.body, workspace_id=call.caller.workspace_id, merge_id=call.path.merge_id)
    preview = await call.services.merge_handler.preview_unmerge(command)
    if preview.now is None or preview.remaining is None:
        return json_answer(200, unmerge_preview_view(preview, None, None, ()))
    shown = await _standing(call, (preview.now, preview.remaining, *preview.leaving))
    engagements = await call.services.engagement_queries.apart(
        call.caller.workspace_id, preview.now.id, [(each.id, *each.absorbed) for each in shown]
    )
    now, remaining, *leaving = map(_with_engagement, shown, engagements)
    return json_answer(200, unmerge_preview_view(preview, now, remaining, leaving))


@endpoint(
    "POST",
    "/v1/merges/{merge_id}/unmerge",
    action=Action.CONTACTS_MERGE,
    tag=TAG,
    takes=("Idempotency-Key",),
    body_required=False,
    examples=examples.UNMERGES,
    returns=Returns(200, "The merge as it is now", MergeView, ("Rollbook-Position",), examples.MERGE),
    refuses=(*UNMERGE_REFUSALS, ClaimTakenRefusal),
)
async def unmerge(call: Call[MergePath, Nothing, UnmergeInput]) -> Answer:
    """Take contacts out of a merge: each gets back exactly what it was.

    `contacts` is who, all by default. With `mode` `subtree` they come back with all that they had absorbed themselves,
    with `single` alone: then that stays with the profile. What was edited on the merged profile stays with it unless
    `assign` gives an edit to one of those that leave. Those that have left already are passed over.

    A contact comes out of a deleted profile as one that is present; 409 `claim-taken` names the contact that took its
    `external_id` or `messaging_id` meanwhile. With `on_conflict` `release` it comes out without what was taken.
    """
    command = unmerge_contacts(call.body, workspace_id=call.caller.workspace_id, merge_id=call.path.merge_id)
    outcome = await call.services.merge_handler.execute(command, **_envelope(call))
    return json_answer(200, merge_view(outcome.merge)).header(b"rollbook-position", outcome.appended.token)


def _envelope(call: Call[Any, Any, Any]) -> dict[str, Any]:
    """A merge concerns many versions, so there is none that a caller could have decided on."""
    envelope = call.command()
    return {name: envelope[name] for name in ("metadata", "idempotency_key", "request_hash")}


def _with_engagement(contact: Contact, engagement: Engagement | None) -> Contact:
    return replace(contact, engagement=engagement)


async def _standing(call: Call[Any, Any, Any], contacts: Iterable[Contact]) -> list[Contact]:
    standings, workspace_id = call.services.standings, call.caller.workspace_id
    return list(await asyncio.gather(*(standings.with_standing(workspace_id, contact) for contact in contacts)))


ENDPOINTS: Final[tuple[Endpoint, ...]] = (preview_merge, create_merge, read_merge, preview_unmerge, unmerge)
