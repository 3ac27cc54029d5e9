"""Static lists: made, renamed, archived, restored; who is on them, joins and leaves."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
from uuid_utils.compat import uuid7

from contacts.contact.commands import AddContactToLists, RemoveContactFromLists
from contacts.errors import InvalidInput, TooContended, TooMany
from contacts.execution import Executed
from contacts.lists import input as parse
from contacts.lists.commands import ArchiveList, ListCommand, RestoreList
from contacts.lists.decider import ContactList
from contacts.lists.input import MEMBERS_MAX, ListInput, MembersInput
from contacts.lists.members import Report
from contacts.lists.refusals import ListAlreadyExists, ListIsArchived, ListNotFound
from contacts.smartsearch.moment import Moment
from contacts.workspace.permissions import Action
from contacts_api import segment_examples as examples
from contacts_api.answer import Answer, json_answer
from contacts_api.conventions import Cursor, Limit, MinPosition, changed, etag, shown_position
from contacts_api.endpoint import KIB, MERGE_PATCH_TYPES, Endpoint, Nothing, Returns, endpoint
from contacts_api.errors import problem_of
from contacts_api.request import Call
from contacts_api.routes.contacts import CHANGE_REFUSALS, CHANGED, EDITING
from contacts_api.routes.segments import bad_parameters
from contacts_api.segment_views import ListPage, ListView, MembersChangedView, RefusedMemberView, list_view
from contacts_api.services import SEGMENT
from contacts_api.views import Total
from eventstore.envelope import parse_position

TAG: Final = "Lists"
#: Room for 10,000 ids.
MEMBERS_BYTES_MAX: Final = 512 * KIB
HEADERS: Final = ("ETag", "Rollbook-Position")
LIST: Final = Returns(200, "The list as it is now", ListView, HEADERS, examples.LIST)
MOVED: Final = Returns(200, "What became of each", MembersChangedView, ("Rollbook-Position",), examples.MEMBERS_CHANGED)


class ListPath(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Addresses one list."""

    list_id: UUID


class ContactListPath(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Addresses a contact's place on a list."""

    contact_id: UUID
    list_id: UUID


class ListsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which lists, and how many of them."""

    archived: Literal["false", "true"] = "false"
    limit: Limit = 50
    cursor: Cursor = None
    min_position: MinPosition = None


@endpoint(
    "GET",
    "/v1/lists",
    action=Action.SEGMENTS_READ,
    tag=TAG,
    takes=("Rollbook-Min-Position",),
    returns=Returns(200, "One page of lists, by name", ListPage, ("Rollbook-Position",)),
)
async def read_lists(call: Call[Nothing, ListsQuery, Nothing]) -> Answer:
    """List the static lists with their counts, or the archived ones."""
    query = call.query
    position = await shown_position(call, query.min_position, SEGMENT)
    with bad_parameters():
        page = await call.services.segment_queries.page(
            call.caller.workspace_id, lists=True, archived=query.archived == "true", limit=query.limit,
            cursor=query.cursor,
        )  # fmt: skip
    total = Total(page.total.count, page.total.exact)
    answer = json_answer(200, ListPage(tuple(map(list_view, page.items)), page.next_cursor, total))
    return answer.header(b"rollbook-position", position)


@endpoint(
    "POST",
    "/v1/lists",
    action=Action.SEGMENTS_WRITE,
    tag=TAG,
    takes=("Idempotency-Key",),
    examples=examples.LISTS,
    returns=Returns(201, "The list", ListView, HEADERS, examples.LIST),
    refuses=(ListAlreadyExists, InvalidInput, TooContended),
)
async def create_list(call: Call[Nothing, Nothing, ListInput]) -> Answer:
    """Make a list. Names need not be unique."""
    command = parse.create_list(call.body, call.caller.workspace_id, uuid7())
    return await _executed(call, command, 201)


@endpoint(
    "GET",
    "/v1/lists/{list_id}",
    action=Action.SEGMENTS_READ,
    tag=TAG,
    returns=Returns(200, "The list", ListView, ("ETag",), examples.LIST),
    refuses=(ListNotFound,),
)
async def read_list(call: Call[ListPath, Nothing, Nothing]) -> Answer:
    """One list."""
    workspace_id, list_id = call.caller.workspace_id, call.path.list_id
    list_ = await call.services.list_handler.get(workspace_id, list_id)
    members = await call.services.segment_queries.count(workspace_id, list_id)
    return json_answer(200, list_view(list_, members)).header(b"etag", etag(list_.version))


@endpoint(
    "PATCH",
    "/v1/lists/{list_id}",
    action=Action.SEGMENTS_WRITE,
    tag=TAG,
    takes=EDITING,
    media_types=MERGE_PATCH_TYPES,
    examples=examples.LISTS,
    returns=LIST,
    refuses=(ListNotFound, InvalidInput, TooContended),
)
async def rename_list(call: Call[ListPath, Nothing, ListInput]) -> Answer:
    """Give a list another name."""
    return await _executed(call, parse.rename_list(call.body, call.caller.workspace_id, call.path.list_id))


@endpoint(
    "DELETE",
    "/v1/lists/{list_id}",
    action=Action.SEGMENTS_WRITE,
    tag=TAG,
    takes=EDITING,
    returns=LIST,
    refuses=(ListNotFound, TooContended),
)
async def archive_list(call: Call[ListPath, Nothing, Nothing]) -> Answer:
    """Archive a list: it takes no new members. Those it has stay, and it can be restored."""
    return await _executed(call, ArchiveList(workspace_id=call.caller.workspace_id, list_id=call.path.list_id))


@endpoint(
    "POST",
    "/v1/lists/{list_id}/restore",
    action=Action.SEGMENTS_WRITE,
    tag=TAG,
    takes=EDITING,
    returns=LIST,
    refuses=(ListNotFound, TooContended),
)
async def restore_list(call: Call[ListPath, Nothing, Nothing]) -> Answer:
    """Bring an archived list back."""
    return await _executed(call, RestoreList(workspace_id=call.caller.workspace_id, list_id=call.path.list_id))


@endpoint(
    "POST",
    "/v1/lists/{list_id}/members",
    action=Action.SEGMENTS_WRITE,
    tag=TAG,
    takes=("Idempotency-Key",),
    body_bytes_max=MEMBERS_BYTES_MAX,
    examples=examples.MEMBERS,
    returns=MOVED,
    refuses=(ListNotFound, ListIsArchived, InvalidInput, TooMany),
)
async def add_members(call: Call[ListPath, Nothing, MembersInput]) -> Answer:
    """Add up to 10,000 contacts to a list: by their ids, or all that match a smart search.

    Each is an edit of its own: one that is refused, because it is deleted or not there, stops no other. The counts add
    up to the contacts named, each once. With an `Idempotency-Key` a repeat adds nobody anew.
    """
    envelope = call.command()
    report = await call.services.list_members.add(
        call.caller.workspace_id, call.path.list_id, await _named(call), metadata=envelope["metadata"],
        idempotency_key=envelope["idempotency_key"], request_hash=envelope["request_hash"],
    )  # fmt: skip
    return await _report(call, report)


@endpoint(
    "DELETE",
    "/v1/lists/{list_id}/members",
    action=Action.SEGMENTS_WRITE,
    tag=TAG,
    takes=("Idempotency-Key",),
    body_bytes_max=MEMBERS_BYTES_MAX,
    examples=examples.MEMBERS,
    returns=MOVED,
    refuses=(ListNotFound, InvalidInput, TooMany),
)
async def remove_members(call: Call[ListPath, Nothing, MembersInput]) -> Answer:
    """Take up to 10,000 contacts off a list; as for adding them."""
    envelope = call.command()
    report = await call.services.list_members.remove(
        call.caller.workspace_id, call.path.list_id, await _named(call), metadata=envelope["metadata"],
        idempotency_key=envelope["idempotency_key"], request_hash=envelope["request_hash"],
    )  # fmt: skip
    return await _report(call, report)


@endpoint(
    "POST",
    "/v1/contacts/{contact_id}/lists/{list_id}",
    action=Action.CONTACTS_WRITE,
    tag=TAG,
    takes=EDITING,
    returns=CHANGED,
    refuses=(*CHANGE_REFUSALS, TooMany, ListNotFound, ListIsArchived),
)
async def join_list(call: Call[ContactListPath, Nothing, Nothing]) -> Answer:
    """Add a contact to a list. One that is on it already stays as it is."""
    workspace_id, path = call.caller.workspace_id, call.path
    command = AddContactToLists(workspace_id=workspace_id, contact_id=path.contact_id, lists=(path.list_id,))
    return await changed(call, command)


@endpoint(
    "DELETE",
    "/v1/contacts/{contact_id}/lists/{list_id}",
    action=Action.CONTACTS_WRITE,
    tag=TAG,
    takes=EDITING,
    returns=CHANGED,
    refuses=CHANGE_REFUSALS,
)
async def leave_list(call: Call[ContactListPath, Nothing, Nothing]) -> Answer:
    """Take a contact off a list. One that is not on it stays as it is."""
    path = call.path
    command = RemoveContactFromLists(
        workspace_id=call.caller.workspace_id, contact_id=path.contact_id, lists=(path.list_id,)
    )
    return await changed(call, command)


async def _named(call: Call[Any, Any, MembersInput]) -> list[UUID]:
    """Ids of the contacts that are meant. Raises InvalidInput, TooMany, PositionTimeout."""
    wanted = parse.parse_members(call.body)
    if isinstance(wanted, list):
        return wanted
    services, workspace_id = call.services, call.caller.workspace_id
    # Whoever was acknowledged before is meant as well, seen by this caller or not.
    lane = services.store.lane_of(workspace_id)
    position = await shown_position(call, f"{lane}.{await services.store.head(lane)}", SEGMENT)
    workspace = await services.workspaces.get(workspace_id)
    parsed = await services.filters.parse(wanted, workspace)
    moment = Moment(
        now=datetime.now(UTC), time_zone=workspace.settings.default_time_zone, position=parse_position(position)[1]
    )
    found = await services.segment_queries.ids_matching(workspace_id, parsed, moment, MEMBERS_MAX + 1)
    if len(found) > MEMBERS_MAX:
        raise TooMany("contacts match", MEMBERS_MAX)
    return found


async def _executed(call: Call[Any, Any, Any], command: ListCommand, status: int = 200) -> Answer:
    outcome: Executed[ContactList] = await call.services.list_handler.execute(command, **call.command())
    members = 0 if outcome.created else await call.services.segment_queries.count(command.workspace_id, outcome.id)
    answer = json_answer(status, list_view(outcome.state, members)).header(b"etag", etag(outcome.version))
    return answer.header(b"rollbook-position", outcome.appended.token)


async def _report(call: Call[Any, Any, Any], report: Report) -> Answer:
    problems = {contact_id: problem_of(refusal)[0] for contact_id, refusal in report.refused.items()}
    view = MembersChangedView(
        changed=report.changed,
        unchanged=report.unchanged,
        refused=len(report.refused),
        refusals=tuple(RefusedMemberView(each, problem.type, problem.detail) for each, problem in problems.items()),
    )
    lane = call.services.store.lane_of(call.caller.workspace_id)
    position = report.position or await call.services.store.head(lane)
    return json_answer(200, view).header(b"rollbook-position", f"{lane}.{position}")


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    read_lists,
    create_list,
    read_list,
    rename_list,
    archive_list,
    restore_list,
    add_members,
    remove_members,
    join_list,
    leave_list,
)
