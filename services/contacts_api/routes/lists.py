"""Lists of contacts and their counts: the list with its search box, sorting, status filters and paging."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec

from contacts.contact.filtering import EmailFilter, PhoneFilter
from contacts.contact.ordering import DEFAULT_SORT
from contacts.contact.queries import Past
from contacts.contact.search import QUERY_MAX
from contacts.contact.state import Contact
from contacts.errors import InvalidInput
from contacts.workspace.permissions import Action
from contacts_api import examples
from contacts_api.answer import Answer, json_answer
from contacts_api.conventions import (
    AsOf,
    Cursor,
    Fields,
    Limit,
    MinPosition,
    past_of,
    selected_fields,
    shown_position,
)
from contacts_api.decoding import Fault
from contacts_api.endpoint import Endpoint, Nothing, Returns, endpoint
from contacts_api.errors import MALFORMED, Rejected
from contacts_api.request import Call
from contacts_api.routes.contacts import TAG
from contacts_api.routes.search import SearchInput, found, page_answer
from contacts_api.services import ACTIVITY, ENGAGEMENT
from contacts_api.views import (
    ENGAGEMENT_FIELDS,
    ContactPage,
    ContactSelectionPage,
    CountsView,
    Total,
    contact_view,
    counts_view,
    selected,
)

Sort = Literal[
    "created_at",
    "-created_at",
    "changed_at",
    "-changed_at",
    "deleted_at",
    "-deleted_at",
    "full_name",
    "-full_name",
    "last_name",
    "-last_name",
    "email",
    "-email",
    "external_id",
    "-external_id",
    "last_interaction_at",
    "-last_interaction_at",
    "email_rating",
    "-email_rating",
]
Deleted = Annotated[Literal["false", "true"], msgspec.Meta(description="The deleted contacts instead of the present.")]


class ContactsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which contacts, in what order, and how much of them."""

    q: Annotated[
        Annotated[str, msgspec.Meta(max_length=QUERY_MAX)] | None,
        msgspec.Meta(description="The search box: names, e-mail, phone in any spelling or part, ids. All words count."),
    ] = None
    email_status: Annotated[
        EmailFilter | None, msgspec.Meta(description="By the status of the e-mail; `all` are those that have one.")
    ] = None
    phone_status: Annotated[
        PhoneFilter | None, msgspec.Meta(description="By the status of the phone; `all` are those that have one.")
    ] = None
    segment: Annotated[UUID | None, msgspec.Meta(description="Who is in this segment.")] = None
    list: Annotated[UUID | None, msgspec.Meta(description="Who is on this list.")] = None
    deleted: Deleted = "false"
    sort: Annotated[Sort, msgspec.Meta(description="With `-` descending. `deleted_at` is for deleted contacts.")] = (
        DEFAULT_SORT
    )
    limit: Limit = 50
    cursor: Cursor = None
    fields: Fields = None
    as_of: AsOf = None
    min_position: MinPosition = None


class CountsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Counts of what."""

    deleted: Deleted = "false"
    as_of: AsOf = None
    min_position: MinPosition = None


@endpoint(
    "GET",
    "/v1/contacts",
    action=Action.CONTACTS_READ,
    tag=TAG,
    takes=("Rollbook-Min-Position",),
    returns=Returns(
        200, "One page of contacts", (ContactPage, ContactSelectionPage), ("Rollbook-Position",), examples.PAGE
    ),
)
async def list_contacts(call: Call[Nothing, ContactsQuery, Nothing]) -> Answer:
    """List contacts: all, by status, by what the search box finds; the present or the deleted.

    Pages go on without a limit of depth: `next_cursor` leads from one to the next, for the same filters and order.
    A contact without what the list is sorted by comes last. `total` counts the whole list; where `exact` is false, it
    is an estimate. With `as_of` it is the list as it was at that moment, which no later write changes.
    """
    services, query = call.services, call.query
    fields = selected_fields(query.fields)
    if query.segment is not None or query.list is not None:
        return await _searched(call, fields)
    position, past = await _moment(call, query.min_position, query.as_of)
    workspace = await services.workspaces.get(call.caller.workspace_id)
    try:
        page = await services.contact_queries.list(
            workspace.id,
            q=query.q,
            email_status=query.email_status,
            phone_status=query.phone_status,
            deleted=query.deleted == "true",
            sort=query.sort,
            limit=query.limit,
            cursor=query.cursor,
            region=workspace.settings.default_region,
            past=past,
        )
    except InvalidInput as refused:
        raise _parameters(refused) from None
    contacts: Sequence[Contact] = page.items
    if fields is None or ENGAGEMENT_FIELDS & fields:
        contacts = await services.engagement_queries.with_engagement(workspace.id, contacts, position=page.position)
    items: tuple[Any, ...] = tuple(selected(contact_view(contact), fields) for contact in contacts)
    total = Total(page.total.count, page.total.exact)
    return json_answer(200, ContactPage(items, page.next_cursor, total)).header(b"rollbook-position", position)


async def _searched(call: Call[Nothing, ContactsQuery, Nothing], fields: frozenset[str] | None) -> Answer:
    """The same as a smart search for a segment and a list."""
    query = call.query
    wanted = [{name: str(value)} for name in ("segment", "list") if (value := getattr(query, name)) is not None]
    body = SearchInput(
        filter={"all": wanted},
        q=query.q,
        email_status=query.email_status,
        phone_status=query.phone_status,
        deleted=query.deleted == "true",
        sort=query.sort,
        limit=query.limit,
        cursor=query.cursor,
        as_of=query.as_of,
    )
    past = None if query.as_of is None else await past_of(call, query.as_of, ENGAGEMENT, ACTIVITY)
    try:
        page, position = await found(call, body, past, query.min_position)
    except InvalidInput as refused:
        raise _parameters(refused) from None
    return (await page_answer(call, page, fields)).header(b"rollbook-position", position)


@endpoint(
    "GET",
    "/v1/contacts/counts",
    action=Action.CONTACTS_READ,
    tag=TAG,
    takes=("Rollbook-Min-Position",),
    returns=Returns(200, "The counts", CountsView, ("Rollbook-Position",), examples.COUNTS),
)
async def count_contacts(call: Call[Nothing, CountsQuery, Nothing]) -> Answer:
    """Count the contacts: all, and by status of e-mail and phone. Exact, and with `as_of` as they were at a moment."""
    position, past = await _moment(call, call.query.min_position, call.query.as_of)
    counts = await call.services.contact_queries.counts(
        call.caller.workspace_id, deleted=call.query.deleted == "true", position=past.position if past else None
    )
    return json_answer(200, counts_view(counts)).header(b"rollbook-position", position)


async def _moment(call: Call[Any, Any, Any], min_position: str | None, as_of: str | None) -> tuple[str, Past | None]:
    """The position that is shown, and the moment of the past where one is asked for."""
    if as_of is None:
        return await shown_position(call, min_position), None
    # A position that is none is refused all the same.
    call.min_position(min_position)
    past = await past_of(call, as_of, ENGAGEMENT)
    return f"{call.services.store.lane_of(call.caller.workspace_id)}.{past.position}", past


def _parameters(refused: InvalidInput) -> Rejected:
    """What the domain says of a list's filters, as said of query parameters."""
    faults = [
        Fault(f"{e.reason}; expected {e.expected}", parameter=e.pointer.rpartition("/")[2]) for e in refused.errors
    ]
    return Rejected(MALFORMED, str(refused), *faults)


ENDPOINTS: Final[tuple[Endpoint, ...]] = (list_contacts, count_contacts)
