"""Dynamic segments: made, renamed, redefined, archived, restored. Who is in them is in `segment_members`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET
from uuid_utils.compat import uuid7

from contacts.errors import InvalidInput, TooContended
from contacts.segment import input as parse
from contacts.segment.commands import ArchiveSegment, RestoreSegment, SegmentCommand
from contacts.segment.input import SegmentInput, SegmentPatch
from contacts.segment.refusals import SegmentAlreadyExists, SegmentCycle, SegmentIsArchived, SegmentNotFound
from contacts.workspace.permissions import Action
from contacts_api import segment_examples as examples
from contacts_api.answer import Answer, json_answer
from contacts_api.conventions import AsOf, Cursor, Limit, MinPosition, etag, position_of, shown_position
from contacts_api.decoding import Fault
from contacts_api.endpoint import MERGE_PATCH_TYPES, Endpoint, Nothing, Returns, endpoint
from contacts_api.errors import MALFORMED, Rejected
from contacts_api.request import Call
from contacts_api.routes.contacts import EDITING
from contacts_api.segment_views import SegmentPage, SegmentView, segment_view
from contacts_api.services import SEGMENT
from contacts_api.views import Total

TAG: Final = "Segments"
HEADERS: Final = ("ETag", "Rollbook-Position")
CHANGED: Final = Returns(200, "The segment as it is now", SegmentView, HEADERS, examples.SEGMENT)
DEFINING_REFUSALS: Final = (InvalidInput, SegmentCycle, SegmentNotFound, TooContended)


class SegmentPath(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Addresses one segment."""

    segment_id: UUID


class SegmentsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which segments, and how many of them."""

    archived: Literal["false", "true"] = "false"
    limit: Limit = 50
    cursor: Cursor = None
    min_position: MinPosition = None


class SegmentQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """As it is, or as it was."""

    as_of: AsOf = None


@endpoint(
    "GET",
    "/v1/segments",
    action=Action.SEGMENTS_READ,
    tag=TAG,
    takes=("Rollbook-Min-Position",),
    returns=Returns(200, "One page of segments, by name", SegmentPage, ("Rollbook-Position",)),
)
async def read_segments(call: Call[Nothing, SegmentsQuery, Nothing]) -> Answer:
    """List the segments with their counts, or the archived ones."""
    query = call.query
    position = await shown_position(call, query.min_position, SEGMENT)
    with bad_parameters():
        page = await call.services.segment_queries.page(
            call.caller.workspace_id, lists=False, archived=query.archived == "true", limit=query.limit,
            cursor=query.cursor,
        )  # fmt: skip
    total = Total(page.total.count, page.total.exact)
    answer = json_answer(200, SegmentPage(tuple(map(segment_view, page.items)), page.next_cursor, total))
    return answer.header(b"rollbook-position", position)


@endpoint(
    "POST",
    "/v1/segments",
    action=Action.SEGMENTS_WRITE,
    tag=TAG,
    takes=("Idempotency-Key",),
    examples=examples.SEGMENTS,
    returns=Returns(201, "The segment", SegmentView, HEADERS, examples.SEGMENT),
    refuses=(*DEFINING_REFUSALS, SegmentAlreadyExists),
)
async def create_segment(call: Call[Nothing, Nothing, SegmentInput]) -> Answer:
    """Save a smart search as a segment.

    Its members are kept from then on: by every event, and by the clock where windows pass. Whoever enters or leaves is
    told on NATS.
    """
    services, segment_id = call.services, uuid7()
    command = parse.create_segment(call.body, call.caller.workspace_id, segment_id)
    workspace = await services.workspaces.get(call.caller.workspace_id)
    await services.filters.parse(call.body.filter, workspace, defining=segment_id)
    return await _executed(call, command, 201)


@endpoint(
    "GET",
    "/v1/segments/{segment_id}",
    action=Action.SEGMENTS_READ,
    tag=TAG,
    returns=Returns(200, "The segment", SegmentView, ("ETag",), examples.SEGMENT),
    refuses=(SegmentNotFound,),
)
async def read_segment(call: Call[SegmentPath, SegmentQuery, Nothing]) -> Answer:
    """One segment with its definition; with `as_of` what it was called and meant at a past moment."""
    services, workspace_id, segment_id = call.services, call.caller.workspace_id, call.path.segment_id
    if call.query.as_of is not None:
        segment = await services.segment_handler.get_at(
            workspace_id, segment_id, await position_of(call, call.query.as_of)
        )
        return json_answer(200, segment_view(segment)).header(b"etag", etag(segment.version))
    segment = await services.segment_handler.get(workspace_id, segment_id)
    members = await services.segment_queries.count(workspace_id, segment_id)
    counting = await services.segment_queries.counting(workspace_id, segment_id)
    return json_answer(200, segment_view(segment, members, counting)).header(b"etag", etag(segment.version))


@endpoint(
    "PATCH",
    "/v1/segments/{segment_id}",
    action=Action.SEGMENTS_WRITE,
    tag=TAG,
    takes=EDITING,
    media_types=MERGE_PATCH_TYPES,
    examples=examples.SEGMENT_PATCHES,
    returns=CHANGED,
    refuses=(*DEFINING_REFUSALS, SegmentIsArchived),
)
async def change_segment(call: Call[SegmentPath, Nothing, SegmentPatch]) -> Answer:
    """Give a segment another name, another filter, or both. What it meant before stays known for every earlier day."""
    services, workspace_id = call.services, call.caller.workspace_id
    command = parse.change_segment(call.body, workspace_id, call.path.segment_id)
    if call.body.filter is not UNSET:
        workspace = await services.workspaces.get(workspace_id)
        await services.filters.parse(call.body.filter, workspace, defining=command.segment_id)
    return await _executed(call, command)


@endpoint(
    "DELETE",
    "/v1/segments/{segment_id}",
    action=Action.SEGMENTS_WRITE,
    tag=TAG,
    takes=EDITING,
    returns=CHANGED,
    refuses=(SegmentNotFound, TooContended),
)
async def archive_segment(call: Call[SegmentPath, Nothing, Nothing]) -> Answer:
    """Archive a segment: nobody is in it any more. Its past stays, other segments may use it, it can be restored."""
    command = ArchiveSegment(workspace_id=call.caller.workspace_id, segment_id=call.path.segment_id)
    return await _executed(call, command)


@endpoint(
    "POST",
    "/v1/segments/{segment_id}/restore",
    action=Action.SEGMENTS_WRITE,
    tag=TAG,
    takes=EDITING,
    returns=CHANGED,
    refuses=(SegmentNotFound, TooContended),
)
async def restore_segment(call: Call[SegmentPath, Nothing, Nothing]) -> Answer:
    """Bring an archived segment back: whoever matches is in it from now on."""
    command = RestoreSegment(workspace_id=call.caller.workspace_id, segment_id=call.path.segment_id)
    return await _executed(call, command)


async def _executed(call: Call[Any, Any, Any], command: SegmentCommand, status: int = 200) -> Answer:
    outcome = await call.services.segment_handler.execute(command, **call.command())
    members = None
    if not outcome.appended.event_count:
        members = await call.services.segment_queries.count(command.workspace_id, outcome.id)
    answer = json_answer(status, segment_view(outcome.state, members)).header(b"etag", etag(outcome.version))
    return answer.header(b"rollbook-position", outcome.appended.token)


@contextmanager
def bad_parameters() -> Iterator[None]:
    """What the domain says of a cursor or a filter, as said of query parameters."""
    try:
        yield
    except InvalidInput as refused:
        faults = [Fault(f"{e.reason}; expected {e.expected}", parameter=e.pointer.strip("/")) for e in refused.errors]
        raise Rejected(MALFORMED, str(refused), *faults) from None


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    read_segments,
    create_segment,
    read_segment,
    change_segment,
    archive_segment,
    restore_segment,
)
