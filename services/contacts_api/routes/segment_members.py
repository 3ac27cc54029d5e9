"""Who is in a segment or on a list, at any moment and by any definition; who moved between two; and why."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, NamedTuple
from uuid import UUID

import msgspec

from contacts.contact.state import Contact
from contacts.errors import ContactNotFound, InvalidInput
from contacts.lists.refusals import ListNotFound
from contacts.segment.filters import Parsed
from contacts.segment.queries import NOW, Page, When, recorded_at
from contacts.segment.refusals import SegmentNotFound
from contacts.segment.writing import FOREVER
from contacts.smartsearch.moment import Moment
from contacts.workspace.permissions import Action
from contacts_api import segment_examples as examples
from contacts_api.answer import Answer, json_answer
from contacts_api.conventions import AsOf, Cursor, Limit, MinPosition, position_of, shown_position
from contacts_api.decoding import Fault, Malformed
from contacts_api.endpoint import Endpoint, Nothing, Returns, endpoint
from contacts_api.request import Call
from contacts_api.routes.contact_lists import TAG as LISTS_TAG
from contacts_api.routes.contact_lists import ListPath
from contacts_api.routes.contacts import ContactPath
from contacts_api.routes.segments import TAG, SegmentPath, bad_parameters
from contacts_api.segment_views import (
    CountView,
    ExplanationView,
    MembershipsView,
    SegmentDiffView,
    explanation_view,
    in_view,
    moved_view,
)
from contacts_api.services import SEGMENT
from contacts_api.views import ContactPage, Total, contact_view
from eventstore.envelope import parse_position

MEMBERS: Final = Returns(200, "One page of contacts, by id", ContactPage, ("Rollbook-Position",))
COUNT: Final = Returns(200, "The count", CountView, ("Rollbook-Position",), {"count": 1})
EXPLANATION: Final = Returns(200, "The reasons", ExplanationView, ("Rollbook-Position",), examples.EXPLANATION)
Which = Annotated[
    Literal["then", "now"], msgspec.Meta(description="By the definition of the moment, or by that of today.")
]


class MembersQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who, as of when and by which definition."""

    as_of: AsOf = None
    definition: Which = "then"
    limit: Limit = 50
    cursor: Cursor = None
    min_position: MinPosition = None


class CountQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many, as of when and by which definition."""

    as_of: AsOf = None
    definition: Which = "then"
    min_position: MinPosition = None


class ListMembersQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who, as of when."""

    as_of: AsOf = None
    limit: Limit = 50
    cursor: Cursor = None
    min_position: MinPosition = None


class DiffQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Between which moments; to the present where no later one is given."""

    since: Annotated[
        str,
        msgspec.Meta(
            description="The earlier moment: an instant (RFC 3339) or a position.",
            extra_json_schema={"examples": ["2026-11-22T09:30:00Z", "0.1"]},
        ),
    ] = msgspec.field(name="from")
    to: AsOf = None
    limit: Limit = 50
    cursor: Cursor = None
    min_position: MinPosition = None


class ExplainQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """As of when."""

    as_of: AsOf = None
    min_position: MinPosition = None


class PresentQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The present, at least as of a position."""

    min_position: MinPosition = None


class ExplainPath(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Addresses a contact's place in a segment."""

    segment_id: UUID
    contact_id: UUID


class FilterInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A smart search."""

    filter: dict[str, Any]


@endpoint(
    "GET",
    "/v1/segments/{segment_id}/members",
    action=Action.CONTACTS_READ,
    tag=TAG,
    takes=("Rollbook-Min-Position",),
    returns=MEMBERS,
    refuses=(SegmentNotFound, InvalidInput),
)
async def read_segment_members(call: Call[SegmentPath, MembersQuery, Nothing]) -> Answer:
    """Who is in a segment, or was at a past moment: as it was defined then, or by today's definition.

    Contacts are shown as they were at that moment. Of more than 10,000 that match another definition than that of the
    moment `total` says only that they are more.
    """
    services, query, segment_id = call.services, call.query, call.path.segment_id
    segment = await services.segment_handler.get(call.caller.workspace_id, segment_id)
    moment = await _moment(call, query.as_of, query.min_position)
    if query.definition == "now" and query.as_of is not None:
        return await _matching(call, moment, segment.filter, query.limit, query.cursor)
    return await _members(call, moment, segment_id, query.limit, query.cursor)


@endpoint(
    "POST",
    "/v1/segments/{segment_id}/members",
    action=Action.CONTACTS_READ,
    tag=TAG,
    takes=("Rollbook-Min-Position",),
    examples=examples.FILTERS,
    returns=MEMBERS,
    refuses=(SegmentNotFound, InvalidInput),
)
async def try_segment(call: Call[SegmentPath, MembersQuery, FilterInput]) -> Answer:
    """Who would be in a segment, or would have been at a past moment, had it another filter. Changes nothing.

    Segments that the filter uses mean what they meant at that moment, or with `definition=now` what they mean today.
    """
    query = call.query
    await call.services.segment_handler.get(call.caller.workspace_id, call.path.segment_id)
    moment = await _moment(call, query.as_of, query.min_position)
    return await _matching(
        call, moment, call.body.filter, query.limit, query.cursor, then=query.definition == "then", pointer="/filter"
    )


@endpoint(
    "GET",
    "/v1/segments/{segment_id}/members/count",
    action=Action.CONTACTS_READ,
    tag=TAG,
    takes=("Rollbook-Min-Position",),
    returns=COUNT,
    refuses=(SegmentNotFound,),
)
async def count_segment_members(call: Call[SegmentPath, CountQuery, Nothing]) -> Answer:
    """How many are in a segment, or were at a past moment. Exact."""
    services, query, workspace_id = call.services, call.query, call.caller.workspace_id
    segment = await services.segment_handler.get(workspace_id, call.path.segment_id)
    moment = await _moment(call, query.as_of, query.min_position)
    if query.definition == "now" and query.as_of is not None:
        parsed, asked = await _parsed(call, segment.filter, moment, then=False)
        count = await services.segment_queries.count_matching(workspace_id, parsed, asked)
    else:
        count = await services.segment_queries.count(workspace_id, segment.id, moment.when)
    return json_answer(200, CountView(count)).header(b"rollbook-position", moment.token)


@endpoint(
    "GET",
    "/v1/segments/{segment_id}/diff",
    action=Action.CONTACTS_HISTORY,
    tag=TAG,
    takes=("Rollbook-Min-Position",),
    returns=Returns(200, "Who entered and left", SegmentDiffView, ("Rollbook-Position",), examples.DIFF),
    refuses=(SegmentNotFound,),
)
async def read_segment_diff(call: Call[SegmentPath, DiffQuery, Nothing]) -> Answer:
    """Who is in a segment at the later of two moments and was not at the earlier one, who the other way round, and why.

    Whoever entered and left again in between is in neither. The segment means at each moment what it meant then.
    """
    services, query, workspace_id = call.services, call.query, call.caller.workspace_id
    segment = await services.segment_handler.get(workspace_id, call.path.segment_id)
    later = await _moment(call, query.to, query.min_position, "to")
    earlier = await _moment(call, query.since, None, "from")
    with bad_parameters():
        page, entered, left = await services.segment_queries.diff(
            workspace_id, segment.id, earlier.when, later.when, limit=query.limit, cursor=query.cursor
        )
    lane = services.store.lane_of(workspace_id)
    items = tuple(moved_view(each, lane) for each in page.items)
    view = SegmentDiffView(entered=entered, left=left, items=items, next_cursor=page.next_cursor)
    return json_answer(200, view).header(b"rollbook-position", later.token)


@endpoint(
    "GET",
    "/v1/segments/{segment_id}/explain/{contact_id}",
    action=Action.CONTACTS_HISTORY,
    tag=TAG,
    takes=("Rollbook-Min-Position",),
    returns=EXPLANATION,
    refuses=(SegmentNotFound, ContactNotFound),
)
async def explain_membership(call: Call[ExplainPath, ExplainQuery, Nothing]) -> Answer:
    """Why a contact is in a segment, or is not: every condition with the value it met and the events that set it."""
    services, query, path = call.services, call.query, call.path
    moment = await _moment(call, query.as_of, query.min_position)
    if query.as_of is None:
        segment = await services.segment_handler.get(call.caller.workspace_id, path.segment_id)
    else:
        segment = await services.segment_handler.get_at(call.caller.workspace_id, path.segment_id, moment.position)
    return await _explained(call, path.contact_id, segment.filter, moment)


@endpoint(
    "POST",
    "/v1/contacts/{contact_id}/explain",
    action=Action.CONTACTS_HISTORY,
    tag=TAG,
    takes=("Rollbook-Min-Position",),
    examples=examples.FILTERS,
    returns=EXPLANATION,
    refuses=(ContactNotFound, InvalidInput),
)
async def explain_filter(call: Call[ContactPath, ExplainQuery, FilterInput]) -> Answer:
    """Why a contact matches a smart search, or does not."""
    moment = await _moment(call, call.query.as_of, call.query.min_position)
    return await _explained(call, call.path.contact_id, call.body.filter, moment)


@endpoint(
    "GET",
    "/v1/contacts/{contact_id}/segments",
    action=Action.CONTACTS_READ,
    tag=TAG,
    takes=("Rollbook-Min-Position",),
    returns=Returns(200, "The segments and lists", MembershipsView, ("Rollbook-Position",)),
)
async def read_memberships(call: Call[ContactPath, PresentQuery, Nothing]) -> Answer:
    """What a contact is in now: segments, then lists. One that is absorbed, deleted or not there is in none."""
    moment = await _moment(call, None, call.query.min_position)
    found = await call.services.segment_queries.of_contact(call.caller.workspace_id, call.path.contact_id)
    view = MembershipsView(tuple(map(in_view, found)))
    return json_answer(200, view).header(b"rollbook-position", moment.token)


@endpoint(
    "GET",
    "/v1/lists/{list_id}/members",
    action=Action.CONTACTS_READ,
    tag=LISTS_TAG,
    takes=("Rollbook-Min-Position",),
    returns=MEMBERS,
    refuses=(ListNotFound,),
)
async def read_list_members(call: Call[ListPath, ListMembersQuery, Nothing]) -> Answer:
    """Who is on a list, or was at a past moment, each as it was shown then. The deleted are on none."""
    query = call.query
    list_ = await call.services.list_handler.get(call.caller.workspace_id, call.path.list_id)
    moment = await _moment(call, query.as_of, query.min_position)
    return await _members(call, moment, list_.id, query.limit, query.cursor)


# -- moments ----------------------------------------------------------------------------------------------------------


class _Asked(NamedTuple):
    """A moment as a caller named it."""

    #: For memberships.
    when: When
    #: For the windows of filters.
    now: datetime
    #: For everything else.
    position: int
    token: str


async def _moment(
    call: Call[Any, Any, Any], as_of: str | None, min_position: str | None, parameter: str = "as_of"
) -> _Asked:
    """Once the read models are there. Raises Malformed, PositionTimeout."""
    services = call.services
    lane = services.store.lane_of(call.caller.workspace_id)
    shown = await shown_position(call, min_position, SEGMENT)
    if as_of is None:
        return _Asked(NOW, datetime.now(UTC), int(shown.partition(".")[2]), shown)
    position = await position_of(call, as_of, parameter)
    at = await _instant(call, as_of, lane, position)
    if position > await services.store.head(lane) or at > datetime.now(UTC):
        raise Malformed(Fault("lies in the future: takes a moment that has been", parameter=parameter))
    await services.progress.wait(SEGMENT, lane, position, services.settings.position_wait_s)
    # Of an instant all its events count; of a position none after it.
    last = position if _is_position(as_of) else FOREVER - 1
    return _Asked(When(at, last), at, position, f"{lane}.{position}")


async def _instant(call: Call[Any, Any, Any], as_of: str, lane: int, position: int) -> datetime:
    if not _is_position(as_of):
        return msgspec.convert(as_of, datetime).astimezone(UTC)
    return await recorded_at(call.services.store, lane, position) or datetime.now(UTC)


def _is_position(as_of: str) -> bool:
    try:
        parse_position(as_of)
    except ValueError:
        return False
    return True


# -- answers ----------------------------------------------------------------------------------------------------------


async def _members(
    call: Call[Any, Any, Any], moment: _Asked, segment_id: UUID, limit: int, cursor: str | None
) -> Answer:
    with bad_parameters():
        page = await call.services.segment_queries.members(
            call.caller.workspace_id, segment_id, position=moment.position, when=moment.when, limit=limit,
            cursor=cursor,
        )  # fmt: skip
    return await _contacts(call, moment, page, [member.contact for member in page.items])


async def _matching(
    call: Call[Any, Any, Any], moment: _Asked, raw: Any, limit: int, cursor: str | None, *, then: bool = False,
    pointer: str = "/filter",
) -> Answer:  # fmt: skip
    parsed, asked = await _parsed(call, raw, moment, then=then, pointer=pointer)
    with bad_parameters():
        page = await call.services.segment_queries.matching(
            call.caller.workspace_id, parsed, asked, limit=limit, cursor=cursor
        )
    return await _contacts(call, moment, page, page.items)


async def _contacts(call: Call[Any, Any, Any], moment: _Asked, page: Page, contacts: Iterable[Contact]) -> Answer:
    shown = await call.services.engagement_queries.with_engagement(
        call.caller.workspace_id, list(contacts), position=moment.position
    )
    total = Total(page.total.count, page.total.exact)
    view = ContactPage(tuple(map(contact_view, shown)), page.next_cursor, total)
    return json_answer(200, view).header(b"rollbook-position", moment.token)


async def _explained(call: Call[Any, Any, Any], contact_id: UUID, raw: Any, moment: _Asked) -> Answer:
    services, workspace_id = call.services, call.caller.workspace_id
    parsed, asked = await _parsed(call, raw, moment, then=True)
    found = await services.explainer.explain(workspace_id, contact_id, raw, parsed, asked, moment.position)
    view = explanation_view(found, services.store.lane_of(workspace_id))
    return json_answer(200, view).header(b"rollbook-position", moment.token)


async def _parsed(
    call: Call[Any, Any, Any], raw: Any, moment: _Asked, *, then: bool, pointer: str = "/filter"
) -> tuple[Parsed, Moment]:
    """The filter, with the segments it uses as they were then or as they are."""
    workspace = await call.services.workspaces.get(call.caller.workspace_id)
    position = moment.position if then and moment.when is not NOW else None
    parsed = await call.services.filters.parse(raw, workspace, position=position, pointer=pointer)
    asked = Moment(now=moment.now, time_zone=workspace.settings.default_time_zone, position=moment.position)
    return parsed, asked


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    read_segment_members,
    try_segment,
    count_segment_members,
    read_segment_diff,
    explain_membership,
    explain_filter,
    read_memberships,
    read_list_members,
)
